"""Statements that make tasks depend on others."""

from __future__ import annotations

import pytest

from starlake_dagster_assets.airflow.plan.model import TaskSpec
from starlake_dagster_assets.airflow.plan.wiring import edges_of, groups_of, last_edge, wiring

FOUR = ("a", "b", "c", "d")


def tasks(*given: tuple[str, tuple[str, ...], tuple[str, ...]]) -> list[TaskSpec]:
    return [TaskSpec(name, "load", upstream=ups, groups=groups) for name, ups, groups in given]


def loads(*groups: str, first: tuple[str, ...] = ("stage",)) -> list[TaskSpec]:
    """Four tasks of a group after another task, and one after them."""
    return tasks(("stage", (), ()), *((one, first, groups) for one in FOUR), ("end", FOUR, ()))


LIST = "table_tasks = [\n        a,\n        b,\n        c,\n        d,\n    ]"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (tasks(("a", (), ()), ("b", ("a",), ())), ["a >> b"]),
        (
            tasks(("a", (), ()), ("b", ("a",), ()), ("c", ("a",), ()), ("d", ("b", "c"), ())),
            ["a >> [b, c]", "[b, c] >> d"],
        ),
        (loads("load"), ["stage >> load", "load >> end"]),
        (loads(), [LIST, "stage >> table_tasks", "table_tasks >> end"]),
        (loads("outer", "load"), ["stage >> load", "load >> end"]),
        (
            [*loads(), *tasks(("finish", FOUR, ()))],
            [LIST, "stage >> table_tasks", "table_tasks >> end", "table_tasks >> finish"],
        ),
        (tasks(("a", (), ("g",)), *((one, ("a",), ("g",)) for one in "bcd")), ["a >> [b, c, d]"]),
    ],
    ids=["two", "diamond", "group", "no_group", "inner_group", "several", "group_with_dependencies"],
)
def test_tasks_depend_on_others_in_few_statements(given, expected):
    assert statements(given) == expected


def statements(given: list[TaskSpec]) -> list[str]:
    names = {task.id: task.id for task in given}
    groups = {members: path[-1] for members, path in groups_of(given, names).items()}
    edges = edges_of(given, names)
    return list(wiring(edges, groups, last_edge(given, edges, names)))


@pytest.mark.parametrize(
    ("groups", "count", "expected"),
    [
        ((), 4, ["stage >> [t0, t1, t2, t3]", "run_after_all_assets(finish, end)"]),
        ((), 3, ["stage >> [t0, t1, t2]", "[t0, t1, t2] >> finish", "[t0, t1, t2] >> end"]),
        (("load",), 4, ["stage >> load", "load >> [finish, end]"]),
    ],
    ids=["many", "few", "group"],
)
def test_the_last_tasks_run_after_all_assets(groups, count, expected):
    made = [f"t{number}" for number in range(count)]
    loads = [TaskSpec(name, "load", upstream=("stage",), outlets=(name,), groups=groups) for name in made]
    finish = TaskSpec("finish", "finish", upstream=(*made,), outlets=("dag",))
    assert (
        statements([TaskSpec("stage", "stage"), *loads, finish, TaskSpec("end", "end", upstream=(*made,))]) == expected
    )
