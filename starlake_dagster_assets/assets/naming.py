"""What a translator says of a project, for whoever shows the same graph without Dagster."""

import dagster as dg

from starlake_dagster_assets.assets.names import group_name, key_part
from starlake_dagster_assets.graph.model import Graph, Node
from starlake_dagster_assets.graph.naming import Naming

__all__ = ["naming_of"]


def naming_of(graph: Graph, specs: dict[str, dg.AssetSpec]) -> Naming:
    """Keys and groups that differ from the project's own, and what a node reads besides.

    Args:
        graph: The graph of the project.
        specs: The specs by node id.
    """
    keys = {node: tuple(spec.key.path) for node, spec in specs.items()}
    own = {node: tuple(key_part(part) for part in graph.nodes[node].key) for node in specs}
    groups = {node: spec.group_name for node, spec in specs.items() if spec.group_name is not None}
    extra: dict[str, tuple[tuple[str, ...], ...]] = {}
    for node, spec in specs.items():
        known = {keys[up] for up in graph.upstream[node]}
        more = tuple(path for dep in spec.deps if (path := tuple(dep.asset_key.path)) not in known)
        if more:
            extra[node] = more
    return Naming(
        keys={node: key for node, key in keys.items() if key != own[node]},
        groups={node: group for node, group in groups.items() if group != group_name(_schema(graph.nodes[node]))},
        extra=extra,
    )


def _schema(node: Node) -> str:
    return node.table.final_domain if node.is_files and node.table else node.domain
