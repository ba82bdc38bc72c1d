"""The embedded engine as an execution environment: commands run in a thread of this process, on a DuckDB file."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

from starlake_dagster_assets.command.model import AuditRow, Command, ExpectationRow, Line, RunResult
from starlake_dagster_assets.errors import EngineError, RunnerError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from starlake_dagster_assets.engine.session import EngineOptions, Session
    from starlake_dagster_assets.project.model import Expectation, Project

__all__ = ["EmbeddedRunner", "EmbeddedWitness"]

_INTERRUPT_SECONDS = 0.2
_AUDIT_COLUMNS = {
    "audit": "JOBID, PATHS, DOMAIN, SCHEMA, SUCCESS, COUNT, COUNTACCEPTED, COUNTREJECTED, DURATION, MESSAGE, STEP",
    "expectations": "JOBID, DOMAIN, SCHEMA, NAME, PARAMS, SQL, COUNT, EXCEPTION, SUCCESS",
    "rejected": "DOMAIN, SCHEMA, ERROR",
}


@dataclass(frozen=True)
class EmbeddedRunner:
    """Runs commands with the embedded engine.

    Attributes:
        root: The project (`SL_ROOT`).
        env: `SL_ENV`.
        options: Variables of every command, below its own `--options`.
        database: DuckDB file for every connection; None = the one each connection names.
        transpile_from: sqlglot dialect the project's SQL is written in, such as `bigquery`: every connection is then
            played on a local DuckDB file.
        memory_limit: DuckDB's `memory_limit`, such as `2GB`.
        threads: DuckDB's `threads`.
        temp_directory: Where DuckDB spills.
        lock_timeout: Seconds to wait for another command on the same file; negative = for ever.
    """

    root: Path
    env: str | None = None
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    database: Path | None = None
    transpile_from: str | None = None
    memory_limit: str | None = None
    threads: int | None = None
    temp_directory: Path | None = None
    lock_timeout: float = -1

    def start(self, command: Command) -> EmbeddedHandle:
        """Starts a command in a thread.

        Raises:
            RunnerError: DuckDB is not installed.
        """
        try:
            import duckdb as _  # noqa: F401
        except ImportError as error:
            message = "the embedded engine needs DuckDB: pip install 'starlake-dagster-assets[duckdb]'"
            raise RunnerError(message) from error
        return EmbeddedHandle(command.argv, self.environ_of(command), self.engine_options(command.env))

    def witness(self) -> EmbeddedWitness:
        """The reader of the audit tables of the same file."""
        return EmbeddedWitness(self)

    def environ_of(self, command: Command | None) -> Mapping[str, str]:
        """The environment of a command, or of none."""
        environ = {**os.environ, "SL_ROOT": str(Path(self.root).absolute())}
        if self.env is not None:
            environ["SL_ENV"] = self.env
        if command is not None:
            environ |= dict(command.env)
            if command.job_id:
                environ["SL_JOB_ID"] = command.job_id
        return environ

    def engine_options(self, env: Mapping[str, str]) -> EngineOptions:
        """Settings of the engine for a command with that environment."""
        from starlake_dagster_assets.engine.commands.launcher import options_of

        chosen = options_of({**os.environ, **env})
        return replace(
            chosen,
            database=self.database or chosen.database,
            transpile_from=self.transpile_from,
            memory_limit=self.memory_limit,
            threads=self.threads,
            temp_directory=self.temp_directory,
            lock_timeout=self.lock_timeout,
            variables=dict(self.options),
        )


class EmbeddedHandle:
    """One command that was started; see `runners.protocol.RunHandle`."""

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str], options: EngineOptions) -> None:
        self._queue: SimpleQueue[Line | None] = SimpleQueue()
        self._cancelled = Event()
        self._connections: list[DuckDBPyConnection] = []
        self._lock = Lock()
        self._result: RunResult | None = None
        self._drained = False
        engine = replace(options, cancelled=self._cancelled, opened=self._opened)
        self._thread = Thread(target=self._run, args=(argv, environ, engine), name=f"starlake {argv[0]}", daemon=True)
        self._thread.start()

    def lines(self) -> Iterator[Line]:
        """Its lines as they come; ends when the command has ended or was cancelled."""
        while not self._drained:
            line = self._queue.get()
            if line is None:
                self._drained = True
                return
            yield line

    def wait(self) -> RunResult:
        """Blocks until the command has ended."""
        self._thread.join()
        return self._result or RunResult(None, 0.0, cancelled=self._cancelled.is_set())

    def cancel(self) -> None:
        """Interrupts what DuckDB does; the transaction is rolled back and the file goes back to stage."""
        if not self._thread.is_alive():
            return
        self._cancelled.set()
        while self._thread.is_alive():
            with self._lock:
                open_now = list(self._connections)
            for connection in open_now:
                connection.interrupt()
            self._thread.join(_INTERRUPT_SECONDS)

    def _opened(self, connection: DuckDBPyConnection) -> None:
        with self._lock:
            self._connections[:] = [connection]

    def _run(self, argv: Sequence[str], environ: Mapping[str, str], options: EngineOptions) -> None:
        from starlake_dagster_assets.engine.commands.launcher import execute

        started = time.monotonic()
        code: int | None = None
        try:
            code = execute(argv, environ, self._queue.put, options)
        except BaseException as error:
            self._queue.put(Line(f"ERROR Main: {type(error).__name__}: {error}"))
            code = 1
        finally:
            stopped = self._cancelled.is_set() and code != 0
            self._result = RunResult(None if stopped else code, time.monotonic() - started, cancelled=stopped)
            self._queue.put(None)


@dataclass(frozen=True)
class _Seen:
    """What was read of a table: schema, name and state of the files asked for; kind, columns, rows (not of a view)."""

    wanted: tuple[str, str, tuple[tuple[int, int], ...]] | None = None
    kind: str = ""
    columns: tuple[tuple[str, str], ...] = ()
    rows: int | None = None


class EmbeddedWitness:
    """Reads what commands left in the DuckDB files of a project; waits while a command holds one.

    The project is loaded once. What a command left is read in one go when its audit rows are asked for: a command has
    ended by then, and opening a file costs more than reading it.

    Args:
        runner: Says which project and files.
    """

    def __init__(self, runner: EmbeddedRunner) -> None:
        self._runner = runner
        self._job = ""
        self._seen = _Seen()
        self._left: Mapping[str, list[tuple[Any, ...]]] = {}

    def audit(self, job_id: str) -> Sequence[AuditRow]:
        """The rows of `audit.audit` with that JOBID, oldest first."""
        self._job, self._left = job_id, self._read(job_id)
        return [AuditRow(*row) for row in self._left["audit"]]

    def expectations(self, job_id: str) -> Sequence[ExpectationRow]:
        """The rows of `audit.expectations` with that JOBID, oldest first."""
        return [ExpectationRow(*row) for row in self._of(job_id)["expectations"]]

    def rejected(self, job_id: str, domain: str, table: str, limit: int) -> Sequence[str]:
        """At most `limit` texts (ERROR) of `audit.rejected` with that JOBID, DOMAIN and SCHEMA."""
        rows = self._of(job_id)["rejected"]
        return [str(row[2]) for row in rows if row[:2] == (domain, table)][:limit]

    def columns(self, schema: str, table: str) -> Sequence[tuple[str, str]]:
        """Name and DuckDB type of each column of a table or view; empty when it does not exist."""
        return list(self._look(schema, table).columns)

    def row_count(self, schema: str, table: str) -> int | None:
        """The number of rows of a table or view; None when it does not exist."""
        seen = self._look(schema, table)
        if seen.kind != "VIEW":
            return seen.rows
        from starlake_dagster_assets.engine.writing.schema_sync import Target, kind_of

        target = Target(schema, table)
        counts = (_count(con, target.name) for con in self._open() if kind_of(con, target) is not None)
        return next(counts, None)

    def _look(self, schema: str, table: str) -> _Seen:
        """Columns and rows together, kept while the files are as they were: opening one costs more than both."""
        from starlake_dagster_assets.engine.writing.schema_sync import Target, columns_of, kind_of

        wanted = (schema, table, self._stamp())
        if self._seen.wanted == wanted:
            return self._seen
        self._seen = _Seen(wanted)
        target = Target(schema, table)
        for con in self._open():
            if (kind := kind_of(con, target)) is not None:
                columns = tuple((column.name, column.type) for column in columns_of(con, target))
                rows = None if kind == "VIEW" else _count(con, target.name)
                self._seen = _Seen(wanted, kind, columns, rows)
                break
        return self._seen

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        """Changes whenever a command has written."""
        found = [path.stat() for path in self._files() if path.exists()]
        return tuple((stat.st_mtime_ns, stat.st_size) for stat in found)

    def last_load(self, domain: str, table: str) -> Sequence[AuditRow]:
        """The LOAD rows of `audit.audit` of the newest JOBID with that DOMAIN and SCHEMA; none when there was none."""
        from starlake_dagster_assets.engine.writing.schema_sync import Target, kind_of

        audit = Target(self._project.application.audit.domain, "audit")
        for connection in self._open():
            if kind_of(connection, audit) is None:
                continue
            mine = "STEP = 'LOAD' AND DOMAIN = $domain AND SCHEMA = $schema"
            newest = f"SELECT JOBID FROM {audit.name} WHERE {mine} ORDER BY rowid DESC LIMIT 1"
            whole = f"SELECT {_AUDIT_COLUMNS['audit']} FROM {audit.name} WHERE {mine} AND JOBID = ({newest})"
            rows = connection.execute(f"{whole} ORDER BY rowid", {"domain": domain, "schema": table}).fetchall()
            if rows:
                return [AuditRow(*row) for row in rows]
        return []

    def evaluate(self, schema: str, table: str, expectations: Sequence[Expectation]) -> Sequence[ExpectationRow] | None:
        """What becomes of expectations on a table as it is; None when it does not exist. The audit is left alone."""
        from starlake_dagster_assets.engine.writing.expectations import evaluate
        from starlake_dagster_assets.engine.writing.schema_sync import Target, kind_of

        target = Target(schema, table)
        for session in self._sessions():
            if kind_of(session.con, target) is not None:
                checked = evaluate(session, self._project, expectations, target)
                return [ExpectationRow("", schema, table, *item.row) for item in checked]
        return None

    def _of(self, job_id: str) -> Mapping[str, list[tuple[Any, ...]]]:
        if self._job != job_id:
            self._job, self._left = job_id, self._read(job_id)
        return self._left

    def _read(self, job_id: str) -> Mapping[str, list[tuple[Any, ...]]]:
        from starlake_dagster_assets.engine.writing.schema_sync import Target, kind_of

        found: dict[str, list[tuple[Any, ...]]] = {name: [] for name in _AUDIT_COLUMNS}
        for connection in self._open():
            for name, columns in _AUDIT_COLUMNS.items():
                table = Target(self._project.application.audit.domain, name)
                if kind_of(connection, table) is not None:
                    sql = f"SELECT {columns} FROM {table.name} WHERE JOBID = ? ORDER BY rowid"
                    found[name] += connection.execute(sql, [job_id]).fetchall()
        return found

    @cached_property
    def _project(self) -> Project:
        from starlake_dagster_assets.project.load import load_project

        runner = self._runner
        environ = runner.environ_of(None)
        return load_project(Path(runner.root), env=runner.env, options=runner.options, environ=environ)[0]

    def _open(self) -> Iterator[DuckDBPyConnection]:
        for session in self._sessions():
            yield session.con

    def _sessions(self) -> Iterator[Session]:
        """Each existing DuckDB file of the project."""
        from starlake_dagster_assets.engine.journal import Journal
        from starlake_dagster_assets.engine.session import open_session

        project, options = self._project, self._runner.engine_options({})
        journal = Journal(lambda line: None)
        for path, name in self._files().items():
            if path.exists():
                with open_session(project, name, journal, options, audited=False) as session:
                    yield session

    def _files(self) -> Mapping[Path, str]:
        """The DuckDB files of the project, which need not exist, with a connection that names each."""
        from starlake_dagster_assets.engine.session import database_path

        project, options = self._project, self._runner.engine_options({})
        names = {item.connection for item in project.tables} | {item.run_connection for item in project.tasks}
        names |= {project.application.audit.connection} & set(project.application.connections)
        paths: dict[Path, str] = {}
        for name in sorted(names):
            with suppress(EngineError):
                paths[database_path(project, name, options)] = name
        return paths


def _count(con: DuckDBPyConnection, name: str) -> int:
    return int(con.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0])
