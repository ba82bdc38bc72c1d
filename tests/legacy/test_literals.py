"""The literals of DAG files: every shape of the generator is read, every other one is told by its path."""

from __future__ import annotations

import json
from typing import Any

import pytest

from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.legacy.literals import read_dag_context

TREE: list[dict[str, Any]] = [
    {
        "data": {"name": "kpi.b", "typ": "task", "sink": "kpi.bb", "cron": "0 3 * * *", "freshness": 3600},
        "children": [
            {"data": {"name": "kpi.a", "typ": "task", "sink": "kpi.a", "cron": "None"}, "task": True},
            {"data": {"name": "sales.Orders", "typ": "table", "sink": "None", "stream": ""}, "task": False},
        ],
        "task": True,
    }
]
TABLES = [{"schedule": "daily", "cron": "0 5 * * *", "domains": [{"name": "sales", "tables": [{"name": "orders"}]}]}]


def wrong(**literals: Any) -> list[str]:
    with pytest.raises(ProjectError) as caught:
        read_dag_context("load", file="load.py", line=7, **literals)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    "tables",
    [[{"name": "a"}, {"name": "b"}], ["a", "b"], ("a", "b"), {"b", "a"}, frozenset({"a", "b"})],
    ids=["dictionaries", "list", "tuple", "set", "frozenset"],
)
def test_tables_are_dictionaries_or_names_in_any_collection(tables: Any) -> None:
    (schedule,) = read_dag_context("load", schedules=[{"domains": [{"name": "d", "tables": tables}]}]).schedules
    assert [table.raw for table in schedule.tables] == ["d.a", "d.b"]


@pytest.mark.parametrize("nothing", [None, "None", "", " "])
def test_what_the_templates_write_for_nothing_is_nothing(nothing: Any) -> None:
    context = read_dag_context("x", schedules=[{"schedule": nothing, "cron": nothing, "domains": []}], cron=nothing)
    assert (context.schedules[0].name, context.schedules[0].cron, context.cron) == (None, None, None)


def test_the_name_of_a_schedule_is_its_label_in_both_spellings() -> None:
    both = [{"schedule": "daily", "domains": []}, {"name": "hourly", "domains": []}]
    assert [one.name for one in read_dag_context("x", schedules=both).schedules] == ["daily", "hourly"]


def test_json_and_lists_are_the_same() -> None:
    literal = read_dag_context("x", schedules=TABLES, dependencies=TREE)
    assert read_dag_context("x", schedules=json.dumps(TABLES), dependencies=json.dumps(TREE)) == literal


def test_a_tree_is_nodes_that_read_nodes() -> None:
    context = read_dag_context("x", dependencies=TREE)
    (root,) = (context.nodes[key] for key in context.roots)
    assert (root.sink, root.cron, root.freshness) == ("kpi.bb", "0 3 * * *", 3600)
    assert root.reads == (("task", "kpi.a"), ("table", "sales.orders"))
    assert context.nodes["table", "sales.orders"].sink == "sales.Orders"


def test_a_shared_ancestor_is_one_node_whatever_its_spelling() -> None:
    orders = {"data": {"name": "SALES.orders", "typ": "table"}}
    again = [*TREE, {"data": {"name": "kpi.c", "typ": "task"}, "children": [orders, *TREE]}]
    context = read_dag_context("x", dependencies=again)
    assert len(context.nodes) == 4 and len(context.roots) == 2
    assert context.nodes["task", "kpi.c"].reads == (("table", "sales.orders"), ("task", "kpi.b"))


def test_a_chain_of_hundreds_is_no_recursion() -> None:
    chain: dict[str, Any] = {"data": {"name": "kpi.t0", "typ": "task"}}
    for number in range(1, 900):
        chain = {"data": {"name": f"kpi.t{number}", "typ": "task"}, "children": [chain]}
    assert len(read_dag_context("x", dependencies=[chain]).nodes) == 900


def test_options_become_texts_and_those_of_single_transforms_are_apart() -> None:
    options = {"retries": 2, "pre_load_sensor": True, "tags": None, "kpi.a": {"options": "x=1,y=a=b"}}
    context = read_dag_context("x", options=options, jobs={"kpi.b": {"options": "z=3"}})
    assert context.options == {"retries": "2", "pre_load_sensor": "true"}
    assert context.task_options == {"kpi.a": {"x": "1", "y": "a=b"}, "kpi.b": {"z": "3"}}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("StarlakeExecutionEnvironment.CLOUD_RUN", "cloud_run"),
        ("load/dagster__scheduled_table__dataproc.py.j2", "dataproc"),
        ("airflow__scheduled_task__bash.py.j2", "shell"),
        ("fargate", "fargate"),
        (None, None),
    ],
)
def test_the_environment_is_said_by_an_enum_or_by_the_name_of_a_template(said: str | None, meant: str | None) -> None:
    assert read_dag_context("x", environment=said).environment == meant


@pytest.mark.parametrize(
    ("literals", "message"),
    [
        ({"schedules": {"a": 1}}, "load.py:7: schedules: found a dictionary, expected a list."),
        ({"schedules": [3]}, "load.py:7: schedules[0]: found `3`, expected a dictionary."),
        (
            {"schedules": [{"domains": [{"name": "a", "table": []}]}]},
            "load.py:7: schedules[0].domains[0].tables: is missing; found only name, table. Did you mean `table`?",
        ),
        (
            {"schedules": [{"domains": [{"name": "a", "tables": []}, {"name": "b", "tables": "c"}]}]},
            "load.py:7: schedules[0].domains[1].tables: found the text `c`, expected a valid list.",
        ),
        (
            {"schedules": [{"cron": "0 0 * *", "domains": []}]},
            "load.py:7: schedules[0].cron: `0 0 * *` is not a cron expression: it has 4 fields, not 5.",
        ),
        (
            {"dependencies": [{"data": {"name": "kpi.a", "typ": "cte"}}]},
            "load.py:7: dependencies[0].data.typ: found the text `cte`, expected 'task' or 'table'.",
        ),
        (
            {"dependencies": [{"data": {"name": "a", "typ": "task"}}]},
            "load.py:7: dependencies[0].data.name: found the text `a`, expected <domain>.<name>.",
        ),
        (
            {"dependencies": [{"data": {"name": "sales.a", "typ": "table"}}]},
            "load.py:7: dependencies[0].data.typ: sales.a is a table, expected a task that the file runs.",
        ),
        (
            {
                "dependencies": [
                    {"data": {"name": "kpi.a", "typ": "task", "cron": "0 3 * * *"}},
                    {"data": {"name": "kpi.a", "typ": "task", "cron": "0 4 * * *"}},
                ]
            },
            "load.py:7: dependencies[1].data.cron: found `0 4 * * *`, but dependencies[0] has `0 3 * * *`.",
        ),
        ({"jobs": {"a.b": {"options": "x"}}}, "load.py:7: jobs['a.b'].options: found `x`, expected key=value."),
        ({"options": ["x"]}, "load.py:7: options: found a list, expected a dictionary."),
        (
            {"environment": "StarlakeExecutionEnvironment.SQL"},
            "load.py:7: execution_environment: found `StarlakeExecutionEnvironment.SQL`, "
            "expected one of cloud_run, dataproc, fargate, kubernetes, shell.",
        ),
    ],
)
def test_another_shape_is_told_by_its_path(literals: dict[str, Any], message: str) -> None:
    assert wrong(**literals) == [message]


def test_text_that_is_no_json_says_where_it_breaks() -> None:
    (line,) = wrong(dependencies="[{]")
    assert line.startswith("load.py:7: dependencies: found a text that is not JSON (") and "column 3" in line


def test_all_that_is_wrong_is_told_at_once() -> None:
    assert len(wrong(schedules=[1, {"domains": 2}], cron="x y", jobs={"a.b": 3})) == 4
