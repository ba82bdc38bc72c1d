"""`refs.sl.yml`: rules that rename table references and the outputs of tasks."""

from __future__ import annotations

from collections.abc import Sequence

from starlake_dagster_assets.project.model.project import RefInput, RefRule
from starlake_dagster_assets.project.resolve.java_regex import compile_java

__all__ = ["apply_refs", "declared_parts"]


def apply_refs(rules: Sequence[RefRule], parts: Sequence[str]) -> tuple[str, str, str] | None:
    """Rewrites a name by the first rule that matches.

    Args:
        rules: The rules, in order.
        parts: One to three parts: [[database,] domain,] table.

    Returns:
        (database, domain, table), "" for parts that the rule empties; None if no rule matches.
    """
    for rule in rules:
        patterns = declared_parts(rule.input)
        if len(patterns) != len(parts):
            continue
        if all(_matches(pattern, part) for pattern, part in zip(patterns, parts, strict=True)):
            database, domain, table = [""] * (3 - len(parts)) + list(parts)
            out = rule.output
            return tuple(_fill(text, database, domain, table) for text in (out.database, out.domain, out.table))  # type: ignore[return-value]
    return None


def declared_parts(rule: RefInput) -> tuple[str, ...]:
    """Returns the patterns that a rule declares, from the database to the table."""
    return (*(part for part in (rule.database, rule.domain) if part is not None), rule.table)


def _matches(pattern: str, part: str) -> bool:
    try:
        return compile_java(pattern).fullmatch(part) is not None
    except ValueError:
        return False


def _fill(text: str, database: str, domain: str, table: str) -> str:
    return text.replace("SL_THIS_DATABASE", database).replace("SL_THIS_DOMAIN", domain).replace("SL_THIS_TABLE", table)
