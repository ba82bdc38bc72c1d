"""SQL of another warehouse, run on DuckDB."""

from __future__ import annotations

import sqlglot
from sqlglot.errors import SqlglotError

from starlake_dagster_assets.errors import EngineError

__all__ = ["to_duckdb"]


def to_duckdb(sql: str, dialect: str) -> str:
    """Translates SQL to DuckDB's.

    Args:
        sql: One or more statements.
        dialect: sqlglot dialect the SQL is written in; `duckdb` gives it back as it is, and `spark` too when it cannot
            be parsed as such is an error like any other.

    Returns:
        The statements, separated by `;` and a line break.

    Raises:
        EngineError: The dialect is unknown, or the SQL does not parse in it.
    """
    if dialect == "duckdb":
        return sql
    try:
        return ";\n".join(sqlglot.transpile(sql, read=dialect, write="duckdb"))
    except (SqlglotError, ValueError) as error:
        raise EngineError(f"cannot translate this SQL from {dialect} to DuckDB: {error}\n{sql}") from error
