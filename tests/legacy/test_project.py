"""DAG files as a project: over the project they were generated from, or alone."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlake_dagster_assets import StarlakeProject
from starlake_dagster_assets.automation.policies.build import build_triggers
from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.graph.model import Graph
from starlake_dagster_assets.legacy.dag_file_model import DagContext
from starlake_dagster_assets.legacy.dag_file_reader import read_dag_files
from starlake_dagster_assets.legacy.literals import read_dag_context
from starlake_dagster_assets.legacy.project import DagProject
from tests.dagster_assets.conftest import make_source, make_table, make_task
from tests.legacy import generated
from tests.legacy.test_literals import TABLES, TREE

ROOT = {"options": {"sl_env_var": '{"SL_ROOT": "/starbake", "SL_ENV": "DUCKDB"}'}}


def load(*items: Any, name: str = "load", **more: Any) -> DagContext:
    return read_dag_context(name, schedules=list(items), **{**ROOT, **more})


def schedule(*tables: str, label: str = "daily", cron: str | None = "0 5 * * *", domain: str = "starbake") -> Any:
    return {"schedule": label, "cron": cron, "domains": [{"name": domain, "tables": list(tables)}]}


def edges(graph: Graph) -> set[tuple[str, str]]:
    return {(edge.source, edge.target) for edge in graph.edges if not edge.source.startswith("incoming.")}


# ------------------------------------------------------------------------------------------ over the project


def test_the_project_keeps_what_it_knows_and_the_files_say_what_runs_when(starbake: StarlakeProject) -> None:
    files = [
        load(schedule("Orders", "Customers", cron="30 4 * * *")),
        read_dag_context("kpis", dependencies=generated.trees(starbake.graph, ["kpi.order_lines"]), cron="0 6 * * *"),
    ]
    made = DagProject(files, starbake)
    assert made.declared_nodes == {"starbake.Orders", "starbake.Customers", "kpi.order_lines"}
    assert edges(made.graph) == edges(starbake.graph)
    orders, lines = made.graph.nodes["starbake.Orders"].table, made.graph.nodes["kpi.order_lines"].task
    assert orders is not None and lines is not None and orders.attributes and lines.sql
    assert (orders.cron, orders.metadata.dag_ref) == ("30 4 * * *", "load")
    assert (lines.cron, lines.dag_ref) == ("0 6 * * *", "kpis")
    products = made.graph.nodes["starbake.Products"].table
    assert products is not None and (products.cron, products.metadata.dag_ref) == ("0 5 * * *", None)
    assert set(made.model.dags) == {"load", "kpis"}
    assert (made.root, made.env) == (starbake.root, "DUCKDB")


def test_load_dependencies_puts_what_a_task_reads_into_its_job_whatever_its_own_schedule(
    starbake: StarlakeProject,
) -> None:
    trees = generated.trees(starbake.graph, ["kpi.order_lines"])
    jobs = {}
    for options in ({}, {"load_dependencies": "True"}):
        made = DagProject([read_dag_context("kpis", dependencies=trees, options=options)], starbake)
        jobs[bool(options)] = set(build_triggers(made).jobs["kpis"].nodes)
    orders = starbake.graph.nodes["starbake.Orders"].table
    assert orders is not None and orders.cron
    assert jobs == {False: {"kpi.order_lines"}, True: {"kpi.order_lines", "starbake.Orders"}}


@pytest.mark.parametrize("final", [True, False], ids=["newer", "older"])
def test_a_renamed_table_is_found_by_the_names_of_both_versions(starbake: StarlakeProject, final: bool) -> None:
    said = generated.schedules(starbake.graph, ["reference.Shops"], final=final)
    assert said[0]["domains"][0]["name"] == ("reference" if final else "network")
    assert DagProject([load(*said)], starbake).declared_nodes == {"reference.Shops"}


def test_each_schedule_of_a_file_is_a_job_and_a_dag_configuration(starbake: StarlakeProject) -> None:
    items = [schedule("Orders", label="hourly", cron="0 * * * *"), schedule("Products"), schedule("Customers")]
    made = DagProject([load(*items, description="loads")], starbake)
    assert [part.job for part in made.parts] == ["load_hourly", "load_daily", "load_daily_2"]
    dag = made.model.dags["load_hourly"]
    assert (dag.filename, dag.comment) == ("load_hourly.py", "loads")


def test_files_of_one_name_in_two_directories_are_two_jobs(starbake: StarlakeProject) -> None:
    places = [("x", "Orders"), ("y", "Products")]
    files = [load(schedule(table), file=f"/dags/{where}/a.py", name="a") for where, table in places]
    assert [part.job for part in DagProject(files, starbake).parts] == ["x_a", "y_a"]


def test_what_the_project_does_not_have_is_told_by_name_with_the_nearest(starbake: StarlakeProject) -> None:
    files = [
        load(schedule("Orders", "Custmers"), file="load.py"),
        read_dag_context("k", dependencies=[{"data": {"name": "kpi.order_line", "typ": "task"}}], file="k.py"),
    ]
    with pytest.raises(ProjectError) as caught:
        DagProject(files, starbake)
    first, second = str(caught.value).splitlines()
    assert first.startswith("load.py: schedules[0].domains[0].tables[1]: starbake.Custmers is not a table of the")
    assert first.endswith("Did you mean starbake.Customers?")
    assert second.startswith("k.py: dependencies[0]: kpi.order_line is not a task") and "kpi.order_lines?" in second


def test_a_table_with_two_crons_is_refused_and_one_cron_twice_is_not(starbake: StarlakeProject) -> None:
    assert DagProject([load(schedule("Orders"), schedule("Orders"))], starbake).declared_nodes == {"starbake.Orders"}
    with pytest.raises(ProjectError, match=r"starbake.Orders runs by 0 6 .* here, and by 0 5 .* in load_daily"):
        DagProject([load(schedule("Orders"), schedule("Orders", cron="0 6 * * *"))], starbake)


def test_a_tasks_own_cron_counts_not_that_of_the_first_one_of_its_file(starbake: StarlakeProject) -> None:
    trees = [
        {"data": {"name": "kpi.order_lines", "typ": "task", "cron": "None"}},
        {"data": {"name": "kpi.top_products", "typ": "task", "cron": "0 7 * * 1"}},
    ]
    made = DagProject([read_dag_context("kpis", dependencies=trees, cron="0 6 * * *")], starbake)
    crons = {task.id: task.cron for task in made.model.tasks}
    assert (crons["kpi.order_lines"], crons["kpi.top_products"]) == ("0 6 * * *", "0 7 * * 1")


def test_the_variables_of_jobs_become_options_of_the_dag_by_the_projects_name(starbake: StarlakeProject) -> None:
    trees = generated.trees(starbake.graph, ["kpi.order_lines"])
    jobs = {"KPI.Order_Lines": {"options": "country=FR"}}
    made = DagProject([read_dag_context("kpis", dependencies=trees, jobs=jobs)], starbake)
    assert made.model.dags["kpis"].options == {"kpi.order_lines": "country=FR"}


# ------------------------------------------------------------------------------------------------- alone


def test_alone_names_edges_and_crons_are_those_of_the_literals() -> None:
    made = DagProject([read_dag_context("load", schedules=TABLES, **ROOT), read_dag_context("k", dependencies=TREE)])
    assert edges(made.graph) == {("kpi.a", "kpi.bb"), ("sales.orders", "kpi.bb")}
    assert made.declared_nodes == {"sales.orders", "kpi.bb"}
    assert made.graph.nodes["kpi.bb"].raw == "kpi.b"
    task = made.graph.nodes["kpi.bb"].task
    assert task is not None and task.cron == "0 3 * * *" and task.freshness and task.freshness.error == "3600 seconds"
    assert not any(node.is_described for node in made.graph.nodes.values())
    assert (str(made.root), made.env, dict(made.options)) == ("/starbake", "DUCKDB", {})


def test_alone_the_root_is_that_of_the_variables_or_given() -> None:
    variables = {"options": {"sl_env_var": '{"SL_ROOT": "file:///data/bake"}', "SL_TIMEZONE": "Europe/Paris"}}
    made = DagProject([load(schedule("Orders"), **variables)])
    assert str(made.root) == "/data/bake" and made.model.application.timezone == "Europe/Paris"
    assert DagProject([load(schedule("Orders"), options={})], root="/other", env="X").env == "X"
    with pytest.raises(ProjectError, match=r"load: options\.sl_env_var: has no SL_ROOT\. Give `project`, or `root`\."):
        DagProject([load(schedule("Orders"), options={})])


@pytest.mark.parametrize(
    ("variables", "message"), [("{", "is not JSON"), ("[]", "is no JSON object"), ('"x"', "is no JSON object")]
)
def test_variables_that_are_no_object_are_told(variables: str, message: str) -> None:
    with pytest.raises(ProjectError, match=message):
        DagProject([load(schedule("Orders"), options={"sl_env_var": variables})])


def test_two_values_of_one_variable_are_told_but_not_shown() -> None:
    files = [
        load(schedule("A"), name="a", options={"sl_env_var": '{"SL_ROOT": "/x", "PGPASSWORD": "hunter22"}'}),
        load(schedule("B"), name="b", options={"sl_env_var": '{"SL_ROOT": "/x", "PGPASSWORD": "hunter33"}'}),
    ]
    with pytest.raises(ProjectError, match=r"b: options.sl_env_var: gives PGPASSWORD another value than a") as caught:
        DagProject(files)
    assert "hunter" not in str(caught.value)


def test_alone_a_task_that_writes_elsewhere_needs_the_project() -> None:
    tree = [{"data": {"name": "kpi.a", "typ": "task", "sink": "mart.a"}}]
    with pytest.raises(ProjectError, match=r"dependencies\[0\]\.data\.sink: kpi\.a writes mart\.a.*give `project`"):
        DagProject([read_dag_context("k", dependencies=tree, **ROOT)])


def test_alone_a_circle_is_told() -> None:
    a, b = ({"data": {"name": name, "typ": "task"}} for name in ("kpi.a", "kpi.b"))
    trees = [{**a, "children": [b]}, {**b, "children": [a]}]
    with pytest.raises(ProjectError, match=r"kpi\.a.*kpi\.b"):
        _ = DagProject([read_dag_context("k", dependencies=trees, **ROOT)]).graph


# ---------------------------------------------------------------------------------- any project, there and back

CRONS = st.sampled_from([None, "0 5 * * *", "0 * * * *", "15 3 * * 1"])
NAMES = st.text("abAB_é-1", min_size=1, max_size=4)


@st.composite
def projects(draw: Any) -> Any:
    """Renamed load tables in renamed domains, tasks that read some of what is before them, with crons."""
    tables = []
    for number in range(draw(st.integers(1, 4))):
        name, domain = f"{draw(NAMES)}{number}", draw(st.sampled_from(["sales", "hr"]))
        final = draw(st.sampled_from([name, f"{name}_f"]))
        changes = {"final_name": final, "final_domain": f"{domain}_final", "cron": draw(CRONS)}
        tables.append(make_table(name, domain, **changes))
    tasks, known = [], [table.id for table in tables]
    for number in range(draw(st.integers(0, 5))):
        name = f"{draw(NAMES)}{number}"
        changes = {"table": draw(st.sampled_from([name, f"{name}_t"])), "cron": draw(CRONS)}
        reads = draw(st.lists(st.sampled_from(known), max_size=3, unique=True))
        tasks.append(make_task(name, reads, draw(st.sampled_from(["kpi", "mart"])), **changes))
        known.append(tasks[-1].id)
    return make_source(tables, tasks)


@settings(max_examples=100, deadline=None)
@given(projects(), st.data())
def test_a_project_rendered_into_dag_files_and_read_back_is_the_same(source: Any, data: Any) -> None:
    tables = [table.id for table in source.model.tables]
    tasks = [task.id for task in source.model.tasks]
    old, final = data.draw(st.booleans()), data.draw(st.booleans())
    files = {"load.py": generated.new_load(generated.schedules(source.graph, tables, final=final))}
    for task in tasks:
        cron = source.graph.nodes[task].task.cron or "None"
        render = generated.old_transform if old else generated.new_transform
        files[f"{task}.py"] = render(generated.trees(source.graph, [task], old=old), cron=cron)
    contexts = [context_of(name, text) for name, text in files.items()]
    for made in (DagProject(contexts), DagProject(contexts, source)):
        assert made.declared_nodes == {*tables, *tasks}
        assert edges(made.graph) == edges(source.graph)
        crons = {node.id: node.cron for node in (*source.model.tables, *source.model.tasks)}
        assert {one.id: one.cron for one in (*made.model.tables, *made.model.tasks)} == crons
    assert {one.raw for one in DagProject(contexts).model.tasks} == {one.raw for one in source.model.tasks}


def context_of(name: str, text: str) -> DagContext:
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(text, encoding="utf-8")
        return read_dag_files(path)[0]


def test_tasks_of_one_table_have_the_schedules_of_their_own_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for path, text in {
            f"metadata/transform/kpi/{name}.sql": "select 1 as n",
            f"metadata/transform/kpi/{name}.sl.yml": "version: 1\ntask: {table: t}\n",
            "metadata/application.sl.yml": "version: 1\napplication: {connectionRef: d, connections: {d: {type: jdbc, "
            'options: {url: "jdbc:duckdb:d.db"}}}}\n',
        }.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
    project = StarlakeProject(tmp_path, cache_dir=tmp_path / "cache")
    files = [
        read_dag_context(
            name, dependencies=[{"data": {"name": f"kpi.{name}", "typ": "task", "sink": "kpi.t"}}], cron=cron
        )
        for name, cron in (("a", "0 5 * * *"), ("b", "0 6 * * *"))
    ]
    made = DagProject(files, project)
    assert made.declared_nodes == set(project.graph.nodes) == {"kpi.a", "kpi.b"}
    assert {name: node.task.cron for name, node in made.graph.nodes.items() if node.task} == {
        "kpi.a": "0 5 * * *",
        "kpi.b": "0 6 * * *",
    }
    assert DagProject(files[1:], project).declared_nodes == {"kpi.b"}
