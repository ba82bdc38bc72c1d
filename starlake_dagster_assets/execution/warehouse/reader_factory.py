"""The warehouse reader of a project: one for all the connections that its tables and its audit use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from starlake_dagster_assets.errors import RunnerError, closest_match
from starlake_dagster_assets.execution.warehouse.bigquery import BigQueryReader, bigquery_reader
from starlake_dagster_assets.execution.warehouse.connections import duckdb_file, table_connections, used_connections
from starlake_dagster_assets.execution.warehouse.duckdb import duckdb_reader
from starlake_dagster_assets.execution.warehouse.reader import WarehouseReader
from starlake_dagster_assets.execution.warehouse.resource_login import client_of, connect_by, has_client
from starlake_dagster_assets.execution.warehouse.routing import RoutingReader
from starlake_dagster_assets.execution.warehouse.sql import SqlReader
from starlake_dagster_assets.execution.warehouse.sqlalchemy_engines import EngineFactory, has_sql_driver
from starlake_dagster_assets.project.model.project import Connection, Project

__all__ = ["WarehouseAccess", "warehouse_reader"]


@dataclass(frozen=True)
class WarehouseAccess:
    """Access to the warehouses of a project, in addition to the options of its connections.

    Attributes:
        local_files: Whether the DuckDB files of the project are those of this machine.
        gcp_project: Google Cloud project of BigQuery tables, if the connection names none.
        impersonate: Service account to act as in Google Cloud.
        bigquery_endpoint: URL of BigQuery; Google's own by default.
        resource: A Dagster resource that logs in, such as a `SnowflakeResource` or a `BigQueryResource`.
        urls: SQLAlchemy URL by connection, if it differs from that of the connection's own options.
    """

    local_files: bool = False
    gcp_project: str | None = None
    impersonate: str | None = None
    bigquery_endpoint: str | None = None
    resource: Any = field(default=None, repr=False)
    urls: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)


def warehouse_reader(project: Project, access: WarehouseAccess | None = None) -> WarehouseReader | None:
    """Returns the reader of a project's warehouse.

    Args:
        project: The project.
        access: How to log in; by default as the connections configure.

    Raises:
        RunnerError: When a URL is given for a connection that the project does not have.

    Returns:
        None if no connection that the project uses can be read here.
    """
    chosen = access or WarehouseAccess()
    for name in chosen.urls.keys() - project.application.connections.keys():
        near = closest_match(name, project.application.connections)
        hint = f"did you mean `{near}`?" if near else f"It has: {', '.join(sorted(project.application.connections))}."
        raise RunnerError(f"warehouse_urls: the project has no connection `{name}`; {hint}")
    readers = _readers(project, chosen)
    if not any(readers.values()):
        return None
    application = project.application
    audit = readers.get(application.audit.connection) if application.audit.active else None
    default = readers.get(application.connection_ref) or audit
    tables = {name: readers.get(connection) for name, connection in table_connections(project).items()}
    if all(reader is audit for reader in (default, *tables.values())):
        return audit
    return RoutingReader(audit, tables, default)


def _readers(project: Project, access: WarehouseAccess) -> dict[str, WarehouseReader | None]:
    """Returns the reader of each connection; all DuckDB files of a project share one."""
    files = duckdb_reader(project) if access.local_files else None
    found: dict[str, WarehouseReader | None] = {}
    for name in sorted(used_connections(project)):
        connection = project.connection(name)
        if connection is not None:
            found[name] = files if duckdb_file(connection) else _reader(project, connection, access)
    return found


def _reader(project: Project, connection: Connection, access: WarehouseAccess) -> WarehouseReader | None:
    if connection.engine == "bigquery":
        if has_client(access.resource):
            return BigQueryReader(project, getattr(access.resource, "project", None) or "", client_of(access.resource))
        return bigquery_reader(
            project,
            connection,
            access.gcp_project,
            impersonate=access.impersonate,
            endpoint=access.bigquery_endpoint,
        )
    url = access.urls.get(connection.name, "")
    if not url and not has_sql_driver(connection):
        return None
    connect = None if url else connect_by(access.resource)
    return SqlReader(project, connection, EngineFactory(connection, url, connect))
