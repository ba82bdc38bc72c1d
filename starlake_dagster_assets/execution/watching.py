"""Progress of a load while it runs: start and end of each table, and files that are not loaded yet."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from starlake_dagster_assets.execution.evidence import Ending
from starlake_dagster_assets.execution.model import Event, FileLoaded, TableFailed, TableLoaded, TableStarted
from starlake_dagster_assets.graph.model import Node

__all__ = ["Watch", "staging_failures"]

Name = tuple[str, str]


class Watch:
    """Takes the events of one load; tables go by (domain, table) as they are announced."""

    def __init__(self) -> None:
        self._began: dict[Name, float] = {}
        self._ended: dict[Name, float] = {}
        self._open: dict[Name, set[str]] = {}
        self._summarised: dict[Name, set[str]] = {}

    def note(self, event: Event) -> None:
        """Takes an event as it comes."""
        if isinstance(event, TableStarted):
            self._began.setdefault((event.domain, event.table), time.monotonic())
            self._open.setdefault((event.domain, event.table), set()).update(event.files)
        elif isinstance(event, (FileLoaded, TableLoaded, TableFailed)):
            self._ended[(event.domain, event.table)] = time.monotonic()
        if isinstance(event, FileLoaded):
            self._open.get((event.domain, event.table), set[str]()).discard(event.file)
            self._summarised.setdefault((event.domain, event.table), set()).add(event.file)

    def seconds(self, name: Name) -> float:
        """How long the load of a table took; 0 where its lines were not seen."""
        return max(0.0, self._ended.get(name, 0.0) - self._began.get(name, 0.0)) if name in self._began else 0.0

    def unfinished(self, name: Name) -> frozenset[str]:
        """The files that were announced for a table and have no summary: none of their rows landed."""
        return frozenset(self._open.get(name, ()))

    def summarised(self, name: Name) -> frozenset[str]:
        """The files of a table that have a summary: their rows may have landed."""
        return frozenset(self._summarised.get(name, ()))


def staging_failures(ending: Ending, nodes: Iterable[Node]) -> Mapping[str, str]:
    """Why files of tables stay in incoming, by node id; the other tables are loaded.

    Args:
        ending: How `stage` ended; only an engine that reports events says which tables it is about.
        nodes: Tables.
    """
    errors: dict[tuple[str, str], list[str]] = {}
    for event in ending.events:
        if isinstance(event, TableFailed):
            errors.setdefault((event.domain, event.table), []).append(event.error)
    found = {node.id: errors.get((node.table.domain_name, node.table.name)) for node in nodes if node.table is not None}
    return {name: f"stage failed: {'; '.join(texts)}" for name, texts in found.items() if texts}
