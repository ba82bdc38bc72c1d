"""The `transform` command: writes the results of tasks to tables, views and files, one transaction per task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import duckdb

from starlake_dagster_assets.engine.command_output import CommandOutput
from starlake_dagster_assets.engine.error_text import error_text
from starlake_dagster_assets.engine.session import EngineOptions, database_path, open_session
from starlake_dagster_assets.engine.writing.audit import Auditor, AuditRecord, audit_job_id
from starlake_dagster_assets.engine.writing.expectations import ExpectationError
from starlake_dagster_assets.engine.writing.export import export_rows
from starlake_dagster_assets.engine.writing.partition_replacement import replacement_of
from starlake_dagster_assets.engine.writing.strategies import validate_strategy
from starlake_dagster_assets.engine.writing.task_write import (
    TaskJob,
    build_query,
    record_expectations,
    render_compiled_sql,
    run_task,
)
from starlake_dagster_assets.engine.writing.unsupported_settings import check_schema, check_task_sink
from starlake_dagster_assets.errors import EngineError, closest_match
from starlake_dagster_assets.project.model.project import Project, Task
from starlake_dagster_assets.project.resolve.strategy_templates import template_names
from starlake_dagster_assets.project.sql.single_statement import (
    ONE_STATEMENT,
    find_second_statement,
    format_statements_error,
)

__all__ = ["TransformRequest", "UnknownTaskError", "run_transform", "validate_task"]


@dataclass(frozen=True)
class TransformRequest:
    """Arguments of `transform`.

    Attributes:
        name: `--name`: `<domain>.<file stem>`, regardless of case.
        scheduled: `--scheduledDate`.
        truncate: `--truncate true`: APPEND empties the table first.
        recursive: `--recursive`: the tasks it reads run first, each once.
        compile: `--compile`: prints the SQL and writes nothing.
    """

    name: str
    scheduled: str | None = None
    truncate: bool = False
    recursive: bool = False
    compile: bool = False


class UnknownTaskError(EngineError):
    """Error of a name that no task has."""


def run_transform(
    project: Project,
    request: TransformRequest,
    journal: CommandOutput,
    options: EngineOptions,
    environ: Mapping[str, str],
) -> None:
    """Runs a task, or with `recursive` the tasks it depends on and then itself.

    Raises:
        EngineError: A task is unknown, unsupported or failed; tasks after it are not run.
    """
    task = _find(project, request.name)
    tasks = _upstream(project, task) if request.recursive else [task]
    for item in tasks:
        validate_task(project, item, options)
    for item in tasks:
        if options.cancelled.is_set():
            raise EngineError("cancelled")
        _run(project, item, request, journal, options, environ)


def _find(project: Project, name: str) -> Task:
    tasks = project.tasks
    found = next((task for task in tasks if task.raw == name), None)
    found = found or next((task for task in tasks if task.raw.lower() == name.lower()), None)
    if found is not None:
        return found
    guess = closest_match(name, [task.raw for task in tasks])
    raise UnknownTaskError(f"Invalid task name {name}" + (f"; did you mean {guess}?" if guess else ""))


def _upstream(project: Project, task: Task) -> list[Task]:
    """Returns the tasks that a task reads, followed by the task itself; cycles are followed once."""
    by_id: dict[str, Task] = {}
    for item in project.tasks:
        for name in (item.id, item.raw):
            by_id.setdefault(name.lower(), item)  # of several that write one table the first, as Starlake does
    ordered: list[Task] = []
    opened: set[str] = set()
    todo: list[tuple[Task, bool]] = [(task, False)]
    while todo:
        item, done = todo.pop()
        if done:
            ordered.append(item)
        elif item.raw not in opened:
            opened.add(item.raw)
            todo.append((item, True))
            found = (by_id.get(".".join(name.split(".")[-2:]).lower()) for name in item.references)
            todo += [(other, False) for other in found if other is not None]
    return ordered


def validate_task(project: Project, task: Task, options: EngineOptions) -> None:
    """Raises an error for a task that the embedded engine does not support, before anything is written."""
    if task.python is not None:
        raise EngineError(
            f"{task.location}: {task.raw} is a Python task, which needs Spark: the embedded engine runs SQL"
        )
    if task.sql is None or not task.sql.strip():
        raise EngineError(f"{task.location}: {task.raw} has no SQL; write it to {task.stem}.sql next to the file")
    if (second := find_second_statement(project, task)) is not None:
        raise EngineError(f"{task.source_location}: {format_statements_error(second)}. {ONE_STATEMENT}")
    connection = project.connection(task.connection)
    if connection is not None:
        check_task_sink(task, connection)
    if task.parse_sql and task.sink.materialized_view == "TABLE":
        try:
            validate_strategy(task.write_strategy, task.sink.partition, None, template_names(project.root, "duckdb"))
        except EngineError as error:
            raise EngineError(f"{task.location}: {error}") from error
    if task.write_strategy.types:
        raise EngineError(f"{task.location}: writeStrategy.types chooses by the file that is loaded: a task has none")
    if _elsewhere(project, task, options):
        raise EngineError(
            f"{task.location}: {task.raw} reads on {task.run_connection!r} and writes to {task.connection!r}, "
            "another file: the embedded engine does both on one DuckDB file"
        )


def _elsewhere(project: Project, task: Task, options: EngineOptions) -> bool:
    if task.run_connection == task.connection or task.sink.format is not None:
        return False
    return database_path(project, task.run_connection, options) != database_path(project, task.connection, options)


def _run(
    project: Project,
    task: Task,
    request: TransformRequest,
    journal: CommandOutput,
    options: EngineOptions,
    environ: Mapping[str, str],
) -> None:
    with open_session(project, task.run_connection, journal, options) as session:
        auditor = Auditor(session, project, audit_job_id(project, environ, task.raw), request.scheduled)
        replaced = replacement_of(environ)
        job = TaskJob(session, project, task, auditor, journal, request.truncate, replaced)
        if request.compile:
            journal.out(render_compiled_sql(job))
            return
        journal.info("IngestionWorkflow", f"Transforming {task.raw} into {task.id}")
        outcome = AuditRecord(
            task.stem, task.domain, task.table, success=True, step="TRANSFORM", database=task.database
        )
        try:
            check_schema(session.con, task.domain, task.location)
            if task.sink.format is not None and export_rows(job, outcome):
                return
            run_task(job, outcome)
        except duckdb.InterruptException as error:
            raise EngineError("cancelled") from error
        except (EngineError, duckdb.Error) as error:
            checked = error.checked if isinstance(error, ExpectationError) else ()
            text = error_text(error)
            auditor.failed(
                replace(outcome, success=False, message=text),
                lambda: record_expectations(job, checked),
                journal,
            )
            raise EngineError(f"{task.raw}: {text}{_translated(job)}") from error


def _translated(job: TaskJob) -> str:
    """Returns the location of a task's SQL for a message, with the SQL that DuckDB received if it was translated."""
    where = job.task.source_location
    if job.session.dialect == "duckdb":
        return f"\n({where})"
    try:
        return f"\n({where}, translated from {job.session.dialect}: {build_query(job)})"
    except EngineError:
        return f"\n({where}, in {job.session.dialect})"
