"""What a translator says of the nodes of a graph, free of Dagster: for whoever shows the same graph elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = ["Naming"]

_Key = tuple[str, ...]


@dataclass(frozen=True)
class Naming:
    """Names and groups of the nodes; whatever is missing is the project's own.

    Attributes:
        keys: Asset key by node id.
        groups: Group by node id.
        extra: Keys that a node reads besides, by node id.
        excluded: Ids of nodes that are left out.
    """

    keys: Mapping[str, _Key] = field(default_factory=lambda: MappingProxyType({}))
    groups: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    extra: Mapping[str, tuple[_Key, ...]] = field(default_factory=lambda: MappingProxyType({}))
    excluded: frozenset[str] = frozenset()
