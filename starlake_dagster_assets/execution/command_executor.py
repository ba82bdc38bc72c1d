"""Runs one command at a time, passes its lines on, and reads its audit rows at the end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from starlake_dagster_assets.commands.model import (
    AuditRow,
    Command,
    CommandFailed,
    Event,
    ExpectationRow,
    FileLoaded,
    Line,
    TableFailed,
    TableLoaded,
    TableStarted,
)
from starlake_dagster_assets.commands.redaction import redact
from starlake_dagster_assets.errors import RunnerError, UnreachableError
from starlake_dagster_assets.execution.backends.protocol import (
    AdoptingRunner,
    CloseableRunner,
    FileReader,
    ReportingHandle,
    ReturnedFile,
    Runner,
    WarehouseLockingRunner,
    WarehouseSharingRunner,
    job_id_of,
)
from starlake_dagster_assets.execution.engine_events import ReportedEvents
from starlake_dagster_assets.execution.evidence import CommandEnd
from starlake_dagster_assets.execution.expectation_checks import CheckResult, NamedExpectation, evaluate_now
from starlake_dagster_assets.execution.failing_row_queries import MOST_SAMPLES
from starlake_dagster_assets.execution.outcome import RunSettings
from starlake_dagster_assets.execution.parse import OutputParser
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.project.model.project import Table

__all__ = ["CommandExecutor"]

_T = TypeVar("_T")


class CommandExecutor:
    """Executor of the commands of a run, one at a time, which collects their results.

    Args:
        runner: Runner of the commands.
        settings: Listener and secrets.
        audited: Whether commands write audit rows (`application.audit.active`).
    """

    def __init__(self, runner: Runner, settings: RunSettings, *, audited: bool = True) -> None:
        self._runner = runner
        self._audited = audited
        self._settings = settings
        self._secrets = settings.secrets | runner.capabilities.secrets
        self._reader = runner.warehouse_reader()
        self._expectation_rows: dict[str, Sequence[ExpectationRow]] = {}
        self._warned: set[str] = set()
        self.ending = CommandEnd((), None)
        """Facts about the last command."""
        self.job_id = ""
        """The job id of the last command: that of an earlier command if its execution was adopted."""
        self.adopted = False
        """Whether the last command was an execution that an earlier attempt had started."""

    @property
    def supports_concurrent_reads(self) -> bool:
        """Whether the warehouse can be read while a command writes to it."""
        return self._reader is not None and self._reader.supports_concurrent_reads

    @property
    def is_warehouse_locked(self) -> bool:
        """Whether the runner keeps the warehouse to itself until it is released."""
        return isinstance(self._runner, WarehouseLockingRunner) and self._runner.is_locking_warehouse

    @property
    def lossless(self) -> bool:
        """Whether no line of a log can be lost."""
        return self._runner.capabilities.has_lossless_log

    @property
    def files(self) -> FileReader | None:
        """Reader of the files of loads; None if the environment has none."""
        return self._runner.capabilities.files

    def release(self) -> None:
        """Releases the runner's locks on the warehouse."""
        if isinstance(self._runner, WarehouseLockingRunner):
            self._runner.release()

    def redact(self, text: str) -> str:
        """Returns the text without secrets."""
        return redact(text, self._secrets)

    def complete(self, command: Command) -> CommandEnd:
        """Runs a command to its end."""
        for _ in self.start(command):
            pass
        return self.ending

    def start(
        self,
        command: Command,
        expected: Iterable[tuple[str, str]] = (),
        repeated: Iterable[tuple[str, str]] = (),
    ) -> Generator[Event, None, None]:
        """Runs a command; yields its events as its lines arrive, and sets `ending`.

        A caller that stops early, or an interruption, cancels the command.
        """
        self.ending = CommandEnd((), None)
        if isinstance(self._runner, WarehouseSharingRunner):
            self._runner.keep_open()
        try:
            handle = self._runner.start(command)
        except UnreachableError:
            raise
        except RunnerError as error:
            self.ending = CommandEnd((CommandFailed(self.redact(str(error))),), None)
            return
        self.job_id = job_id = job_id_of(handle, command)
        self.adopted = job_id != command.job_id
        reported = ReportedEvents() if isinstance(handle, ReportingHandle) else None
        reading = _CommandLines(expected, repeated)
        secrets = self._secrets | command.secrets
        try:
            for item in handle.outputs() if isinstance(handle, ReportingHandle) else handle.lines():
                if isinstance(item, Line):
                    self._settings.on_line(_hidden(item, secrets))
                    yield from reading.take(item) if reported is None else ()
                elif reported is not None:
                    yield from reading.note(reported.take(item))
            result = handle.wait()
            self.job_id = job_id = job_id_of(handle, command)  # it may have changed hands
        except UnreachableError:  # what runs there goes on, and is taken over by a retry
            raise
        except BaseException:
            handle.cancel()
            raise
        parser = reading.parser if reported is None else reported
        yield from reading.note(parser.finish(result.exit_code))
        events = reading.events
        asked = command.name in ("load", "transform") and not self.is_warehouse_locked
        redacted = tuple(_without(event, secrets) for event in events)
        log = parser.log(lossless=self.lossless)
        rows, problem = self.audit(job_id) if asked else None, redact(getattr(handle, "log_problem", ""), secrets)
        self.ending = CommandEnd(redacted, result, log, rows, log_problem=problem)

    def unfinished(self, name: str) -> Sequence[Command]:
        """Returns the unfinished commands of a name from earlier attempts of the step."""
        runner = self._runner
        return [one for one in runner.unfinished() if one.name == name] if isinstance(runner, AdoptingRunner) else ()

    def close(self) -> None:
        """Closes the runner, and warns of resources that could not be released."""
        if isinstance(self._runner, CloseableRunner):
            try:
                self._runner.close()
            except RunnerError as error:
                self.warn(str(error))

    def audit(self, job_id: str) -> Sequence[AuditRow] | None:
        """Returns the audit rows of a command; None if they cannot be read, or are not written."""
        reader = self._reader
        return None if reader is None or not self._audited else self._read_optional(lambda: reader.audit(job_id))

    def last_load(self, table: Table) -> Sequence[AuditRow]:
        """Returns the LOAD rows of the newest load of a table; none if they cannot be read."""
        reader = self._reader
        if reader is None or not self._audited:
            return ()
        return self._read_optional(lambda: reader.last_load(table.domain_name, table.name)) or ()

    def expectations(self, job_id: str) -> Sequence[ExpectationRow] | None:
        """Returns the rows of `audit.expectations` of a command; None if they cannot be read.

        A command that has ended is queried once, not for each table.
        """
        reader = self._reader
        if reader is None:
            return None
        if job_id in self._expectation_rows:
            return self._expectation_rows[job_id]
        rows = self._read_optional(lambda: reader.expectations(job_id))
        if rows is not None and self.ending.result is not None:
            self._expectation_rows = {job_id: rows}
        return rows

    def evaluate_now(self, node: Node, named: Sequence[NamedExpectation]) -> tuple[CheckResult, ...] | None:
        """Evaluates expectations on the current state of a table; None if it does not exist or cannot be read."""
        reader = self._reader
        return None if reader is None else self._read_optional(lambda: evaluate_now(node, named, reader))

    def put_back(self, table: Table, names: Collection[str]) -> frozenset[str]:
        """Moves files that a load took without loading any row back to `stage`, for the next load.

        Returns:
            The names of those that were moved.
        """
        nothing: Mapping[str, ReturnedFile] = {}
        found = self.files.put_back(table, names) if names and self.files is not None else nothing
        for name, file in found.items():
            renamed = f" as {file.name}: a new file has its name" if file.name != name else ""
            moved = f"was not loaded: moved back to `stage`{renamed}"
            text = moved if file.name else f"stays in the area `ingesting`: {file.reason}"
            self._settings.on_line(Line(self.redact(f"WARN Starlake: {name} {text}")))
        return frozenset(name for name, file in found.items() if file.name)

    def rejection_messages(self, job_id: str, table: Table) -> tuple[str, ...]:
        """Returns some messages of rows that a load rejected."""
        reader = self._reader
        if reader is None:
            return ()
        found = self._read_optional(lambda: reader.rejected(job_id, table.domain_name, table.name, MOST_SAMPLES)) or ()
        return tuple(self.redact(text) for text in found)

    def _read_optional(self, question: Callable[[], _T]) -> _T | None:
        try:
            return question()
        except Exception as error:  # whatever a driver raises: a warehouse that does not answer fails no run
            self.warn(f"the warehouse cannot be read: {error}")
            return None

    def warn(self, text: str) -> None:
        """Writes a warning, once per run."""
        if text not in self._warned:
            self._warned.add(text)
            self._settings.on_line(Line(self.redact(f"WARN {text}")))


def _hidden(line: Line, secrets: frozenset[str]) -> Line:
    """Returns the line without secrets."""
    if not secrets:
        return line
    raw = line.raw
    if raw is not None:
        raw = redact(raw.decode("utf-8", "surrogateescape"), secrets).encode("utf-8", "surrogateescape")
    return Line(redact(line.text, secrets), line.stream, raw)


class _CommandLines:
    """Parser of the lines of a command; if a service repeats the command by itself, the last attempt decides.

    What an earlier attempt loaded counts: its files are archived, and later attempts do not mention them.

    Args:
        expected: Tables that may be announced.
        repeated: Those that may be announced more than once.
    """

    def __init__(self, expected: Iterable[tuple[str, str]], repeated: Iterable[tuple[str, str]]) -> None:
        self._names = (tuple(expected), tuple(repeated))
        self._attempt = 0
        self.parser = OutputParser(*self._names)
        self.events: list[Event] = []

    def note(self, events: Sequence[Event]) -> Sequence[Event]:
        """Adds events to the events of the command, and returns them."""
        self.events.extend(events)
        return events

    def take(self, line: Line) -> Sequence[Event]:
        """Parses a line, and returns the events that it completes; none for a late line of an earlier attempt."""
        landed: Sequence[Event] = ()
        if line.attempt < self._attempt:
            return ()
        if line.attempt > self._attempt:
            landed = self.note([event for event in self.parser.finish(1) if isinstance(event, TableLoaded)])
            self.events = _of_landed(self.events)
            self._attempt, self.parser = line.attempt, OutputParser(*self._names)
        return [*landed, *self.note(self.parser.feed(line.text))]  # unredacted: a password may name a table


def _of_landed(events: Sequence[Event]) -> list[Event]:
    """Returns the events of tables that were loaded."""
    found = {(event.domain, event.table) for event in events if isinstance(event, TableLoaded)}
    known = [event for event in events if isinstance(event, TableStarted | FileLoaded | TableLoaded)]
    return [event for event in known if (event.domain, event.table) in found]


def _without(event: Event, secrets: frozenset[str]) -> Event:
    """Returns the event without secrets in its error."""
    return (
        replace(event, error=redact(event.error, secrets)) if isinstance(event, (TableFailed, CommandFailed)) else event
    )
