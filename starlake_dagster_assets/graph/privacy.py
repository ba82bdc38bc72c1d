"""Columns that must not be shown: those with `privacy`, and columns that are computed from them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property

from starlake_dagster_assets.graph.columns import ColumnLineage, NodeColumn
from starlake_dagster_assets.graph.model import Graph, Node
from starlake_dagster_assets.project.model.project import Attribute, Project

__all__ = ["PrivateColumns"]

_WORD = re.compile(r"\w+")
_DYNAMIC = re.compile(r"\bquery\s*\(|\bquery_table\s*\(\s*[^'\s]", re.IGNORECASE)


class PrivateColumns:
    """Columns that must not be shown, including columns of unknown origin that may derive from them.

    Args:
        lineage: Returns the column lineage of the project's graph; only called if a column needs it.
        graph: The graph of the project.
        project: The project's models.
    """

    def __init__(self, lineage: Callable[[], ColumnLineage], graph: Graph, project: Project) -> None:
        self._lineage = lineage
        self._graph = graph
        self._upstream = graph.upstream
        self._project = project
        self._traced: dict[str, Mapping[str, tuple[NodeColumn, ...]]] = {}

    @cached_property
    def names(self) -> frozenset[str]:
        """Names, in lower case, of the protected columns of all tables and tasks; hidden in every table."""
        things = (*self._project.tables, *self._project.tasks)
        return frozenset(name for thing in things for name in _protected(thing.attributes))

    def shows(self, node: Node, column: str) -> bool:
        """Whether the values of a column may be shown.

        Args:
            node: A table or task.
            column: Its column, by its final name in any case.
        """
        if column.lower() in self.names:
            return False
        writers = [self._graph.nodes[one] for one in self._graph.writers.get(node.id, ())] or [node]
        return not any(
            one.task is not None and self._reads_private(one.id) and self._derived(one.id, column.lower(), set())
            for one in writers
        )

    def _reads_private(self, node_id: str) -> bool:
        """Whether the node or any of its upstreams has a protected column, or may read one without naming it."""
        todo, seen = [node_id], {node_id}
        while todo:
            name = todo.pop()
            if name in self._holders or (self._holders and name in self._opaque):
                return True
            todo += [up for up in self._upstream.get(name, ()) if up not in seen]
            seen.update(todo)
        return False

    @cached_property
    def _holders(self) -> frozenset[str]:
        things = ((node.id, node.definition) for node in self._graph.nodes.values() if not node.is_files)
        return frozenset(name for name, thing in things if thing and any(_protected(thing.attributes)))

    @cached_property
    def _opaque(self) -> frozenset[str]:
        """Ids of tasks whose SQL does not name everything that it reads: Python, scripts, queries in strings."""
        tasks = (
            task for task in self._project.tasks if not task.sql or not task.parse_sql or _DYNAMIC.search(task.sql)
        )
        return frozenset(task.id for task in tasks)

    def _derived(self, node_id: str, column: str, on_the_way: set[NodeColumn]) -> bool:
        """Whether a column derives from a protected column, through any number of tasks, or may do so."""
        if column in self.names:
            return True
        if (node_id, column) in on_the_way or node_id not in self._tasks:
            return False
        on_the_way.add((node_id, column))
        sources = self._sources(node_id).get(column)
        if sources is None:
            return self._reads_private(node_id)
        return any(self._derived(source, name.lower(), on_the_way) for source, name in sources)

    @cached_property
    def _tasks(self) -> frozenset[str]:
        return frozenset(node.id for node in self._graph.nodes.values() if node.task)

    def _sources(self, node_id: str) -> Mapping[str, tuple[NodeColumn, ...]]:
        """Returns the traceable columns of a node, in lower case, with their source columns."""
        if node_id not in self._traced:
            self._traced[node_id] = self._lineage().traced(node_id) if node_id in self._upstream else {}
        return self._traced[node_id]


def _protected(attributes: Iterable[Attribute]) -> set[str]:
    """Returns the names of attributes with `privacy`, of structures that contain one, and of scripts that read one."""
    attributes = tuple(attributes)
    private = [one for one in attributes if _is_private(one)]
    words = {name.lower() for one in private for name in (one.name, one.final_name)}
    scripted = [one for one in attributes if one.script and words & {w.lower() for w in _WORD.findall(one.script)}]
    return {one.final_name.lower() for one in (*private, *scripted)}


def _is_private(attribute: Attribute) -> bool:
    return attribute.privacy.upper() != "NONE" or any(_is_private(one) for one in attribute.attributes)
