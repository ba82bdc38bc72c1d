"""Writes the rows of a file (or of all files of a table) into its table, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone

import duckdb

from starlake_dagster_assets.commands.model import Line
from starlake_dagster_assets.commands.partitions import added_rows
from starlake_dagster_assets.engine.command_output import printable
from starlake_dagster_assets.engine.error_text import with_file_names
from starlake_dagster_assets.engine.reading.accepted_rows import AcceptedRows, Column
from starlake_dagster_assets.engine.reading.column_types import target_columns
from starlake_dagster_assets.engine.reading.privacy import shown_error
from starlake_dagster_assets.engine.reading.read import read_incoming
from starlake_dagster_assets.engine.reading.scratch import count, drop_temporary_tables
from starlake_dagster_assets.engine.reading.single_pass import StreamError, stream_incoming
from starlake_dagster_assets.engine.writing.audit import AuditRecord
from starlake_dagster_assets.engine.writing.expectations import (
    ExpectationCheck,
    ExpectationError,
    evaluate,
    recorded_expectations,
    run_blocking_expectations,
)
from starlake_dagster_assets.engine.writing.file_moves import RowCounts, format_file_uris
from starlake_dagster_assets.engine.writing.load_settings import LoadJob
from starlake_dagster_assets.engine.writing.partition_counts import count_by_partition
from starlake_dagster_assets.engine.writing.replay import replay_rejects
from starlake_dagster_assets.engine.writing.schema_sync import create_schema, reconcile
from starlake_dagster_assets.engine.writing.strategies import WriteRequest, reads_once, scd2_columns, write
from starlake_dagster_assets.engine.writing.templates import write_by_template
from starlake_dagster_assets.engine.writing.transaction import in_transaction, run_uninterrupted
from starlake_dagster_assets.engine.writing.user_statements import default_schema, run_script
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.files.rendering import render
from starlake_dagster_assets.project.resolve.strategy_templates import template_names

__all__ = ["RejectedError", "evaluate_recorded_expectations", "run_load"]


class _RejectedRows(Exception):
    """Signal that rows of a file were rejected while it was written, which rejects the file."""


class RejectedError(EngineError):
    """Error of a file whose rows are all rejected, or some of them and `application.rejectAllOnError` is set."""


def run_load(job: LoadJob) -> RowCounts:
    """Loads the files of a job.

    Returns:
        The rows read, accepted and rejected, committed.

    Raises:
        EngineError: The load failed; only a row of `audit.audit` about it remains, with the rejected rows or the
            expectations that are the reason. Or its rows are committed, and a later step failed.
    """
    try:
        return _read_and_write(job)
    except duckdb.InterruptException:
        raise
    except RejectedError:
        raise
    except Exception as error:
        shown = with_file_names(shown_error(error, job.table), job.entry.files)
        if job.entry.committed(job.session) is not None:
            state = "its rows are committed, and the next load archives the file, but"
            raise EngineError(f"{job.table.raw}: {state} {shown}") from error
        checked = error.checked if isinstance(error, ExpectationError) else ()
        outcome = _outcome(job, RowCounts(0, 0, 0), success=False, message=shown)
        job.auditor.failed(outcome, lambda: _expect(job, checked), job.journal)
        raise EngineError(shown if job.table.raw in shown else f"{job.table.raw}: {shown}") from error


def evaluate_recorded_expectations(job: LoadJob, *, recovered: bool) -> None:
    """Runs expectations on committed rows, and records the results.

    Args:
        job: The job.
        recovered: Whether an earlier command committed the rows. The blocking expectations held then, or there would
            be no rows; they are run again with the others, since they have no results under this JOBID.
    """
    wanted = job.table.expectations if recovered else recorded_expectations(job.project, job.table.expectations)
    _expect(job, evaluate(job.session, job.project, wanted, job.target))
    job.auditor.committed()


def _read_and_write(job: LoadJob) -> RowCounts:
    misread = False
    try:
        counts = _write_as_read(job) if _may_stream(job) else None
    except StreamError as error:
        # rows that violate a constraint of the table were read correctly
        counts, misread = None, not isinstance(error.__cause__, duckdb.ConstraintException)
    return counts or _write_after_reading(job, misread=misread)


def _may_stream(job: LoadJob) -> bool:
    """Whether the rows of a file can be written to the table while they are read."""
    own = job.strategy.type.lower() in template_names(job.project.root, "duckdb")
    return reads_once(job.strategy) and not own and not job.table.presql and len(job.entry.files) == 1


def _write_as_read(job: LoadJob) -> RowCounts | None:
    """Writes rows while they are read, in one pass.

    Returns:
        The counts of the rows; None if they have to be read before they are written, and nothing is written.

    Raises:
        StreamError: The file cannot be read this way; nothing is written.
    """
    con, lines = job.session.con, list[Line]()
    within = replace(job, journal=job.journal.within(lines.append))
    with stream_incoming(con, job.project, job.table, job.entry.files[0]) as stream:
        if stream is None:
            return None

        def put(existed: bool) -> AcceptedRows:
            before = _partitions(within, job.target.name, stream.columns)
            incoming = stream.written(lambda: _write(within, stream.relation, stream.columns, existed=existed))
            after = _partitions(within, job.target.name, stream.columns)
            if before is not None and after is not None:
                overwrites = job.strategy.type.upper() == "OVERWRITE"
                _record_partitions(within, dict(after) if overwrites else added_rows(after, before))
            if _rejects_file(job, incoming):
                raise _RejectedRows
            return incoming

        try:
            incoming = in_transaction(job.session, lambda: _body(within, put))
        except StreamError:
            lines.clear()
            raise
        except _RejectedRows:
            lines.clear()
            return None
        finally:
            for line in lines:
                job.journal.emit(line)
        return _finished(job, incoming)


def _write_after_reading(job: LoadJob, *, misread: bool) -> RowCounts:
    """Writes rows after reading them outside the transaction, which a failed attempt to parse would abort."""
    incoming = read_incoming(job.session.con, job.project, job.table, job.entry.files, misread=misread)

    def put(existed: bool) -> AcceptedRows:
        _write(job, incoming.relation, incoming.columns, existed=existed, inserted=inserted)
        return incoming

    def inserted(relation: str) -> None:
        counts = _partitions(job, relation, incoming.columns)
        if counts is not None:
            _record_partitions(job, counts)

    try:
        if _rejects_file(job, incoming):
            raise _reject_file(job, incoming)
        return _finished(job, in_transaction(job.session, lambda: _body(job, put)))
    finally:
        run_uninterrupted(lambda: drop_temporary_tables(job.session.con, incoming))


def _finished(job: LoadJob, incoming: AcceptedRows) -> RowCounts:
    """Completes a load after its commit."""
    job.auditor.committed()
    replay_rejects(job.session.con, job.project, job.table, incoming, job.journal)
    return _counts(incoming)


def _counts(incoming: AcceptedRows) -> RowCounts:
    return RowCounts(incoming.input, incoming.accepted, incoming.rejected)


def _rejects_file(job: LoadJob, incoming: AcceptedRows) -> bool:
    """Whether rejected rows reject the whole file; `may_reject_all` allows a file without accepted rows."""
    if not incoming.rejected:
        return False
    everything = not incoming.accepted and not job.may_reject_all
    return everything or job.project.application.reject_all_on_error


def _log_audit_limit(job: LoadJob, incoming: AcceptedRows) -> None:
    """Warns if all rows are rejected, or if `audit.rejected` contains only some of the rejected rows."""
    limit = job.project.application.audit.max_errors
    if incoming.rejected and not incoming.accepted:
        job.journal.warn("Audit", f"{job.table.raw}: all {incoming.rejected} rows are rejected")
    if incoming.rejected > limit:
        note = f"the first {limit} of {incoming.rejected} rejected rows are recorded in audit.rejected"
        job.journal.warn("Audit", f"{job.table.raw}: {note}; set audit.maxErrors to record more")


def _first_reason(job: LoadJob, incoming: AcceptedRows) -> str:
    """Returns the reason of the first rejected row, or refers to `audit.rejected` if `rejectWithValue` adds values."""
    if job.project.application.reject_with_value:
        return "; the reasons are in audit.rejected"
    found = job.session.con.execute(f"SELECT ERROR FROM {incoming.rejects} LIMIT 1").fetchall()
    first = str(found[0][0]).removeprefix("ERR -> ").strip().split("\n")[0] if found else ""
    return f"; the first one because {first}"


def _reject_file(job: LoadJob, incoming: AcceptedRows) -> RejectedError:
    """Records the rejected rows of a file that is rejected as a whole, and returns the error."""
    counts = _counts(incoming)
    job.entry.check_unchanged()
    _log_audit_limit(job, incoming)
    message = f"{counts.rejected} invalid records"
    names = ", ".join(printable(file.name) for file in job.entry.files)
    reason = f"Fail on rejected count requested: {message}"
    if not counts.accepted:
        reason = (
            f"{job.table.raw}: no row of {names} is accepted ({counts.rejected} rejected), so nothing "
            f"is written{_first_reason(job, incoming)}. Fix the file or the attributes, or set SL_ALL_REJECTED=warn"
        )

    def record() -> None:
        job.auditor.reject(incoming, job.table.domain_name, job.table.name)
        job.auditor.record(_outcome(job, counts, success=False, message=message))

    in_transaction(job.session, record)
    job.auditor.committed()
    return RejectedError(reason)


def _body(job: LoadJob, put: Callable[[bool], AcceptedRows]) -> AcceptedRows:
    """Runs all of one transaction; `put` writes the rows, given whether the table existed, and returns them."""
    con = job.session.con
    if job.project.application.create_schema_if_not_exists:
        create_schema(con, job.target)
    existed = reconcile(con, job.target, _columns(job), job.journal)
    before = _count(job) if job.native else 0
    with default_schema(job.session, job.target):
        _script(job, job.table.presql)
        incoming = put(existed)
        _script(job, job.table.postsql)
    _grants(job)
    _expect(job, run_blocking_expectations(job.session, job.project, job.table.expectations, job.target))
    _audit(job, incoming, _count(job) - before if job.native else 0)
    job.entry.mark(job.session, _counts(incoming), job.auditor.job)
    _log_audit_limit(job, incoming)
    job.entry.check_unchanged()
    return incoming


def _columns(job: LoadJob) -> Sequence[Column]:
    columns = target_columns(job.table, job.project)
    if job.strategy.type.upper() != "SCD2":
        return columns
    start, end = scd2_columns(job.strategy, job.project.application)
    return [*columns, Column(start, "TIMESTAMP"), Column(end, "TIMESTAMP")]


def _partitions(job: LoadJob, relation: str, columns: Sequence[Column]) -> Mapping[str | None, int] | None:
    """Counts the rows of a relation by the table's partition column; None if the table has none."""
    partition = job.table.metadata.sink.partition
    found = next((one for one in columns if partition and one.name.lower() == partition[0].lower()), None)
    return count_by_partition(job.session.con, relation, found.name, found.type) if found is not None else None


def _record_partitions(job: LoadJob, counts: Mapping[str | None, int]) -> None:
    job.auditor.record_partitions(job.table.domain_name, job.table.name, counts)


def _write(
    job: LoadJob,
    relation: str,
    columns: Sequence[Column],
    *,
    existed: bool,
    inserted: Callable[[str], None] | None = None,
) -> int:
    start, end = scd2_columns(job.strategy, job.project.application)
    order = WriteRequest(
        con=job.session.con,
        target=job.target.name,
        incoming=relation,
        columns=[column.name for column in columns],
        strategy=job.strategy,
        partition=job.table.metadata.sink.partition,
        start=start,
        end=end,
        now=datetime.now(timezone.utc).replace(tzinfo=None),
        inserted=inserted,
    )
    if job.strategy.type.lower() in template_names(job.project.root, "duckdb"):
        job.session.lease.discard = True
        write_by_template(job.project, job.target, order, exists=existed)
        return 0
    return write(order)


def _script(job: LoadJob, statements: Sequence[str]) -> None:
    """Runs `presql` or `postsql` of a table; `SL_THIS` in them is a view of it."""
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


def _expect(job: LoadJob, checked: Sequence[ExpectationCheck]) -> None:
    job.auditor.expect(job.table.final_domain, job.table.final_name, [item.row for item in checked])


def _audit(job: LoadJob, incoming: AcceptedRows, added: int) -> None:
    table, counts = job.table, _counts(incoming)
    if job.native:
        names = (table.final_name, table.final_domain, table.final_name)
        job.auditor.record(AuditRecord(*names, success=True, step="TRANSFORM", database=table.database))
        if not counts.rejected:
            counts = RowCounts(added, added, -1)
    if incoming.rejected or not job.native:
        job.auditor.reject(incoming, table.domain_name, table.name)
    # the engine takes counts of -1, -1, -1 for a job that is not to be recorded, though an overwrite may give them
    if counts != RowCounts(-1, -1, -1):
        job.auditor.record(_outcome(job, counts, success=True, message="success"))


def _outcome(job: LoadJob, counts: RowCounts, *, success: bool, message: str) -> AuditRecord:
    return AuditRecord(
        paths=format_file_uris(job.entry.files),
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
    return count(job.session.con, job.target.name)
