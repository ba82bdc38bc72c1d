"""Export tasks: `sink.format: csv` writes the rows of a query to a file."""

from __future__ import annotations

from pathlib import Path

from starlake_dagster_assets.atomic_file import replaced_file
from starlake_dagster_assets.engine.quoting import literal
from starlake_dagster_assets.engine.writing.audit import AuditRecord
from starlake_dagster_assets.engine.writing.schema_sync import create_schema
from starlake_dagster_assets.engine.writing.task_write import TaskJob, build_query
from starlake_dagster_assets.engine.writing.transaction import in_transaction
from starlake_dagster_assets.engine.writing.unsupported_settings import is_export
from starlake_dagster_assets.engine.writing.user_statements import default_schema, run_script

__all__ = ["export_rows"]


def export_rows(job: TaskJob, outcome: AuditRecord) -> bool:
    """Writes the file of an export task; replaces an earlier file only after the new one is complete.

    Returns:
        Whether the task is an export; otherwise nothing is written.
    """
    task = job.task
    if not is_export(task.sink):
        return False
    file = _file(job)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(file) as part:
        in_transaction(job.session, lambda: _body(job, part, outcome))
        job.auditor.committed()
    job.journal.info("SparkAutoTask", f"Exported {task.raw} to file:{file}")
    return True


def _body(job: TaskJob, part: Path, outcome: AuditRecord) -> None:
    create_schema(job.session.con, job.target)
    separator = _option(job, "separator", "delimiter") or ","
    header = (_option(job, "header", "withHeader") or "true").lower()
    with default_schema(job.session, job.target):
        for statement in job.task.presql:
            run_script(job.session, statement)
        settings = f"FORMAT csv, HEADER {header}, DELIMITER {literal(separator)}"
        job.session.con.execute(f"COPY ({build_query(job)}) TO {literal(str(part))} ({settings})")
        for statement in job.task.postsql:
            run_script(job.session, statement)
    job.auditor.record(outcome)


def _option(job: TaskJob, *names: str) -> str | None:
    """Returns an option of the sink, under any of its names, with or without `csv:`."""
    options = job.task.sink.options
    return next((text for name in names for text in (options.get(f"csv:{name}"), options.get(name)) if text), None)


def _file(job: TaskJob) -> Path:
    task = job.task
    option = _option(job, "path")
    if option:
        path = Path(option.removeprefix("file://").removeprefix("file:"))
        return path if path.is_absolute() else Path(job.project.root) / path
    extension = (task.sink.extension or "csv").lstrip(".")
    return Path(job.project.application.datasets) / "export" / task.domain / f"{task.table}.{extension}"
