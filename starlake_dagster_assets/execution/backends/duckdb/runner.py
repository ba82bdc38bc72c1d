"""The embedded engine as an execution environment: commands run in a thread of this process, on a DuckDB file."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING

from starlake_dagster_assets.commands.model import Command, CommandExit, CommandFailed, Event, Line
from starlake_dagster_assets.execution.backends.extras import require_extra
from starlake_dagster_assets.execution.backends.protocol import RunnerCapabilities
from starlake_dagster_assets.execution.warehouse.duckdb import DuckDBReader

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from starlake_dagster_assets.engine.open_databases import OpenDatabases
    from starlake_dagster_assets.engine.session import EngineOptions
    from starlake_dagster_assets.project.load import ProjectLoader
    from starlake_dagster_assets.project.model.project import Project

__all__ = ["EmbeddedRunner"]

_INTERRUPT_SECONDS = 0.2


@dataclass(frozen=True)
class EmbeddedRunner:
    """Runner of commands with the embedded engine.

    Attributes:
        root: The project (`SL_ROOT`).
        env: `SL_ENV`.
        options: Variables of every command; its own `--options` take precedence.
        database: DuckDB file for every connection; None = the file that each connection names.
        transpile_from: sqlglot dialect the project's SQL is written in, such as `bigquery`: every connection is then
            executed on a local DuckDB file.
        memory_limit: DuckDB's `memory_limit`, such as `2GB`.
        threads: DuckDB's `threads`.
        temp_directory: Directory to which DuckDB spills data.
        lock_timeout: Seconds to wait for another command on the same file; negative = no limit.
        timeout: Seconds that a command may take; None = no limit.
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
    timeout: float | None = None

    @property
    def capabilities(self) -> RunnerCapabilities:
        """Capabilities of the engine, which runs in this process."""
        return RunnerCapabilities(has_lossless_log=True, counts_partitions=True, replaces_partitions=True)

    def start(self, command: Command) -> EmbeddedHandle:
        """Starts a command in a thread.

        Raises:
            RunnerError: DuckDB is not installed.
        """
        require_extra("duckdb", "duckdb")
        return EmbeddedHandle(command.argv, self.environ_of(command), self.engine_options(command.env), self.timeout)

    def keep_open(self) -> None:
        """Keeps DuckDB files open, and locked, between the commands from now on; the project is read once."""
        self._databases.keep()
        self._loader.keep()

    def close(self) -> None:
        """Closes the DuckDB files."""
        self._databases.close()
        self._loader.close()

    def warehouse_reader(self) -> DuckDBReader:
        """Returns the reader of the audit tables, which all callers share; it keeps the rows of the last command."""
        return self._reader

    @cached_property
    def _databases(self) -> OpenDatabases:
        from starlake_dagster_assets.engine.open_databases import OpenDatabases

        return OpenDatabases()

    @cached_property
    def _loader(self) -> ProjectLoader:
        from starlake_dagster_assets.project.load import ProjectLoader

        return ProjectLoader(Path(self.root))

    @cached_property
    def _reader(self) -> DuckDBReader:
        return DuckDBReader(self._load, self.engine_options({}))

    def _load(self) -> Project:
        environ = self.environ_of(None)
        return self._loader.load(env=self.env, options=self.options, environ=environ)[0]

    def environ_of(self, command: Command | None) -> Mapping[str, str]:
        """Returns the environment variables of a command; without a command, those that all commands share."""
        environ = {**os.environ, "SL_ROOT": str(Path(self.root).absolute())}
        if self.env is not None:
            environ["SL_ENV"] = self.env
        if command is not None:
            environ |= dict(command.env)
            if command.job_id:
                environ["SL_JOB_ID"] = command.job_id
        return environ

    def engine_options(self, env: Mapping[str, str]) -> EngineOptions:
        """Returns the settings of the engine for a command with the given environment variables."""
        from starlake_dagster_assets.engine.commands.program import engine_options

        chosen = engine_options({**os.environ, **env})
        return replace(
            chosen,
            database=self.database or chosen.database,
            transpile_from=self.transpile_from,
            memory_limit=self.memory_limit,
            threads=self.threads,
            temp_directory=self.temp_directory,
            lock_timeout=self.lock_timeout,
            variables=dict(self.options),
            databases=self._databases,
            loader=self._loader,
        )


class EmbeddedHandle:
    """A command that was started; see `RunHandle`."""

    def __init__(
        self, argv: Sequence[str], environ: Mapping[str, str], options: EngineOptions, timeout: float | None = None
    ) -> None:
        self._queue: SimpleQueue[Line | Event | None] = SimpleQueue()
        self._cancelled = threading.Event()
        self._connections: list[DuckDBPyConnection] = []
        self._lock = Lock()
        self._result: CommandExit | None = None
        self._drained = self._late = False
        self._timeout = timeout
        engine = replace(options, cancelled=self._cancelled, opened=self._opened, report=self._queue.put)
        self._thread = Thread(target=self._run, args=(argv, environ, engine), name=f"starlake {argv[0]}", daemon=True)
        self._thread.start()
        if timeout is not None:
            Thread(target=self._watch, args=(timeout,), name=f"{self._thread.name} timeout", daemon=True).start()

    def lines(self) -> Iterator[Line]:
        """Yields the lines of the command as they arrive; ends when the command has ended or was cancelled."""
        yield from (item for item in self.outputs() if isinstance(item, Line))

    def outputs(self) -> Iterator[Line | Event]:
        """Yields the lines of the command and the events that the engine reports, as they arrive."""
        while not self._drained:
            item = self._queue.get()
            if item is None:
                self._drained = True
                return
            yield item

    def wait(self) -> CommandExit:
        """Waits until the command has ended, and returns its exit; drops unread lines."""
        self._thread.join()
        self._drained = True
        return self._result or CommandExit(None, 0.0, cancelled=self._cancelled.is_set())

    def cancel(self) -> None:
        """Interrupts DuckDB; the transaction is rolled back and the file returns to `stage`."""
        import duckdb

        if not self._thread.is_alive():
            return
        self._cancelled.set()
        while self._thread.is_alive():
            with self._lock:
                open_now = list(self._connections)
            for connection in open_now:
                with suppress(duckdb.ConnectionException):  # closed meanwhile
                    connection.interrupt()
            self._thread.join(_INTERRUPT_SECONDS)

    def _watch(self, timeout: float) -> None:
        self._thread.join(timeout)
        if self._thread.is_alive() and not self._cancelled.is_set():
            self._late = True
            self.cancel()

    def _opened(self, connection: DuckDBPyConnection) -> None:
        with self._lock:
            self._connections[:] = [connection]

    def _run(self, argv: Sequence[str], environ: Mapping[str, str], options: EngineOptions) -> None:
        from starlake_dagster_assets.engine.commands.program import execute_command

        started = time.monotonic()
        code: int | None = None
        try:
            code = execute_command(argv, environ, self._queue.put, options)
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
            self._queue.put(Line(f"ERROR Main: {text}"))
            self._queue.put(CommandFailed(text))
            code = 1
        finally:
            stopped = self._cancelled.is_set() and code != 0
            late = stopped and self._late
            if late:
                text = f"stopped: it took more than {self._timeout:g} seconds (timeout)."
                self._queue.put(Line(f"ERROR StarlakeDuckDB: {text}"))
                self._queue.put(CommandFailed(text))
            seconds = time.monotonic() - started
            self._result = CommandExit(None if stopped else code, seconds, cancelled=stopped and not late)
            self._queue.put(None)
