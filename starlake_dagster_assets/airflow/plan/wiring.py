"""Dependencies between the tasks of a DAG, as few lines as a person would write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlake_dagster_assets.airflow.plan.model import TaskSpec

__all__ = ["statement", "wiring"]

_WIDTH = 84
_MANY = 4


def wiring(tasks: Sequence[TaskSpec], names: Mapping[str, str]) -> list[str]:
    """Yields one statement per set of tasks with the same upstream tasks.

    Args:
        tasks: In the order of the file.
        names: Python names by task id.
    """
    after: dict[tuple[str, ...], list[str]] = {}
    for task in tasks:
        before = tuple(names[up] for up in task.upstream)
        if before:
            after.setdefault(before, []).append(names[task.id])
    shared = next((before for before, then in after.items() if len(then) > 1 and len(before) >= _MANY), None)
    lines = [f"made = {_tall(list(shared))}"] if shared is not None else []
    for before, then in after.items():
        if before == shared:
            lines += [f"made >> {one}" for one in then]
        elif len(before) == 1:
            lines.append(f"{before[0]} >> made" if shared == tuple(then) else _statement(before[0], then))
        else:
            lines += [_statement(list(before), [one]) for one in then]
    return lines


def statement(before: Sequence[str], then: Sequence[str]) -> str:
    """Returns the statement by which tasks depend on others, by Python names.

    Args:
        before: The upstream tasks.
        then: The downstream tasks.

    Raises:
        ValueError: Both sides have several tasks.
    """
    if len(before) > 1 and len(then) > 1:
        raise ValueError(f"one side of a dependency must be a single task, not {[*before]} and {[*then]}")
    return _statement(before[0] if len(before) == 1 else [*before], [*then])


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
