"""Facts about a load and its tables, for the rules of `reconcile`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Generic, TypeVar

from starlake_dagster_assets.commands.model import AuditRow, TableFailed, TableLoaded, TableStarted
from starlake_dagster_assets.execution.audit_row_matching import (
    file_names,
    files_of_row,
    is_load_of,
    is_second_step_of,
    with_counts,
)
from starlake_dagster_assets.execution.evidence import CommandEnd, Evidence, RequestedTable, TableFiles, TableResult
from starlake_dagster_assets.project.resolve.java_regex import compile_java

__all__ = ["TABLE_EVENTS", "ItemsByTable", "LoadFacts", "TableEvent", "TableFacts"]

_T = TypeVar("_T")
TableEvent = TableStarted | TableLoaded | TableFailed
TABLE_EVENTS = (TableStarted, TableLoaded, TableFailed)


class ItemsByTable(Generic[_T]):
    """Case-insensitive index by table name."""

    def __init__(self) -> None:
        self._found: dict[str, list[_T]] = {}

    def add(self, table: str, item: _T) -> None:
        """Adds an item of a table."""
        self._found.setdefault(table.lower(), []).append(item)

    def of(self, table: str) -> Sequence[_T]:
        """Returns the items of a table, in the order in which they were added."""
        return self._found.get(table.lower(), ())


@dataclass(frozen=True)
class LoadFacts:
    """Facts that all tables of a load share."""

    command_end: CommandEnd
    announced: frozenset[str]
    """Names of all files that were announced for some table."""
    credible: bool
    """Whether the audit records this command, so that a missing row is evidence."""
    two_steps: bool
    """Whether loads write a TRANSFORM row in addition to the LOAD row, like those of the native loader."""
    newest: datetime | None
    """Time of the newest audit row of a load that processes one table after the other; None if it is not known."""

    traced: bool
    """Whether an error in the log belongs to the last announced table, because no announcement is missing."""

    @classmethod
    def of(cls, ending: CommandEnd, expected: Collection[RequestedTable]) -> LoadFacts:
        """Returns the facts of a load of some tables that has ended."""
        started = [event for event in ending.events if isinstance(event, TableStarted)]
        announced = frozenset(name for event in started for name in event.files)
        logged = any(isinstance(event, TableLoaded) for event in ending.events)
        return cls(
            ending,
            announced,
            ending.rows is not None and (bool(ending.rows) or not logged),
            any(row.step == "TRANSFORM" for row in ending.rows or ()),
            _newest(ending.rows or ()) if ending.sequential else None,
            ending.log.lossless or (not ending.log.parallel and _has_announced(announced, ending, expected)),
        )


class TableFacts:
    """Facts about one table of a load."""

    def __init__(
        self, one: RequestedTable, load: LoadFacts, events: ItemsByTable[TableEvent], rows: ItemsByTable[AuditRow]
    ) -> None:
        self.one, self.load, self.ending, self.log = one, load, load.command_end, load.command_end.log
        mine = [event for event in events.of(one.table) if _is_of(event, one)]
        self.events = mine
        self.failed = next((event for event in reversed(mine) if isinstance(event, TableFailed)), None)
        self.loaded = next((event for event in reversed(mine) if isinstance(event, TableLoaded)), None)
        self.rows = [row for row in rows.of(one.table) if is_load_of(row, one)]
        self.second = [row for row in rows.of(one.final_table) if is_second_step_of(row, one)]
        self.files: TableFiles | None = self.ending.files.get((one.domain, one.table))

    @property
    def error(self) -> str:
        """The error that the program logged for the table, else the first error of the command."""
        return self.failed.error if self.failed is not None and self.failed.reported else self.ending.error

    @cached_property
    def announced(self) -> tuple[str, ...]:
        """Files that were announced for the table or have a summary."""
        event = self.failed or self.loaded
        started = [name for one in self.events if isinstance(one, TableStarted) for name in one.files]
        return tuple(dict.fromkeys([*started, *(event.files if event is not None else ())]))

    @cached_property
    def is_announced(self) -> bool:
        """Whether the line that announces the files of the table was read."""
        return any(isinstance(event, TableStarted) for event in self.events)

    @cached_property
    def listed(self) -> frozenset[str] | None:
        """Files of the table in the program's list of files; None if they are unknown."""
        if self.log.found is None or not self.one.pattern:
            return None
        matches = compile_java(self.one.pattern).fullmatch
        others = self.load.announced - set(self.announced)
        return frozenset(name for name in self.log.found if name not in others and matches(name))

    @cached_property
    def resolved(self) -> frozenset[str] | None:
        """Files that the load took for the table; None if they are unknown."""
        if self.is_announced:
            return frozenset(self.announced)
        if self.listed is not None:
            return self.listed
        if self.files is not None and not self.files.ambiguous:
            return frozenset(self.files.before) - self.files.waiting
        return None

    @property
    def done(self) -> frozenset[str]:
        """Files that were loaded, according to their rows in the audit or their place in `archive`."""
        by_row = (name for row in self.rows if row.success and not self.load.two_steps for name in files_of_row(row))
        return frozenset(by_row) | (self.files.archived if self.files is not None else frozenset[str]())

    @property
    def is_passed(self) -> bool:
        """Whether rows of later tables prove that the load had finished with all files of this one."""
        mine = _newest([*self.rows, *self.second])
        return mine is not None and self.load.newest is not None and mine < self.load.newest

    @property
    def is_without_file(self) -> bool:
        """Whether no listing shows a file that the load could have taken."""
        return self.files is None or not (self.files.before or self.files.ingesting)

    def sizes(self) -> Mapping[str, int]:
        """Returns the known sizes of the table's files, in bytes by name."""
        return {**(self.log.found or {}), **(self.files.before if self.files is not None else {})}

    def verdict(self, evidence: Evidence, files: Iterable[str] = ()) -> TableResult:
        """Returns the result `loaded`, with the counts that are known."""
        event = self.loaded
        counts = (event.input, event.accepted, event.rejected) if event is not None else (None, None, None)
        names = self.announced or tuple(files) or file_names(self.rows)
        listed = self.files is not None and bool(names) and self.files.archived >= set(names)
        archived = listed or (event is not None and event.archived)
        return with_counts(TableResult("loaded", names, *counts, evidence=evidence, archived=archived), self.rows)

    def failure(self, evidence: Evidence, reason: str, files: Iterable[str] = ()) -> TableResult:
        """Returns the result `failed`."""
        landed = 0 if self.load.two_steps else sum(max(row.accepted, 0) for row in self.rows if row.success)
        return TableResult("failed", self.announced or tuple(files), reason=reason, evidence=evidence, landed=landed)


def _has_announced(announced: Collection[str], ending: CommandEnd, expected: Collection[RequestedTable]) -> bool:
    if ending.log.found is None:
        return False
    patterns = [compile_java(one.pattern).fullmatch for one in expected if one.pattern]
    rest = [name for name in ending.log.found if name not in announced]
    return not any(matches(name) for name in rest for matches in patterns)


def _newest(rows: Iterable[AuditRow]) -> datetime | None:
    moments = [row.moment for row in rows]
    known = [moment for moment in moments if moment is not None]
    return max(known) if known and len(known) == len(moments) else None


def _is_of(event: TableEvent, one: RequestedTable) -> bool:
    return event.table == one.table and event.domain in (one.domain, one.directory)
