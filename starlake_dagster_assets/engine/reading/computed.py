"""Columns that are computed from others: `script`, `privacy: "SQL: …"`, and the table's `filter`."""

from __future__ import annotations

from collections.abc import Callable

import duckdb
import sqlglot
from sqlglot.errors import SqlglotError

from starlake_dagster_assets.engine.quoting import identifier, literal
from starlake_dagster_assets.engine.reading.column_types import column_type
from starlake_dagster_assets.engine.reading.privacy import is_sql, sql_of
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model.project import Attribute, Project, Table

__all__ = ["FILE_COLUMN", "computed_select", "is_computed", "rows_with_failing_expression"]

_ROW = "sl_row"

FILE_COLUMN = "sl_input_file_name"
"""Column with the path of the row's file, for scripts and filters, as in the starlake program."""


def is_computed(table: Table) -> bool:
    """Whether a table has computed columns or a filter."""
    return bool(table.filter) or any(item.script is not None or is_sql(item.privacy) for item in table.attributes)


def computed_select(
    con: duckdb.DuckDBPyConnection, project: Project, table: Table, rows: str, paths: str
) -> str | None:
    """Returns the SELECT that adds computed columns and applies the `filter` of the table.

    Scripts run first, in order, each seeing the ones before; then privacy by SQL; then the filter. They may use raw
    and final names. An expression that DuckDB rejects is tried as Spark SQL, as in the starlake program.

    Args:
        con: The connection, on which expressions are bound.
        project: Holds the types.
        table: The table.
        rows: The table of accepted rows: `sl_v0`…, `sl_part`.
        paths: SQL of a row's file.

    Returns:
        The SELECT, or None if nothing is computed.

    Raises:
        EngineError: When an expression cannot be bound; the message names the attribute.
    """
    if not is_computed(table):
        return None
    layers = _layers(con, project, table, _first(table, rows, paths), failing=False)
    wanted = ", ".join(identifier(item.final_name) for item in table.attributes if not item.ignore)
    return f"SELECT {wanted} FROM ({layers.sql})"


def rows_with_failing_expression(
    con: duckdb.DuckDBPyConnection, project: Project, table: Table, rows: str, paths: str
) -> str:
    """Returns the SELECT of the rows for which an expression of `computed_select` fails.

    Returns:
        SQL that returns `sl_row`, the `rowid` of a row, and `sl_error`, which names the attributes and holds no value.

    Raises:
        EngineError: When an expression cannot be evaluated row by row, such as one with a random number.
    """
    layers = _layers(con, project, table, _first(table, rows, paths, f"rowid AS {_ROW}"), failing=True)
    found = f"nullif(concat_ws(chr(10), {', '.join(layers.errors)}), '')"
    return f"SELECT * FROM (SELECT {_ROW}, {found} AS sl_error FROM ({layers.sql})) WHERE sl_error IS NOT NULL"


def _layers(con: duckdb.DuckDBPyConnection, project: Project, table: Table, rows: str, *, failing: bool) -> _Layers:
    layers = _Layers(con, table, rows, failing=failing)
    for item in table.attributes:
        if item.script is not None:
            layers.column(item, column_type(item, project), sql_of(item.script or ""), "script")
    for item in table.attributes:
        if is_sql(item.privacy):
            layers.column(item, column_type(item, project), sql_of(item.privacy), "privacy")
    if table.filter:
        layers.where(sql_of(table.filter))
    return layers


def _first(table: Table, rows: str, paths: str, *more: str) -> str:
    read = [item for item in table.attributes if item.script is None]
    columns = [f"sl_v{index} AS {identifier(item.final_name)}" for index, item in enumerate(read)]
    finals = {item.final_name.lower() for item in table.attributes}
    columns += [
        f"sl_v{index} AS {identifier(item.name)}" for index, item in enumerate(read) if item.name.lower() not in finals
    ]
    if FILE_COLUMN not in finals:
        columns.append(f"{paths} AS {FILE_COLUMN}")
    return f"SELECT {', '.join([*columns, *more])} FROM {rows}"


class _Layers:
    """A SELECT that grows by one layer per expression.

    Args:
        con: The connection, on which expressions are bound.
        table: The table.
        sql: The innermost SELECT.
        failing: Whether an expression that fails gives NULL, and a column that records it, instead of an error.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, table: Table, sql: str, *, failing: bool) -> None:
        self._con = con
        self._table = table
        self._failing = failing
        self.sql = sql
        self.errors: list[str] = []
        self._names = {item.final_name.lower() for item in table.attributes if item.script is None}

    def column(self, attribute: Attribute, ddl: str, expression: str, key: str) -> None:
        name, before = identifier(attribute.final_name), self.sql
        known = attribute.final_name.lower() in self._names
        self._names.add(attribute.final_name.lower())

        def wrap(text: str) -> str:
            value = f"CAST(({text}) AS {ddl})"
            if self._failing:
                before_it = self._tried(value, before)
                value = "sl_tried.v"
                more = f", {self._failed(f'`{attribute.name}`: its {key} fails for this row')}"
            else:
                before_it, more = f"({before})", ""
            column = f"{value} AS {name}"
            chosen = f"* REPLACE ({column})" if known else f"*, {column}"
            return f"SELECT {chosen}{more} FROM {before_it}"

        self.sql = self._bound(wrap, expression, f"attribute '{attribute.name}': {key}")
        self._count()

    def where(self, expression: str) -> None:
        before = self.sql

        def wrap(text: str) -> str:
            if self._failing:
                return f"SELECT *, {self._failed('the filter fails for this row')} FROM {self._tried(text, before)}"
            return f"SELECT * FROM ({before}) WHERE ({text})"

        self.sql = self._bound(wrap, expression, "filter")
        self._count()

    def _tried(self, value: str, before: str) -> str:
        """Returns the previous layer with `sl_tried`: the value within a struct, or NULL if it cannot be computed.

        An expression is in one TRY only: DuckDB computes common parts of two of them outside of both.
        """
        clean = "* EXCLUDE (sl_tried)" if self.errors else "*"
        tried = f"SELECT {clean}, TRY(struct_pack(v := ({value}))) AS sl_tried FROM ({before})"
        return f"(WITH sl_layer AS MATERIALIZED ({tried}) FROM sl_layer)"

    def _failed(self, message: str) -> str:
        return f"CASE WHEN sl_tried IS NULL THEN {literal(message)} END AS sl_failed{len(self.errors)}"

    def _count(self) -> None:
        if self._failing:
            self.errors.append(f"sl_failed{len(self.errors)}")

    def _bound(self, wrap: Callable[[str], str], expression: str, what: str) -> str:
        """Returns the SQL with an expression in it, as DuckDB SQL if that is valid, else translated from Spark SQL."""
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
