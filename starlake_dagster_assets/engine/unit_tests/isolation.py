"""Isolates a project for a unit test: its data and database are in the directory of the test."""

from __future__ import annotations

from pathlib import Path

import duckdb

from starlake_dagster_assets.engine.quoting import literal
from starlake_dagster_assets.engine.reading.workspace import set_workspace_directory
from starlake_dagster_assets.engine.session import EngineOptions
from starlake_dagster_assets.project.model.project import Areas, Connection, Project

__all__ = ["isolated_options", "isolated_project"]

_SETTINGS = ("INSTALL", "LOAD", "SET", "CREATE")
"""Statements of `preActions` that prepare a connection; others, such as ATTACH, reach the project's own data."""


def isolated_project(project: Project, folder: Path) -> Project:
    """Returns the project with its data below the directory of a test; tasks that export files write tables instead.

    Args:
        project: The project.
        folder: The directory of the test.
    """
    application = project.application
    connections = {name: _without_actions(connection) for name, connection in application.connections.items()}
    update = {"datasets": str(folder / "datasets"), "areas": Areas(), "connections": connections}
    transforms = tuple(
        domain.model_copy(
            update={
                "tasks": tuple(
                    task.model_copy(update={"sink": task.sink.model_copy(update={"format": None})})
                    for task in domain.tasks
                )
            }
        )
        for domain in project.transforms
    )
    return project.model_copy(update={"application": application.model_copy(update=update), "transforms": transforms})


def isolated_options(project: Project, folder: Path) -> EngineOptions:
    """Returns options of the engine for a database that can only read and write files of the test.

    Args:
        project: The original project, for the `preActions` of its connections.
        folder: The directory of the test.
    """
    actions = [
        statement.strip()
        for connection in project.application.connections.values()
        if connection.engine == "duckdb"
        for statement in connection.options.get("preActions", "").split(";")
        if statement.strip().upper().startswith(_SETTINGS)
    ]

    def restrict(con: duckdb.DuckDBPyConnection) -> None:
        for action in dict.fromkeys(actions):
            con.execute(action)
        set_workspace_directory(con, folder)
        con.execute(f"SET allowed_directories = [{literal(f'{folder}/')}]")
        con.execute("SET enable_external_access = false")

    return EngineOptions(
        database=folder / "test.db",
        duckdb_mode=True,
        may_reject_all=True,
        quarantine_after=0,
        opened=restrict,
    )


def _without_actions(connection: Connection) -> Connection:
    options = {name: value for name, value in connection.options.items() if name != "preActions"}
    return connection.model_copy(update={"options": options})
