"""Looks up tables in the catalog of a DuckDB file, at a cost that does not grow with the number of its tables.

`information_schema.tables` and `duckdb_columns()` list the whole catalog for each question.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from starlake_dagster_assets.engine.quoting import literal

__all__ = ["column_types", "list_views"]


def column_types(con: duckdb.DuckDBPyConnection, name: str) -> Sequence[tuple[str, str]] | None:
    """Returns name and DuckDB type of each column of a table or view, in order; None where it does not exist.

    A view whose query is not valid any more has no columns that can be read: None as well.

    Args:
        con: A connection.
        name: The quoted name.
    """
    try:
        found = con.execute(f"SELECT name, type FROM pragma_table_info({literal(name)})").fetchall()
    except (duckdb.CatalogException, duckdb.BinderException):
        return None
    return [(str(column), str(kind)) for column, kind in found]


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
