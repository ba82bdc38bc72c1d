"""Switches of tasks that can be moved to Dagster: each export keeps those that are set."""

from __future__ import annotations

import json

import pytest
import yaml

from starlake_dagster_assets import export_airflow
from starlake_dagster_assets.airflow.plan.model import AirflowOptions
from starlake_dagster_assets.errors import ProjectError, StarlakeError
from tests.airflow.projects import Source, cloud_project
from tests.graph.conftest import project, table, task

AIRLIFT = AirflowOptions(airlift=True)
STATE = "proxied_state/starlake_load_sales_cron_0_5_x_x_x.yaml"


def shop(*names: str) -> Source:
    tables = [table("sales", name, cron="0 5 * * *") for name in names]
    return Source(project(*tables, task("kpi", "sums", f"select * from sales.{names[0]}")))


def switches(path) -> dict[str, bool]:
    return {one["id"]: one["proxied"] for one in yaml.safe_load(path.read_text())["tasks"]}


def test_an_export_keeps_the_switches_that_are_set(tmp_path):
    report = export_airflow(shop("orders", "items"), tmp_path, options=AIRLIFT, name="shop")
    state = tmp_path / STATE
    assert switches(state) == {"load_sales_items": False, "load_sales_orders": False}
    assert state.name.removesuffix(".yaml") in {dag.id for dag in report.plan.dags}

    state.write_text(state.read_text().replace("false", "true", 1))
    assert not export_airflow(shop("orders", "items"), tmp_path, options=AIRLIFT, name="shop", check=True).stale
    report = export_airflow(shop("orders", "items", "shops"), tmp_path, options=AIRLIFT, name="shop")
    assert switches(state) == {"load_sales_items": True, "load_sales_orders": False, "load_sales_shops": False}
    assert not [note for note in report.notes if "switched" in note]

    report = export_airflow(shop("orders"), tmp_path, options=AIRLIFT, name="shop")
    assert switches(state) == {"load_sales_orders": False}
    gone = "starlake_load_sales_cron_0_5_x_x_x: the task load_sales_items was switched to Dagster and is no longer"
    assert any(note.startswith(gone) for note in report.notes)

    state.write_text(state.read_text().replace("false", "true"))
    report = export_airflow(shop("orders"), tmp_path, name="shop")
    assert STATE in report.removed and not state.exists()
    gone = "the task load_sales_orders was switched to Dagster and is no longer switched, because this export has no"
    assert any(gone in note for note in report.notes)


@pytest.mark.parametrize("granularity", ["task", "batch"])
def test_a_task_in_another_dag_keeps_the_switch_of_its_asset(tmp_path, granularity):
    options = {"options": AIRLIFT, "name": "shop"}
    export_airflow(shop("orders", "items"), tmp_path, **options)
    state = tmp_path / STATE
    state.write_text(state.read_text().replace("false", "true", 1))
    report = export_airflow(shop("orders", "items"), tmp_path, **options, split="schedule", granularity=granularity)
    moved = {name: on for path in state.parent.iterdir() for name, on in switches(path).items()}
    noted = [note for note in report.notes if "switched" in note]
    if granularity == "task":
        assert not state.exists() and not noted
        assert moved == {"load_sales_items": True, "load_sales_orders": False, "kpi_sums_task": False}
        report = export_airflow(shop("orders", "items"), tmp_path, **options)
        assert switches(state) == {"load_sales_items": True, "load_sales_orders": False}
        assert not [note for note in report.notes if "switched" in note]
    else:  # one task for an asset that was switched and one that was not
        assert moved == {"load_sales": False, "kpi_sums_task": False}
        (note,) = noted
        assert "load_sales_items was switched to Dagster and is no longer exported; " in note
        assert note.endswith(".load_sales now materializes its assets in Airflow")


def test_without_the_option_a_file_has_nothing_of_it(tmp_path):
    export_airflow(shop("orders"), tmp_path)
    for path in tmp_path.glob("starlake_load*.py"):
        assert "proxy_to_dagster" not in path.read_text() and " as dag:" not in path.read_text()


def test_a_task_with_checks_is_switched_where_its_asset_has_its_event(tmp_path):
    options = AirflowOptions(airlift=True, airlift_operator="ours.dagster:Reached", checks="warehouse")
    export_airflow(cloud_project("gs"), tmp_path, options=options, environment="cloud_run")
    assert switches(tmp_path / STATE) == {"check_load_sales_orders": False}
    text = (tmp_path / "starlake_load_sales_cron_0_5_x_x_x.py").read_text()
    also = '{"check_load_sales_orders": ["load_sales_orders", "warn_load_sales_orders"]}'
    assert text.endswith(f'proxy_to_dagster(\n    dag,\n    {also},\n    operator="ours.dagster:Reached",\n)\n')
    asset = json.loads((tmp_path / "asset_map.json").read_text())["assets"]["sales.orders"]
    assert (asset["task_id"], asset["outlet_task_id"]) == ("load_sales_orders", "check_load_sales_orders")


@pytest.mark.parametrize(
    "text", ["tasks: x", "proxied: true", "tasks:\n- id: load_sales_orders\n  proxied: maybe", "{"]
)
def test_a_file_that_cannot_be_read_is_an_error_and_stays(tmp_path, text):
    export_airflow(shop("orders"), tmp_path, options=AIRLIFT)
    (tmp_path / STATE).write_text(text)
    with pytest.raises(ProjectError, match=f"{STATE}: expected `tasks`, a list of entries with `id` and `proxied"):
        export_airflow(shop("orders"), tmp_path, options=AIRLIFT)
    assert (tmp_path / STATE).read_text() == text


def test_task_groups_cannot_be_switched(tmp_path):
    with pytest.raises(StarlakeError, match="task_groups and airlift"):
        export_airflow(shop("orders"), tmp_path, options=AIRLIFT, task_groups=True)


def test_what_an_export_leaves_out_is_not_waited_for_and_the_export_says_so(tmp_path):
    report = export_airflow(shop("orders", "items"), tmp_path, exclude="sales.orders")
    assert "kpi.sums: it does not wait for sales.orders, which this export does not contain" in report.notes
