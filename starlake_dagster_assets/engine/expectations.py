"""Expectations (format reference 7): macro calls rendered to SQL, run after the write and recorded in the audit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from starlake_dagster_assets.engine.quoting import identifier
from starlake_dagster_assets.engine.schema_sync import Target
from starlake_dagster_assets.engine.session import Session
from starlake_dagster_assets.engine.transaction import QueryAborted, usable
from starlake_dagster_assets.engine.transpile import to_duckdb
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model import Expectation, Project
from starlake_dagster_assets.project.rendering import render

__all__ = ["Checked", "evaluate", "failing"]

_ODD = -2147483648
_LONG = range(-(2**63), 2**63)
_CATEGORY = re.compile(r"^\s*[A-Za-z_][\w-]*\.(?=[A-Za-z_]\w*\s*\()")
_COMMENT = re.compile(r"('(?:[^']|'')*'|\"(?:[^\"]|\"\")*\")|--[^\n]*|/\*.*?\*/", re.DOTALL)
_PLAIN = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_]*$")


@dataclass(frozen=True)
class Checked:
    """What became of one expectation: the values of its row in `audit.expectations`. `count` 0 means that it held."""

    expectation: Expectation
    name: str
    params: str
    sql: str
    count: int
    exception: str
    success: bool

    @property
    def row(self) -> tuple[str, str, str, int, str, bool]:
        """NAME, PARAMS, SQL, COUNT, EXCEPTION, SUCCESS."""
        return (self.name, self.params, self.sql, self.count, self.exception, self.success)


def evaluate(
    session: Session,
    project: Project,
    expectations: Sequence[Expectation],
    target: Target,
    failed: Mapping[int, str],
) -> tuple[Checked, ...]:
    """Runs the expectations of a table on the rows that were just written.

    Args:
        session: The connection, in the transaction that wrote the rows.
        project: For macros, variables and `application.expectations.active`.
        expectations: What must hold.
        target: The table, by its final names.
        failed: Errors of queries that ended an earlier try of this transaction, by their place.

    Raises:
        QueryAborted: A query failed in a way that ended the transaction.
    """
    if not project.application.expectations.active:
        return ()
    return tuple(_check(session, project, item, target, index, failed) for index, item in enumerate(expectations))


def failing(project: Project, checked: Sequence[Checked]) -> tuple[Checked, ...]:
    """Those that make the command fail: `application.expectations.failOnError`, unless the item says `false`."""
    if not project.application.expectations.fail_on_error:
        return ()
    return tuple(item for item in checked if not item.success and item.expectation.fail_on_error is not False)


def _check(
    session: Session, project: Project, item: Expectation, target: Target, index: int, failed: Mapping[int, str]
) -> Checked:
    call = _CATEGORY.sub("", item.expect).strip()
    sql, error = "", failed.get(index)
    count = 0
    try:
        sql = _sql(project, call, target)
        if error is None:
            count = _count(session, sql)
    except duckdb.InterruptException:
        raise
    except (duckdb.Error, EngineError) as raised:
        error = str(raised)
        if not usable(session.con):
            raise QueryAborted(index, error) from raised
    name, params = call.replace("'", '"'), item.expect.strip().replace("'", '"')
    return Checked(item, name, params, sql, 0 if error else count, error or "", error is None and count == 0)


def _sql(project: Project, call: str, target: Target) -> str:
    ordered = sorted(project.macros, key=lambda macro: macro.kind != "expectation")
    macros = "\n".join(_COMMENT.sub(lambda match: match.group(1) or "", macro.text) for macro in ordered)
    try:
        text = render(f"{macros}\n{{{{ {call} }}}}", project.variables).strip()
    except Exception as error:
        raise EngineError(f"cannot render expectation {call}: {error}") from error
    if not text:
        raise EngineError(
            f"expectation {call} gives no SQL: is there a macro of that name below metadata/expectations?"
        )
    if "sl_this" in text:
        parts = (target.database, target.schema, target.table)
        name = ".".join(part if _PLAIN.match(part) else identifier(part) for part in parts if part)
        text = re.sub("sl_this", lambda _: name, text, flags=re.IGNORECASE)
    return text


def _count(session: Session, sql: str) -> int:
    rows = session.con.execute(to_duckdb(sql, session.dialect)).fetchmany(2)
    value = rows[0][0] if len(rows) == 1 and rows[0] else None
    if not isinstance(value, int) or isinstance(value, bool) or value not in _LONG:
        return _ODD
    return value
