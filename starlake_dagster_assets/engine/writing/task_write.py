"""Writes the result of a task: a view, a table by a write strategy, or the effect of its own statements."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import duckdb

from starlake_dagster_assets.engine.command_output import CommandOutput
from starlake_dagster_assets.engine.error_text import error_text
from starlake_dagster_assets.engine.reading.accepted_rows import Column
from starlake_dagster_assets.engine.reading.column_types import column_type
from starlake_dagster_assets.engine.session import Session
from starlake_dagster_assets.engine.writing.audit import Auditor, AuditRecord
from starlake_dagster_assets.engine.writing.expectations import (
    ExpectationCheck,
    evaluate,
    recorded_expectations,
    run_blocking_expectations,
)
from starlake_dagster_assets.engine.writing.first_run import create_for_first_run, describe_query
from starlake_dagster_assets.engine.writing.partition_replacement import Replacement, replace_partition
from starlake_dagster_assets.engine.writing.schema_sync import (
    Target,
    add_columns,
    columns_of,
    create,
    create_schema,
    drop_columns,
    kind_of,
)
from starlake_dagster_assets.engine.writing.strategies import WriteRequest, scd2_columns, validate_strategy, write
from starlake_dagster_assets.engine.writing.table_names import resolve_names
from starlake_dagster_assets.engine.writing.templates import write_by_template
from starlake_dagster_assets.engine.writing.transaction import in_transaction
from starlake_dagster_assets.engine.writing.user_statements import default_schema, run_script, translated
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model.project import Project, Task
from starlake_dagster_assets.project.resolve.strategy_templates import template_names

__all__ = ["TaskJob", "build_query", "record_expectations", "render_compiled_sql", "run_task"]

_INCOMING = "sl_incoming"
_PIVOT = re.compile(r"\bpivot\b", re.IGNORECASE)


@dataclass(frozen=True)
class TaskJob:
    """Settings and state of a task.

    Attributes:
        session: The connection it reads and writes.
        project: The project.
        task: The task.
        auditor: Writes the audit rows.
        journal: Receives the messages.
        truncate: `--truncate true`.
        replaced: The partition to replace, instead of a write by the write strategy.
    """

    session: Session
    project: Project
    task: Task
    auditor: Auditor
    journal: CommandOutput
    truncate: bool = False
    replaced: Replacement | None = None

    @property
    def target(self) -> Target:
        """The table by its final names; a database that is not attached belongs to another warehouse."""
        task = self.task
        known: set[str] = set()
        if task.database:
            attached = self.session.con.execute("SELECT lower(database_name) FROM duckdb_databases()").fetchall()
            known = {str(row[0]) for row in attached}
        return Target(task.domain, task.table, task.database if task.database.lower() in known else "")


def build_query(job: TaskJob) -> str:
    """Returns the task's query as DuckDB runs it: names resolved, translated, without a last `;`."""
    sql = (job.task.sql or "").strip().rstrip(";").strip()
    if job.task.parse_sql:
        sql = resolve_names(sql, job.project, job.session.dialect)
    return translated(job.session, sql)


def render_compiled_sql(job: TaskJob) -> str:
    """Returns the output of `--compile`: presql, the query and postsql."""
    return ";\n".join([*job.task.presql, build_query(job), *job.task.postsql])


def run_task(job: TaskJob, outcome: AuditRecord) -> None:
    """Runs a task in one transaction: presql, write, postsql, blocking expectations, audit; then runs the others.

    Raises:
        ExpectationError: An expectation that blocks does not hold.
        EngineError: The task cannot be written.
        duckdb.Error: DuckDB rejects a statement.
    """
    in_transaction(job.session, lambda: _body(job, outcome))
    job.auditor.committed()
    record_expectations(
        job, evaluate(job.session, job.project, recorded_expectations(job.project, job.task.expectations), job.target)
    )
    job.auditor.committed()


def record_expectations(job: TaskJob, checked: Sequence[ExpectationCheck]) -> None:
    """Records the results of expectations."""
    job.auditor.expect(job.task.domain, job.task.table, [item.row for item in checked])


def _body(job: TaskJob, outcome: AuditRecord) -> None:
    if job.project.application.create_schema_if_not_exists:
        create_schema(job.session.con, job.target)
    with default_schema(job.session, job.target):
        known = _first_run(job)
        _presql(job, known=known)
        if not job.task.parse_sql:
            run_script(job.session, job.task.sql or "")
        elif job.task.sink.materialized_view == "VIEW":
            _view(job)
        else:
            _table(job)
        for statement in job.task.postsql:
            run_script(job.session, statement)
    if job.task.acl or job.task.rls:
        job.journal.warn("AccessPolicies", f"{job.target}: acl and rls are left out, DuckDB has no grants")
    record_expectations(job, run_blocking_expectations(job.session, job.project, job.task.expectations, job.target))
    job.auditor.record(outcome)


def _first_run(job: TaskJob) -> bool:
    """Creates the table if presql or the query may read it; returns False if its columns are not known."""
    task, reads_itself = job.task, _reads_itself(job)
    if not task.parse_sql or task.sink.materialized_view == "VIEW" or not (task.presql or reads_itself):
        return True
    if kind_of(job.session.con, job.target) is not None:
        return True
    return create_for_first_run(
        job.session.con, job.target, build_query(job), _declared(job), reads_itself=reads_itself
    ) or not (reads_itself or any(task.table.lower() in statement.lower() for statement in task.presql))


def _presql(job: TaskJob, *, known: bool) -> None:
    try:
        for statement in job.task.presql:
            run_script(job.session, statement)
    except duckdb.CatalogException as error:
        raise error if known else _unknown_columns(job, error) from error


def _unknown_columns(job: TaskJob, error: duckdb.Error) -> EngineError:
    return EngineError(
        f"{job.target} does not exist yet, and its columns cannot be derived from the query. For the first run, list "
        f"all columns with their types under `attributes`, or create the table in presql. DuckDB: {error_text(error)}"
    )


def _view(job: TaskJob) -> None:
    if kind_of(job.session.con, job.target) == "BASE TABLE":
        raise EngineError(
            f"{job.target} is a table: a view cannot be written under the same name; drop or rename the table"
        )
    job.session.con.execute(f"CREATE OR REPLACE VIEW {job.target.name} AS {build_query(job)}")


def _table(job: TaskJob) -> None:
    con, target = job.session.con, job.target
    kind = kind_of(con, target)
    if kind not in {None, "BASE TABLE"}:
        raise EngineError(f"{target} is a view: a table cannot be written under the same name; drop or rename the view")
    exists = kind is not None
    if exists:
        _sync(job)
    try:
        columns = _incoming(job, exists=exists)
    except duckdb.CatalogException as error:
        raise _unknown_columns(job, error) if not exists and _reads_itself(job) else error from error
    if not exists:
        create(con, target, columns)
    _check_columns(job, columns)
    _write(job, columns, exists=exists)
    con.execute(f"DROP {'VIEW' if _lazy(job, exists=exists) else 'TABLE'} temp.{_INCOMING}")


def _lazy(job: TaskJob, *, exists: bool) -> bool:
    """Whether the rows may be read while they are written: nothing is deleted before, and nothing is read twice."""
    kind = job.task.write_strategy.type.upper()
    if _PIVOT.search(job.task.sql or "") or job.replaced is not None:  # a view cannot hold a pivot
        return False
    return (kind == "APPEND" and not job.truncate) or (kind == "OVERWRITE" and not exists)


def _incoming(job: TaskJob, *, exists: bool) -> tuple[Column, ...]:
    con = job.session.con
    what = "VIEW" if _lazy(job, exists=exists) else "TABLE"
    con.execute(f"CREATE OR REPLACE TEMP {what} {_INCOMING} AS {build_query(job)}")
    return describe_query(con, f"temp.{_INCOMING}")


def _check_columns(job: TaskJob, columns: Sequence[Column]) -> None:
    names = [column.name for column in columns]
    try:
        validate_strategy(
            job.task.write_strategy, job.task.sink.partition, names, template_names(job.project.root, "duckdb")
        )
    except EngineError as error:
        raise EngineError(f"{job.task.location}: {error}") from error
    present = {column.name.lower() for column in columns_of(job.session.con, job.target)}
    missing = [name for name in names if name.lower() not in present]
    if missing:
        raise EngineError(
            f"the query gives {', '.join(missing)}, which {job.target} does not have; list all columns with their "
            "types under attributes (syncStrategy ADD adds them), or ALTER TABLE by hand"
        )


def _write(job: TaskJob, columns: Sequence[Column], *, exists: bool) -> None:
    strategy = job.task.write_strategy
    start, end = scd2_columns(strategy, job.project.application)
    if strategy.type.upper() == "SCD2":
        present = {column.name.lower() for column in columns_of(job.session.con, job.target)}
        lacking = [Column(name, "TIMESTAMP") for name in (start, end) if name.lower() not in present]
        add_columns(job.session.con, job.target, lacking, job.journal)
    order = WriteRequest(
        con=job.session.con,
        target=job.target.name,
        incoming=f"temp.{_INCOMING}",
        columns=[column.name for column in columns],
        strategy=strategy,
        partition=job.task.sink.partition,
        start=start,
        end=end,
        now=datetime.now(timezone.utc).replace(tzinfo=None),
        truncate=job.truncate,
    )
    if job.replaced is not None:
        replace_partition(order, job.replaced)
    elif strategy.type.lower() in template_names(job.project.root, "duckdb"):
        job.session.lease.discard = True
        write_by_template(job.project, job.target, order, exists=exists)
    else:
        write(order)


def _declared(job: TaskJob) -> tuple[Column, ...]:
    """Returns the columns of `attributes` if each of them has a type."""
    attributes = [attribute for attribute in job.task.attributes if not attribute.ignore]
    if not attributes or not all(attribute.type for attribute in attributes):
        return ()
    return tuple(Column(attribute.final_name, column_type(attribute, job.project)) for attribute in attributes)


def _sync(job: TaskJob) -> None:
    """Adapts the columns of the table to the task's `attributes` (`syncStrategy`, `application.syncYamlWithDb`)."""
    declared = _declared(job)
    if not declared or job.task.sync_strategy == "NONE" or not job.project.application.sync_yaml_with_db:
        return
    con, target = job.session.con, job.target
    present = {column.name.lower(): column.name for column in columns_of(con, target)}
    add_columns(con, target, [column for column in declared if column.name.lower() not in present], job.journal)
    if job.task.sync_strategy == "ALL":
        kept = {column.name.lower() for column in declared}
        kept |= {name.lower() for name in scd2_columns(job.task.write_strategy, job.project.application)}
        drop_columns(con, target, [name for lower, name in present.items() if lower not in kept], job.journal)


def _reads_itself(job: TaskJob) -> bool:
    names = {job.task.id.lower(), job.task.table.lower()}
    return any(".".join(reference.lower().split(".")[-2:]) in names for reference in job.task.references)
