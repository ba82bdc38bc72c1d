"""Builds the graph of a resolved project: nodes, edges and their problems."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import MappingProxyType

from starlake_dagster_assets.errors import closest_match
from starlake_dagster_assets.graph.cycles import find_cycles
from starlake_dagster_assets.graph.lineage_checks import (
    ambiguous_name_problem,
    compare_with_starlake,
    cycle_problem,
    renamed_table_problem,
    self_reference_problem,
)
from starlake_dagster_assets.graph.model import Edge, Graph, Node
from starlake_dagster_assets.graph.name_resolution import TableNames
from starlake_dagster_assets.graph.nodes import collect_nodes
from starlake_dagster_assets.graph.starlake_lineage import StarlakeNameResolver
from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.project.model.project import Project, Task
from starlake_dagster_assets.project.sql.references import split_name

__all__ = ["build_graph", "declared_dependencies", "find_starlake_edges"]

_TAG = "dagster_deps="
_DECLARED = re.compile(r"\s*dagster_deps\s*=(.*)", re.DOTALL)


def build_graph(project: Project) -> tuple[Graph, tuple[Problem, ...]]:
    """Builds the graph of a project.

    Args:
        project: The resolved project.

    Returns:
        The graph, and the problems found on the way: errors are collisions of names and cycles (codes `collision`,
        `cycle`); warnings are declared upstreams that are unknown (`unknown-upstream`, an error without a schema),
        ambiguous names, self references, raw names of renamed tables, and edges that the starlake program misses
        or invents (`ambiguous-name`, `self-reference`, `raw-name`, `lineage-differs`). Each object without a
        conflict is in the graph regardless of the problems.
    """
    builder = _Builder(project)
    for node in builder.produced:
        if node.task:
            builder.add_sql_edges(node, node.task)
        if node.kind != "external":
            builder.add_declared_edges(node)
    builder.add_files()
    return builder.finish()


def declared_dependencies(tags: tuple[str, ...]) -> Iterator[str]:
    """Yields the upstreams named by `dagster_deps=a.b;c.d` tags (separators: `;`, `|`, `,` and white space)."""
    for tag in tags:
        found = _DECLARED.fullmatch(tag)
        if found:
            yield from re.sub(r"[;|,]", " ", found[1]).split()


def find_starlake_edges(graph: Graph) -> tuple[Edge, ...]:
    """Returns the edges between load tables and tasks that the starlake program's regular expressions find, sorted."""
    produced = (node for node in graph.nodes.values() if node.kind != "external")
    engine = StarlakeNameResolver(sorted(produced, key=lambda node: node.raw))
    found = [
        Edge(source=source, target=node.id)
        for node in graph.nodes.values()
        if node.task
        for source in engine.view(node.task).sources
        if source != node.id
    ]
    return tuple(sorted(found))


class _Builder:
    def __init__(self, project: Project) -> None:
        self._project = project
        collected = collect_nodes(project)
        self.produced = collected.produced
        self._files = collected.files
        self._problems = collected.problems
        self._nodes = {node.id: node for node in self.produced}
        self._unknown: dict[str, Node] = {}
        self._edges: dict[tuple[str, str], Edge] = {}
        self._own: set[str] = set()
        self._writers = collected.writers
        self._siblings: list[tuple[str, str]] = []
        self._names = TableNames(self.produced, project.application.refs)
        self._engine = StarlakeNameResolver(node for node in self.produced if node.kind != "external")

    def add_sql_edges(self, node: Node, task: Task) -> None:
        sources: dict[str, str] = {}
        for name in task.references:
            meant = self._names.resolve(name, task)
            if meant.candidates:
                self._problems.append(ambiguous_name_problem(node, task, name, meant, self._nodes))
            if meant.renamed:
                self._problems.append(renamed_table_problem(node, task, name, self._nodes[meant.renamed]))
            source = meant.node or (self._external(*meant.unknown) if meant.unknown else None)
            if source:
                sources.setdefault(source, name)
        for source, name in list(sources.items()):
            sources.update(dict.fromkeys(self._writers.get(source, ()), name))
        if node.id in sources:
            self._problems.append(self_reference_problem(node, task, sources[node.id]))
            self._own.add(node.id)
        for source in sources:
            if node.id in sources and source in self._writers.get(node.id, ()):
                self._siblings.append((source, node.id))
            else:
                self._edge(source, node.id, "sql")
        known = {source: name for source, name in sources.items() if self._is_produced(source)}
        self._problems += compare_with_starlake(node, task, known, self._engine.view(task))

    def add_declared_edges(self, node: Node) -> None:
        for name in declared_dependencies(node.tags):
            source = self._names.declared(name)
            if source is None:
                self._problems.append(self._unknown_upstream(node, name))
                *_, domain, table = ["", *split_name(name)]
                source = self._external(domain, table) if domain else None
            for one in self._declared(source, name) if source else ():
                self._edge(one, node.id, "declared")

    def _declared(self, source: str, name: str) -> tuple[str, ...]:
        """Returns the nodes of a declared name: the node with this id, otherwise all writers of the table."""
        return (source,) if source.lower() == name.lower() else self._writers.get(source, (source,))

    def add_files(self) -> None:
        for node in self._files:
            if node.table and node.id not in self._nodes:
                self._nodes[node.id] = node
                self._edge(node.id, node.table.id, "files")

    def finish(self) -> tuple[Graph, tuple[Problem, ...]]:
        for source, target in self._siblings:
            if source not in self._own:  # two that read the table which both write would wait for each other
                self._edge(source, target, "sql")
        nodes = {**self._nodes, **{node.id: node for node in self._unknown.values()}}
        ordered = {name: nodes[name] for name in sorted(nodes)}
        successors: dict[str, list[str]] = {name: [] for name in ordered}
        edges = tuple(sorted(self._edges.values()))
        for edge in edges:
            successors[edge.source].append(edge.target)
        cycles = find_cycles(successors)
        problems = [*self._problems, *(cycle_problem(cycle, nodes) for cycle in cycles)]
        graph = Graph(
            nodes=MappingProxyType(ordered),
            edges=edges,
            self_references=frozenset(self._own),
            cycles=cycles,
            domains=MappingProxyType({domain.directory: domain for domain in self._project.domains}),
            writers=MappingProxyType(self._writers),
        )
        return graph, tuple(sorted(problems, key=lambda p: (p.file, p.line or 0, p.code, p.message)))

    def _edge(self, source: str, target: str, via: str) -> None:
        if source == target:
            self._own.add(target)
        elif via == "sql":
            self._edges.setdefault((source, target), Edge(source, target, "sql"))
        else:
            self._edges.setdefault((source, target), Edge(source, target, "files" if via == "files" else "declared"))

    def _external(self, domain: str, table: str) -> str:
        name = f"{domain}.{table}"
        node = Node(id=name, kind="external", raw="", key=(domain, table))
        return self._unknown.setdefault(name.lower(), node).id

    def _is_produced(self, node: str) -> bool:
        return node in self._nodes and self._nodes[node].kind != "external"

    def _unknown_upstream(self, node: Node, name: str) -> Problem:
        described = node.definition
        close = closest_match(name, [known for node in self.produced for known in (node.id, node.raw) if known])
        others = "it becomes an external asset" if "." in name else "expected <schema>.<table>"
        return Problem(
            file=described.location.file if described else "",
            key="tags",
            message=f"`{_TAG}{name}` names no table or task of this project: {others}.",
            hint=f"Did you mean {close}?" if close else "If others write it, describe it below metadata/external.",
            severity="warning" if "." in name else "error",
            code="unknown-upstream",
        )
