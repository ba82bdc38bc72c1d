"""Resolves table names in SQL to objects of the project, as the warehouse resolves them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.project.model.project import RefRule, Task
from starlake_dagster_assets.project.resolve.ref_rules import apply_refs
from starlake_dagster_assets.project.sql.references import split_name

__all__ = ["NameResolution", "TableNames"]

_SYSTEM_SCHEMAS = frozenset({"information_schema", "pg_catalog", "sys"})


@dataclass(frozen=True)
class NameResolution:
    """Result of a look-up of a table name.

    Attributes:
        node: The id of a known node, None if no node has that name.
        unknown: (schema, table) of a table that the project does not know, when `node` is None; None for a name that
            is no asset, such as the warehouse's own catalog.
        candidates: All ids that an unqualified name could mean, if there are several.
        renamed: The id of the load table that has this raw name, but another name in the warehouse.
    """

    node: str | None = None
    unknown: tuple[str, str] | None = None
    candidates: tuple[str, ...] = ()
    renamed: str | None = None


class TableNames:
    """Look-up of table names, regardless of case: by final names, then by the raw names of tasks.

    Args:
        nodes: Load tables, tasks and declared external tables; of two with the same name, the first is used.
        rules: `application.refs`.
    """

    def __init__(self, nodes: Iterable[Node], rules: Iterable[RefRule] = ()) -> None:
        self._rules = tuple(rules)
        self._final: dict[tuple[str, ...], str] = {}
        self._raw: dict[str, str] = {}
        self._tables: dict[str, list[str]] = defaultdict(list)
        self._described: dict[str, list[str]] = defaultdict(list)
        self._tasks: set[str] = set()
        self._stems: dict[str, list[str]] = defaultdict(list)
        self._streams: dict[str, str] = {}
        for node in nodes:
            self._add(node)

    def resolve(self, name: str, task: Task) -> NameResolution:
        """Finds the object that a table name in the SQL of a task refers to.

        Args:
            name: The name, as `find_references` returns it.
            task: The task whose SQL contains the name; an unqualified name is looked up in its domain last.

        Returns:
            The node, or the table that the project does not produce.
        """
        stream = self._streams.get(name.lower())
        if stream:
            return NameResolution(node=stream)
        spelled = split_name(name)
        renamed = apply_refs(self._rules, spelled) if self._rules else None
        parts = tuple(part for part in renamed or () if part) or spelled
        if not all(parts[-2:]):
            return NameResolution()
        if len(parts) == 1:
            return self._unqualified(parts[0], task.domain)
        domain, table = parts[-2:]
        if domain.lower() in _SYSTEM_SCHEMAS:
            return NameResolution()
        found = self._final.get((domain.lower(), table.lower())) or self._streams.get(table.lower())
        raw = self._raw.get(f"{domain}.{table}".lower())
        if found or raw in self._tasks:
            return NameResolution(node=found or raw)
        return NameResolution(unknown=(domain, table), renamed=raw)

    def declared(self, name: str) -> str | None:
        """Returns the node that a user means by an id or a raw name; None if there is none."""
        parts = tuple(part.lower() for part in split_name(name))
        return self._final.get(parts[-2:]) or self._raw.get(name.lower())

    def _add(self, node: Node) -> None:
        domain, table = node.target
        self._final.setdefault((domain.lower(), table.lower()), node.id)
        if self._final[domain.lower(), table.lower()] == node.id:
            (self._described if node.kind == "external" else self._tables)[table.lower()].append(node.id)
        if node.raw:
            self._raw.setdefault(node.raw.lower(), node.id)
        if node.task:
            self._tasks.add(node.id)
            self._stems[node.task.stem.lower()].append(node.id)
        definition = node.table or node.task
        for stream in definition.streams if definition else ():
            # with its schema or without
            self._streams.setdefault(stream.lower().rsplit(".", 1)[-1], node.id)
            self._streams.setdefault(stream.lower(), node.id)

    def _unqualified(self, table: str, domain: str) -> NameResolution:
        found = self._tables.get(table.lower(), [])
        own = self._final.get((domain.lower(), table.lower()))
        if len(found) > 1:
            return NameResolution(node=own, candidates=tuple(found), unknown=None if own else (domain, table))
        if found:
            return NameResolution(node=found[0])
        stems = self._stems.get(table.lower(), [])
        if len(stems) == 1:
            return NameResolution(node=stems[0])
        if own or stems:
            return NameResolution(node=own, candidates=tuple(stems), unknown=None if own else (domain, table))
        described = self._described.get(table.lower(), [])
        if len(described) == 1:
            return NameResolution(node=described[0])
        return NameResolution(unknown=(domain, table), candidates=tuple(described))
