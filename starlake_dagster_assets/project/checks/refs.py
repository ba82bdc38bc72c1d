"""Checks of the rules of `refs.sl.yml`."""

from __future__ import annotations

from collections.abc import Sequence

from starlake_dagster_assets.project.model.problem_collector import ProblemReport
from starlake_dagster_assets.project.model.project import RefRule
from starlake_dagster_assets.project.resolve.java_regex import compile_java

__all__ = ["check_refs"]


def check_refs(rules: Sequence[RefRule], file: str, report: ProblemReport) -> None:
    """Reports patterns that are not regular expressions.

    Args:
        rules: The rules, in order.
        file: The file that contains them.
        report: Collector of the problems.
    """
    prefix = ("refs",) if file.endswith("refs.sl.yml") else ("application", "refs")
    for index, rule in enumerate(rules):
        for part in ("database", "domain", "table"):
            pattern = getattr(rule.input, part)
            try:
                compile_java(pattern or "")
            except ValueError as error:
                path = (*prefix, index, "input", part)
                report.error(file, path, f"`{pattern}` is not a regular expression: {error}.", "invalid-pattern")
