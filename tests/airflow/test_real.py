"""Exported files in real Airflows: they import, say the same graph as Dagster, run, and start each other."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import pytest

from starlake_dagster_assets import (
    JobSettings,
    LineageSettings,
    StarlakeAutomation,
    StarlakeProject,
    StarlakeTranslator,
    export_airflow,
)
from starlake_dagster_assets.airflow.export import ExportReport
from starlake_dagster_assets.airflow.operators import OperatorRenderer, render_operator_import
from starlake_dagster_assets.airflow.plan.model import AirflowOptions
from starlake_dagster_assets.airflow.render.source import Raw
from starlake_dagster_assets.environments import get_environment
from tests.airflow.projects import ODD, Source, cloud_project, odd_project, random_project
from tests.airflow.real import AIRFLOWS, HERE, Airflow, Home, until
from tests.airflow.test_kubernetes import SETTINGS
from tests.airflow.test_peer_ids import RECORDED, shop
from tests.airflow.test_states import LOAD, History, Shop
from tests.fakes.script import Scripted

# Schedulers of Airflow start slowly where all cores are busy.
pytestmark = [pytest.mark.airflow, pytest.mark.newest_only, pytest.mark.slow, pytest.mark.timeout(900)]

EXAMPLE = Path(__file__).resolve().parents[2] / "example_project"
RANDOM = 24
DATE, LATER = "2025-03-10T06:00:00+00:00", "2025-03-11T06:00:00+00:00"


@pytest.fixture(scope="module", params=sorted(AIRFLOWS), ids=lambda major: f"airflow{major}")
def airflow(request) -> Airflow:
    return AIRFLOWS[request.param].install()


def example() -> StarlakeProject:
    return StarlakeProject(EXAMPLE / "starbake", env="DUCKDB")


@pytest.fixture(scope="module")
def exports(tmp_path_factory) -> tuple[Path, dict[str, tuple[Any, ExportReport]]]:
    """Many exports, and the directory that contains their folders."""
    root = tmp_path_factory.mktemp("exports")
    made: dict[str, tuple[Any, ExportReport]] = {}

    def export(name: str, project: Any, **options: Any) -> None:
        made[name] = (project, export_airflow(project, root / name, **options))

    waits = StarlakeAutomation(pre_load="imported", jobs=JobSettings(retries=3, pool="mine", max_active_runs=2))
    for environment in ("shell", "cloud_run", "dataproc", "fargate"):
        export(environment, example(), environment=environment)
        export(f"{environment}_waits", example(), environment=environment, automation=waits, split="component")
    for environment, store in (("cloud_run", "gs"), ("dataproc", "gs"), ("fargate", "s3")):
        for strategy in ("imported", "pending", "ack"):
            files = StarlakeAutomation(pre_load=strategy)
            export(f"{environment}_{strategy}", cloud_project(store), environment=environment, automation=files)
    cluster = AirflowOptions(settings={"cluster_id": "ours"})
    files = StarlakeAutomation(pre_load="imported", schedules=False)
    export("cluster", cloud_project("gs"), environment="dataproc", automation=files, options=cluster)
    pending = StarlakeAutomation(pre_load="pending", schedules=False)
    export("pending_files", cloud_project("gs"), environment="dataproc", automation=pending)
    pods = AirflowOptions(settings=dict(SETTINGS))
    export("kubernetes", example(), environment="kubernetes")
    export("kubernetes_settings", example(), environment="kubernetes", options=pods)
    export("checks", example(), options=AirflowOptions(checks="starbake"))
    export("existing", example(), automation=StarlakeAutomation(lineage=LineageSettings(strategy="all")), ids="asset")
    shops = root / "shops"
    export("peer", shop(shops / "shop", "imported"), ids="starlake-airflow")
    export("batch", example(), granularity="batch", split="schedule")
    export("odd", odd_project(), ids="asset", **_odd_names())
    for seed in range(RANDOM):
        split = ("domain", "schedule", "component", "table")[seed % 4]
        export(f"random_{seed}", random_project(seed), split=split, ids=("starlake", "asset")[seed % 2])
    return root, made


@pytest.fixture(scope="module")
def exported(airflow, exports) -> tuple[dict[str, Any], dict[str, tuple[Any, ExportReport]]]:
    """What Airflow reads from the exports, all in one process, and what was exported."""
    root, made = exports
    read = airflow.read(*(root / name for name in made))
    return {Path(folder).name: found for folder, found in read.items()}, made


def _odd_names() -> dict[str, Any]:
    """Ids of asset keys are the same for names that differ in what Airflow refuses: numbers keep them apart."""

    class Numbered(StarlakeTranslator):
        def get_asset_key(self, node):
            place = ODD.index(node.key[-1])
            return super().get_asset_key(node).with_prefix(f"n{place}")

    return {"translator": Numbered()}


# ------------------------------------------------------------------------------------------------ what they are


def test_every_file_imports_without_an_error_or_a_warning(exported):
    read, made = exported
    for name, (_, report) in made.items():
        assert read[name]["errors"] == {}
        assert read[name]["warnings"] == []
        assert set(read[name]["dags"]) == {dag.id for dag in report.plan.dags}


def test_the_edges_are_those_of_dagsters_asset_graph(exported):
    read, made = exported
    for name, (project, report) in made.items():
        assert edges_of(read[name]["dags"]) == wanted(project, report), name


def test_each_asset_is_made_by_one_task_and_each_edge_is_kept_or_told(exported):
    read, made = exported
    for name, (project, report) in made.items():
        dags = read[name]["dags"]
        makers = [uri for dag in dags.values() for task in dag["tasks"].values() for uri in task["outlets"]]
        assert len(makers) == len(set(makers)), name
        ids = {uri: node for node, uri in report.plan.uris.items()}
        late = {(ids[up], ids[down]) for up, down in edges_of(dags) if up in makers and not kept(dags, up, down)}
        told = {(up, note.split(": ")[0]) for note in report.notes for up in _told(note)}
        assert late == {edge for edge in told if edge[0] in project.graph.nodes}, name
        assert all(uri in makers for dag in dags.values() for uri in _names(dag["condition"])), name
        tuple(TopologicalSorter(_between(dags)).static_order())  # raises where DAGs start each other in a circle


def test_the_last_tasks_run_after_all_tasks_that_materialize_assets(exported):
    read, made = exported
    last = [
        (name, dag.id, task)
        for name, (_, report) in made.items()
        for dag in report.plan.dags
        for task in dag.tasks
        if task.kind in ("finish", "end")
    ]
    assert any(len(task.upstream) > 3 for _, _, task in last)
    for name, dag, task in last:
        assert read[name]["dags"][dag]["tasks"][task.id]["upstream"] == sorted(task.upstream), (name, dag)


def test_ids_of_starlake_airflow_are_those_that_airflow_reads(exported):
    dags = exported[0]["peer"]["dags"]
    wanted = {name: tasks for name, tasks in RECORDED.items() if name.startswith(("load_imported", "transform"))}
    found = {
        name: {one: [task["group"] or "", task["outlets"]] for one, task in dag["tasks"].items()}
        for name, dag in dags.items()
    }
    assert found == wanted


def test_options_reach_the_tasks(exported):
    read, _ = exported
    dag = read["shell_waits"]["dags"]["starlake_orders_hourly"]
    load, wait = dag["tasks"]["load_starbake_Orders"], dag["tasks"]["check_starbake_incoming_files"]
    assert (load["retries"], load["pool"], load["owner"]) == (
        3,
        "starlake_duckdb",
        "team:sales, zoe.lefevre@starbake.com",
    )
    assert (dag["max_active_runs"], dag["catchup"], dag["timezone"]) == (2, False, "Europe/Paris")
    assert (wait["mode"], wait["soft_fail"], wait["timeout"]) == ("reschedule", True, 3600)
    assert load["upstream"] == ["import_starbake"] and load["group"] == "load_starbake"
    assert "expect_unique('order_id')" in load["doc"] and "metadata/load/starbake/Orders.sl.yml" in dag["doc"]


_OPERATORS = """
import inspect, json, sys

found = {}
for line in sys.argv[1:]:
    exec(line)
    name = line.split()[-1]
    own = [inspect.unwrap(one.__init__) for one in globals()[name].__mro__ if "__init__" in one.__dict__]
    found[name] = [argument for function in own for argument in inspect.signature(function).parameters]
print(json.dumps(found))
"""


def test_operators_have_the_arguments_that_tags_may_set(airflow, tmp_path):
    renderers = [
        get_environment(name).operator_renderer() for name in ("dataproc", "cloud_run", "fargate", "kubernetes")
    ]
    google = "airflow.providers.google.cloud.operators"
    modules = [f"{google}.dataproc", f"{google}.cloud_run", "airflow.providers.amazon.aws.operators.ecs"]
    modules.append("airflow.providers.cncf.kubernetes.operators.pod")
    lines = [f"from {module} import {one.operator}" for module, one in zip(modules, renderers, strict=True)]
    (tmp_path / "operators.py").write_text(_OPERATORS)
    done = Home(airflow, tmp_path / "home", tmp_path).run(tmp_path / "operators.py", *lines)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    for one in renderers:
        assert not {*one.operator_arguments} - {*found[one.operator]}, one.operator


def test_commands_are_pods_for_the_real_operator(exported):
    read, _ = exported
    for name, limits in (("kubernetes", None), ("kubernetes_settings", {"memory": "4Gi"})):
        tasks = [task for dag in read[name]["dags"].values() for task in dag["tasks"].values() if task["pod"]]
        pods = [task["pod"] for task in tasks]
        assert {pod["arguments"][0] for pod in pods} >= {"load", "transform"}
        assert all({"SL_ROOT", "SL_LOG_LEVEL"} <= {*pod["variables"]} for pod in pods)
        assert all(pod["limits"] == limits and pod["deferrable"] for pod in pods)
        assert {tuple(pod["secrets"]) for pod in pods} == {("warehouse", "other") if limits else ()}
        assert {pod["service_account_name"] for pod in pods} == {"starlake" if limits else None}
        assert all("kubernetes_namespace" in pod["namespace"] and "kubernetes_image" in pod["image"] for pod in pods)


def test_a_cluster_is_made_before_and_deleted_after_whatever_happens(exported):
    read, _ = exported
    tasks = read["dataproc"]["dags"]["starlake_transform_kpi_daily"]["tasks"]
    assert tasks["create_cluster"]["setup"] and tasks["delete_cluster"]["teardown"]
    assert "create_cluster" in tasks["kpi_daily_revenue_task"]["upstream"]
    assert "kpi_shop_ranking_task" in tasks["delete_cluster"]["upstream"]


def test_files_in_a_store_are_waited_for_there(exported):
    read, _ = exported
    sensors = {
        "cloud_run": "GCSObjectExistenceSensor",
        "dataproc": "GCSObjectExistenceSensor",
        "fargate": "S3KeySensor",
    }
    checks = {"imported": "incoming_files", "pending": "pending_files", "ack": "ack_file"}
    for environment, sensor in sensors.items():
        for strategy, check in checks.items():
            (dag,) = [
                dag for dag in read[f"{environment}_{strategy}"]["dags"].values() if "import_sales" in dag["tasks"]
            ]
            wait = dag["tasks"][f"check_sales_{check}"]
            operator = sensor if strategy == "ack" else "PythonSensor"
            assert (wait["operator"], wait["mode"], wait["soft_fail"]) == (operator, "reschedule", True)
            first = "skip_or_start_loading_sales" if strategy == "ack" else "import_sales"
            assert ("create_cluster" in dag["tasks"][first]["upstream"]) is (environment == "dataproc")
            assert "skip_or_start_loading_sales" in dag["tasks"]["import_sales"]["upstream"]


def test_a_cluster_that_is_there_is_neither_made_nor_deleted(exported):
    read, _ = exported
    tasks = {name: one for dag in read["cluster"]["dags"].values() for name, one in dag["tasks"].items()}
    assert set(tasks) == {
        *("check_sales_incoming_files", "skip_or_start_loading_sales", "import_sales", "load_sales_orders"),
        "kpi_sums_task",
    }
    assert not any(one["setup"] or one["teardown"] for one in tasks.values())


def test_an_asset_is_made_when_its_expectations_held(exported):
    read, _ = exported
    for name, operator in (("checks", "SQLCheckOperator"), ("cloud_run_imported", "BigQueryCheckOperator")):
        tasks = {name: one for dag in read[name]["dags"].values() for name, one in dag["tasks"].items()}
        checks = {name: one for name, one in tasks.items() if name.startswith("check_") and one["outlets"]}
        assert checks and {one["operator"] for one in checks.values()} == {operator}
        assert all(tasks[name.removeprefix("check_")]["outlets"] == [] for name in checks)
        assert all(one["upstream"] == [name.removeprefix("check_")] for name, one in checks.items())
        assert all(one["retries"] == 0 for one in checks.values())


# --------------------------------------------------------------------------------------------------- they run


@pytest.mark.timeout(600)  # 18 processes of Starlake, one after the other
def test_the_example_runs_and_its_rows_land(airflow, tmp_path):
    root = tmp_path / "starbake"
    shutil.copytree(EXAMPLE / "starbake", root, ignore=shutil.ignore_patterns("datasets"))
    shutil.copytree(EXAMPLE / "deliveries" / "day1", root / "datasets" / "incoming")
    project = StarlakeProject(root, env="DUCKDB")
    scripted = Scripted(tmp_path / "scripted", {"engine": "embedded"})
    checks = AirflowOptions(checks="starbake")
    report = export_airflow(project, tmp_path / "dags", options=checks)
    home = airflow.home(tmp_path / "home", tmp_path / "dags")
    home.airflow("pools", "import", str(tmp_path / "dags" / "pools.json"))
    file = {"conn_type": "duckdb", "host": str(root / "datasets" / "duckdb.db")}
    env = {**_variables(scripted, root), "AIRFLOW_CONN_STARBAKE": json.dumps(file)}
    home.run(HERE / "run_dags.py", DATE, *_in_order(project, report), env=env)

    made = [node.id for node in project.graph.nodes.values() if node.kind != "external"]
    with duckdb.connect(str(root / "datasets" / "duckdb.db"), read_only=True) as warehouse:
        counts = {node: warehouse.execute(f"select count(*) from {node}").fetchone()[0] for node in made}
    assert all(counts.values()), counts
    assert counts["starbake.Orders"] == 112 and counts["kpi.order_lines"] == 244
    revenue = next(call for call in scripted.calls("transform") if "kpi.daily_revenue" in call.argv)
    assert revenue.argv[:5] == (
        "transform",
        "--name",
        "kpi.daily_revenue",
        "--scheduledDate",
        "2025-03-10T04:00:00+0000",
    )
    assert "sl_start_date=2025-03-09T05:00:00,sl_end_date=2025-03-10T05:00:00" in revenue.argv[-1]

    # an expectation of which the audit knows nothing, because the project that runs has another, ends a run badly
    described = root / "metadata" / "transform" / "kpi" / "top_products.sl.yml"
    text = described.read_text()
    described.write_text(text.replace("'position', 1, 2", "'position', 5, 9"))
    once = StarlakeAutomation(jobs=JobSettings(retries=0))
    changed = StarlakeProject(root, env="DUCKDB")
    assert export_airflow(changed, tmp_path / "dags", options=checks, automation=once).written
    described.write_text(text)
    with pytest.raises(AssertionError, match="Test failed"):
        home.run(HERE / "run_dags.py", DATE, "starlake_transform_kpi_weekly", env=env)


def test_names_reach_starlake_as_they_are_and_nothing_else_runs(airflow, tmp_path):
    project, scripted = odd_project(), Scripted(tmp_path / "scripted")
    report = export_airflow(project, tmp_path / "dags", ids="asset", **_odd_names())
    home = airflow.home(tmp_path / "home", tmp_path / "dags")
    tables = {f"odd.{name}": {"do": "nothing"} for name in ODD}
    scripted.tables(tables)
    order = [dag.id for dag in report.plan.dags]
    home.run(HERE / "run_dags.py", DATE, *order, env=_variables(scripted, tmp_path))
    loaded = {call.argv[call.argv.index("--tables") + 1] for call in scripted.calls("load")}
    assert loaded == set(ODD)
    assert {call.argv[2] for call in scripted.calls("transform")} == {f"oddities.{name}" for name in ODD}
    assert not list(tmp_path.rglob("owned"))


def test_a_load_starts_what_reads_its_table(airflow, tmp_path):
    root = tmp_path / "shop"
    _small_project(root)
    scripted = Scripted(tmp_path / "scripted").tables({"sales.orders": {"do": "load", "files": ["orders-1.csv"]}})
    again = StarlakeAutomation(jobs=JobSettings(retries=3, retry_delay=1))
    export_airflow(StarlakeProject(root, cache_dir=tmp_path / "cache"), tmp_path / "dags", automation=again)
    home = airflow.home(tmp_path / "home", tmp_path / "dags")
    with _services(home, _variables(scripted, root)):
        runs = until(lambda: _runs(home, "starlake_transform_kpi"), 150, lambda: _standing(home))
    assert runs == ["success"]
    load = next(call for call in scripted.calls("load"))
    (transform,) = scripted.calls("transform")
    assert transform.argv[:3] == ("transform", "--name", "kpi.sums")
    assert load.argv[-1].endswith("+0000")
    assert "sl_start_date=" not in transform.argv[-1], "the first load has no window"


def test_tasks_of_a_dag_run_once_all_that_they_follow_was_updated_since_they_ran(airflow, tmp_path):
    root = tmp_path / "shop"
    _small_project(root)
    load, transform = root / "metadata" / "load" / "sales", root / "metadata" / "transform" / "kpi"
    (load / "items.sl.yml").write_text((load / "orders.sl.yml").read_text().replace("orders", "items"))
    (transform / "counts.sql").write_text("select count(*) as n from sales.items")
    (transform / "both.sql").write_text("select count(*) as n from sales.orders, sales.items")
    (transform / "above.sql").write_text("select count(*) as n from kpi.both, kpi.sums")
    orders = {"sales.orders": {"do": "load", "files": ["orders-1.csv"]}, "sales.items": {"do": "nothing"}}
    items = {"sales.orders": {"do": "nothing"}, "sales.items": {"do": "load", "files": ["items-1.csv"]}}
    scripted = Scripted(tmp_path / "scripted").tables(orders)
    once = StarlakeAutomation(lineage=LineageSettings(strategy="all"), jobs=JobSettings(retries=0))
    export_airflow(StarlakeProject(root, cache_dir=tmp_path / "cache"), tmp_path / "dags", automation=once)
    home = airflow.home(tmp_path / "home", tmp_path / "dags")
    with _services(home, _variables(scripted, root)):
        until(lambda: _runs(home, "starlake_transform_kpi"), 200, lambda: _standing(home))
        first = _states_by_run(home, "starlake_transform_kpi")
        scripted.tables(items)
        home.airflow("dags", "trigger", LOAD)
        until(lambda: len(_runs(home, "starlake_transform_kpi")) > 1, 100, lambda: _standing(home))
        states = _states_by_run(home, "starlake_transform_kpi")
    names = ("kpi_sums_task", "kpi_counts_task", "kpi_both_task", "kpi_above_task")
    assert [[run[name] for name in names] for run in first] == [["success", "skipped", "skipped", "skipped"]]
    assert [states[1][name] for name in names] == ["skipped", "success", "success", "success"], (
        "the update of orders, and that of sums, were not read yet"
    )
    assert [call.argv[2] for call in scripted.calls("transform")][:1] == ["kpi.sums"]
    assert sorted(call.argv[2] for call in scripted.calls("transform")[1:]) == ["kpi.above", "kpi.both", "kpi.counts"]
    assert all("sl_start_date=" not in call.argv[-1] for call in scripted.calls("transform")), "no load had a window"


MINE = """
try:
    from airflow.sdk import DAG
except ImportError:
    from airflow import DAG
import sys
from datetime import datetime, timezone
from pathlib import Path
sys.path.append(str(Path(__file__).parent))
from starlake_load_sales_cron_0_5_x_x_x import SCHEDULE, task_group as load
from starlake_transform_kpi import task_group as transform
with DAG("mine", schedule=SCHEDULE, start_date=datetime(2024, 1, 1, tzinfo=timezone.utc), catchup=False):
    load() >> transform("sums")
"""


def test_task_groups_work_in_a_dag_of_the_user(airflow, tmp_path):
    shop = Shop(tmp_path, History("embedded", days=[["orders-1.csv", "orders-2.csv"]], does=["part"]))
    once = StarlakeAutomation(jobs=JobSettings(retries=0))
    report = export_airflow(shop.project, shop.dags, task_groups=True, automation=once)
    assert {dag.id for dag in report.plan.dags} == {"starlake_load_sales_cron_0_5_x_x_x", "starlake_transform_kpi"}
    (shop.dags / "mine.py").write_text(MINE)
    home = airflow.home(tmp_path / "home", shop.dags)
    found = airflow.read(shop.dags)[str(shop.dags)]
    assert (found["errors"], found["warnings"], set(found["dags"])) == ({}, [], {"mine"})
    tasks = found["dags"]["mine"]["tasks"]
    assert tasks["kpi_sums_task"]["upstream"] == ["load_sales_orders"]
    env = {
        **shop.scripted.environ,
        "AIRFLOW_VAR_STARLAKE_PATH": str(shop.program),
        "AIRFLOW_VAR_STARLAKE_ROOT": str(shop.root),
    }
    shop.deliver(shop.history.days[0])
    archive = shop.root / "datasets" / "archive" / "sales"
    with pytest.raises(AssertionError, match="mine"):
        home.run(HERE / "run_dags.py", DATE, "mine", env=env)
    assert [path.name for path in archive.iterdir()] == ["orders-1.csv"], "the worker has found the manifest"
    shop.program.write_text(f'#!/bin/sh\nexec {shop.scripted.path} "$@"\n')
    home.run(HERE / "run_dags.py", DATE, "mine", env=env)
    assert (
        sorted(path.name for path in (shop.root / "datasets" / "archive" / "sales").iterdir()) == shop.history.days[0]
    )
    (transform,) = shop.calls
    assert "sl_start_date=" in transform.argv[-1]


@dataclass(frozen=True)
class Remote(OperatorRenderer):
    """A cloud whose service is a process of the worker, of which Airflow knows nothing but the exit code."""

    reserved: ClassVar[tuple[str, ...]] = ("ENV", "ROOT")

    @property
    def imports(self):
        return [render_operator_import("operators.bash", "BashOperator", "operators.bash")]

    def constants(self):
        return [("ENV", self.env), *self.root]

    def task(self, task):
        line = shlex.join(["exec", "{{ var.value.starlake_path }}", *self.arguments(task)])
        return "BashOperator", [
            ("bash_command", line),
            ("env", Raw("ENV")),
            ("append_env", True),
            *self.result_arguments(task),
        ]


def test_a_transform_in_a_cloud_succeeds_by_its_row_in_the_audit(airflow, tmp_path, monkeypatch):
    monkeypatch.setattr("starlake_dagster_assets.airflow.operators.cloud_run.CloudRun", Remote)
    root, database = tmp_path / "shop", tmp_path / "shop" / "duckdb.db"
    connections = {"main": {"type": "jdbc", "options": {"url": f"jdbc:duckdb:{database}"}}}
    sql = root / "metadata" / "transform" / "kpi" / "sums.sql"
    sql.parent.mkdir(parents=True)
    sql.write_text("select 1 as n")
    application = {"connectionRef": "main", "connections": connections}
    (root / "metadata" / "application.sl.yml").write_text(json.dumps({"version": 1, "application": application}))
    scripted = Scripted(tmp_path / "scripted", {"engine": "embedded"})
    project = StarlakeProject(root, cache_dir=tmp_path / "cache")
    once = StarlakeAutomation(jobs=JobSettings(retries=0))
    plan = export_airflow(
        project, tmp_path / "dags", environment="cloud_run", automation=once, options=AirflowOptions(checks="w")
    ).plan
    (dag,) = [one.id for one in plan.dags]
    home = airflow.home(tmp_path / "home", tmp_path / "dags")
    duckdb_file = json.dumps({"conn_type": "duckdb", "host": str(database)})
    env = {**_variables(scripted, root), "AIRFLOW_CONN_W": duckdb_file}
    home.run(HERE / "run_dags.py", DATE, dag, env=env)
    with duckdb.connect(str(database)) as warehouse:
        ((job, success),) = warehouse.execute("select jobid, success from audit.audit").fetchall()
    assert (job.startswith(f"{dag}.kpi_sums_task."), job.endswith("/1"), success) == (True, True, True)
    # programs that end with exit code 0, without a row or with that of a failure
    masked = tmp_path / "masked"
    masked.write_text(f'#!/bin/sh\n"{scripted.path}" "$@"\nexit 0\n')
    for program, text in (("/bin/true", "select 1 as n"), (masked, "select nonsense from nowhere")):
        masked.chmod(0o755)
        sql.write_text(text)
        with pytest.raises(AssertionError, match=r"kpi.sums: (unknown: the command ended|failed: )"):
            home.run(HERE / "run_dags.py", LATER, dag, env={**env, "AIRFLOW_VAR_STARLAKE_PATH": str(program)})


# ----------------------------------------------------------------------------------------------------- helpers


def edges_of(dags: dict[str, Any]) -> set[tuple[str, str]]:
    """Who reads whom, by inlets and outlets."""
    tasks = [task for dag in dags.values() for task in dag["tasks"].values()]
    return {(up, down) for task in tasks for down in task["outlets"] for up in task["inlets"]}


def wanted(project: Any, report: ExportReport) -> set[tuple[str, str]]:
    """The edges of the assets that Dagster has, by URI."""
    specs = StarlakeTranslator().bound_to(project).specs()
    nodes = {spec.key: node for node, spec in specs.items() if not project.graph.nodes[node].is_files}
    uris = report.plan.uris
    found = {
        (nodes[dep.asset_key], node) for node in nodes.values() for dep in specs[node].deps if dep.asset_key in nodes
    }
    batches: dict[tuple[str, str], list[str]] = {}
    for node, place in report.plan.node_tasks.items():
        batches.setdefault(place, []).append(node)
    return {(uris[up], uris[other]) for up, down in found for other in batches[report.plan.node_tasks[down]]}


def kept(dags: dict[str, Any], first: str, then: str) -> bool:
    """Whether an asset is always made after another: by tasks of a DAG, or by what starts DAGs."""
    maker = {uri: (dag, task) for dag, one in dags.items() for task, t in one["tasks"].items() for uri in t["outlets"]}
    seen, stack = {maker[then]}, [maker[then]]
    while stack:
        dag, task = stack.pop()
        if (dag, task) == maker[first]:
            return True
        before = [(dag, up) for up in dags[dag]["tasks"][task]["upstream"]]
        before += [maker[uri] for uri in _names(dags[dag]["condition"])]
        stack += [one for one in before if one not in seen]
        seen.update(before)
    return False


def _names(condition: Any) -> list[str]:
    if isinstance(condition, list):
        return [name for part in condition[1:] for name in _names(part)]
    return [condition] if condition else []


def _between(dags: dict[str, Any]) -> dict[str, set[str]]:
    maker = {uri: dag for dag, one in dags.items() for task in one["tasks"].values() for uri in task["outlets"]}
    return {dag: {maker[uri] for uri in _names(one["condition"])} for dag, one in dags.items()}


def _told(note: str) -> list[str]:
    _, found, names = note.partition("it does not wait for ")
    return names.split(", ") if found else []


def _in_order(project: Any, report: ExportReport) -> list[str]:
    places = {node: dag for node, (dag, _) in report.plan.node_tasks.items()}
    before: dict[str, set[str]] = {dag: set() for dag in places.values()}
    for node, dag in places.items():
        before[dag] |= {places[up] for up in project.graph.upstream[node] if up in places} - {dag}
    return [*_broken(before)]


def _broken(before: dict[str, set[str]]) -> Iterator[str]:
    """DAGs that wait for each other by data alone are run as they come."""
    left = dict(before)
    while left:
        ready = [dag for dag, ups in left.items() if not ups & left.keys()] or [next(iter(left))]
        for dag in ready:
            del left[dag]
            yield dag


def _variables(scripted: Scripted, root: Path) -> dict[str, str]:
    return {
        **scripted.environ,
        "AIRFLOW_VAR_STARLAKE_PATH": str(scripted.path),
        "AIRFLOW_VAR_STARLAKE_ROOT": str(root),
    }


def _small_project(root: Path) -> None:
    files = {
        "application.sl.yml": {"application": {"connectionRef": "main", "connections": {"main": {"type": "bigquery"}}}},
        "load/sales/_config.sl.yml": {"load": {"name": "sales", "metadata": {"directory": "{{SL_ROOT}}/in"}}},
        "load/sales/orders.sl.yml": {
            "table": {
                "name": "orders",
                "pattern": "orders-.*.csv",
                "metadata": {"schedule": "0 5 * * *"},
                "attributes": [{"name": "id", "type": "long"}],
            }
        },
    }
    for name, content in files.items():
        path = root / "metadata" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"version": 1, **content}))
    sql = root / "metadata" / "transform" / "kpi" / "sums.sql"
    sql.parent.mkdir(parents=True)
    sql.write_text("select count(*) as n from sales.orders")


@contextlib.contextmanager
def _services(home: Home, env: dict[str, str]) -> Iterator[None]:
    """What starts runs: the scheduler; in 3 also what reads files, and what tasks talk to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    env = {**env, "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/"}
    started: list[subprocess.Popen[bytes]] = []
    try:
        if home.airflow_.major == 3:
            started.append(home.start("api-server", "--port", port, "--host", "127.0.0.1", env=env))
            until(lambda: _listens(int(port)), 120, lambda: _standing(home))
            started.append(home.start("dag-processor", env=env))
        started.append(home.start("scheduler", env=env))
        yield
    finally:
        for process in reversed(started):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in started:
            with contextlib.suppress(Exception):
                process.wait(20)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _runs(home: Home, dag: str) -> list[str]:
    """States of the runs of a DAG that have ended."""
    query = "select state from dag_run where dag_id = ? and state in ('success', 'failed')"
    with contextlib.closing(sqlite3.connect(f"file:{home.path / 'airflow.db'}?mode=ro", uri=True, timeout=30)) as found:
        return [state for (state,) in found.execute(query, (dag,))]


def _states_by_run(home: Home, dag: str) -> list[dict[str, str]]:
    """States of the tasks of a DAG, by id, of each of its runs."""
    query = (
        "select r.id, t.task_id, t.state from task_instance t join dag_run r using (dag_id, run_id) where dag_id = ?"
    )
    found: dict[int, dict[str, str]] = {}
    with contextlib.closing(sqlite3.connect(f"file:{home.path / 'airflow.db'}?mode=ro", uri=True, timeout=30)) as known:
        for number, name, state in known.execute(query, (dag,)):
            found.setdefault(number, {})[name] = state
    return [found[number] for number in sorted(found)]


def _standing(home: Home) -> str:
    with contextlib.closing(sqlite3.connect(f"file:{home.path / 'airflow.db'}?mode=ro", uri=True, timeout=30)) as found:
        runs = found.execute("select dag_id, run_id, state from dag_run").fetchall()
        tasks = found.execute("select dag_id, task_id, state from task_instance").fetchall()
    tails = {path.name: path.read_text(errors="replace")[-1500:] for path in home.path.glob("*.out")}
    return f"runs {runs}\ntasks {tasks}\n" + "\n".join(f"--- {name}\n{text}" for name, text in tails.items())


def test_random_projects_are_not_all_alike():
    sources = [random_project(seed) for seed in range(RANDOM)]
    assert len({len(source.graph.edges) for source in sources}) > 5
    assert all(isinstance(source, Source) for source in sources)
