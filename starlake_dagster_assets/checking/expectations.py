"""Broken expectations: calls that cannot be rendered, or SQL that does not parse. They fail in every run."""

from __future__ import annotations

from collections.abc import Iterator

from starlake_dagster_assets.checking.positions import Positions
from starlake_dagster_assets.project.checks.expectations import called_macro, expectation_template, render_expectation
from starlake_dagster_assets.project.files.rendering import Renderer, RenderError
from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.project.model.project import Project
from starlake_dagster_assets.project.sql.parsing import SqlError, parse_statements

__all__ = ["broken_expectations"]


def broken_expectations(project: Project, positions: Positions) -> Iterator[Problem]:
    """Reports expectations whose call cannot be rendered or whose SQL does not parse.

    Args:
        project: The resolved project.
        positions: Finds texts in its files.
    """
    if not project.application.expectations.active:
        return
    template = expectation_template(project)
    macros = Renderer(None, {macro.file: macro.text for macro in project.macros}).macro_names
    reasons: dict[tuple[str, str], str] = {}
    for thing in (*project.tables, *project.tasks):
        dialect = project.dialect(thing.connection)
        for item in thing.expectations:
            if (called_macro(item.expect) or next(iter(macros), "")) not in macros:
                continue  # reported as an unknown macro at load
            key = (item.expect, dialect)
            if key not in reasons:
                reasons[key] = _reason(template, item.expect, dialect, project)
            if reasons[key]:
                file, line, _ = positions.find_text(thing.location, item.expect)
                yield Problem(
                    file=file,
                    line=line,
                    key="expectations",
                    message=f"the expectation `{item.expect}` {reasons[key]}.",
                    hint="It fails in every run; correct the call, or the macro below metadata/expectations.",
                    code="broken-expectation",
                )


def _reason(template: str, expect: str, dialect: str, project: Project) -> str:
    """Returns the reason why an expectation fails in every run; "" if none is found."""
    try:
        sql = render_expectation(template, expect, project.variables)
    except RenderError as error:
        return f"cannot be rendered: {error.message.rstrip('.')}"
    try:
        parse_statements(sql, dialect)
    except SqlError as error:
        cause = str(error).rstrip(".")
        return f"renders SQL that cannot be parsed as {dialect or 'standard SQL'}: {cause}: {_shortened(sql)}"
    return ""


def _shortened(sql: str) -> str:
    text = " ".join(sql.split())
    return text if len(text) <= 200 else f"{text[:200]}…"
