"""Tables and tasks that the embedded engine rejects. The checks are the engine's own; no data is read or written."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.project.model.project import Connection, Project, Table, Task

if TYPE_CHECKING:
    from starlake_dagster_assets.engine.session import EngineOptions

__all__ = ["unsupported_by_embedded_engine"]


def unsupported_by_embedded_engine(
    project: Project, engine: Literal["auto", "duckdb", "starlake"], skipped: Collection[str] = ()
) -> Iterator[Problem]:
    """Reports the tables and tasks that the embedded engine rejects.

    Args:
        project: The resolved project.
        engine: `duckdb` for errors; `auto` for warnings, if the connection is DuckDB; `starlake` for none.
        skipped: Files with a problem that the engine would only report again.
    """
    if engine == "starlake":
        return
    try:
        from starlake_dagster_assets.engine.commands.program import engine_options
    except ImportError:  # without the extra `duckdb` there is no embedded engine
        return
    checks = _Checks(project, engine_options(os.environ))
    asked: list[tuple[Table | Task, Callable[[], None]]] = [
        *((table, lambda table=table: checks.table(table)) for table in project.tables),
        *((task, lambda task=task: checks.task(task)) for task in project.tasks),
    ]
    for thing, check in asked:
        connection = project.connection(thing.connection)
        if thing.location.file in skipped:
            continue
        if engine == "auto" and (connection is None or connection.engine != "duckdb"):
            continue
        try:
            check()
        except EngineError as error:
            yield _problem(thing, str(error), is_chosen=engine == "duckdb")


class _Checks:
    """The checks of the engine, on a database in memory."""

    def __init__(self, project: Project, options: EngineOptions) -> None:
        import duckdb

        self._project = project
        self._options = options
        from starlake_dagster_assets.engine.reading.type_patterns import Patterns

        self._con = duckdb.connect(config={"threads": 1})
        self._patterns = Patterns(self._con)

    def table(self, table: Table) -> None:
        from starlake_dagster_assets.engine.open_databases import Lease
        from starlake_dagster_assets.engine.session import Session, database_path
        from starlake_dagster_assets.engine.writing.adaptive import check_adaptive
        from starlake_dagster_assets.engine.writing.load_settings import check_load

        database_path(self._project, table.connection, self._options)
        connection = self._project.connection(table.connection) or Connection(name=table.connection, type="")
        session = Session(
            self._con, connection, Path(), connection.dialect, ("memory", "main"), "memory", Lease(self._con)
        )
        strategy = table.metadata.write_strategy
        if strategy.types:
            check_adaptive(strategy)
        for kind in strategy.types or {strategy.type: ""}:
            check_load(
                session, self._project, table, strategy.model_copy(update={"type": kind, "types": {}}), self._patterns
            )

    def task(self, task: Task) -> None:
        from starlake_dagster_assets.engine.commands.transform import validate_task
        from starlake_dagster_assets.engine.session import database_path

        database_path(self._project, task.connection, self._options)
        validate_task(self._project, task, self._options)


def _problem(thing: Table | Task, text: str, *, is_chosen: bool) -> Problem:
    reason = text.removeprefix(f"{thing.location}: ").splitlines()[0].rstrip(".")
    return Problem(
        file=thing.location.file,
        line=thing.location.line,
        message=f"the embedded engine (StarlakeDuckDB) refuses {thing.id}: {reason}.",
        hint="Change it, or run it with the starlake program (StarlakeShell).",
        severity="error" if is_chosen else "warning",
        code="engine-refuses",
    )
