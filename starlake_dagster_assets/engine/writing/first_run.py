"""Creates a task's empty table before its first run, so that presql and self-references work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from starlake_dagster_assets.engine.quoting import identifier
from starlake_dagster_assets.engine.reading.accepted_rows import Column
from starlake_dagster_assets.engine.writing.schema_sync import Target, columns_of, create
from starlake_dagster_assets.project.sql.column_lineage import column_lineage

__all__ = ["create_for_first_run", "describe_query"]

_ROUNDS = 5
"""Maximum number of rounds that find the types of a query that reads its own table; usually two or three suffice."""
_KINDS = ('"NULL"', "TIMESTAMP", "DATE", "BIGINT", "DOUBLE", "VARCHAR")
"""Types to begin with for columns whose types are not known; the first is compatible with most expressions."""


def create_for_first_run(
    con: duckdb.DuckDBPyConnection, target: Target, sql: str, declared: Sequence[Column], *, reads_itself: bool
) -> bool:
    """Creates the table of a task from the columns of its query.

    Args:
        con: The connection, in a transaction.
        target: The table; it does not exist.
        sql: The task's query in DuckDB's SQL.
        declared: The columns of the task's `attributes`, which take precedence if the query reads the table.
        reads_itself: Whether the query reads the table.

    Returns:
        False if the columns cannot be known before the query runs, for example because presql creates what it
        reads; nothing is created then.
    """
    columns = (
        (declared or _stable_columns(con, target, sql)) if reads_itself else (describe_query(con, sql) or declared)
    )
    if columns:
        create(con, target, columns)
    return bool(columns)


def describe_query(con: duckdb.DuckDBPyConnection, sql: str) -> tuple[Column, ...]:
    """Returns the columns of a query without running it; none if DuckDB cannot bind it."""
    try:
        rows = con.execute(f"DESCRIBE {sql}").fetchall()
    except duckdb.InterruptException:
        raise
    except duckdb.Error:
        return ()
    # a column that is only NULL has DuckDB's own NULL type, which a table stores as INTEGER
    return tuple(Column(str(row[0]), "INTEGER" if str(row[1]) == '"NULL"' else str(row[1])) for row in rows)


def _stable_columns(con: duckdb.DuckDBPyConnection, target: Target, sql: str) -> tuple[Column, ...]:
    """Returns the columns of a query that reads its own table: those with which it returns the same columns again."""
    guesses = _names(con, target, sql) or (("sl_unknown", None),)
    for kind in _KINDS:
        columns = _with_stand_in(con, target, sql, [Column(name, known or kind) for name, known in guesses])
        for _ in range(_ROUNDS):
            found = _with_stand_in(con, target, sql, columns) if columns else ()
            if found == columns:
                break
            columns = found
        else:
            columns = ()
        if columns:
            return columns
    return ()


def _with_stand_in(
    con: duckdb.DuckDBPyConnection, target: Target, sql: str, columns: Sequence[Column]
) -> tuple[Column, ...]:
    """Returns the columns of a query while an empty view with the given columns replaces the table."""
    fields = ", ".join(f"CAST(NULL AS {column.type}) AS {identifier(column.name)}" for column in columns)
    con.execute(f"CREATE VIEW {target.name} AS SELECT {fields} WHERE false")
    try:
        return describe_query(con, sql)
    finally:
        con.execute(f"DROP VIEW {target.name}")


def _names(con: duckdb.DuckDBPyConnection, target: Target, sql: str) -> tuple[tuple[str, str | None], ...]:
    """Returns the names of the query's columns and the known types; for a UNION, those of the side that has them."""
    for side in _sides(sql):
        found = describe_query(con, side)
        if found:
            return tuple((column.name, column.type) for column in found)

    def columns(name: str) -> list[tuple[str, str | None]]:
        parts = name.replace('"', "").split(".")
        database, schema, table = ["", target.schema, ""][: 3 - len(parts)] + parts[-3:]
        if (schema.lower(), table.lower()) == (target.schema.lower(), target.table.lower()):
            return []
        return [(column.name, column.type) for column in columns_of(con, Target(schema, table, database))]

    return tuple((column.name, column.type) for column in column_lineage(sql, "duckdb", columns))


def _sides(sql: str) -> list[str]:
    """Returns the sides of a set operation, each with the WITH clause of the whole."""
    try:
        tree: Any = sqlglot.parse_one(sql, read="duckdb")
    except (SqlglotError, ValueError, RecursionError):
        return []
    clause = tree.args.get("with_") or tree.args.get("with")
    found: list[str] = []
    todo: list[Any] = [tree]
    while todo:
        node = todo.pop(0)
        if isinstance(node, exp.SetOperation):
            todo = [node.left, node.right, *todo]
        elif node is not tree:
            side = node.copy()
            if clause is not None and side.args.get(clause.arg_key) is None:
                side.set(clause.arg_key, clause.copy())
            found.append(side.sql(dialect="duckdb"))
    return found
