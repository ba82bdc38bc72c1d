"""Expectations as checks: their names, what a failure means, and their results in the audit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from starlake_dagster_assets.commands.model import ExpectationRow
from starlake_dagster_assets.execution.warehouse.reader import WarehouseReader
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.project.model.project import Application, Expectation

__all__ = ["RESERVED", "CheckResult", "NamedExpectation", "check_results", "evaluate_now", "named_expectations"]

RESERVED = ("rejected_rows", "schema_drift")
"""Names of the checks that every loaded table has; expectations get other names."""

_REFUSED = re.compile(r"[^A-Za-z0-9_]+")
_ALTERED = re.compile(r"""[\s'"`{}\\]+""")
_LONGEST = 60
_NO_NUMBER = -2147483648
"""Starlake records this as the count of a query that returns no whole number."""
_UNREAD = "the audit cannot be read here"
_MISSING = "the audit has no result of it"


@dataclass(frozen=True)
class NamedExpectation:
    """An expectation, the name of its check (`^[A-Za-z0-9_]+$`), and whether its failure blocks the table."""

    name: str
    expect: str
    blocking: bool


@dataclass(frozen=True)
class CheckResult:
    """Result of one expectation.

    Attributes:
        expectation: The expectation.
        passed: Whether the expectation holds.
        count: Count that the query returned; None if there is none.
        sql: Its query.
        exception: The error of the query.
        reason: Why it did not pass.
        unknown: Whether no result can be read; the table is not materialized if the expectation blocks.
    """

    expectation: NamedExpectation
    passed: bool
    count: int | None = None
    sql: str = ""
    exception: str = ""
    reason: str = ""
    unknown: bool = False


def named_expectations(node: Node, application: Application) -> tuple[NamedExpectation, ...]:
    """Returns the expectations of a table or task under names that are valid and unique on it.

    Args:
        node: A table or task.
        application: Configures whether expectations run at all, and the default of `failOnError`.

    Returns:
        In the order of the project's file; none when `expectations.active` is false.
    """
    found: Sequence[Expectation] = ()
    if node.table is not None and not node.is_files:
        found = node.table.expectations
    elif node.task is not None:
        found = node.task.expectations
    if not application.expectations.active:
        return ()
    taken: set[str] = {*RESERVED}
    named: list[NamedExpectation] = []
    for item in dict.fromkeys(found):
        blocking = item.blocks(application.expectations.fail_on_error)
        named.append(NamedExpectation(_unique(item.expect, taken), item.expect, blocking))
    return tuple(named)


def check_results(
    node: Node, named: Sequence[NamedExpectation], rows: Sequence[ExpectationRow] | None
) -> tuple[CheckResult, ...]:
    """Returns a result per expectation, which is unknown if the audit has no row of the expectation.

    Args:
        node: The table or task.
        named: Its expectations.
        rows: The rows of its command, oldest first: the newest row of an expectation counts. None if the audit
            cannot be read.
    """
    if rows is None:
        return tuple(CheckResult(item, passed=False, reason=_UNREAD, unknown=True) for item in named)
    names = _names(node) if rows else ()
    mine = [row for row in rows if (row.domain.lower(), row.schema.lower()) in names]
    exact = {row.params: row for row in mine}
    near = {_words(row.params): row for row in mine}
    return tuple(_result(item, exact.get(item.expect) or near.get(_words(item.expect))) for item in named)


def evaluate_now(
    node: Node, named: Sequence[NamedExpectation], reader: WarehouseReader
) -> tuple[CheckResult, ...] | None:
    """Returns a result per expectation, evaluated on the current state of the table; None if that is not possible."""
    items = [Expectation(expect=item.expect) for item in named]
    rows = reader.evaluate(*node.target, items)
    return None if rows is None else check_results(node, named, rows)


def _result(item: NamedExpectation, row: ExpectationRow | None) -> CheckResult:
    if row is None:
        return CheckResult(item, passed=False, reason=_MISSING, unknown=True)
    passed = row.success and row.count == 0 and not row.exception
    count = None if row.exception or row.count == _NO_NUMBER else row.count
    reason = "" if passed else f"found {count}"
    if row.exception:
        reason = f"failed: {row.exception}"
    elif count is None:
        reason = "the query returns no row, several rows, or no whole number"
    return CheckResult(item, passed=passed, count=count, sql=row.sql, exception=row.exception, reason=reason)


def _names(node: Node) -> set[tuple[str, str]]:
    names = {node.target}
    if node.table is not None:
        names |= {(domain, node.table.name) for domain in (node.table.domain, node.table.domain_name)}
        names |= {(node.table.final_domain, node.table.final_name)}
    if node.task is not None:
        names |= {(node.task.domain, node.task.table)}
    return {(domain.lower(), table.lower()) for domain, table in names}


def _words(text: str) -> str:
    """Returns the text without the characters that Starlake alters in the audit: quotes, braces, space."""
    return _ALTERED.sub("", text)


def _unique(text: str, taken: set[str]) -> str:
    stem = _REFUSED.sub("_", text).strip("_")[:_LONGEST].rstrip("_") or "expectation"
    name, number = stem, 2
    while name.lower() in taken:
        name, number = f"{stem}_{number}", number + 1
    taken.add(name.lower())
    return name
