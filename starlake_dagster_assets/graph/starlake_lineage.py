"""Edges that the starlake program finds, by its two regular expressions and its own look-up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.project.model.project import Task

__all__ = ["StarlakeNameResolver", "StarlakeUpstreams"]


@dataclass(frozen=True)
class StarlakeUpstreams:
    """The tables that the starlake program finds in the SQL of a task.

    Attributes:
        sources: Ids of the load tables and tasks that it takes for upstreams, including a task that reads itself.
        failures: One message per name on which the starlake program fails.
    """

    sources: frozenset[str]
    failures: tuple[str, ...] = ()


class StarlakeNameResolver:
    """Look-up of table names as in the starlake program.

    Args:
        nodes: Load tables and tasks, in file order.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        self._by_sink_table: dict[str, list[str]] = defaultdict(list)
        self._tasks: dict[str, str] = {}
        self._tables: dict[tuple[str, str], str] = {}
        self._tables_alone: dict[str, str] = {}
        self._streams: dict[str, str] = {}
        for node in nodes:
            if node.task:
                self._add_task(node.id, node.task)
            elif node.table:
                domain, table = node.table.final_domain.lower(), node.table.final_name.lower()
                self._tables.setdefault((domain, table), node.id)
                self._tables_alone.setdefault(table, node.id)
            definition = node.definition
            for stream in definition.streams if definition else ():
                self._streams.setdefault(stream.lower(), node.id)

    def view(self, task: Task) -> StarlakeUpstreams:
        """Returns the upstreams of a task by `task.starlake_references`; none if `parseSQL` is false."""
        sources: set[str] = set()
        failures: list[str] = []
        for name in task.starlake_references if task.parse_sql else ():
            parts = name.split(".")
            stream = self._streams.get(name.lower())
            if stream:
                sources.add(stream)
            elif len(parts) > 3:
                failures.append(f"{name} has more than three parts")
            elif len(parts) == 1:
                self._unqualified(name, sources, failures)
            else:
                found = self._qualified(parts[-2].lower(), parts[-1].lower())
                sources.update([found] if found else [])
        return StarlakeUpstreams(frozenset(sources), tuple(failures))

    def _add_task(self, node: str, task: Task) -> None:
        # full names end with `.<part>`: for a stem without dots that is the stem itself
        full = task.raw
        for index, char in enumerate(full):
            if char == ".":
                self._by_stem[full[index + 1 :]].append(node)
        self._by_sink_table[task.table.lower()].append(node)
        self._tasks.setdefault(full.lower(), node)
        self._tasks.setdefault(task.id.lower(), node)

    def _unqualified(self, name: str, sources: set[str], failures: list[str]) -> None:
        tasks = dict.fromkeys([*self._by_stem.get(name, []), *self._by_sink_table.get(name.lower(), [])])
        if len(tasks) > 1:
            failures.append(f"{name} may be any of {', '.join(tasks)}")
        found = next(iter(tasks), None) if tasks else self._tables_alone.get(name.lower())
        if len(tasks) <= 1 and found:
            sources.add(found)

    def _qualified(self, domain: str, table: str) -> str | None:
        return self._tasks.get(f"{domain}.{table}") or self._tables.get((domain, table))
