"""The connections that a project uses, and the DuckDB files among them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

from starlake_dagster_assets.project.model.project import Connection, Project

__all__ = [
    "duckdb_file",
    "duckdb_file_names",
    "table_connections",
    "table_databases",
    "used_connections",
    "writes_duckdb_file",
]


def used_connections(project: Project) -> frozenset[str]:
    """Returns the names of the connections that tables, tasks and the audit of a project use."""
    names = {item.connection for item in project.tables} | {item.run_connection for item in project.tasks}
    return frozenset(names | {project.application.audit.connection} & set(project.application.connections))


def table_connections(project: Project) -> Mapping[tuple[str, str], str]:
    """Returns the connection of each table that a project writes, by final schema and table in lower case."""
    found = {(item.final_domain, item.final_name): item.connection for item in project.tables}
    found |= {(item.domain, item.table): item.connection for item in project.tasks}
    return {(schema.lower(), table.lower()): name for (schema, table), name in found.items()}


def writes_duckdb_file(project: Project) -> bool:
    """Whether a project uses a DuckDB file, which has one writer."""
    return bool(duckdb_file_names(project))


def duckdb_file_names(project: Project) -> tuple[str, ...]:
    """Returns the names, without directories, of the DuckDB files that a project uses."""
    found = (project.connection(name) for name in sorted(used_connections(project)))
    files = (duckdb_file(connection) for connection in found if connection)
    return tuple(dict.fromkeys(filter(None, files)))


def duckdb_file(connection: Connection) -> str:
    """Returns the name, without directories, of the DuckDB file of a connection; "" if it has none."""
    url = connection.options.get("url", "")
    path = url[len("jdbc:duckdb:") :]
    elsewhere = path.lower().startswith((":memory:", "md:")) or "ducklake:" in url.lower()
    if connection.engine != "duckdb" or elsewhere or not url.lower().startswith("jdbc:duckdb:"):
        return ""
    return PurePath(path.split(";")[0].split("?")[0]).name


def table_databases(project: Project) -> Mapping[tuple[str, str], str]:
    """Returns the database (catalog, project) of each table that has one, by final schema and table in lower case."""
    found = {(item.final_domain, item.final_name): item.database for item in project.tables}
    found |= {(item.domain, item.table): item.database for item in project.tasks}
    audit = project.application.audit
    found |= {(audit.domain, name): audit.database for name in ("audit", "expectations", "rejected")}
    return {(schema.lower(), table.lower()): name for (schema, table), name in found.items() if name}
