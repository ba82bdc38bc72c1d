"""The audit tables (format reference 4.5), with the real engine's own columns, written in the caller's transaction."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import duckdb

from starlake_dagster_assets.engine.incoming import Incoming
from starlake_dagster_assets.engine.quoting import identifier, literal, qualified
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model import Project

__all__ = ["Auditor", "Outcome", "job_id"]

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


@dataclass(frozen=True)
class Outcome:
    """What a row of `audit.audit` says. Counts are -1 where they are not known; names as the engine writes them."""

    paths: str
    domain: str
    schema: str
    success: bool
    step: str
    count: int = -1
    accepted: int = -1
    rejected: int = -1
    message: str = "success"


def job_id(project: Project, environ: Mapping[str, str], default: str) -> str:
    """JOBID: `SL_JOB_ID`, else the variable named by `application.jobIdEnvName`, else a text of its own.

    Args:
        project: For `jobIdEnvName`.
        environ: Environment variables of the command.
        default: What the engine makes up, without its time: the milliseconds of now are added.
    """
    named = project.application.job_id_env_name
    return environ.get("SL_JOB_ID") or (environ.get(named) if named else None) or f"{default}-{int(time.time() * 1000)}"


class Auditor:
    """Writes the rows of one job. Everything goes through the caller's transaction.

    Args:
        con: The connection of the audit tables.
        project: For `application.audit` and the labels.
        job: The JOBID.
        scheduled: `--scheduledDate`, a literal of DuckDB's TIMESTAMP, or None for the start of the job.

    Raises:
        EngineError: `scheduled` is no such literal.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, project: Project, job: str, scheduled: str | None) -> None:
        self._con = con
        self._project = project
        self._job = job
        self._scheduled = _scheduled(con, scheduled)
        self._clock = time.monotonic()
        self._start = datetime.now(timezone.utc).replace(tzinfo=None, microsecond=0)

    @property
    def active(self) -> bool:
        """`application.audit.active`."""
        return self._project.application.audit.active

    def record(self, outcome: Outcome) -> None:
        """Adds a row to `audit.audit`."""
        if not self.active:
            return
        table = self._ensure("audit", _AUDIT)
        application = self._project.application
        self._insert(
            table,
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
                application.database,
                application.tenant,
                self._scheduled or self._start,
            ],
        )

    def reject(self, incoming: Incoming, domain: str, schema: str) -> None:
        """Adds the refused rows of a file to `audit.rejected`, at most `audit.maxErrors`; creates it in any case."""
        if not self.active:
            return
        table = self._ensure("rejected", _REJECTED)
        if incoming.rejects is None:
            return
        limit = self._project.application.audit.max_errors
        self._con.execute(
            f"INSERT INTO {table} SELECT ?, ?, ?, ?, ERROR, PATH FROM {incoming.rejects} LIMIT {int(limit)}",
            [self._job, self._start, domain, schema],
        )

    def expect(self, domain: str, schema: str, rows: Sequence[tuple[str, str, str, int, str, bool]]) -> None:
        """Adds rows (NAME, PARAMS, SQL, COUNT, EXCEPTION, SUCCESS) to `audit.expectations`."""
        if not self.active or not rows:
            return
        table = self._ensure("expectations", _EXPECTATIONS)
        for row in rows:
            name, params, sql, count, exception, success = row
            head = [self._job, self._project.application.database, domain, schema, self._start]
            self._insert(table, [*head, name, params, sql, count, _plain(exception), success])

    def commits(self, paths: str, transformed: tuple[str, str] | None) -> int:
        """How many successful loads of some files the audit knows of: tells whether an interrupted one was committed.

        Args:
            paths: The files, as `PATHS` has them.
            transformed: Schema and table of the extra TRANSFORM row of a native load, whose LOAD row may be absent.
        """
        if not self._exists("audit"):
            return 0
        schema, table = transformed or ("", "")
        sql = (
            f"SELECT count(*) FROM {self._name('audit')} WHERE SUCCESS AND ((PATHS = ? AND STEP = 'LOAD') "
            "OR (STEP = 'TRANSFORM' AND DOMAIN = ? AND SCHEMA = ? AND PATHS = SCHEMA))"
        )
        return int(self._con.execute(sql, [paths, schema, table]).fetchall()[0][0])

    def loaded_since(self, paths: str, moment: datetime) -> bool:
        """Whether a successful LOAD row of these paths began at or after a moment (UTC, naive, whole seconds)."""
        if not self._exists("audit"):
            return False
        sql = (
            f"SELECT count(*) FROM {self._name('audit')} "
            "WHERE PATHS = ? AND STEP = 'LOAD' AND SUCCESS AND TIMESTAMP >= ?"
        )
        return int(self._con.execute(sql, [paths, moment]).fetchall()[0][0]) > 0

    def _name(self, table: str) -> str:
        return qualified(self._project.application.audit.domain, table)

    def _exists(self, table: str) -> bool:
        sql = (
            "SELECT 1 FROM information_schema.tables WHERE table_catalog = current_database() "
            f"AND lower(table_schema) = lower({literal(self._project.application.audit.domain)}) "
            f"AND lower(table_name) = {literal(table)}"
        )
        return bool(self._con.execute(sql).fetchall())

    def _ensure(self, table: str, ddl: str) -> str:
        name = self._name(table)
        if not self._exists(table):
            self._con.execute(f"CREATE SCHEMA IF NOT EXISTS {identifier(self._project.application.audit.domain)}")
            self._con.execute(ddl.format(name=name))
        return name

    def _insert(self, table: str, values: Sequence[object]) -> None:
        self._con.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", list(values))


def _plain(message: str) -> str:
    """A message as the engine stores it: one line, no quotes or braces, cut."""
    table = str.maketrans({"'": "-", "{": "(", "}": ")", "\n": " "})
    return message.translate(table)[:_MESSAGE_LIMIT]


def _scheduled(con: duckdb.DuckDBPyConnection, text: str | None) -> datetime | None:
    """`--scheduledDate` as the engine reads it: `T` becomes a space, quotes go."""
    if text is None:
        return None
    try:
        sql = "SELECT CAST(? AS TIMESTAMP)"
        return con.execute(sql, [text.replace("'", "").replace("T", " ")]).fetchall()[0][0]
    except duckdb.ConversionException as error:
        raise EngineError(f"--scheduledDate {text!r} is no date, as in 2024-03-01T10:00:00") from error
