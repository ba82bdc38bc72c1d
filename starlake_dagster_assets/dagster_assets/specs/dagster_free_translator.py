"""Keys, groups and dependencies of a translator's assets, for exports that do not use Dagster."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from starlake_dagster_assets.dagster_assets.specs.names import group_name, key_part
from starlake_dagster_assets.graph.display_names import AssetOverrides
from starlake_dagster_assets.graph.model import Graph, Node

__all__ = ["build_asset_overrides"]

_Key = tuple[str, ...]


def build_asset_overrides(
    graph: Graph,
    specs: Mapping[str, dg.AssetSpec],
    *,
    excluded: frozenset[str] = frozenset(),
    own: Mapping[_Key, tuple[_Key, ...]] | None = None,
    airflow: Mapping[str, Mapping[str, Any]] | None = None,
) -> AssetOverrides:
    """Builds the keys, groups and upstreams that differ from those of the project, and the assets outside the project.

    Args:
        graph: The graph of the project.
        specs: The specs by node id.
        excluded: Ids of nodes that are left out.
        own: Upstream keys of each asset outside the project, by asset key.
        airflow: Arguments of the operator of a node in exported Airflow DAGs, by node id.
    """
    plain = {node: tuple(key_part(part) for part in graph.nodes[node].key) for node in specs}
    keys = {node: tuple(spec.key.path) for node, spec in specs.items()}
    # a key of the project itself is reported as the project writes it, before Dagster's characters
    original = {key: key if key != plain[node] else graph.nodes[node].key for node, key in keys.items()}
    groups = {node: spec.group_name for node, spec in specs.items() if spec.group_name is not None}
    reads = {node: {tuple(dep.asset_key.path): None for dep in spec.deps} for node, spec in specs.items()}
    known = {node: {keys[up] for up in graph.upstream[node] if up in keys} for node in specs}
    changed = {node: read for node, read in reads.items() if {*read} != known[node]}
    return AssetOverrides(
        keys={node: key for node, key in keys.items() if key != plain[node]},
        groups={node: group for node, group in groups.items() if group != group_name(_schema(graph.nodes[node]))},
        reads={node: tuple(original.get(key, key) for key in read) for node, read in changed.items()},
        excluded=excluded,
        upstreams_in_project={key: tuple(original.get(one, one) for one in ups) for key, ups in (own or {}).items()},
        airflow={node: one for node, one in (airflow or {}).items() if one},
    )


def _schema(node: Node) -> str:
    return node.table.final_domain if node.is_files and node.table else node.domain
