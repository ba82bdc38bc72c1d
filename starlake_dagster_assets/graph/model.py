"""The asset graph of a project, by final names: independent of Dagster and Airflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Literal

from starlake_dagster_assets.project.model.project import Domain, ExternalTable, Table, Task
from starlake_dagster_assets.project.model.values import Freshness, Location, Sink, WriteStrategy

__all__ = ["Edge", "Graph", "Node", "NodeKind"]

NodeKind = Literal["table", "task", "external"]


@dataclass(frozen=True)
class Node:
    """A table or task of the project, which becomes one asset.

    Attributes:
        id: `<schema>.<table>` by final names; unique in the graph. Incoming files: `incoming.<domain>.<table>`. If
            several nodes write one table, `<domain>.<file>`, the name of the task.
        kind: `table` (load), `task` (transform, views included) or `external` (not produced by this project).
        raw: The name for the command line (`<directory>.<stem>`); "" for external nodes.
        key: The parts of the asset key, before characters that Dagster rejects are replaced.
        table: The load table, for kind `table` and for the incoming files of a table.
        task: The transform, for kind `task`.
        external: The description below `metadata/external`, if there is one.
        is_files: Whether the node represents the incoming files of `table`.
    """

    id: str
    kind: NodeKind
    raw: str
    key: tuple[str, ...]
    table: Table | None = None
    task: Task | None = None
    external: ExternalTable | None = None
    is_files: bool = False

    @property
    def definition(self) -> Table | Task | None:
        """The table or task of the project; None for an external node."""
        return self.task or self.table

    @property
    def location(self) -> Location:
        """The YAML that describes the node; without a file if there is none."""
        described = self.task or self.table or self.external
        return described.location if described is not None else Location(file="")

    @property
    def sink(self) -> Sink | None:
        """Sink of the node; None for an external node."""
        return self.task.sink if self.task else self.table.metadata.sink if self.table else None

    @property
    def freshness(self) -> Freshness | None:
        """Freshness limits of the node; None if it declares none."""
        return self.task.freshness if self.task else self.table.metadata.freshness if self.table else None

    @property
    def write_strategy(self) -> WriteStrategy | None:
        """Write strategy of the node; None for an external node."""
        return self.task.write_strategy if self.task else self.table.metadata.write_strategy if self.table else None

    @property
    def target(self) -> tuple[str, str]:
        """Schema and name of the table in the warehouse: several nodes may write one table."""
        if self.task is not None:
            return self.task.domain, self.task.table
        schema, table = ("", *self.key)[-2:]
        return schema, table

    @property
    def is_view(self) -> bool:
        """Whether the node is a view or a materialized view of the warehouse."""
        return self.task is not None and self.task.sink.materialized_view in {"VIEW", "MATERIALIZED_VIEW"}

    @property
    def is_described(self) -> bool:
        """Whether a file of the project describes the node; otherwise only its name is known."""
        return bool(self.location.file)

    @property
    def domain(self) -> str:
        """Final schema name of the node; part of the names of groups and jobs."""
        return self.key[:-1][-1] if len(self.key) > 1 else self.id

    @property
    def tags(self) -> tuple[str, ...]:
        """Starlake's tags: `k=v` or plain."""
        if self.table is not None and not self.is_files:
            return self.table.tags
        if self.task is not None:
            return self.task.tags
        return self.external.tags if self.external else ()


@dataclass(frozen=True, order=True)
class Edge:
    """Dependency of the node `target` on the node `source`, by their ids; `via` is the origin of the edge."""

    source: str
    target: str
    via: Literal["sql", "declared", "files"] = field(default="sql", compare=False)


@dataclass(frozen=True)
class Graph:
    """Nodes and edges of a project, with indexes of upstreams and downstreams.

    Attributes:
        nodes: The nodes by id, sorted.
        edges: The edges, sorted, unique, without self references.
        self_references: Ids of tasks that read their own target.
        cycles: Each cycle as the ids of its nodes in order; a graph with cycles cannot be materialized in one run.
        domains: The load domains by directory name.
        writers: By node id, all nodes that write the same table, if there are several.
    """

    nodes: Mapping[str, Node]
    edges: tuple[Edge, ...]
    self_references: frozenset[str] = frozenset()
    cycles: tuple[tuple[str, ...], ...] = ()
    domains: Mapping[str, Domain] = field(default_factory=lambda: MappingProxyType({}))
    writers: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))

    @cached_property
    def upstream(self) -> Mapping[str, tuple[str, ...]]:
        """Sorted ids of the nodes that a node reads, by its id."""
        found: dict[str, list[str]] = {node: [] for node in self.nodes}
        for edge in self.edges:
            found[edge.target].append(edge.source)
        return MappingProxyType({node: tuple(sorted(ids)) for node, ids in found.items()})

    @cached_property
    def downstream(self) -> Mapping[str, tuple[str, ...]]:
        """Sorted ids of the nodes that read a node, by its id."""
        found: dict[str, list[str]] = {node: [] for node in self.nodes}
        for edge in self.edges:
            found[edge.source].append(edge.target)
        return MappingProxyType({node: tuple(sorted(ids)) for node, ids in found.items()})

    def upstream_first(self) -> Iterator[Node]:
        """Yields every node after those that it reads, without recursion; nodes of a cycle are in any order."""
        done: set[str] = set()
        for start in self.nodes:
            stack = [(start, False)]
            while stack:
                node, ready = stack.pop()
                if ready:
                    yield self.nodes[node]
                elif node not in done:
                    done.add(node)
                    stack.append((node, True))
                    stack.extend((up, False) for up in self.upstream[node] if up not in done)

    def node_of(self, task: Task) -> Node | None:
        """Returns the node of a task of the project; None if it was left out because of a name collision."""
        return self.by_raw.get(("task", task.raw))

    @cached_property
    def by_raw(self) -> Mapping[tuple[str, str], Node]:
        """Nodes by kind and raw name, for tables and tasks."""
        return MappingProxyType({(n.kind, n.raw): n for n in self.nodes.values() if n.kind != "external"})
