"""Dependencies between the tasks of a DAG, in as few lines as a person would write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from starlake_dagster_assets.airflow.plan.model import TaskSpec

__all__ = ["AFTER_ALL", "Edge", "TaskSet", "edges_of", "groups_of", "last_edge", "wiring"]

AFTER_ALL = "run_after_all_assets"
"""Function of the shared module that declares the dependencies of the last tasks."""
_ENDS = ("finish", "end")

_WIDTH = 84
_MANY = 4

Edge = tuple[tuple[str, ...], tuple[str, ...]]
"""Python names of upstream tasks, and of tasks that are downstream of all of them."""
TaskSet = frozenset[str]
"""Python names of tasks."""


def edges_of(tasks: Sequence[TaskSpec], names: Mapping[str, str]) -> list[Edge]:
    """Returns one edge per set of tasks with the same upstream tasks.

    Args:
        tasks: The tasks in the order of the file.
        names: Python names by task id.
    """
    after: dict[tuple[str, ...], list[str]] = {}
    for task in tasks:
        if task.upstream:
            after.setdefault(tuple(names[up] for up in task.upstream), []).append(names[task.id])
    return [(before, tuple(then)) for before, then in after.items()]


def groups_of(tasks: Sequence[TaskSpec], names: Mapping[str, str]) -> dict[TaskSet, tuple[str, ...]]:
    """Returns the task groups that can stand for their tasks in dependencies: these tasks do not depend on each other.

    Args:
        tasks: The tasks of the DAG.
        names: Python names by task id.
    """
    members: dict[tuple[str, ...], list[TaskSpec]] = {}
    for task in tasks:
        for depth in range(1, len(task.groups) + 1):
            members.setdefault(task.groups[:depth], []).append(task)
    found: dict[TaskSet, tuple[str, ...]] = {}
    for group, inside in members.items():
        ids = {task.id for task in inside}
        if len(ids) >= _MANY and all(ids.isdisjoint(task.upstream) for task in inside):
            found[frozenset(names[one] for one in ids)] = group
    return found


def last_edge(tasks: Sequence[TaskSpec], edges: Sequence[Edge], names: Mapping[str, str]) -> Edge | None:
    """Returns the edge from all tasks that materialize assets to the last tasks of a DAG; None if there is none.

    Args:
        tasks: The tasks of the DAG.
        edges: The dependencies.
        names: Python names by task id.
    """
    produced = frozenset(names[task.id] for task in tasks if task.outlets and task.kind not in _ENDS)
    ends = frozenset(names[task.id] for task in tasks if task.kind in _ENDS)
    found = [edge for edge in edges if produced == frozenset(edge[0]) and ends.issuperset(edge[1])]
    return found[0] if found and len(produced) >= _MANY else None


def wiring(edges: Sequence[Edge], groups: Mapping[TaskSet, str], last: Edge | None = None) -> Iterator[str]:
    """Yields the statements that declare the dependencies of tasks.

    Args:
        edges: The dependencies.
        groups: Python names of task groups that can stand for their tasks.
        last: The dependency that `run_after_all_assets` declares, unless a group stands for its upstream tasks.
    """
    if last is not None and frozenset(last[0]) not in groups:
        yield from wiring([edge for edge in edges if edge != last], groups)
        yield f"{AFTER_ALL}({', '.join(last[1])})"
        return
    uses = Counter[tuple[str, ...]]()
    for before, then in edges:
        uses[before] += len(then)
        uses[then] += 1
    several = [
        side for side, count in uses.items() if count > 1 and len(side) >= _MANY and frozenset(side) not in groups
    ]
    known = dict(groups)
    if several:
        known[frozenset(several[0])] = "table_tasks"
        yield f"table_tasks = {_tall([*several[0]])}"
    for before, then in edges:
        left, right = known.get(frozenset(before)), known.get(frozenset(then))
        targets = [right] if right else [*then]
        if left in groups.values() or len(before) == 1:
            yield _statement(left or before[0], targets)
        else:
            yield from (_statement(left or [*before], [one]) for one in (then if right == "table_tasks" else targets))


def _statement(left: str | list[str], right: list[str]) -> str:
    """Returns `a >> b`, `a >> [b, c]` or `[a, b] >> c`, split into lines if it is long."""
    first = left if isinstance(left, str) else _flat(left)
    then = right[0] if len(right) == 1 else _flat(right)
    line = f"{first} >> {then}"
    if len(line) <= _WIDTH:
        return line
    if not isinstance(left, str):
        return f"{_tall(left)} >> {then}"
    return f"{first} >> {_tall(right)}" if len(right) > 1 else f"(\n        {first}\n        >> {then}\n    )"


def _flat(names: list[str]) -> str:
    return f"[{', '.join(names)}]"


def _tall(names: list[str]) -> str:
    return "[\n" + "".join(f"        {name},\n" for name in names) + "    ]"
