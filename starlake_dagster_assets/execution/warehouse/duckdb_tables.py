"""Kinds, columns and rows of tables of a DuckDB file."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlake_dagster_assets.engine.quoting import qualified

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["QualifiedName", "TableInfo", "count_rows", "find_tables", "name_of"]

QualifiedName = tuple[str, str]
"""Schema and table in lower case: DuckDB does not distinguish the cases."""


@dataclass(frozen=True)
class TableInfo:
    """Kind of a table ("" = it does not exist), names and types of its columns, number of rows (not of a view)."""

    kind: str = ""
    columns: tuple[tuple[str, str], ...] = ()
    rows: int | None = None


def name_of(schema: str, table: str) -> QualifiedName:
    """Returns schema and table in lower case, as keys for look-ups."""
    return schema.lower(), table.lower()


def find_tables(con: DuckDBPyConnection, wanted: Collection[QualifiedName]) -> dict[QualifiedName, TableInfo]:
    """Returns those of the given tables and views that exist in a file.

    Args:
        con: A connection to the file.
        wanted: Names of the tables and views, at least one.
    """
    from starlake_dagster_assets.engine.catalog import describe_relation

    seen: dict[QualifiedName, TableInfo] = {}
    for name in sorted(wanted):
        table = qualified("", *name)
        kind, columns = describe_relation(con, table, name)
        if kind is not None:
            seen[name] = TableInfo(kind, tuple(columns), None if kind == "VIEW" else count_rows(con, table))
    return seen


def count_rows(con: DuckDBPyConnection, table: str) -> int:
    """Returns the number of rows of a table or view, by its quoted name."""
    return int(con.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])
