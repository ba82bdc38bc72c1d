"""Progress of a load while it runs: start and end of each table, and files that are not loaded yet.

Also part of the module that is exported next to Airflow DAG files.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from starlake_dagster_assets.commands.model import Event, FileLoaded, TableFailed, TableLoaded, TableStarted

__all__ = ["LoadProgress"]

_TableName = tuple[str, str]


class LoadProgress:
    """Collector of the events of one load; tables are named (domain, table), as they are announced.

    Args:
        events: Events that have happened.
    """

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._began: dict[_TableName, float] = {}
        self._ended: dict[_TableName, float] = {}
        self._open: dict[_TableName, set[str]] = {}
        self._announced: dict[_TableName, set[str]] = {}
        self._summarised: dict[_TableName, set[str]] = {}
        for event in events:
            self.note(event)

    def note(self, event: Event) -> None:
        """Adds an event."""
        if isinstance(event, TableStarted):
            self._began.setdefault((event.domain, event.table), time.monotonic())
            for files in (self._open, self._announced):
                files.setdefault((event.domain, event.table), set()).update(event.files)
        elif isinstance(event, (FileLoaded, TableLoaded, TableFailed)):
            self._ended[(event.domain, event.table)] = time.monotonic()
        if isinstance(event, FileLoaded):
            self._open.get((event.domain, event.table), set[str]()).discard(event.file)
            self._summarised.setdefault((event.domain, event.table), set()).add(event.file)

    def seconds(self, name: _TableName) -> float:
        """Returns the duration of the load of a table in seconds; 0 if its lines were not seen."""
        return max(0.0, self._ended.get(name, 0.0) - self._began.get(name, 0.0)) if name in self._began else 0.0

    def unfinished(self, name: _TableName) -> frozenset[str]:
        """Returns the files that were announced for a table and have no summary: none of their rows landed."""
        return frozenset(self._open.get(name, ()))

    def announced(self, name: _TableName) -> frozenset[str]:
        """Returns all files that were announced for a table."""
        return frozenset(self._announced.get(name, ()))

    def summarised(self, name: _TableName) -> frozenset[str]:
        """Returns the files of a table that have a summary: their rows may have landed."""
        return frozenset(self._summarised.get(name, ()))
