"""Parses the lines of a Starlake process into events: a state machine without clock, files or processes.

The markers are those that Starlake 1.6 prints; an unknown log format gives no table events, so that the audit decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from starlake_dagster_assets.commands.model import (
    CommandFailed,
    CommandSucceeded,
    Event,
    FileLoaded,
    TableFailed,
    TableLoaded,
    TableStarted,
)
from starlake_dagster_assets.execution.errors_in_log import LINE_LIMIT, ErrorLines
from starlake_dagster_assets.execution.evidence import LogProperties
from starlake_dagster_assets.execution.table_progress import FileState, TableState

__all__ = ["OutputParser", "parse"]

_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-Z\\-_]")
_LOGGER = r"(?:INFO|WARN)\b[^\n]{0,160}?[:\-\]]\s+"
_STARTED = re.compile(_LOGGER + r"Ingest resolved file ?: (?P<files>.*) as table (?P<table>\S.*)$")
_SUMMARY = re.compile(
    _LOGGER + r"ingestion-summary -> files: \[(?P<files>.*)\], domain: (?P<domain>.*?), schema: (?P<schema>.*?), "
    r"input: ?(?P<input>-?\d+), accepted: ?(?P<accepted>-?\d+), rejected: ?(?P<rejected>-?\d+)\s*$"
)
_MOVED = re.compile(_LOGGER + r"(?:Backing up|Deleting) file (?P<source>\S.*?)(?: to (?:[A-Za-z][\w+.-]*:/|/).*)?$")
_WORKFLOW_ERROR = re.compile(r"ERROR\s+IngestionWorkflow: (?P<text>.*)$")
_BROKEN = "Error during ingestion"
_ALL_DONE = re.compile(r"(?:IngestionWorkflow: (?:All tables loaded successfully|Some tables failed to be loaded))")
_SUCCESS = re.compile(r"INFO\b[^\n]{0,160}?Main: (?:Preload )?Successfully(?: |$)")
_FAILURE = re.compile(r"^Starlake failed to execute command")
_FOUND = re.compile(_LOGGER + r"(?:Found (?P<files>FileInfo\(.*\))|No Files Found\.)\s*$")
_FILE_INFO = re.compile(r"FileInfo\((?P<path>.*?),(?P<size>\d+),\d{4}-\d\d-\d\dT[^,)]*\)")
_PATHS = re.compile(r",\s*(?=[A-Za-z][\w+.-]*:/|/)")


def parse(lines: Iterable[str], exit_code: int | None) -> Iterator[Event]:
    """Yields all events of a command that has ended.

    Args:
        lines: Its lines, both streams, in the order in which they arrived.
        exit_code: Its exit code.

    Yields:
        The events; the last one is the result of the command.
    """
    parser = OutputParser()
    for line in lines:
        yield from parser.feed(line)
    yield from parser.finish(exit_code)


class OutputParser:
    """Parser of the lines of one command.

    Args:
        expected: (domain, table) names that may be announced; resolves names that contain dots.
        repeated: Those that may be announced more than once (adaptive write strategies): their result waits
            until the command has ended.
        keep: Number of error lines that are kept.
    """

    def __init__(
        self,
        expected: Iterable[tuple[str, str]] = (),
        repeated: Iterable[tuple[str, str]] = (),
        keep: int = 40,
    ) -> None:
        self._names = {f"{domain}.{table}": (domain, table) for domain, table in expected}
        self._repeated = frozenset(repeated)
        self._tables: dict[tuple[str, str], TableState] = {}
        self._open: dict[tuple[str, str], TableState] = {}
        """Tables that a line may still change, so that a large load does not search all its tables."""
        self._errors = ErrorLines(keep)
        self._current: TableState | None = None
        self._archives = False
        self._succeeded = self._failed = False
        self.tables_processed = False
        """Whether the program reported that it processed all tables."""
        self.parallel = False
        """Whether a table was announced before the summary of another one."""
        self.failed_before_tables = False
        """Whether the program reported an error before it began with any table."""
        self.found: Mapping[str, int] | None = None
        """Bytes by name of the files that the program found in the stage area; None if it did not list them."""

    @property
    def errors(self) -> tuple[str, ...]:
        """The last error lines, without stack frames, oldest first."""
        return self._errors.lines

    @property
    def understood(self) -> bool:
        """Whether any line has a known format."""
        return bool(self._tables) or self.found is not None or self.ended

    @property
    def ended(self) -> bool:
        """Whether an end marker of the program was read."""
        return self._succeeded or self._failed or self.tables_processed

    def log(self, *, lossless: bool) -> LogProperties:
        """Returns the properties of the lines that were read."""
        return LogProperties(
            self.ended,
            self.tables_processed,
            self.understood,
            self.found,
            lossless,
            self.failed_before_tables,
            self.parallel,
            self._errors.has_info_lines,
        )

    def feed(self, line: str) -> tuple[Event, ...]:
        """Parses a line, and returns the events that it completes."""
        text = _ANSI.sub("", line).rstrip("\r\n")
        self._errors.take(text)
        if match := _STARTED.search(text):
            return self._start(match["files"], match["table"].strip())
        if match := _SUMMARY.search(text):
            return self._summary(match)
        if match := _MOVED.search(text):
            return self._moved(match["source"])
        if _ALL_DONE.search(text):
            self.tables_processed = True
        elif match := _WORKFLOW_ERROR.search(text):
            self.failed_before_tables = self.failed_before_tables or match["text"].strip() == _BROKEN
            self._workflow_error(match["text"])
        elif _SUCCESS.search(text):
            self._succeeded = True
        elif _FAILURE.match(text):
            self._failed = True
        elif match := _FOUND.search(text):
            self._list(match["files"] or "")
        return ()

    def _list(self, files: str) -> None:
        listed = {one["path"].rsplit("/", 1)[-1]: int(one["size"]) for one in _FILE_INFO.finditer(files)}
        self.found = {**(self.found or {}), **listed}

    def finish(self, exit_code: int | None) -> tuple[Event, ...]:
        """Ends the parsing: returns the results of tables that are still open, and the result of the command last."""
        events: list[Event] = [
            self._verdict(table, exit_code) for table in self._tables.values() if not table.told or table.reopened
        ]
        if exit_code == 0 and self._succeeded and not self._failed:
            return (*events, CommandSucceeded())
        return (*events, CommandFailed(self._end_message(exit_code), exit_code, bool(self._errors.first())))

    # ------------------------------------------------------------------------------------------------ markers

    def _start(self, files: str, name: str) -> tuple[Event, ...]:
        domain, table = self._names.get(name) or _split_name(name)
        names = tuple(part.strip() for part in files.split(",") if part.strip())
        known = self._tables.get((domain, table))
        if known is not None and known.name not in self._repeated and known.has_loaded(names):
            return ()  # a log service delivers a line at least once
        self.parallel = self.parallel or any(t.waiting for t in self._open.values() if not t.errors)
        done: tuple[Event, ...] = ()
        if not self.parallel:
            # Sequential: the engine has left every complete table without an error behind it.
            done = tuple(
                chain.from_iterable(self._finish(t) for t in [*self._open.values()] if t.name != (domain, table))
            )
        state = self._opened(domain, table)
        state.announce(names)
        self._current = state
        return (*done, TableStarted(domain, table, names))

    def _opened(self, domain: str, table: str) -> TableState:
        state = self._tables.setdefault((domain, table), TableState(domain, table))
        self._open[state.name] = state
        return state

    def _finish(self, table: TableState) -> tuple[Event, ...]:
        if table.told or not table.complete or table.errors or table.name in self._repeated:
            return ()
        table.confirm_all()
        return self._report(table)

    def _summary(self, match: re.Match[str]) -> tuple[Event, ...]:
        domain, table = match["domain"], match["schema"]
        known = self._tables.get((domain, table))
        if known is not None and match["files"] in known.summaries:  # a log service delivers a line at least once
            return ()
        state = self._opened(domain, table)
        state.summaries.add(match["files"])
        names = [path.strip().rsplit("/", 1)[-1].removeprefix("file:") for path in _PATHS.split(match["files"])]
        counts = tuple(_count(match[key]) for key in ("input", "accepted", "rejected"))
        state.add_counts(counts[0], counts[1], counts[2])
        alone = counts if len(names) == 1 else (None, None, None)
        events: list[Event] = []
        for name in names:
            state.summarise(name)
            events.append(FileLoaded(domain, table, name, alone[0], alone[1], alone[2]))
        return tuple(events)

    def _moved(self, source: str) -> tuple[Event, ...]:
        parts = source.strip().rsplit("/", 2)
        if len(parts) < 2:
            return ()
        name, parent = parts[-1], parts[-2].rsplit("/", 1)[-1] if len(parts) == 2 else parts[1]
        found = [t for t in self._open.values() if t.awaits_confirmation(name)]
        found = [t for t in found if t.domain == parent] or found
        if not found:
            return ()
        self._archives = True
        found[0].confirm(name)
        return self._report(found[0]) if found[0].name not in self._repeated else ()

    def _workflow_error(self, text: str) -> None:
        if self.tables_processed:
            return
        suspects = [t for t in self._open.values() if t.unconfirmed]
        if self._current in suspects or not suspects:
            suspects = [self._current] if self._current else []
        if self.parallel:
            suspects += [t for t in self._open.values() if t.waiting and t not in suspects]
        for table in suspects:
            table.record_error(text[:LINE_LIMIT])
        self._errors.explain(suspects)

    # ----------------------------------------------------------------------------------------------- verdicts

    def _report(self, table: TableState) -> tuple[Event, ...]:
        if not table.confirmed:
            return ()
        self._open.pop(table.name, None)
        if table.told:
            return ()
        table.told = True
        return (self._loaded(table),)

    def _loaded(self, table: TableState) -> TableLoaded:
        return TableLoaded(table.domain, table.table, tuple(table.files), *table.counts, archived=table.archived)

    def _verdict(self, table: TableState, exit_code: int | None) -> Event:
        missing = [name for name, state in table.files.items() if state in (FileState.ANNOUNCED, FileState.REFUSED)]
        if exit_code is None or (exit_code != 0 and ((self._archives and self.tables_processed) or table.errors)):
            # A program that ended by itself has archived what is done: a file that it left behind is not. One that
            # crashed had landed what it had summed up.
            missing = [name for name, state in table.files.items() if state is not FileState.CONFIRMED]
        if not missing:
            return self._loaded(table)
        error = "\n".join(table.errors) or self._end_message(exit_code)
        return TableFailed(table.domain, table.table, tuple(table.files), tuple(missing), error, bool(table.errors))

    def _end_message(self, exit_code: int | None) -> str:
        if error := self._errors.first():
            return error
        if exit_code is None:
            return "The command was cancelled or lost before it ended."
        return f"The command ended with exit code {exit_code} and its log has no error."


def _split_name(name: str) -> tuple[str, str]:
    domain, _, table = name.rpartition(".")
    return domain, table


def _count(text: str) -> int | None:
    number = int(text)
    return None if number < 0 else number
