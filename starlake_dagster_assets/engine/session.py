"""A DuckDB connection for a Starlake connection, held by one command at a time."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Generator, Mapping, Set
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import duckdb
from filelock import FileLock, Timeout

from starlake_dagster_assets.commands.model import Event
from starlake_dagster_assets.engine.command_output import CommandOutput
from starlake_dagster_assets.engine.open_databases import Database, Lease, OpenDatabases
from starlake_dagster_assets.engine.quoting import identifier, literal
from starlake_dagster_assets.errors import EngineError, closest_match
from starlake_dagster_assets.project.load import ProjectLoader
from starlake_dagster_assets.project.model.project import Connection, Project

__all__ = ["EngineOptions", "Session", "database_path", "exclusive", "open_session"]

_POLL_SECONDS = 0.1
_NAME_BYTES = 255
_LOCK_MODE = 0o666
"""Mode of lock files: every user that can write the data can lock it."""
_DUCKDB_LOCKED = "Could not set lock on file"
_AUDIT = "sl_audit"
_FILE = "sl_database"
_T = TypeVar("_T")


def _unheard(event: Event) -> None:
    """Ignores an event of a command whose caller reads its lines."""


@dataclass(frozen=True)
class EngineOptions:
    """Options of the embedded engine that the project does not declare.

    Attributes:
        database: DuckDB file used for every connection (`SL_DUCKDB_PATH`); None = the one of each connection, or
            `<datasets>/duckdb.db` for a connection that is not DuckDB.
        duckdb_mode: Whether a local file replaces other warehouses (`SL_DUCKDB_MODE`), with SQL in their dialect.
        transpile_from: sqlglot dialect the project's SQL is written in; implies `duckdb_mode`.
        memory_limit: DuckDB's `memory_limit`, such as `2GB`; None = DuckDB's default.
        threads: DuckDB's `threads`; None = DuckDB's default.
        temp_directory: Directory to which DuckDB spills; None = next to the database, as DuckDB does.
        lock_timeout: Seconds to wait for another command on the same file; negative = forever.
        variables: Variables of the project; those of `--options` take precedence.
        read_only: Whether files are only read.
        cancelled: Event that stops the command at the next safe point.
        may_reject_all: Whether a file with only rejected rows is a warning (`SL_ALL_REJECTED=warn`), not a failure.
        quarantine_after: Failures after which a file is moved to `quarantine` (`SL_QUARANTINE_AFTER`); 0 = never.
        report: Called with each event of a command, for a caller that does not read its lines.
        opened: Called with each DuckDB connection that is opened, so that a caller can interrupt it.
        databases: Files that stay open between commands; None = each command opens and closes them.
        loader: Loads the project; None = each command reads its files.
    """

    database: Path | None = None
    duckdb_mode: bool = False
    transpile_from: str | None = None
    memory_limit: str | None = None
    threads: int | None = None
    temp_directory: Path | None = None
    lock_timeout: float = -1
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    read_only: bool = False
    cancelled: threading.Event = field(default_factory=threading.Event)
    may_reject_all: bool = False
    quarantine_after: int = 5
    report: Callable[[Event], None] = _unheard
    opened: Callable[[duckdb.DuckDBPyConnection], None] | None = None
    databases: OpenDatabases | None = None
    loader: ProjectLoader | None = None


@dataclass(frozen=True)
class Session:
    """An open DuckDB connection for a Starlake connection.

    Attributes:
        con: The DuckDB connection, in UTC, with the Starlake connection's preActions run.
        connection: The Starlake connection it stands for.
        path: The DuckDB file.
        dialect: The sqlglot dialect the user's SQL is written in; `duckdb` means that it is run unchanged.
        home: Catalog and schema in force at the start.
        audit: Catalog of the audit tables.
        lease: Use of the file; it ends with the session.
    """

    con: duckdb.DuckDBPyConnection
    connection: Connection
    path: Path
    dialect: str
    home: tuple[str, str]
    audit: str
    lease: Lease

    @property
    def audited_elsewhere(self) -> bool:
        """Whether the audit tables are in another file (`audit.sink.connectionRef`), hence in other transactions."""
        return self.audit != self.home[0]


def database_path(project: Project, name: str, options: EngineOptions) -> Path:
    """Returns the DuckDB file of a Starlake connection.

    Args:
        project: The project, for `application.connections` and the data root.
        name: Name of the connection.
        options: Settings of the engine.

    Returns:
        An absolute path; the file need not exist.

    Raises:
        EngineError: The connection is unknown, in memory, on DuckLake, or not DuckDB while no dialect was given.
    """
    connection = _connection(project, name)
    if options.database is not None:
        return options.database.absolute()
    pre_actions = connection.options.get("preActions", "")
    if "ducklake:" in pre_actions.lower() or "ducklake:" in connection.options.get("url", "").lower():
        raise EngineError(
            f"connection {name!r} is DuckLake, which the embedded engine does not write; "
            "use a connection whose url is jdbc:duckdb:<path>, or run the starlake program"
        )
    if connection.engine != "duckdb" or not connection.options.get("url", "").lower().startswith("jdbc:duckdb:"):
        return _substitute_path(project, connection, options)
    text = connection.options["url"][len("jdbc:duckdb:") :].split(";")[0].split("?")[0]
    if text in {"", ":memory:"} or text.startswith(":memory:"):
        raise EngineError(
            f"connection {name!r} is in memory ({connection.options['url']}): its tables would vanish between two "
            "commands; give it a file, as in jdbc:duckdb:{{SL_ROOT}}/datasets/duckdb.db"
        )
    if text.startswith("md:"):
        raise EngineError(f"connection {name!r} is MotherDuck, which the embedded engine does not open")
    return _absolute(project, text.removeprefix("//") if text.startswith("///") else text)


@contextmanager
def exclusive(subject: Path, journal: CommandOutput, options: EngineOptions) -> Generator[None]:
    """Locks a file or directory against other processes and threads within the block; reports if it has to wait.

    The lock file is hidden, next to what it locks: all users, containers and caches that share the data see it.

    Raises:
        EngineError: The lock was not free within `options.lock_timeout`, the command was cancelled meanwhile, or the
            lock file cannot be created.
    """
    try:
        path = _lock_file(subject)
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(str(path), mode=_LOCK_MODE)
        _acquire(lock, subject, journal, options)
    except OSError as error:
        if not options.read_only:
            raise EngineError(f"cannot lock {subject}: {error}; make its directory writable") from error
        yield  # DuckDB's own lock is enough for a command that only reads
        return
    try:
        yield
    finally:
        lock.release()


def _lock_file(subject: Path) -> Path:
    path = subject.resolve()
    name = f".{path.name}.lock"
    if len(os.fsencode(name)) > _NAME_BYTES:
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32]}.lock"
    return path.with_name(name)


@contextmanager
def open_session(
    project: Project, name: str, journal: CommandOutput, options: EngineOptions, *, audited: bool = True
) -> Generator[Session]:
    """Opens and locks the DuckDB file of a connection within the block; other commands wait.

    Args:
        project: The project.
        name: Name of the Starlake connection.
        journal: Receives a message if the command has to wait.
        options: Settings of the engine.
        audited: Whether the file of the audit tables is opened too, if it is another file.

    Raises:
        EngineError: See `database_path` and `exclusive`; or the file cannot be opened.
    """
    path = database_path(project, name, options)
    connection = _connection(project, name)
    with ExitStack() as stack:
        lease = stack.enter_context(_lease(path, project, journal, options))
        con = lease.con
        if options.opened is not None:
            options.opened(con)
        con.execute("SET TimeZone = 'UTC'")
        con.execute("SET enable_progress_bar = false")  # it would be printed among the results on stdout
        if connection.engine == "duckdb":
            _pre_actions(lease, connection)
        catalog, schema = con.execute("SELECT current_database(), current_schema()").fetchall()[0]
        audit = _attach_audit(lease, project, path, stack, journal, options) if audited else ""
        dialect = options.transpile_from or connection.dialect
        yield Session(con, connection, path, dialect, (str(catalog), str(schema)), audit or str(catalog), lease)


def _lease(
    path: Path, project: Project, journal: CommandOutput, options: EngineOptions
) -> AbstractContextManager[Lease]:
    """Returns a use of a file, which is opened unless it is open already."""
    started = time.monotonic()

    def opening(stack: ExitStack) -> Database:
        stack.enter_context(exclusive(path, journal, options))
        database = _connect(path, _schemas(project), journal, options)
        stack.enter_context(closing(database.con))
        _configure(database.con, options)
        return database

    databases = options.databases or OpenDatabases()
    return databases.use(path, opening, lambda: _check_wait(path, started, options))


def _connection(project: Project, name: str) -> Connection:
    connection = project.connection(name)
    if connection is not None:
        return connection
    known = project.application.connections
    guess = closest_match(name, known)
    hint = f"; did you mean {guess!r}?" if guess else f"; known: {', '.join(sorted(known)) or 'none'}"
    what = f"unknown connection {name!r}" if name else "no connection: set application.connectionRef"
    raise EngineError(what + hint)


def _attach_audit(
    lease: Lease, project: Project, path: Path, stack: ExitStack, journal: CommandOutput, options: EngineOptions
) -> str:
    """Attaches the file of `audit.sink.connectionRef` if it is another file; returns its catalog, or ""."""
    name = project.application.audit.connection
    if not name:
        return ""
    try:
        audit = database_path(project, name, options)
    except EngineError as error:
        journal.warn("Session", f"the audit rows go to {path}: audit.sink.connectionRef: {error}")
        return ""
    if audit.resolve() == path.resolve():
        return ""
    con, lease.discard = lease.con, True
    _close_idle(options)
    stack.enter_context(exclusive(audit, journal, options))
    attached = {str(row[0]) for row in con.execute("SELECT lower(database_name) FROM duckdb_databases()").fetchall()}
    catalog = _free(_AUDIT, attached | _schemas(project))

    def attach() -> None:
        con.execute(f"ATTACH {literal(str(audit))} AS {identifier(catalog)}")

    _patiently(attach, audit, journal, options)
    return catalog


def _substitute_path(project: Project, connection: Connection, options: EngineOptions) -> Path:
    """Returns the local file that replaces a warehouse; raises an error if the user did not configure this."""
    if options.transpile_from is None and not options.duckdb_mode:
        raise EngineError(
            f"connection {connection.name!r} is {connection.engine}: the embedded engine only writes DuckDB. "
            f"Choose an environment (--env) whose connection is DuckDB, or run the project's SQL locally with "
            f"transpile_from={connection.dialect!r} (or SL_DUCKDB_MODE=true)"
        )
    return _absolute(project, f"{project.application.datasets}/duckdb.db")


def _absolute(project: Project, text: str) -> Path:
    path = Path(text)
    return path if path.is_absolute() else Path(project.root) / path


def _acquire(lock: FileLock, subject: Path, journal: CommandOutput, options: EngineOptions) -> None:
    started, announced = time.monotonic(), False
    while True:
        with suppress(Timeout):
            cast("Any", lock).acquire(timeout=_POLL_SECONDS if announced else 0)
            return
        if not announced:
            _close_idle(options)  # the process with the lock may need a file of this step
            journal.info("Session", f"waiting for {subject}: another command is using it")
            announced = True
        _check_wait(subject, started, options)


def _close_idle(options: EngineOptions) -> None:
    if options.databases is not None:
        options.databases.close_idle()


def _check_wait(subject: Path, started: float, options: EngineOptions) -> None:
    if options.cancelled.is_set():
        raise EngineError(f"cancelled while waiting for {subject}")
    if 0 <= options.lock_timeout < time.monotonic() - started:
        raise EngineError(f"{subject} is still used by another command after {options.lock_timeout:g} s")


def _connect(path: Path, schemas: Set[str], journal: CommandOutput, options: EngineOptions) -> Database:
    """Opens the file, under another catalog name if its stem, DuckDB's default, is also the name of a schema.

    `d.t` would be ambiguous in `d.db` with a schema `d`. The file itself does not contain that other name.
    """
    con = _patiently(lambda: duckdb.connect(str(path), read_only=options.read_only), path, journal, options)
    stem = str(con.execute("SELECT current_database()").fetchall()[0][0]).lower()
    if stem not in schemas:
        return Database(con)
    con.close()
    name = _free(_FILE, schemas)

    def attach() -> duckdb.DuckDBPyConnection:
        memory = duckdb.connect(":memory:", config={"temp_directory": f"{path}.tmp"})
        try:
            mode = " (READ_ONLY)" if options.read_only else ""
            memory.execute(f"ATTACH {literal(str(path))} AS {identifier(name)}{mode}")
            memory.execute(f"USE {identifier(name)}; DETACH memory")
        except BaseException:
            memory.close()
            raise
        return memory

    return Database(_patiently(attach, path, journal, options), name)


def _schemas(project: Project) -> Set[str]:
    """Returns the names of the schemas of the project, in lower case."""
    tables = {table.final_domain for table in project.tables} | {table.domain for table in project.externals}
    tasks = {task.domain for task in project.tasks}
    return {name.lower() for name in tables | tasks | {project.application.audit.domain}}


def _free(name: str, taken: Set[str]) -> str:
    """Returns the name, with a number if the name is already used."""
    return next(text for text in (name, *(f"{name}_{number}" for number in range(len(taken)))) if text not in taken)


def _patiently(action: Callable[[], _T], path: Path, journal: CommandOutput, options: EngineOptions) -> _T:
    """Opens a file; waits while a process that ignores the lock file has it open."""
    path.parent.mkdir(parents=True, exist_ok=True)
    started, announced = time.monotonic(), False
    while True:
        try:
            return action()
        except duckdb.Error as error:
            if _DUCKDB_LOCKED not in str(error):
                raise EngineError(f"cannot open {path}: {error}") from error
        if not announced:
            _close_idle(options)
            journal.info("Session", f"waiting for {path}: another program has it open")
            announced = True
        _check_wait(path, started, options)
        options.cancelled.wait(_POLL_SECONDS)


def _configure(con: duckdb.DuckDBPyConnection, options: EngineOptions) -> None:
    settings: dict[str, str | None] = {
        "memory_limit": options.memory_limit,
        "threads": None if options.threads is None else str(options.threads),
        "temp_directory": None if options.temp_directory is None else str(options.temp_directory),
    }
    for key, value in settings.items():
        if value is not None:
            con.execute(f"SET {key} = {value if key == 'threads' else literal(value)}")


def _pre_actions(lease: Lease, connection: Connection) -> None:
    for statement in connection.options.get("preActions", "").split(";"):
        if statement.strip():
            lease.discard = True
            try:
                lease.con.execute(statement)
            except duckdb.Error as error:
                raise EngineError(
                    f"preActions of connection {connection.name!r}: {statement.strip()}: {error}"
                ) from error
