"""One load job: the rows of a file (or of all files of a table) into its table, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import duckdb

from starlake_dagster_assets.engine.journal import Journal
from starlake_dagster_assets.engine.reading.ddl import target_columns
from starlake_dagster_assets.engine.reading.incoming import Column, Incoming
from starlake_dagster_assets.engine.reading.read import check_readable, discard, read_incoming
from starlake_dagster_assets.engine.session import Session
from starlake_dagster_assets.engine.writing.audit import Auditor, Outcome
from starlake_dagster_assets.engine.writing.expectations import Checked, ExpectationError, evaluate, gate, others
from starlake_dagster_assets.engine.writing.ingesting import Counts, Entry, uri
from starlake_dagster_assets.engine.writing.refusals import check_load_sink, check_schema
from starlake_dagster_assets.engine.writing.replay import replay_rejects
from starlake_dagster_assets.engine.writing.schema_sync import Target, create_schema, reconcile
from starlake_dagster_assets.engine.writing.sql import default_schema, run_script
from starlake_dagster_assets.engine.writing.strategies import Write, check_strategy, scd2_columns, write
from starlake_dagster_assets.engine.writing.templates import template_names, write_by_template
from starlake_dagster_assets.engine.writing.transaction import in_transaction, insist
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model import Project, Table, WriteStrategy
from starlake_dagster_assets.project.rendering import render

__all__ = ["LoadJob", "RejectedError", "check_load", "is_native", "record_others", "run_load"]

_NATIVE_FORMATS = {"DSV", "JSON", "JSON_FLAT"}


class RejectedError(EngineError):
    """Rows were refused and `application.rejectAllOnError` is on."""

    def __init__(self, counts: Counts) -> None:
        super().__init__(f"Fail on rejected count requested: {counts.rejected} invalid records")
        self.counts = counts


@dataclass(frozen=True)
class LoadJob:
    """What one job works with.

    Attributes:
        session: The connection of the table.
        project: The project.
        table: The table.
        strategy: Its write strategy, chosen for these files.
        entry: The files, in `ingesting`.
        auditor: Writes the audit rows.
        journal: Where things are told.
    """

    session: Session
    project: Project
    table: Table
    strategy: WriteStrategy
    entry: Entry
    auditor: Auditor
    journal: Journal

    @property
    def native(self) -> bool:
        """Whether the audit has the shape of the engine's native loader."""
        return is_native(self.table)

    @property
    def target(self) -> Target:
        """The table by its final names."""
        return Target(self.table.final_domain, self.table.final_name)


def is_native(table: Table) -> bool:
    """Whether the audit of a table has the shape of the engine's native loader."""
    return table.metadata.loader == "native" and table.metadata.format in _NATIVE_FORMATS


def check_load(session: Session, project: Project, table: Table, strategy: WriteStrategy) -> None:
    """Refuses a table that cannot be loaded, before a file is touched.

    Raises:
        EngineError: Its sink, format, a type or its write strategy is not done or not known, or lacks something.
    """
    check_load_sink(table, session.connection)
    check_schema(session.con, table.final_domain, table.location)
    check_readable(session.con, project, table)
    names = [column.name for column in target_columns(table, project)]
    try:
        check_strategy(strategy, table.metadata.sink.partition, names, template_names(project))
    except EngineError as error:
        raise EngineError(f"{table.location}: {error}") from error


def run_load(job: LoadJob) -> Counts:
    """Loads the files of a job.

    Returns:
        The rows read, accepted and refused, committed.

    Raises:
        EngineError: The load failed; nothing of it is left but a row of `audit.audit` that says so, with the refused
            rows or the expectations that are the reason. Or its rows are committed, and what follows the commit failed.
    """
    try:
        return _read_and_write(job)
    except duckdb.InterruptException:
        raise
    except RejectedError:
        raise
    except Exception as error:
        if job.entry.committed(job.session) is not None:
            told = "its rows are committed, and the next load archives the file, but"
            raise EngineError(f"{job.table.raw}: {told} {error}") from error
        checked = error.checked if isinstance(error, ExpectationError) else ()
        outcome = _outcome(job, Counts(0, 0, 0), success=False, message=str(error))
        job.auditor.failed(outcome, lambda: _expect(job, checked), job.journal)
        raise EngineError(f"{job.table.raw}: {error}") from error


def record_others(job: LoadJob, *, recovered: bool) -> None:
    """Runs expectations on rows that are committed, and records them.

    Args:
        job: The job.
        recovered: The rows were committed by an earlier command. Those that block held then, or there would be no
            rows; they are run again with the others, since nobody has a result of theirs under this JOBID.
    """
    wanted = job.table.expectations if recovered else others(job.project, job.table.expectations)
    _expect(job, evaluate(job.session, job.project, wanted, job.target))
    job.auditor.committed()


def _read_and_write(job: LoadJob) -> Counts:
    """Reading stays outside of the transaction: it tries ways of parsing, and a refusal would end it."""
    incoming = read_incoming(job.session.con, job.project, job.table, job.entry.files)
    counts = Counts(incoming.input, incoming.accepted, incoming.rejected)
    try:
        if incoming.rejected and job.project.application.reject_all_on_error:
            raise _refusal(job, incoming, counts)
        in_transaction(job.session, lambda: _body(job, incoming, counts))
        job.auditor.committed()
        replay_rejects(job.session.con, job.project, job.table, incoming, job.journal)
    finally:
        insist(lambda: discard(job.session.con, incoming))
    return counts


def _refusal(job: LoadJob, incoming: Incoming, counts: Counts) -> RejectedError:
    """Records the refused rows of a file that is refused for them."""
    message = f"{counts.rejected} invalid records"

    def record() -> None:
        job.auditor.reject(incoming, job.table.domain_name, job.table.name)
        job.auditor.record(_outcome(job, counts, success=False, message=message))

    in_transaction(job.session, record)
    job.auditor.committed()
    return RejectedError(counts)


def _body(job: LoadJob, incoming: Incoming, counts: Counts) -> None:
    con = job.session.con
    if job.project.application.create_schema_if_not_exists:
        create_schema(con, job.target)
    existed = reconcile(con, job.target, _columns(job, incoming), job.journal)
    before = _count(job) if job.native else 0
    with default_schema(job.session, job.target):
        _script(job, job.table.presql)
        _write(job, incoming, existed=existed)
        _script(job, job.table.postsql)
    _grants(job)
    _expect(job, gate(job.session, job.project, job.table.expectations, job.target))
    _audit(job, incoming, counts, _count(job) - before if job.native else 0)
    job.entry.mark(job.session, counts)


def _columns(job: LoadJob, incoming: Incoming) -> Sequence[Column]:
    if job.strategy.type.upper() != "SCD2":
        return incoming.columns
    start, end = scd2_columns(job.strategy, job.project.application)
    return [*incoming.columns, Column(start, "TIMESTAMP"), Column(end, "TIMESTAMP")]


def _write(job: LoadJob, incoming: Incoming, *, existed: bool) -> None:
    start, end = scd2_columns(job.strategy, job.project.application)
    order = Write(
        con=job.session.con,
        target=job.target.name,
        incoming=incoming.relation,
        columns=[column.name for column in incoming.columns],
        strategy=job.strategy,
        partition=job.table.metadata.sink.partition,
        start=start,
        end=end,
        now=datetime.now(timezone.utc).replace(tzinfo=None),
    )
    if job.strategy.type.lower() in template_names(job.project):
        write_by_template(job.project, job.target, order, exists=existed)
    else:
        write(order)


def _script(job: LoadJob, statements: Sequence[str]) -> None:
    """`presql` or `postsql` of a table; `SL_THIS` in them is a view of it."""
    if not any("sl_this" in statement.lower() for statement in statements):
        return _run_all(job, statements)
    job.session.con.execute(f"CREATE OR REPLACE TEMP VIEW SL_THIS AS SELECT * FROM {job.target.name}")
    _run_all(job, statements)
    job.session.con.execute("DROP VIEW temp.SL_THIS")
    return None


def _run_all(job: LoadJob, statements: Sequence[str]) -> None:
    for statement in statements:
        run_script(job.session, render(statement, job.project.variables))


def _grants(job: LoadJob) -> None:
    if job.table.acl or job.table.rls:
        job.journal.warn("AccessPolicies", f"{job.target}: acl and rls are left out, DuckDB has no grants")


def _expect(job: LoadJob, checked: Sequence[Checked]) -> None:
    job.auditor.expect(job.table.final_domain, job.table.final_name, [item.row for item in checked])


def _audit(job: LoadJob, incoming: Incoming, counts: Counts, added: int) -> None:
    table = job.table
    if job.native:
        names = (table.final_name, table.final_domain, table.final_name)
        job.auditor.record(Outcome(*names, success=True, step="TRANSFORM", database=table.database))
        if not counts.rejected:
            counts = Counts(added, added, -1)
    if incoming.rejected or not job.native:
        job.auditor.reject(incoming, table.domain_name, table.name)
    # the engine takes counts of -1, -1, -1 for a job that is not to be recorded, though an overwrite may give them
    if counts != Counts(-1, -1, -1):
        job.auditor.record(_outcome(job, counts, success=True, message="success"))


def _outcome(job: LoadJob, counts: Counts, *, success: bool, message: str) -> Outcome:
    return Outcome(
        paths=uri(job.entry.files),
        domain=job.table.domain_name,
        schema=job.table.name,
        success=success,
        step="LOAD",
        count=counts.input,
        accepted=counts.accepted,
        rejected=counts.rejected,
        message=message,
        database=job.table.database,
    )


def _count(job: LoadJob) -> int:
    return int(job.session.con.execute(f"SELECT count(*) FROM {job.target.name}").fetchall()[0][0])
