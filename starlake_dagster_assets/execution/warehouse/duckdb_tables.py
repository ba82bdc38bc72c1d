"""What many tables of a DuckDB file are, read together: a look at each alone would go over the whole catalog for it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlake_dagster_assets.engine.quoting import literal, qualified

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["Name", "Seen", "count_rows", "name_of", "seen_in"]

Name = tuple[str, str]
"""Schema and table in lower case: DuckDB does not tell the cases apart."""


@dataclass(frozen=True)
class Seen:
    """What was read of a table: kind ("" = it does not exist), name and type of its columns, rows (not of a view)."""

    kind: str = ""
    columns: tuple[tuple[str, str], ...] = ()
    rows: int | None = None


def name_of(schema: str, table: str) -> Name:
    """The name under which a table is looked for."""
    return schema.lower(), table.lower()


def seen_in(con: DuckDBPyConnection, wanted: Collection[Name]) -> dict[Name, Seen]:
    """Those of some tables and views that a file has.

    Args:
        con: A connection to the file.
        wanted: Their names, at least one.
    """
    values = ", ".join(f"({literal(schema)}, {literal(table)})" for schema, table in sorted(wanted))
    asked = f"JOIN (VALUES {values}) AS asked(s, t) ON"
    found = con.execute(
        "SELECT table_schema, table_name, table_type FROM information_schema.tables "
        f"{asked} lower(table_schema) = s AND lower(table_name) = t WHERE table_catalog = current_database()"
    ).fetchall()
    listed = con.execute(
        "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns() "
        f"{asked} lower(schema_name) = s AND lower(table_name) = t WHERE database_name = current_database() "
        "ORDER BY column_index"
    ).fetchall()
    columns: dict[Name, list[tuple[str, str]]] = {}
    for schema, table, column, kind in listed:
        columns.setdefault(name_of(schema, table), []).append((column, kind))
    seen: dict[Name, Seen] = {}
    for schema, table, kind in found:
        name = name_of(schema, table)
        rows = None if kind == "VIEW" else count_rows(con, qualified("", schema, table))
        seen[name] = Seen(kind, tuple(columns.get(name, ())), rows)
    return seen


def count_rows(con: DuckDBPyConnection, table: str) -> int:
    """The rows of a table or view, by its quoted name."""
    return int(con.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])
