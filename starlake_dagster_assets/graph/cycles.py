"""Cycles of a directed graph, found without recursion."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

__all__ = ["find_cycles"]

_MAX_PER_COMPONENT = 25


def find_cycles(successors: Mapping[str, Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Returns cycles that cover all cyclic edges, each listed once.

    Args:
        successors: The direct successors of every node, in a stable order.

    Returns:
        The cycles, sorted, each from its smallest node; at most 25 per strongly connected component.
    """
    found: set[tuple[str, ...]] = set()
    for component in _components(successors):
        inside = set(component)
        if len(component) > 1 or component[0] in successors[component[0]]:
            found.update(_cover({n: [m for m in successors[n] if m in inside] for n in sorted(component)}))
    return tuple(sorted(found))


def _cover(successors: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, ...]]:
    covered: set[tuple[str, str]] = set()
    count = 0
    for source, targets in successors.items():
        for target in targets:
            if (source, target) in covered:
                continue
            path = _shortest(successors, target, source)
            covered.update(zip(path, [*path[1:], path[0]], strict=True))
            smallest = path.index(min(path))
            yield (*path[smallest:], *path[:smallest])
            count += 1
            if count == _MAX_PER_COMPONENT:
                return


def _shortest(successors: Mapping[str, Sequence[str]], start: str, end: str) -> list[str]:
    """Returns the shortest path between two nodes of a component; such a path always exists."""
    before: dict[str, str | None] = {start: None}
    queue = deque([start])
    while end not in before:
        node = queue.popleft()
        for following in successors[node]:
            if following not in before:
                before[following] = node
                queue.append(following)
    path: list[str] = []
    at: str | None = end
    while at is not None:
        path.append(at)
        at = before[at]
    return path[::-1]


def _components(successors: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Yields strongly connected components by Tarjan's algorithm, with an explicit stack."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    for root in successors:
        work: list[tuple[str, Iterator[str]]] = [] if root in index else [(root, iter(successors[root]))]
        while work:
            node, rest = work[-1]
            if node not in index:
                index[node] = low[node] = len(index)
                stack.append(node)
                on_stack.add(node)
            for following in rest:
                if following not in index:
                    work.append((following, iter(successors[following])))
                    break
                if following in on_stack:
                    low[node] = min(low[node], index[following])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    yield _pop_component(stack, on_stack, node)


def _pop_component(stack: list[str], on_stack: set[str], root: str) -> list[str]:
    component: list[str] = []
    while not component or component[-1] != root:
        component.append(stack.pop())
    on_stack.difference_update(component)
    return component
