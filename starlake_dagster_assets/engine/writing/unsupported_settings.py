"""Settings of tables that the embedded engine does not support: named in an error before data is touched."""

from __future__ import annotations

import duckdb

from starlake_dagster_assets.engine.quoting import literal
from starlake_dagster_assets.errors import EngineError, closest_match
from starlake_dagster_assets.project.model.project import Connection, Location, Sink, Table, Task

__all__ = ["check_load_sink", "check_schema", "check_task_sink", "is_export"]

_EXPORT_OPTIONS = ("path", "separator", "delimiter", "header", "withHeader")


def is_export(sink: Sink) -> bool:
    """Whether a task writes a file instead of a table: `sink.format` csv, xls or xlsx."""
    return (sink.format or "").lower() in {"csv", "xls", "xlsx"}


def check_load_sink(table: Table, connection: Connection) -> None:
    """Raises an error if the sink of a load is not a DuckDB table.

    A file format is allowed if DuckDB replaces another warehouse: its tables are then DuckDB's.

    Raises:
        EngineError: `sink.materializedView`, `sink.format` or `sink.sharding` declares something else.
    """
    sink = table.metadata.sink
    if sink.materialized_view != "TABLE":
        raise EngineError(
            f"{table.location}: sink.materializedView {sink.materialized_view}: a load writes a table; "
            "leave the key out, and create the view with a task"
        )
    if sink.format is not None:
        _check_format(sink, connection, table.location, "leave the key out")
    _check_sharding(sink, table.location)


def check_task_sink(task: Task, connection: Connection) -> None:
    """Raises an error if a task's sink is neither a DuckDB table or view nor a CSV file.

    Raises:
        EngineError: `sink.materializedView`, `sink.format`, `sink.sharding` or an option of an export declares
            something else, or an export has expectations.
    """
    kind = task.sink.materialized_view
    if kind not in {"TABLE", "VIEW"}:
        raise EngineError(f"{task.location}: sink.materializedView {kind}: DuckDB has no such views; use VIEW or TABLE")
    _check_sharding(task.sink, task.location)
    if is_export(task.sink):
        _check_export(task)
    elif task.sink.format is not None:
        _check_format(task.sink, connection, task.location, "leave the key out for a table, or export with csv")


def check_schema(con: duckdb.DuckDBPyConnection, schema: str, location: Location) -> None:
    """Raises an error for a schema with the name of a database: `name.table` would be ambiguous in DuckDB.

    Raises:
        EngineError: It is `temp`, `system`, or the name of a file that `preActions` attach.
    """
    found = con.execute(
        f"SELECT path FROM duckdb_databases() WHERE lower(database_name) = lower({literal(schema)})"
    ).fetchall()
    if found:
        what = f"the attached file {found[0][0]}" if found[0][0] else "a database of its own"
        raise EngineError(
            f"{location}: schema {schema!r}: DuckDB also gives that name to {what}, and cannot decide which of them "
            f"{schema}.<table> means; rename the domain (load.rename, task.domain) or attach under another name"
        )


def _check_export(task: Task) -> None:
    sink = task.sink
    if (sink.format or "").lower() != "csv":
        raise EngineError(f"{task.location}: sink.format {sink.format}: the embedded engine exports csv only")
    for name in sink.options:
        if name.removeprefix("csv:") not in _EXPORT_OPTIONS:
            guess = closest_match(name, _EXPORT_OPTIONS)
            hint = f"did you mean {guess}?" if guess else f"it has {', '.join(_EXPORT_OPTIONS)}"
            raise EngineError(
                f"{task.location}: sink.options.{name}: no option of the embedded engine's exports; {hint}"
            )
        if name.lower().endswith("header") and sink.options[name].lower() not in {"true", "false"}:
            raise EngineError(f"{task.location}: sink.options.{name} {sink.options[name]!r}: true or false")
    if task.expectations:
        raise EngineError(
            f"{task.location}: expectations look at a table, and an export writes none; write the table with a task "
            "of its own, expect there, and export it"
        )


def _check_format(sink: Sink, connection: Connection, location: Location, instead: str) -> None:
    if connection.engine == "duckdb":
        raise EngineError(
            f"{location}: sink.format {sink.format}: connection {connection.name!r} is DuckDB, whose tables have no "
            f"format; {instead}"
        )


def _check_sharding(sink: Sink, location: Location) -> None:
    if sink.sharding:
        raise EngineError(f"{location}: sink.sharding: the embedded engine writes one table; use sink.partition")
