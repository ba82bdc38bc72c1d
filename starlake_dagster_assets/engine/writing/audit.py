"""The audit tables, with the starlake program's own columns.

They are written in the caller's transaction, or, if they are in another file, right after it: a transaction of
DuckDB writes to one file only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone

import duckdb

from starlake_dagster_assets.engine.catalog import column_types
from starlake_dagster_assets.engine.command_output import CommandOutput
from starlake_dagster_assets.engine.quoting import SqlValue, literal, qualified, value
from starlake_dagster_assets.engine.reading.accepted_rows import AcceptedRows
from starlake_dagster_assets.engine.session import Session
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model.project import Project

__all__ = ["AuditRecord", "Auditor", "audit_job_id"]

_MESSAGE_LIMIT = 8000

_AUDIT = """CREATE TABLE IF NOT EXISTS {name} (
    JOBID VARCHAR NOT NULL, PATHS TEXT NOT NULL, DOMAIN VARCHAR NOT NULL, SCHEMA VARCHAR NOT NULL,
    SUCCESS BOOLEAN NOT NULL, COUNT BIGINT NOT NULL, COUNTACCEPTED BIGINT NOT NULL, COUNTREJECTED BIGINT NOT NULL,
    TIMESTAMP TIMESTAMP NOT NULL, DURATION LONG NOT NULL, MESSAGE VARCHAR NOT NULL, STEP VARCHAR NOT NULL,
    DATABASE VARCHAR, TENANT VARCHAR, SCHEDULED_DATE TIMESTAMP)"""

_REJECTED = """CREATE TABLE IF NOT EXISTS {name} (
    JOBID VARCHAR NOT NULL, TIMESTAMP TIMESTAMP NOT NULL, DOMAIN VARCHAR NOT NULL, SCHEMA VARCHAR NOT NULL,
    ERROR TEXT NOT NULL, PATH TEXT NOT NULL)"""

_EXPECTATIONS = """CREATE TABLE IF NOT EXISTS {name} (
    JOBID VARCHAR NOT NULL, DATABASE VARCHAR, DOMAIN VARCHAR NOT NULL, SCHEMA VARCHAR NOT NULL,
    TIMESTAMP TIMESTAMP NOT NULL, NAME VARCHAR NOT NULL, PARAMS VARCHAR NOT NULL, SQL VARCHAR NOT NULL,
    COUNT BIGINT NOT NULL, EXCEPTION VARCHAR NOT NULL, SUCCESS BOOLEAN NOT NULL)"""


_PARTITIONS = """CREATE TABLE IF NOT EXISTS {name} (
    JOBID VARCHAR NOT NULL, DOMAIN VARCHAR NOT NULL, SCHEMA VARCHAR NOT NULL, TIMESTAMP TIMESTAMP NOT NULL,
    PARTITION VARCHAR, COUNT BIGINT NOT NULL)"""


@dataclass(frozen=True)
class AuditRecord:
    """A row of `audit.audit`. Unknown counts are -1; names are those that Starlake writes.

    `database` is that of the table, "" for the application's.
    """

    paths: str
    domain: str
    schema: str
    success: bool
    step: str
    count: int = -1
    accepted: int = -1
    rejected: int = -1
    message: str = "success"
    database: str = ""


def audit_job_id(project: Project, environ: Mapping[str, str], default: str) -> str:
    """Returns the JOBID: `SL_JOB_ID`, else the variable named by `application.jobIdEnvName`, else a new one.

    Args:
        project: The project, for `jobIdEnvName`.
        environ: Environment variables of the command.
        default: Default id of the engine, without its time: the current milliseconds are added.
    """
    named = project.application.job_id_env_name
    return environ.get("SL_JOB_ID") or (environ.get(named) if named else None) or f"{default}-{int(time.time() * 1000)}"


class Auditor:
    """Writer of the audit rows of one job.

    Args:
        session: The connection of the job.
        project: The project, for `application.audit` and the labels.
        job: The JOBID.
        scheduled: `--scheduledDate`, a literal of DuckDB's TIMESTAMPTZ, or None for the start of the job.

    Raises:
        EngineError: `scheduled` is not such a literal.
    """

    def __init__(self, session: Session, project: Project, job: str, scheduled: str | None) -> None:
        self._session = session
        self._con = session.con
        self._project = project
        self._job = job
        self._scheduled = _scheduled(session, scheduled)
        self._clock = time.monotonic()
        self._start = datetime.now(timezone.utc).replace(tzinfo=None, microsecond=0)
        self._waiting: list[Callable[[], None]] = []

    def committed(self) -> None:
        """Writes the rows that could not be written within the caller's transaction; called after its commit."""
        waiting, self._waiting = self._waiting, []
        for write in waiting:
            write()

    def rolled_back(self) -> None:
        """Discards the records of the caller's transaction after a rollback."""
        self._waiting = []

    def failed(self, outcome: AuditRecord, reasons: Callable[[], None], journal: CommandOutput) -> None:
        """Adds the row of a failed job, after the rollback of its transaction.

        An audit that cannot be written is only logged, so that the user sees the failure itself.

        Args:
            outcome: The row.
            reasons: Adds the rows of `audit.expectations` of the job.
            journal: Receives the message.
        """
        self.rolled_back()
        try:
            reasons()
            self.record(replace(outcome, message=journal.redact(outcome.message)))
            self.committed()
        except duckdb.InterruptException:
            raise
        except duckdb.Error as error:
            journal.warn("Audit", f"the failure of {outcome.domain}.{outcome.schema} is not in the audit: {error}")

    def record(self, outcome: AuditRecord) -> None:
        """Adds a row to `audit.audit`, unless `application.audit.active` is false."""
        if self._project.application.audit.active:
            self._soon(lambda: self._record(outcome))

    def reject(self, incoming: AcceptedRows, domain: str, schema: str) -> None:
        """Adds at most `audit.maxErrors` rejected rows of a file to `audit.rejected`; creates the table in any case."""
        self._soon(lambda: self._reject(incoming, domain, schema))

    def expect(self, domain: str, schema: str, rows: Sequence[tuple[str, str, str, int, str, bool]]) -> None:
        """Adds rows (NAME, PARAMS, SQL, COUNT, EXCEPTION, SUCCESS) to `audit.expectations`."""
        if rows:
            self._soon(lambda: self._expect(domain, schema, rows))

    def record_partitions(self, domain: str, schema: str, counts: Mapping[str | None, int]) -> None:
        """Adds the rows of `audit.partitions`: the number of rows that a load wrote into each partition.

        The row of NULL is always added, with 0 if no row had NULL: it distinguishes a load without rows from one
        that was not counted. The starlake program has no such table.
        """
        if self._project.application.audit.active:
            self._soon(lambda: self._record_partitions(domain, schema, {None: 0, **counts}))

    def take_over_partitions(self, job: str, domain: str, schema: str) -> None:
        """Assigns the rows of `audit.partitions` of a command that did not finish to this job."""
        if job and self._exists("partitions"):
            mine = f"JOBID = {value(job)} AND DOMAIN = {value(domain)} AND SCHEMA = {value(schema)}"
            self._con.execute(f"UPDATE {self._name('partitions')} SET JOBID = {value(self._job)} WHERE {mine}")

    @property
    def job(self) -> str:
        """JOBID of the job."""
        return self._job

    def loaded_since(self, paths: str, moment: datetime) -> tuple[int, int, int] | None:
        """Returns the counts of the newest successful LOAD row of these paths.

        Args:
            paths: The files, as `PATHS` has them.
            moment: Earliest time of the row (UTC, naive, whole seconds).

        Returns:
            COUNT, COUNTACCEPTED, COUNTREJECTED; None if there is no such row.
        """
        if not self._exists("audit"):
            return None
        sql = (
            f"SELECT COUNT, COUNTACCEPTED, COUNTREJECTED FROM {self._name('audit')} "
            f"WHERE PATHS = {value(paths)} AND STEP = 'LOAD' AND SUCCESS AND TIMESTAMP >= {value(moment)} "
            "ORDER BY rowid DESC LIMIT 1"
        )
        found = self._con.execute(sql).fetchall()
        return (int(found[0][0]), int(found[0][1]), int(found[0][2])) if found else None

    def failures(self, paths: str, moment: datetime) -> int:
        """Returns how often a load of these paths has failed since a moment (UTC, naive) and its last success."""
        if not self._exists("audit"):
            return 0
        mine = f"FROM {self._name('audit')} WHERE PATHS = {value(paths)} AND STEP = 'LOAD'"
        after = f"rowid > coalesce((SELECT max(rowid) {mine} AND SUCCESS), -1)"
        sql = f"SELECT count(*) {mine} AND NOT SUCCESS AND TIMESTAMP >= {value(moment)} AND {after}"
        try:
            return int(self._con.execute(sql).fetchall()[0][0])
        except duckdb.BinderException:  # a table of another shape: writing to it raises the error
            return 0

    def _soon(self, write: Callable[[], None]) -> None:
        if self._session.audited_elsewhere:
            self._waiting.append(write)
        else:
            write()

    def _record(self, outcome: AuditRecord) -> None:
        application = self._project.application
        self._insert(
            self._ensure("audit", _AUDIT),
            [
                self._job,
                outcome.paths,
                outcome.domain,
                outcome.schema,
                outcome.success,
                outcome.count,
                outcome.accepted,
                outcome.rejected,
                self._start,
                int((time.monotonic() - self._clock) * 1000),
                _plain(outcome.message),
                outcome.step,
                outcome.database or application.database,
                application.tenant,
                self._scheduled or self._start,
            ],
        )

    def _reject(self, incoming: AcceptedRows, domain: str, schema: str) -> None:
        table = self._ensure("rejected", _REJECTED)
        if incoming.rejects is None:
            return
        limit = self._project.application.audit.max_errors
        head = ", ".join(map(value, (self._job, self._start, domain, schema)))
        self._con.execute(f"INSERT INTO {table} SELECT {head}, ERROR, PATH FROM {incoming.rejects} LIMIT {int(limit)}")

    def _expect(self, domain: str, schema: str, rows: Sequence[tuple[str, str, str, int, str, bool]]) -> None:
        table = self._ensure("expectations", _EXPECTATIONS)
        for row in rows:
            name, params, sql, count, exception, success = row
            head = [self._job, self._project.application.database, domain, schema, self._start]
            self._insert(table, [*head, name, params, sql, count, _plain(exception), success])

    def _record_partitions(self, domain: str, schema: str, counts: Mapping[str | None, int]) -> None:
        table = self._ensure("partitions", _PARTITIONS)
        rows = [(self._job, domain, schema, self._start, name, count) for name, count in counts.items()]
        self._con.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?)", rows)

    def _name(self, table: str) -> str:
        return qualified(self._session.audit, self._project.application.audit.domain, table)

    def _exists(self, table: str) -> bool:
        return column_types(self._con, self._name(table)) is not None

    def _ensure(self, table: str, ddl: str) -> str:
        name = self._name(table)
        if not self._exists(table):
            domain = self._project.application.audit.domain
            self._con.execute(f"CREATE SCHEMA IF NOT EXISTS {qualified(self._session.audit, domain)}")
            self._con.execute(ddl.format(name=name))
        return name

    def _insert(self, table: str, values: Sequence[SqlValue]) -> None:
        self._con.execute(f"INSERT INTO {table} VALUES ({', '.join(map(value, values))})")


def _plain(message: str) -> str:
    """Returns a message on one line, truncated; quotes are not replaced, unlike in Starlake."""
    return message.replace("\n", " ")[:_MESSAGE_LIMIT]


def _scheduled(session: Session, text: str | None) -> datetime | None:
    """Returns `--scheduledDate` in UTC, from any offset; quotes are removed, as in the starlake program."""
    if text is None:
        return None
    try:
        moment = literal(text.replace("'", "").replace("T", " "))
        sql = f"SELECT CAST(CAST({moment} AS TIMESTAMPTZ) AS TIMESTAMP)"  # the session is in UTC
        return session.con.execute(sql).fetchall()[0][0]
    except duckdb.ConversionException as error:
        raise EngineError(f"--scheduledDate {text!r} is not a date, as in 2024-03-01T10:00:00") from error
