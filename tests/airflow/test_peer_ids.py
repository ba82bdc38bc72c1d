"""`--ids starlake-airflow`: the ids of the DAG files that `starlake dag-generate` writes, and the way to others."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from starlake_dagster_assets import StarlakeAutomation, StarlakeProject, export_airflow
from starlake_dagster_assets.airflow.plan.ids import starlake_airflow_name
from starlake_dagster_assets.cli import main
from starlake_dagster_assets.errors import StarlakeError
from tests.airflow.standin import read

RECORDED = json.loads(Path(__file__).with_name("starlake_airflow_ids.json").read_text())
"""Ids, groups and datasets of the DAGs of starlake-airflow 0.6.19 for this project, read from Airflow 2.11.2."""
SQL = {"a": "select * from starbake.orders", "b": "select * from kpi.a"}


def shop(root: Path, strategy: str) -> StarlakeProject:
    """Three or four tables and two tasks, with DAG configurations."""
    files = {
        "application.sl.yml": {
            "application": {
                "connectionRef": "db",
                "connections": {"db": {"type": "bigquery"}},
                "schedulePresets": {"daily": "0 0 * * *"},
            }
        },
        "dags/load.sl.yml": _dag("load", "table", f"load_{strategy}.py", pre_load_strategy=strategy),
        "dags/tr.sl.yml": _dag("transform", "task", "Transform_kpi.py"),
        "transform/kpi/a.sl.yml": {"task": {"dagRef": "tr"}},
        "transform/kpi/b.sl.yml": {"task": {"dagRef": "tr", "table": "B_b"}},
    }
    tables = [("starbake", "orders", "daily"), ("starbake", "eté$ x", "daily"), ("Network", "Shops", "daily")]
    tables += [("starbake", "items", "5 4 * * *")] if strategy == "imported" else []
    for domain, name, schedule in tables:
        directory = {"metadata": {"directory": f"{{{{SL_ROOT}}}}/in/{domain}"}}
        files[f"load/{domain}/_config.sl.yml"] = {"load": {"name": domain, **directory}}
        metadata = {"schedule": schedule, "dagRef": "load"}
        columns = [{"name": "id", "type": "long"}]
        table = {"name": name, "pattern": f"{name}.*.csv", "metadata": metadata, "attributes": columns}
        files[f"load/{domain}/{name}.sl.yml"] = {"table": table}
    for name, content in files.items():
        path = root / "metadata" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"version": 1, **content}))
    for name, sql in SQL.items():
        (root / "metadata" / "transform" / "kpi" / f"{name}.sql").write_text(sql)
    return StarlakeProject(root, cache_dir=root.parent / "cache")


def _dag(kind: str, thing: str, filename: str, **options: str) -> dict[str, dict[str, object]]:
    acks = {"global_ack_file_path": "/r/a.ack"} if "ack" in options.values() else {}
    template = f"{kind}/airflow__scheduled_{thing}__shell.py.j2"
    return {"dag": {"template": template, "filename": filename, "options": {**options, **acks}}}


@pytest.mark.parametrize("strategy", ["none", "imported", "pending", "ack"])
def test_ids_groups_and_datasets_are_those_of_starlake_airflow(tmp_path, strategy):
    plan = export_airflow(shop(tmp_path / "shop", strategy), tmp_path / "dags", ids="starlake-airflow").plan
    wanted = {name: tasks for name, tasks in RECORDED.items() if strategy in name or name.startswith("transform")}
    found = {dag.id: {task.id: [".".join(task.groups), list(task.outlets)] for task in dag.tasks} for dag in plan.dags}
    assert found.keys() == wanted.keys()
    for name, tasks in wanted.items():
        more = found[name].keys() - tasks.keys()
        assert all(".import_" in one for one in more) and (not more or strategy != "imported"), more
        assert {one: found[name][one] for one in tasks} == tasks
    assert plan.node_tasks["starbake.orders"][1].endswith(".load_starbake_orders")


def test_files_say_the_ids_once_and_groups_begin_them(tmp_path):
    export_airflow(shop(tmp_path / "shop", "imported"), tmp_path / "dags", ids="starlake-airflow")
    text = (tmp_path / "dags" / "load_imported_cron1.py").read_text()
    assert 'with TaskGroup(group_id="starbake_cron1"):' in text and 'task_id="load_starbake_items"' in text
    dag = read(tmp_path / "dags" / "load_imported_cron1.py")
    assert dag.tasks["end_cron1"].upstream == ["load_starbake_items"]
    assert dag.tasks["check_starbake_incoming_files"].upstream == ["start_cron1"]


def test_checks_and_events_of_dags_keep_their_own_ids(tmp_path):
    from starlake_dagster_assets.airflow.plan.model import AirflowOptions

    project = shop(tmp_path / "shop", "none")
    orders = project.root / "metadata" / "load" / "starbake" / "orders.sl.yml"
    described = json.loads(orders.read_text())
    described["table"]["expectations"] = [{"expect": "expect_unique('id')", "failOnError": True}]
    orders.write_text(json.dumps(described))
    options = AirflowOptions(checks="db")
    project = StarlakeProject(project.root, cache_dir=tmp_path / "cache")
    plan = export_airflow(project, tmp_path / "dags", ids="starlake-airflow", options=options).plan
    (load,) = [dag for dag in plan.dags if dag.id == "load_none"]
    tasks = {task.id: task for task in load.tasks}
    check = tasks["starbake.load_starbake.check_load_starbake_orders"]
    assert (check.checks, check.outlets) == ("starbake.load_starbake.load_starbake_orders", ("starbake_orders",))
    assert check.id in tasks["end"].upstream


def test_batches_are_refused(tmp_path):
    with pytest.raises(StarlakeError, match="no task for several tables"):
        export_airflow(shop(tmp_path / "shop", "none"), tmp_path, ids="starlake-airflow", granularity="batch")


def test_words_are_those_of_starlake_airflow():
    assert [starlake_airflow_name(text) for text in ("orders$", "Net work", "注文", "a-b_c.d")] == [
        "ordersS",
        "Net_work",
        "__",
        "a-b_c_d",
    ]


def test_without_a_dag_configuration_dags_keep_their_ids(tmp_path):
    project = shop(tmp_path / "shop", "none")
    for path in (project.root / "metadata" / "dags").iterdir():
        path.unlink()
    for path in (project.root / "metadata").rglob("*.sl.yml"):
        path.write_text(re.sub(r'"dagRef": "\w+",? ?', "", path.read_text()))
    project = StarlakeProject(project.root, cache_dir=tmp_path / "cache")
    automation = StarlakeAutomation(pre_load="imported")
    plan = export_airflow(project, tmp_path / "dags", ids="starlake-airflow", automation=automation).plan
    assert {dag.id for dag in plan.dags} >= {"starlake_load_starbake_daily", "starlake_transform_kpi"}
    assert plan.node_tasks["starbake.orders"][1] == "starbake.load_starbake.load_starbake_orders"


@pytest.mark.parametrize("ids", ["starlake", "asset", "starlake-airflow"])
def test_the_map_leads_from_the_ids_of_starlake_airflow_to_those_of_the_export(tmp_path, ids):
    report = export_airflow(shop(tmp_path / "shop", "imported"), tmp_path / "dags", ids=ids)
    found = report.former_ids
    dag, task = report.plan.node_tasks["starbake.orders"]
    former = "load_imported_daily.starbake_daily.load_starbake_daily.load_starbake_orders"
    assert found["tasks"][former] == f"{dag}.{task}"
    dags = {name: tasks for name, tasks in RECORDED.items() if name.startswith(("load_imported", "transform"))}
    made = {f"{name}.{one}": uris for name, tasks in dags.items() for one, (_, uris) in tasks.items() if uris}
    assert set(found["tasks"]) == {one for one in made if ".end" not in one}
    assert found["datasets"]["kpi_b_b"] == report.plan.uris["kpi.B_b"]
    assert found["dags"]["transform_kpi"] == [report.plan.node_tasks["kpi.a"][0]]
    assert found["dag_datasets"]["load_imported_cron1"] == (
        ["load_imported_cron1"] if ids == "starlake-airflow" else [report.plan.uris["starbake.items"]]
    )


def test_the_command_writes_the_map(tmp_path, monkeypatch):
    shop(tmp_path / "shop", "none")
    args = ["airflow", "export", str(tmp_path / "shop"), "--out", str(tmp_path / "dags"), "--ids-map"]
    monkeypatch.setattr(sys, "argv", ["starlake-dagster", *args, str(tmp_path / "ids.json")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert json.loads((tmp_path / "ids.json").read_text())["datasets"]["kpi_a"] == "kpi_a"
