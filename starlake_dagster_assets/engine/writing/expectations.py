"""Expectations: macro calls rendered to SQL, run after the write and recorded in the audit.

Those that can fail the command run in the transaction that wrote the rows, which they can undo. The others run
after its commit: DuckDB has no savepoints, and a query that fails while it runs would roll the rows back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from starlake_dagster_assets.engine.quoting import identifier
from starlake_dagster_assets.engine.session import Session
from starlake_dagster_assets.engine.writing.schema_sync import Target
from starlake_dagster_assets.engine.writing.transaction import usable
from starlake_dagster_assets.engine.writing.user_statements import translated
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.checks.expectations import expectation_sql, expectation_template, macro_call
from starlake_dagster_assets.project.files.rendering import RenderError
from starlake_dagster_assets.project.model.project import Expectation, Project

__all__ = [
    "ExpectationCheck",
    "ExpectationError",
    "blocking",
    "evaluate",
    "recorded_expectations",
    "run_blocking_expectations",
]

_LONG = range(-(2**63), 2**63)
_PLAIN = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_]*$")


@dataclass(frozen=True)
class ExpectationCheck:
    """Result of an expectation: the values of its row in `audit.expectations`. `count` 0 means success."""

    expectation: Expectation
    name: str
    params: str
    sql: str
    count: int
    exception: str
    success: bool

    @property
    def row(self) -> tuple[str, str, str, int, str, bool]:
        """Values of the audit row: NAME, PARAMS, SQL, COUNT, EXCEPTION, SUCCESS."""
        return (self.name, self.params, self.sql, self.count, self.exception, self.success)


class ExpectationError(EngineError):
    """Error of blocking expectations that did not hold.

    Args:
        target: The table.
        broken: The expectations that did not hold.
        checked: The results of all expectations that were run.
    """

    def __init__(self, target: Target, broken: Sequence[ExpectationCheck], checked: Sequence[ExpectationCheck]) -> None:
        listed = ", ".join(
            f"{item.expectation.expect.strip()} ({item.exception or f'count {item.count}'})" for item in broken
        )
        super().__init__(f"{len(broken)} expectation(s) of {target} failed: {listed}")
        self.checked = tuple(checked)


def blocking(project: Project, expectations: Sequence[Expectation]) -> tuple[Expectation, ...]:
    """Returns the expectations whose failure fails the command."""
    default = project.application.expectations.fail_on_error
    return tuple(item for item in expectations if item.blocks(default))


def recorded_expectations(project: Project, expectations: Sequence[Expectation]) -> tuple[Expectation, ...]:
    """Returns the expectations that are only recorded."""
    excluded = blocking(project, expectations)
    return tuple(item for item in expectations if item not in excluded)


def run_blocking_expectations(
    session: Session, project: Project, expectations: Sequence[Expectation], target: Target
) -> tuple[ExpectationCheck, ...]:
    """Runs the expectations that block, in the transaction that wrote the rows.

    Raises:
        ExpectationError: One does not hold; the caller rolls the transaction back.
    """
    checked = evaluate(session, project, blocking(project, expectations), target)
    broken = [item for item in checked if not item.success]
    if broken:
        results = (*checked, *evaluate(session, project, recorded_expectations(project, expectations), target))
        raise ExpectationError(target, broken, results)
    return checked


def evaluate(
    session: Session, project: Project, expectations: Sequence[Expectation], target: Target
) -> tuple[ExpectationCheck, ...]:
    """Runs expectations on the current rows of a table, until one aborts the open transaction.

    Args:
        session: The connection.
        project: The project, for macros, variables and `application.expectations.active`.
        expectations: The expectations to run.
        target: The table, by its final names.
    """
    if not project.application.expectations.active:
        return ()
    checked: list[ExpectationCheck] = []
    for item in expectations:
        if not usable(session.con):
            break
        checked.append(_check(session, project, item, target))
    return tuple(checked)


def _check(session: Session, project: Project, item: Expectation, target: Target) -> ExpectationCheck:
    call = macro_call(item.expect)
    sql, error, count = "", None, 0
    try:
        sql = _sql(project, call, target)
        count = _count(session, sql)
    except duckdb.InterruptException:
        raise
    except (duckdb.Error, EngineError) as raised:
        error = str(raised)
    name, params = call.replace("'", '"'), item.expect.strip().replace("'", '"')
    return ExpectationCheck(item, name, params, sql, 0 if error else count, error or "", error is None and count == 0)


def _sql(project: Project, call: str, target: Target) -> str:
    parts = (target.database, target.schema, target.table)
    name = ".".join(part if _PLAIN.match(part) else identifier(part) for part in parts if part)
    try:
        return expectation_sql(expectation_template(project), call, project.variables, name)
    except RenderError as error:
        raise EngineError(str(error)) from error


def _count(session: Session, sql: str) -> int:
    result = session.con.execute(translated(session, sql))
    kinds = [str(column[1]) for column in result.description or ()]
    rows = result.fetchmany(2)
    value = rows[0][0] if len(rows) == 1 and rows[0] else None
    if isinstance(value, int) and not isinstance(value, bool) and value in _LONG:
        return value
    if len(rows) != 1 or not kinds:
        found = "several rows" if rows else "no row"
    else:  # the value itself may be private
        found = "NULL" if value is None else f"a value of type {kinds[0]}"
    raise EngineError(f"the query returns {found}; expected one row with a whole number: 0 means that the check passes")
