"""Columns that are computed from others: `script`, `privacy: "SQL: …"`, and the table's `filter`."""

from __future__ import annotations

from collections.abc import Callable

import duckdb
import sqlglot
from sqlglot.errors import SqlglotError

from starlake_dagster_assets.engine.quoting import identifier
from starlake_dagster_assets.engine.reading.ddl import column_type
from starlake_dagster_assets.engine.reading.privacy import is_sql, sql_of
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model import Attribute, Project, Table

__all__ = ["FILE_COLUMN", "computed_select", "is_computed"]

FILE_COLUMN = "sl_input_file_name"
"""The column by which scripts and filters see the path of the row's file, as in the real engine."""


def is_computed(table: Table) -> bool:
    """Whether a table has computed columns or a filter."""
    return bool(table.filter) or any(item.script is not None or is_sql(item.privacy) for item in table.attributes)


def computed_select(
    con: duckdb.DuckDBPyConnection, project: Project, table: Table, rows: str, paths: str
) -> str | None:
    """The SELECT that adds the computed columns to the rows read, and leaves out what the filter does.

    Scripts come first, in order, each seeing the ones before; then privacy by SQL; then the filter. They may use raw
    and final names. An expression that DuckDB does not understand is tried as Spark SQL, which the real loader runs.

    Args:
        con: The connection, on which expressions are bound.
        project: Holds the types.
        table: The table.
        rows: The table of accepted rows: `sl_v0`…, `sl_part`.
        paths: SQL of a row's file.

    Returns:
        The SELECT, or None when nothing is computed.

    Raises:
        EngineError: When an expression cannot be bound; names the attribute.
    """
    if not is_computed(table):
        return None
    scripts = [item for item in table.attributes if item.script is not None]
    private = [item for item in table.attributes if is_sql(item.privacy)]
    layers = _Layers(con, table, _first(table, rows, paths))
    for item in scripts:
        layers.column(item, column_type(item, project), sql_of(item.script or ""), "script")
    for item in private:
        layers.column(item, column_type(item, project), sql_of(item.privacy), "privacy")
    if table.filter:
        layers.where(sql_of(table.filter))
    wanted = ", ".join(identifier(item.final_name) for item in table.attributes if not item.ignore)
    return f"SELECT {wanted} FROM ({layers.sql})"


def _first(table: Table, rows: str, paths: str) -> str:
    read = [item for item in table.attributes if item.script is None]
    columns = [f"sl_v{index} AS {identifier(item.final_name)}" for index, item in enumerate(read)]
    finals = {item.final_name.lower() for item in table.attributes}
    columns += [
        f"sl_v{index} AS {identifier(item.name)}" for index, item in enumerate(read) if item.name.lower() not in finals
    ]
    if FILE_COLUMN not in finals:
        columns.append(f"{paths} AS {FILE_COLUMN}")
    return f"SELECT {', '.join(columns)} FROM {rows}"


class _Layers:
    """A SELECT that grows by one layer an expression."""

    def __init__(self, con: duckdb.DuckDBPyConnection, table: Table, sql: str) -> None:
        self._con = con
        self._table = table
        self.sql = sql
        self._names = {item.final_name.lower() for item in table.attributes if item.script is None}

    def column(self, attribute: Attribute, ddl: str, expression: str, key: str) -> None:
        name, before = identifier(attribute.final_name), self.sql
        known = attribute.final_name.lower() in self._names
        self._names.add(attribute.final_name.lower())

        def wrap(text: str) -> str:
            column = f"CAST(({text}) AS {ddl}) AS {name}"
            return f"SELECT * REPLACE ({column}) FROM ({before})" if known else f"SELECT *, {column} FROM ({before})"

        self.sql = self._bound(wrap, expression, f"attribute '{attribute.name}': {key}")

    def where(self, expression: str) -> None:
        before = self.sql
        self.sql = self._bound(lambda text: f"SELECT * FROM ({before}) WHERE ({text})", expression, "filter")

    def _bound(self, wrap: Callable[[str], str], expression: str, what: str) -> str:
        """The layer with the expression in it, as DuckDB SQL or else as Spark SQL, whichever binds."""
        failure: Exception | None = None
        for text in (expression, _from_spark(expression)):
            try:
                self._con.execute(f"EXPLAIN {wrap(text)}").fetchall()
            except duckdb.Error as error:
                failure = failure or error
                continue
            return wrap(text)
        raise EngineError(f"table '{self._table.raw}', {what}: `{expression}` cannot be used: {failure}") from failure


def _from_spark(expression: str) -> str:
    try:
        return sqlglot.transpile(expression, read="spark", write="duckdb")[0]
    except (SqlglotError, IndexError):
        return expression
