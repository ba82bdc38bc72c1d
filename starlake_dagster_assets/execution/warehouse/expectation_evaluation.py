"""Evaluates expectations on the current state of a table, as Starlake does after it wrote the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from starlake_dagster_assets.commands.model import ExpectationRow
from starlake_dagster_assets.errors import QueryError
from starlake_dagster_assets.project.checks.expectations import expectation_sql, expectation_template, macro_call
from starlake_dagster_assets.project.files.rendering import RenderError
from starlake_dagster_assets.project.model.project import Expectation, Project

__all__ = ["evaluate_expectations"]

_ODD = -2147483648
"""Count that Starlake records for a query that does not return one whole number."""


def evaluate_expectations(
    project: Project,
    expectations: Sequence[Expectation],
    table: tuple[str, str],
    name: str,
    run: Callable[[str], Sequence[Sequence[Any]]],
) -> list[ExpectationRow]:
    """Returns a row for each expectation, as in the audit but without a JOBID.

    Args:
        project: The project, for macros and variables.
        expectations: The expectations.
        table: Final schema and table, for the rows.
        name: The table in SQL, quoted if its warehouse needs it.
        run: Returns at most two rows of a query; raises `QueryError` if the warehouse rejects it.
    """
    template = expectation_template(project)
    return [_evaluate(project, template, item, table, name, run) for item in expectations]


def _evaluate(
    project: Project,
    template: str,
    item: Expectation,
    table: tuple[str, str],
    name: str,
    run: Callable[[str], Sequence[Sequence[Any]]],
) -> ExpectationRow:
    call = macro_call(item.expect)
    sql, exception, count = "", "", 0
    try:
        sql = expectation_sql(template, item.expect, project.variables, name)
        count = _count(run(sql))
    except (QueryError, RenderError) as error:
        exception = str(error)
    return ExpectationRow("", *table, call, item.expect, sql, count, exception, not exception and count == 0)


def _count(rows: Sequence[Sequence[Any]]) -> int:
    value = rows[0][0] if len(rows) == 1 and len(rows[0]) else None
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)) or value != int(value):
        return _ODD
    return int(value)
