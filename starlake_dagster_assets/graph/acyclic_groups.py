"""Groups nodes so that the dependencies between the groups form no cycle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Literal

from starlake_dagster_assets.errors import SelectionError
from starlake_dagster_assets.graph.model import Graph, Node

__all__ = ["StepGroup", "group_into_steps", "sort_topologically", "split_names"]

_Domain = tuple[str, str]


@dataclass(frozen=True)
class StepGroup:
    """Nodes that one step materializes.

    Attributes:
        name: The domain, with `_2`, `_3`, … for its further groups; unique among the groups of a kind.
        kind: `load` for tables of one directory, `transform` for tasks that write one schema.
        domain: The directory for `load`, the schema for `transform`.
        node_ids: Ids of the nodes, in topological order.
    """

    name: str
    kind: Literal["load", "transform"]
    domain: str
    node_ids: tuple[str, ...]


def group_into_steps(
    graph: Graph, selection: Collection[str] | None = None, *, max_size: int | None = None
) -> tuple[StepGroup, ...]:
    """Groups load tables and tasks into as few groups per domain as possible, without a cycle between groups.

    Args:
        graph: The graph.
        selection: Node ids; None means all. External nodes are left out. Paths through nodes that are not selected
            count as dependencies.
        max_size: Maximum number of nodes in a group of transforms; None for no limit.

    Returns:
        The groups, in an order in which they can run; each selected table or task is in exactly one of them.

    Raises:
        SelectionError: When a selected node is on a cycle, or downstream of one.
    """
    wanted = set(graph.nodes) if selection is None else set(selection)
    planner = _Planner(max_size)
    for name in sort_topologically(graph, wanted):
        planner.add(graph.nodes[name], graph.upstream[name], name in wanted)
    return tuple(planner.groups())


def sort_topologically(graph: Graph, selection: Collection[str]) -> list[str]:
    """Returns tables and tasks in topological order, with the nodes of a domain next to each other if possible.

    Args:
        graph: The graph.
        selection: Ids of the nodes that the result must contain.

    Returns:
        Ids of all tables and tasks of the graph that are neither on a cycle nor downstream of one.

    Raises:
        SelectionError: When a selected node is on a cycle or downstream of one.
    """
    waiting = {n.id: 0 for n in graph.nodes.values() if n.kind != "external"}
    for edge in graph.edges:
        if edge.source in waiting and edge.target in waiting:
            waiting[edge.target] += 1
    ready: dict[_Domain, list[str]] = defaultdict(list)
    for name, count in waiting.items():
        if not count:
            ready[_domain_of(graph.nodes[name])].append(name)
    domains = [key for key, names in ready.items() if heapify(names) is None]
    heapify(domains)
    order: list[str] = []
    while domains:
        # a domain is emptied, what becomes ready in it included, before the next one begins
        domain = heappop(domains)
        while ready[domain]:
            name = heappop(ready[domain])
            order.append(name)
            for other in graph.downstream[name]:
                waiting[other] -= 1
                if not waiting[other]:
                    _make_ready(graph, other, domain, ready, domains)
    left = sorted((waiting.keys() & set(selection)) - set(order))
    if left:
        knots = "; ".join(" → ".join([*cycle, cycle[0]]) for cycle in graph.cycles)
        raise SelectionError(f"no order exists for {', '.join(left[:10])}: cycle {knots}")
    return order


def split_names(names: Iterable[str], limit_bytes: int) -> Iterator[tuple[str, ...]]:
    """Splits a list of names so that each part, joined by commas, fits into a command.

    Args:
        names: Names, in order.
        limit_bytes: Maximum size of a joined part, in bytes of UTF-8. A longer name is a part of its own.

    Yields:
        Parts of at least one name.
    """
    chunk: list[str] = []
    size = 0
    for name in names:
        length = len(name.encode()) + (1 if chunk else 0)
        if chunk and size + length > limit_bytes:
            yield tuple(chunk)
            chunk, size, length = [], 0, length - 1
        chunk.append(name)
        size += length
    if chunk:
        yield tuple(chunk)


def _domain_of(node: Node) -> tuple[str, str]:
    """Returns the kind and the domain of a node's group; groups are opened in the order of these pairs."""
    if node.table:
        return "load", node.table.domain
    return "transform", node.task.domain.lower() if node.task else node.domain


def _make_ready(
    graph: Graph,
    name: str,
    current: tuple[str, str],
    ready: dict[tuple[str, str], list[str]],
    domains: list[tuple[str, str]],
) -> None:
    domain = _domain_of(graph.nodes[name])
    if not ready[domain] and domain != current:
        heappush(domains, domain)
    heappush(ready[domain], name)


@dataclass
class _Open:
    """A group that is being filled; `ancestors` is a bit set of the indexes of the groups that must run before it."""

    kind: Literal["load", "transform"] | None
    domain: str
    node_ids: list[str] = field(default_factory=list[str])
    ancestors: int = 0


class _Planner:
    def __init__(self, max_size: int | None) -> None:
        self._max = max_size
        self._open: list[_Open] = []
        self._newest: dict[tuple[str, str], int] = {}
        self._group_of: dict[str, int] = {}

    def add(self, node: Node, upstream: Sequence[str], wanted: bool) -> None:
        """Adds a node whose upstreams were added before; `groups` leaves out a node that is not selected."""
        before = {self._group_of[name] for name in upstream if name in self._group_of}
        key = _domain_of(node)
        index = self._newest.get(key) if wanted else None
        if index is None or self._is_full(index) or self._closes_cycle(index, before):
            index = len(self._open)
            domain = node.table.domain if node.table else node.domain
            self._open.append(_Open(("load" if node.table else "transform") if wanted else None, domain))
            if wanted:
                self._newest[key] = index
        self._open[index].node_ids.append(node.id)
        self._group_of[node.id] = index
        self._reach(index, before - {index})

    def groups(self) -> Iterator[StepGroup]:
        """Yields the groups of the selected nodes, in an order in which they can run."""
        kept = [index for index, group in enumerate(self._open) if group.kind]
        # an ancestor has strictly fewer ancestors
        kept.sort(key=lambda index: (self._open[index].ancestors.bit_count(), index))
        domains = {group.domain for group in self._open}
        seen: set[tuple[str | None, str]] = set()
        for index in kept:
            group = self._open[index]
            name, number = group.domain, 1
            while (group.kind, name) in seen or (number > 1 and name in domains):
                number += 1
                name = f"{group.domain}_{number}"
            seen.add((group.kind, name))
            yield StepGroup(name, group.kind or "transform", group.domain, tuple(group.node_ids))

    def _is_full(self, index: int) -> bool:
        group = self._open[index]
        return self._max is not None and group.kind == "transform" and len(group.node_ids) >= self._max

    def _closes_cycle(self, index: int, before: set[int]) -> bool:
        return any(other != index and self._open[other].ancestors >> index & 1 for other in before)

    def _reach(self, index: int, before: set[int]) -> None:
        found = self._open[index].ancestors
        for other in before:
            found |= self._open[other].ancestors | 1 << other
        if found == self._open[index].ancestors:
            return
        self._open[index].ancestors = found
        if len(self._open[index].node_ids) == 1:
            return
        for group in self._open:
            if group.ancestors >> index & 1:
                group.ancestors |= found
