"""SQL of another warehouse, run on DuckDB."""

from __future__ import annotations

from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from starlake_dagster_assets.errors import EngineError

__all__ = ["to_duckdb"]

_DAYS = {"DAY", "WEEK", "MONTH", "QUARTER", "YEAR"}
_DATES_ONLY = {"bigquery", "spark", "databricks", "hive"}


def to_duckdb(sql: str, dialect: str) -> str:
    """Translates SQL to DuckDB's.

    Args:
        sql: One or more statements.
        dialect: sqlglot dialect the SQL is written in; `duckdb` gives it back as it is.

    Returns:
        The statements, separated by `;` and a line break.

    Raises:
        EngineError: The dialect is unknown, or the SQL does not parse in it.
    """
    if dialect == "duckdb":
        return sql
    try:
        trees: list[Any] = [tree for tree in sqlglot.parse(sql, read=dialect) if tree is not None]
        return ";\n".join(_dated(tree, dialect).sql(dialect="duckdb") for tree in trees)
    except (SqlglotError, ValueError) as error:
        raise EngineError(f"cannot translate this SQL from {dialect} to DuckDB: {error}\n{sql}") from error


def _dated(tree: Any, dialect: str) -> Any:
    """Dates moved by whole days stay dates, as in the warehouses: DuckDB makes timestamps of them."""
    found = [*tree.find_all(exp.DateAdd, exp.DateSub, exp.TsOrDsAdd)]
    for node in reversed(found):
        unit = str(node.args.get("unit") or "DAY").upper().strip("'\"")
        if unit in _DAYS and (dialect in _DATES_ONLY or _is_date(node.this)):
            copy = node.copy()
            cast = exp.Cast(this=copy, to=exp.DataType.build("DATE"))
            if node is tree:
                return cast
            node.replace(cast)
    return tree


def _is_date(node: Any) -> bool:
    if isinstance(node, exp.Cast):
        return bool(node.to.is_type("date"))
    return isinstance(node, (exp.CurrentDate, exp.TsOrDsToDate, exp.Date, exp.DateAdd, exp.DateSub))
