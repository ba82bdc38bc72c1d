"""Columns and column lineage of the whole graph, computed once and only when needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from starlake_dagster_assets.graph.model import Graph, Node
from starlake_dagster_assets.graph.name_resolution import TableNames
from starlake_dagster_assets.project.model.project import Attribute, Project, Task, WriteStrategy
from starlake_dagster_assets.project.sql.column_lineage import (
    OutputColumn,
    QualifiedQuery,
    output_columns,
    qualified_query,
)

__all__ = ["ColumnLineage", "NodeColumn"]

NodeColumn = tuple[str, str]
"""Node id, and final name of a column."""

_Columns = tuple[tuple[str, str | None], ...]


class ColumnLineage:
    """Columns of the nodes, and the columns from which they are computed.

    Args:
        graph: The graph of `project`.
        project: The resolved project.
        keep_queries: Whether to keep the parsed queries for `query`; they are large.
    """

    def __init__(self, graph: Graph, project: Project, *, keep_queries: bool = False) -> None:
        self._graph = graph
        self._project = project
        described = (n for n in graph.nodes.values() if not n.is_files and (n.kind != "external" or n.external))
        self._names = TableNames(described, project.application.refs)
        self._by_lower = {name.lower(): name for name in graph.nodes}
        self._columns: dict[str, _Columns] = {}
        self._traced: dict[str, tuple[OutputColumn, ...]] = {}
        self._queries: dict[str, QualifiedQuery] | None = {} if keep_queries else None

    def columns(self, node_id: str) -> _Columns:
        """Returns the columns of a node by their final names, each with its type or None.

        Args:
            node_id: Any node's id.

        Returns:
            Load tables: attributes that are not ignored, and the two columns of SCD2. Tasks: their attributes, then
            the other columns of their SQL. () if no column is known.
        """
        for name in self._unread(node_id):
            self._columns[name] = tuple(self._read(self._graph.nodes[name]))
        return self._columns.get(node_id, ())

    def lineage(self, node_id: str) -> Mapping[str, tuple[NodeColumn, ...]]:
        """Returns, per output column of a task, the columns of nodes from which its value is computed.

        Args:
            node_id: Any node's id.

        Returns:
            Column to sorted (node id, column); columns without a source are left out. {} for a node without SQL,
            or with SQL that cannot be analyzed.
        """
        self.columns(node_id)
        task = self._graph.nodes[node_id].task
        found: dict[str, tuple[NodeColumn, ...]] = {}
        for output in self._traced.get(node_id, ()) if task else ():
            resolved = ((self._node_of(table, task), column) for table, column in output.sources) if task else ()
            sources = tuple(sorted({(one, column) for node, column in resolved if node for one in self._writers(node)}))
            if sources:
                found[output.name] = sources
        return found

    def traced(self, node_id: str) -> Mapping[str, tuple[NodeColumn, ...]]:
        """Returns the columns of a task whose origin is completely known, in lower case, with their source columns.

        Args:
            node_id: Any node's id.

        Returns:
            As `lineage`, but with constants, which have no sources, and without columns that cannot be traced
            completely to columns of nodes. {} if the SQL is not parsed.
        """
        self.columns(node_id)
        task = self._graph.nodes[node_id].task
        found: dict[str, tuple[NodeColumn, ...]] = {}
        if task is None or not task.parse_sql:
            return found
        for output in self._traced.get(node_id, ()):
            sources = [(self._node_of(table, task), column) for table, column in output.sources]
            if output.is_traced and all(node for node, _ in sources):
                found[output.name.lower()] = tuple((w, column) for node, column in sources for w in self._writers(node))
        return found

    def query(self, node_id: str) -> QualifiedQuery | None:
        """Returns the query of a task, with its columns bound to its tables; None if its SQL cannot be parsed.

        Args:
            node_id: Any node's id.
        """
        self.columns(node_id)
        return (self._queries or {}).get(node_id)

    def _unread(self, node_id: str) -> Iterator[str]:
        """Yields a node and its upstreams if their columns are not read yet, upstreams first; each of a cycle once."""
        todo: list[tuple[str, bool]] = [(node_id, False)]
        entered: set[str] = set()
        while todo:
            name, is_ready = todo.pop()
            if is_ready:
                yield name
            elif name in self._graph.nodes and name not in self._columns and name not in entered:
                entered.add(name)
                todo.append((name, True))
                if self._graph.nodes[name].kind == "task":
                    todo += [(upstream, False) for upstream in self._graph.upstream[name]]

    def _read(self, node: Node) -> Iterator[tuple[str, str | None]]:
        if node.is_files:
            return
        if node.table:
            yield from _described(node.table.attributes)
            yield from self._scd2(node.table.metadata.write_strategy, node.table.attributes)
        elif node.external:
            yield from _described(node.external.attributes)
        elif node.task:
            yield from self._read_task(node.id, node.task)

    def _read_task(self, node_id: str, task: Task) -> Iterator[tuple[str, str | None]]:
        yield from _described(task.attributes)
        seen = {attribute.final_name.lower() for attribute in task.attributes}
        # what reads its own table sees the columns that are described
        self._columns[node_id] = tuple(_described(task.attributes))
        if task.sql:
            query = qualified_query(
                task.sql,
                self._project.dialect(task.run_connection),
                lambda name: self._columns_of(name, task),
                lambda name, column: self._fields_of(name, column, task),
            )
            self._traced[node_id] = output_columns(query) if query is not None else ()
            if self._queries is not None and query is not None:
                self._queries[node_id] = query
        for output in self._traced.get(node_id, ()):
            if output.name.lower() not in seen:
                seen.add(output.name.lower())
                yield output.name, output.type
        yield from self._scd2(task.write_strategy, task.attributes)

    def _columns_of(self, name: str, task: Task) -> _Columns:
        node = self._node_of(name, task)
        return self._columns.get(node, ()) if node else ()

    def _fields_of(self, name: str, column: str, task: Task) -> tuple[str, ...]:
        node = self._graph.nodes.get(self._node_of(name, task) or "")
        described = (node.table or node.external or node.task) if node else None
        attributes = described.attributes if described else ()
        found = (one for one in attributes if one.final_name.lower() == column.lower() and not one.array)
        return tuple(field.final_name for one in found for field in one.attributes)

    def _writers(self, node_id: str | None) -> tuple[str, ...]:
        return self._graph.writers.get(node_id or "", (node_id,) if node_id else ())

    def _node_of(self, name: str, task: Task) -> str | None:
        meant = self._names.resolve(name, task)
        if meant.node or not meant.unknown:
            return meant.node
        return self._by_lower.get(".".join(meant.unknown).lower())

    def _scd2(self, strategy: WriteStrategy, attributes: Sequence[Attribute]) -> Iterator[tuple[str, str | None]]:
        if strategy.type != "SCD2" and "SCD2" not in strategy.types:
            return
        known = {attribute.final_name.lower() for attribute in attributes}
        application = self._project.application
        for name in (
            strategy.start_ts or application.scd2_start_timestamp,
            strategy.end_ts or application.scd2_end_timestamp,
        ):
            if name.lower() not in known:
                yield name, "timestamp"


def _described(attributes: Sequence[Attribute]) -> Iterator[tuple[str, str | None]]:
    for attribute in attributes:
        if not attribute.ignore:
            yield attribute.final_name, attribute.type
