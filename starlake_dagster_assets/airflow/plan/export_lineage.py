"""Edges as Dagster has them: those of the project, with the changes of a translator or of definitions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from starlake_dagster_assets.graph.display_names import AssetOverrides
from starlake_dagster_assets.graph.model import Edge, Graph

__all__ = ["ExportLineage", "Key", "build_export_lineage"]

Key = tuple[str, ...]


@dataclass(frozen=True)
class ExportLineage:
    """Graph of a project, with the assets outside the project that are connected to its nodes.

    Attributes:
        graph: The nodes of the project.
        keys: Asset key by node id.
        outside: Keys of the assets outside the project that a node reads, by node id.
        upstreams_in_project: Keys of the assets that each asset outside the project reads, by its key.
    """

    graph: Graph
    keys: Mapping[str, Key]
    outside: Mapping[str, tuple[Key, ...]]
    upstreams_in_project: Mapping[Key, tuple[Key, ...]]

    @cached_property
    def nodes(self) -> Mapping[Key, str]:
        """Node id by asset key."""
        return {key: node for node, key in self.keys.items()}

    def external_neighbours(self, made: Iterable[Key]) -> frozenset[Key]:
        """Returns the assets outside the project that are connected to nodes, directly or through other such assets.

        Args:
            made: Keys of the nodes to start from.
        """
        here = set(made)
        read = {key for node, keys in self.outside.items() if self.keys[node] in here for key in keys}
        found: set[Key] = set()
        while (
            more := {
                *(key for key in read if key in self.upstreams_in_project),
                *(key for key, reads in self.upstreams_in_project.items() if not here.isdisjoint(reads)),
            }
            - found
        ):
            found |= more
            here |= more
            read |= {key for one in more for key in self.upstreams_in_project[one]}
        return frozenset(found)

    def list_upstream_nodes(self, key: Key) -> tuple[str, ...]:
        """Returns the sorted ids of the nodes that an external asset reads, directly or through other such assets."""
        found: set[str] = set()
        seen, stack = {key}, [key]
        while stack:
            for up in self.upstreams_in_project.get(stack.pop(), ()):
                if up in self.nodes:
                    found.add(self.nodes[up])
                elif up not in seen:
                    seen.add(up)
                    stack.append(up)
        return tuple(sorted(found))


def build_export_lineage(graph: Graph, naming: AssetOverrides) -> ExportLineage:
    """Builds the lineage of an export: the project's graph, with the edges that a naming declares instead of its own.

    Args:
        graph: Graph of the project.
        naming: Overrides; `reads` replaces the incoming edges of each node in it.
    """
    keys = {node.id: naming.keys.get(node.id, node.key) for node in graph.nodes.values()}
    nodes = {key: node for node, key in keys.items()}
    outside = {
        node: tuple(dict.fromkeys(key for key in reads if key not in nodes))
        for node, reads in naming.reads.items()
        if not nodes.keys() >= set(reads)
    }
    if naming.reads:
        known = {(edge.source, edge.target): edge for edge in graph.edges}
        edges = [edge for edge in graph.edges if edge.target not in naming.reads]
        for node, reads in naming.reads.items():
            ups = {nodes[key] for key in reads if key in nodes} - {node}
            edges += [known.get((up, node)) or Edge(up, node, "declared") for up in ups]
        graph = replace(graph, edges=tuple(sorted(edges)))
    return ExportLineage(graph, keys, outside, naming.upstreams_in_project)
