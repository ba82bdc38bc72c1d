"""Which nodes share a DAG: cut at a size, and never so that two DAGs wait for each other."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from starlake_dagster_assets.errors import ProjectError

__all__ = ["Bundle", "bundles"]


@dataclass
class Bundle:
    """Nodes of one DAG, upstream first; `number` counts the bundles of one key."""

    key: tuple[Hashable, ...]
    number: int
    nodes: list[str] = field(default_factory=list[str])
    before: int = 0


def bundles(
    upstream: Mapping[str, Sequence[str]],
    keys: Mapping[str, tuple[Hashable, ...]],
    size: int,
    cycles: Sequence[Sequence[str]] = (),
) -> list[Bundle]:
    """Puts nodes of one key together, opening another bundle where the first is full or would close a circle.

    Args:
        upstream: Ids that each node reads, of those in `keys` or not.
        keys: What nodes of one bundle have in common, by node id.
        size: Most nodes a bundle.
        cycles: Of the graph, to be named.

    Raises:
        ProjectError: When nodes read each other in a circle.
    """
    kept = set(keys)
    for cycle in cycles:
        if kept.issuperset(cycle):
            raise ProjectError([f"{' -> '.join(cycle)}: a circle cannot be said in Airflow. Exclude one of them."])
    found: list[Bundle] = []
    newest: dict[tuple[Hashable, ...], int] = {}
    home: dict[str, int] = {}
    for node in _ordered(upstream, keys):
        before = {home[up] for up in upstream[node] if up in home}
        index = newest.get(keys[node])
        if index is None or len(found[index].nodes) >= size or _closes(found, index, before):
            number = 1 if index is None else found[index].number + 1
            index = newest[keys[node]] = len(found)
            found.append(Bundle(keys[node], number))
        found[index].nodes.append(node)
        home[node] = index
        _reach(found, index, before - {index})
    return found


def _closes(found: Sequence[Bundle], index: int, before: set[int]) -> bool:
    return any(other != index and found[other].before >> index & 1 for other in before)


def _reach(found: Sequence[Bundle], index: int, before: set[int]) -> None:
    reached = found[index].before
    for other in before:
        reached |= found[other].before | 1 << other
    if reached != found[index].before:
        found[index].before = reached
        for bundle in found:
            if bundle.before >> index & 1:
                bundle.before |= reached


def _ordered(upstream: Mapping[str, Sequence[str]], keys: Mapping[str, tuple[Hashable, ...]]) -> list[str]:
    """Upstreams first, without recursion; in the order of `keys` otherwise."""
    done: dict[str, None] = {}
    opened: set[str] = set()
    for start in keys:
        stack = [start]
        while stack:
            node = stack[-1]
            waiting = [up for up in upstream[node] if up in keys and up not in opened]
            opened.add(node)
            if waiting:
                stack.extend(reversed(waiting))
            else:
                done.setdefault(stack.pop())
    return list(done)
