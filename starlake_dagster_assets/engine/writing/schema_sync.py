"""Creates a table, or adapts an existing one to the columns that will be written.

Nothing is ever dropped, unless a task declares `syncStrategy: ALL`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from starlake_dagster_assets.engine.catalog import column_types, describe_relation
from starlake_dagster_assets.engine.command_output import CommandOutput
from starlake_dagster_assets.engine.quoting import identifier, literal, qualified
from starlake_dagster_assets.engine.reading.accepted_rows import Column
from starlake_dagster_assets.errors import EngineError

__all__ = ["Target", "add_columns", "columns_of", "create", "drop_columns", "kind_of", "reconcile"]

_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_EQUAL = ({"TIMESTAMP", "TIMESTAMP WITH TIME ZONE"}, {"VARCHAR", "JSON"})
_DIGITS = {"TINYINT": 3, "SMALLINT": 5, "INTEGER": 10, "BIGINT": 19}


@dataclass(frozen=True)
class Target:
    """A table by its final names; `database` is "" for the file itself."""

    schema: str
    table: str
    database: str = ""

    @property
    def name(self) -> str:
        """Quoted name, for SQL."""
        return qualified(self.database, self.schema, self.table)

    def __str__(self) -> str:
        return ".".join(part for part in (self.database, self.schema, self.table) if part)


def kind_of(con: duckdb.DuckDBPyConnection, target: Target) -> str | None:
    """Returns `BASE TABLE`, `VIEW`, or None if there is nothing of that name."""
    catalog = literal(target.database) if target.database else "current_database()"
    return describe_relation(con, target.name, (target.schema, target.table), catalog)[0]


def columns_of(con: duckdb.DuckDBPyConnection, target: Target) -> tuple[Column, ...]:
    """Returns the columns of a table or view, in order, with DuckDB's type names; none if it does not exist."""
    return tuple(Column(name, kind) for name, kind in column_types(con, target.name) or ())


def create(con: duckdb.DuckDBPyConnection, target: Target, columns: Sequence[Column]) -> None:
    """Creates an empty table and its schema."""
    create_schema(con, target)
    declared = ", ".join(f"{identifier(column.name)} {column.type}" for column in columns)
    con.execute(f"CREATE TABLE {target.name} ({declared})")


def create_schema(con: duckdb.DuckDBPyConnection, target: Target) -> None:
    """Creates the schema of a table unless it exists."""
    con.execute(f"CREATE SCHEMA IF NOT EXISTS {qualified(target.database, target.schema)}")


def reconcile(
    con: duckdb.DuckDBPyConnection, target: Target, columns: Sequence[Column], journal: CommandOutput
) -> bool:
    """Adapts a table to the rows of a load.

    Args:
        con: The connection, in a transaction.
        target: The table; created if it does not exist.
        columns: The columns to be written.
        journal: Receives messages about columns that were added, widened, or that only the table has.

    Returns:
        Whether the table existed.

    Raises:
        EngineError: It is a view, or a column has a type that cannot hold the rows and cannot be widened.
    """
    kind = kind_of(con, target)
    if kind is None:
        create(con, target, columns)
        return False
    if kind != "BASE TABLE":
        raise EngineError(f"{target} is a view: a table cannot be written under the same name; drop or rename the view")
    present = {column.name.lower(): column for column in columns_of(con, target)}
    add_columns(con, target, [column for column in columns if column.name.lower() not in present], journal)
    for column in columns:
        if column.name.lower() in present:
            _fit(con, target, present[column.name.lower()], column, journal)
    wanted = {column.name.lower() for column in columns}
    extra = [column.name for column in present.values() if column.name.lower() not in wanted]
    if extra:
        journal.warn("SchemaSync", f"{target} has columns that the project does not describe: {', '.join(extra)}; kept")
    return True


def add_columns(
    con: duckdb.DuckDBPyConnection, target: Target, columns: Sequence[Column], journal: CommandOutput
) -> None:
    """Adds columns; existing rows get NULL."""
    for column in columns:
        con.execute(f"ALTER TABLE {target.name} ADD COLUMN {identifier(column.name)} {column.type}")
        journal.info("SchemaSync", f"added column {column.name} {column.type} to {target}")


def drop_columns(
    con: duckdb.DuckDBPyConnection, target: Target, columns: Sequence[str], journal: CommandOutput
) -> None:
    """Drops columns with their data (`syncStrategy: ALL`)."""
    for column in columns:
        con.execute(f"ALTER TABLE {target.name} DROP COLUMN {identifier(column)}")
        journal.warn("SchemaSync", f"dropped column {column} of {target}")


def _fit(con: duckdb.DuckDBPyConnection, target: Target, found: Column, wanted: Column, journal: CommandOutput) -> None:
    sql = f"SELECT typeof(CAST(NULL AS {wanted.type}))"
    kind = str(con.execute(sql).fetchall()[0][0])
    if _fits(found.type, kind):
        return
    if not _fits(kind, found.type):
        raise EngineError(
            f"{target}.{found.name} is {found.type} in the database and {wanted.type} in the project, and neither can "
            f"hold the other; change the attribute's type, or ALTER TABLE {target.name} by hand"
        )
    con.execute(f"ALTER TABLE {target.name} ALTER COLUMN {identifier(found.name)} SET DATA TYPE {wanted.type}")
    journal.info("SchemaSync", f"widened {target}.{found.name} from {found.type} to {wanted.type}")


def _fits(outer: str, inner: str) -> bool:
    """Whether every value of one DuckDB type fits into another without loss."""
    if outer == inner or outer == "VARCHAR" or any(outer in pair and inner in pair for pair in _EQUAL):
        return True
    if outer in _INTEGERS and inner in _INTEGERS:
        return _INTEGERS.index(outer) >= _INTEGERS.index(inner)
    if outer == "DOUBLE":
        return inner in {"FLOAT", "TINYINT", "SMALLINT", "INTEGER"}
    if outer.startswith("TIMESTAMP"):
        return inner == "DATE"
    if outer.startswith("DECIMAL"):
        return _decimal_fits(outer, inner)
    return False


def _decimal_fits(outer: str, inner: str) -> bool:
    width, scale = _decimal(outer)
    if inner in _DIGITS:
        return width - scale >= _DIGITS[inner]
    if not inner.startswith("DECIMAL"):
        return False
    inner_width, inner_scale = _decimal(inner)
    return scale >= inner_scale and width - scale >= inner_width - inner_scale


def _decimal(kind: str) -> tuple[int, int]:
    numbers = re.findall(r"\d+", kind)
    return (int(numbers[0]), int(numbers[1])) if len(numbers) == 2 else (18, 3)
