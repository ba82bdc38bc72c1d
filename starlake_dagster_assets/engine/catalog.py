"""Looks up tables in the catalog of a DuckDB file, at a cost that does not grow with the number of its tables.

`information_schema.tables` and `duckdb_columns()` list the whole catalog for each question.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from starlake_dagster_assets.engine.quoting import literal

__all__ = ["column_types", "describe_relation", "list_views"]

Columns = Sequence[tuple[str, str]]
"""Name and DuckDB type of each column."""


def column_types(con: duckdb.DuckDBPyConnection, name: str) -> Columns | None:
    """Returns name and DuckDB type of each column of a table or view, in order; None if it does not exist.

    None also for a view whose query is no longer valid: its columns cannot be read.

    Args:
        con: A connection.
        name: The quoted name.
    """
    try:
        found = con.execute(f"SELECT name, type FROM pragma_table_info({literal(name)})").fetchall()
    except (duckdb.CatalogException, duckdb.BinderException):
        return None
    return [(str(column), str(kind)) for column, kind in found]


def describe_relation(
    con: duckdb.DuckDBPyConnection, name: str, table: tuple[str, str], catalog: str = "current_database()"
) -> tuple[str | None, Columns]:
    """Returns the kind of a table or view, and its columns.

    Only a relation without `rowid` is looked up in the list of views: base tables have a `rowid`, views do not.

    Args:
        con: A connection.
        name: The quoted name.
        table: Schema and name, in any case.
        catalog: SQL that gives the name of the catalog.

    Returns:
        `BASE TABLE`, `VIEW`, or None if there is nothing of that name; no columns if they cannot be read.
    """
    columns = column_types(con, name)
    if columns is not None and _has_rowid(con, name, columns):
        return "BASE TABLE", columns
    if (table[0].lower(), table[1].lower()) in list_views(con, catalog):
        return "VIEW", columns or ()
    return (None, ()) if columns is None else ("BASE TABLE", columns)


def _has_rowid(con: duckdb.DuckDBPyConnection, name: str, columns: Columns) -> bool:
    """Whether a relation has the pseudo-column `rowid`; a real column of this name, as in a view, does not count."""
    if any(column.lower() == "rowid" for column, _ in columns):
        return False
    try:
        con.execute(f"SELECT rowid FROM {name} LIMIT 0")
    except duckdb.BinderException:
        return False
    return True


def list_views(con: duckdb.DuckDBPyConnection, catalog: str = "current_database()") -> frozenset[tuple[str, str]]:
    """Returns schema and name, in lower case, of each view of a catalog.

    Args:
        con: A connection.
        catalog: SQL that gives the name of the catalog.
    """
    found = con.execute(
        "SELECT lower(schema_name), lower(view_name) FROM duckdb_views() "
        f"WHERE NOT internal AND lower(database_name) = lower({catalog})"
    ).fetchall()
    return frozenset((str(schema), str(view)) for schema, view in found)
