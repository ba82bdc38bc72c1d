"""Runs statements of the user, translated to DuckDB's SQL."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from starlake_dagster_assets.engine.quoting import qualified
from starlake_dagster_assets.engine.session import Session
from starlake_dagster_assets.engine.writing.schema_sync import Target
from starlake_dagster_assets.engine.writing.transpile import to_duckdb
from starlake_dagster_assets.errors import EngineError

__all__ = ["default_schema", "run_script", "translated"]

_TRANSACTION = {"TRANSACTION"}


def run_script(session: Session, sql: str) -> None:
    """Runs one or more statements in the current transaction.

    Raises:
        EngineError: They begin or end a transaction, which belongs to the engine.
        duckdb.Error: DuckDB rejects a statement.
    """
    text = translated(session, sql)
    session.lease.discard = True  # what it attaches or sets is not there for the next command
    for statement in session.con.extract_statements(text):
        if statement.type.name in _TRANSACTION:
            raise EngineError(f"{statement.query.strip()}: the engine runs each table in one transaction of its own")
        session.con.execute(statement)


def translated(session: Session, sql: str) -> str:
    """Returns SQL of the session's dialect as DuckDB's, translated with the types of existing columns.

    Raises:
        EngineError: A part of it cannot be translated exactly.
    """
    if session.dialect == "duckdb":
        return sql
    types: dict[str, dict[str, dict[str, str]]] = {}
    columns = "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal"
    listed = session.con.execute(columns)
    for schema, table, column, kind in listed.fetchall():
        types.setdefault(schema.lower(), {}).setdefault(table.lower(), {})[column.lower()] = kind
    return to_duckdb(sql, session.dialect, types)


@contextmanager
def default_schema(session: Session, target: Target) -> Generator[None]:
    """Resolves unqualified names in the target's schema within the block, as after `USE` in the starlake program.

    If the block fails, the rollback of its transaction restores the default schema.
    """
    session.con.execute(f"USE {qualified(target.database or session.home[0], target.schema)}")
    yield
    session.con.execute(f"USE {qualified(*session.home)}")
