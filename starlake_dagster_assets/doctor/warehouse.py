"""Checks what the warehouse reader of an environment can read. It writes nothing."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.commands.redaction import redact, secrets_of
from starlake_dagster_assets.doctor.project import Finding
from starlake_dagster_assets.execution.warehouse.connections import table_connections
from starlake_dagster_assets.execution.warehouse.reader import WarehouseReader
from starlake_dagster_assets.plural import counted
from starlake_dagster_assets.project.model.project import Project
from starlake_dagster_assets.resources.base import StarlakeResource
from starlake_dagster_assets.resources.guarded_calls import call_resource

__all__ = ["examine_warehouse"]

_T = TypeVar("_T")
_TOPIC = "warehouse"
_UNUSED_JOB_ID = "doctor"
"""JOBID that no command has."""
_LOGIN = (
    "Give this process access: options of the connection, its driver (an extra of this package), `warehouse_urls` or "
    "`warehouse` of the resource."
)
_LOG_ALONE = "Results rest on the files and the log until then: see the page `environments`."


def examine_warehouse(resource: StarlakeResource, project: ProjectSource) -> Iterator[Finding]:
    """Connects to the warehouse of a project, and reads its audit and one table per connection.

    Args:
        resource: The resource that runs the commands.
        project: The project.

    Yields:
        The findings, with secrets redacted. Errors become findings.
    """
    secrets = secrets_of(project.model)
    for finding in _findings(resource, project):
        yield Finding(finding.level, finding.topic, redact(finding.text, secrets), finding.advice)


def _findings(resource: StarlakeResource, project: ProjectSource) -> Iterator[Finding]:
    reader, error = _tried(lambda: call_resource(resource, "runner", project).warehouse_reader())
    if reader is None:
        text = error or "no connection of the project can be read from here"
        yield Finding("error" if error else "warning", _TOPIC, text, f"{_LOGIN} {_LOG_ALONE}")
        return
    yield _audit(reader, project.model)
    if any(one.expectations for one in (*project.model.tables, *project.model.tasks)):
        yield _expectations(reader, project.model)
    for connection, (schema, table) in sorted(_table_by_connection(project.model).items()):
        yield _table(reader, connection, schema, table)


def _audit(reader: WarehouseReader, model: Project) -> Finding:
    audit = model.application.audit
    name = f"{audit.domain}.audit"
    if not audit.active:
        return Finding("warning", _TOPIC, "`audit.active` is false: commands leave no audit rows", _LOG_ALONE)
    rows, error = _tried(lambda: (reader.audit(_UNUSED_JOB_ID), reader.last_load("", "")))
    if rows is None:
        return Finding("error", _TOPIC, f"{name} cannot be read: {error}", f"{_LOGIN} {_LOG_ALONE}")
    if rows[0] is not None:
        return Finding("ok", _TOPIC, f"{name} is readable ({type(reader).__name__})")
    if rows[1] is not None:
        text = f"{name} is readable, but commands get no SL_JOB_ID there: their rows cannot be distinguished"
        return Finding("warning", _TOPIC, text, 'Dataproc: set `deploy_mode="cluster"`, or use batches.')
    text = f"connection {audit.connection!r} of the audit: {name} does not exist yet, or cannot be read from here"
    return Finding("warning", _TOPIC, text, f"The first command creates it; run `doctor` again then. {_LOG_ALONE}")


def _expectations(reader: WarehouseReader, model: Project) -> Finding:
    name = f"{model.application.audit.domain}.expectations"
    rows, error = _tried(lambda: (reader.expectations(_UNUSED_JOB_ID),))
    if rows is None:
        return Finding("error", _TOPIC, f"{name} cannot be read: {error}", _LOGIN)
    if rows[0] is None:
        text = f"{name} does not exist yet, or cannot be read from here"
        return Finding("warning", _TOPIC, text, "Expectations are evaluated on the table after its command instead.")
    return Finding("ok", _TOPIC, f"{name} is readable")


def _table_by_connection(model: Project) -> dict[str, tuple[str, str]]:
    """Returns the schema and the name of one table per connection."""
    found: dict[str, tuple[str, str]] = {}
    for name, connection in sorted(table_connections(model).items()):
        found.setdefault(connection, name)
    return found


def _table(reader: WarehouseReader, connection: str, schema: str, table: str) -> Finding:
    named = f"connection {connection!r}"
    read, error = _tried(lambda: (reader.columns(schema, table), reader.row_count(schema, table)))
    if read is None:
        return Finding("error", _TOPIC, f"{named}: {schema}.{table} cannot be read: {error}", _LOGIN)
    columns, count = read
    if columns is None:
        text = f"{named}: no reader for its tables here, so no row counts, columns, samples or checks of them"
        return Finding("warning", _TOPIC, text, _LOGIN)
    if not columns:
        return Finding("ok", _TOPIC, f"{named}: readable; {schema}.{table} does not exist yet")
    rows = "" if count is None else f", {counted(count, 'row')}"
    return Finding("ok", _TOPIC, f"{named}: {schema}.{table} has {counted(len(columns), 'column')}{rows}")


def _tried(read: Callable[[], _T]) -> tuple[_T | None, str]:
    """Returns the result of a read and an empty text, or None and the text of the error of any driver."""
    try:
        return read(), ""
    except Exception as error:
        return None, str(error) or type(error).__name__
