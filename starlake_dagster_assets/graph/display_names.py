"""Names, descriptions and dependencies that Dagster shows for the nodes of a graph, without Dagster objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

__all__ = ["AssetOverrides"]

_Key = tuple[str, ...]


@dataclass(frozen=True)
class AssetOverrides:
    """Asset keys, groups and dependencies of the nodes that override those of the project.

    Attributes:
        keys: Asset key by node id.
        groups: Group by node id.
        reads: Keys of all assets that a node reads, by node id.
        excluded: Ids of nodes that are left out.
        upstreams_in_project: Keys of the assets that an asset outside of the project reads, by its key.
        airflow: Arguments of the operator of a node in exported Airflow DAGs, by node id.
    """

    keys: Mapping[str, _Key] = field(default_factory=lambda: MappingProxyType({}))
    groups: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    reads: Mapping[str, tuple[_Key, ...]] = field(default_factory=lambda: MappingProxyType({}))
    excluded: frozenset[str] = frozenset()
    upstreams_in_project: Mapping[_Key, tuple[_Key, ...]] = field(default_factory=lambda: MappingProxyType({}))
    airflow: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))
