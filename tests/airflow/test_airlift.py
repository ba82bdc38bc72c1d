"""Runs of exported DAGs in Dagster, read by the client of dagster-airlift from an Airflow of its REST API."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import dagster as dg
import pytest

from starlake_dagster_assets import (
    PartitionSettings,
    StarlakeAutomation,
    StarlakeShell,
    build_definitions,
    export_airflow,
)
from starlake_dagster_assets.airflow.plan.model import AirflowOptions
from starlake_dagster_assets.airlift import AirflowTasks
from starlake_dagster_assets.dagster_assets.dagster_runs import DATA_INTERVAL
from starlake_dagster_assets.errors import StarlakeError
from tests.airflow.test_states import ORDERS, SUMS, History, Shop
from tests.fakes.airflow import FakeAirflow

core = pytest.importorskip("dagster_airlift.core")
pytestmark = [pytest.mark.newest_only, pytest.mark.filterwarnings("ignore:.*beta")]

LOAD, TRANSFORM = "starlake_load_sales_cron_0_5_x_x_x", "starlake_transform_kpi"
TICK = datetime(2025, 3, 9, 5, tzinfo=timezone.utc)
WINDOW = {"sl_start_date": "2025-03-09T05:00:00", "sl_end_date": "2025-03-10T05:00:00"}
INTERVAL = "2025-03-09T05:00:00+00:00/2025-03-10T05:00:00+00:00"
EVENT = ("load_sales_orders", "sales_orders")


class Observed:
    """A project whose DAGs run in an Airflow, and its definitions in Dagster."""

    def __init__(self, work: Any, *, only: str | None = None, partitions: str = "none", by: Any = None) -> None:
        self.shop = Shop(work, History("airlift"))
        report = export_airflow(self.shop.project, self.shop.dags, select=only, options=AirflowOptions(airlift=True))
        self.fake = FakeAirflow({dag.id: [task.id for task in dag.tasks] for dag in report.plan.dags})
        self.airflow = AirflowTasks.from_export(self.shop.dags / "asset_map.json")
        self.instance = by or dg.DagsterInstance.ephemeral()
        self.automation = StarlakeAutomation(partitions=PartitionSettings(by=partitions))  # type: ignore[arg-type]

    def definitions(self, **options: Any) -> dg.Definitions:
        project, starlake = self.shop.project, StarlakeShell(starlake=str(self.shop.program))
        automation = self.airflow.remaining_triggers(project, self.automation)
        defs = build_definitions(project, starlake=starlake, automation=automation)
        backend = core.AirflowBasicAuthBackend(webserver_url=self.fake.url, username="admin", password="admin")
        return self.airflow.observe(defs, core.AirflowInstance(auth_backend=backend, name="ours"), **options)

    def tick(self, defs: dg.Definitions, cursor: str | None = None) -> dg.SensorResult:
        """One tick of the sensor of dagster-airlift; its events are reported as the daemon does."""
        repository = defs.get_repository_def()
        sensor = repository.get_sensor_def("ours__airflow_dag_status_sensor")
        context = dg.build_sensor_context(self.instance, cursor, repository_def=repository, sensor_name=sensor.name)
        found = sensor.evaluate_tick(context)
        for event in found.asset_events:
            self.instance.report_runless_asset_event(event)
        return found

    def materializations(self, key: dg.AssetKey) -> list[Any]:
        records = self.instance.fetch_materializations(key, limit=10).records
        return [one.asset_materialization for one in records]


@pytest.fixture
def observed(tmp_path, request):
    one = Observed(tmp_path, **getattr(request, "param", {}))
    with one.fake:
        yield one
    one.instance.dispose()


@pytest.mark.dagster_feature("dagster-airlift")
def test_a_run_in_airflow_is_a_materialization_with_its_window(observed):
    defs = observed.definitions()
    observed.fake.run(LOAD, {"load_sales_orders": "success"}, TICK, events={EVENT: WINDOW})
    observed.fake.run(TRANSFORM, {"kpi_sums_task": "success"}, TICK, events={("kpi_sums_task", "kpi_sums"): {}})
    observed.tick(defs)
    (orders,), (sums,) = observed.materializations(ORDERS), observed.materializations(SUMS)
    assert orders.metadata[DATA_INTERVAL].value == INTERVAL
    assert DATA_INTERVAL not in sums.metadata
    assert orders.metadata["dagster-airlift/airflow-run-id"].value == f"scheduled__{TICK.isoformat()}"


@pytest.mark.parametrize("state", ["skipped", "failed", "upstream_failed"])
def test_a_task_without_rows_is_none(observed, state):
    defs = observed.definitions()
    observed.fake.run(LOAD, {"load_sales_orders": state}, TICK)
    observed.tick(defs)
    assert observed.materializations(ORDERS) == []


def test_a_task_that_ran_in_dagster_is_not_reported_a_second_time(observed):
    defs = observed.definitions()
    run = observed.fake.run(LOAD, {"load_sales_orders": "success"}, TICK, events={EVENT: WINDOW})
    tags = {"dagster-airlift/airflow-dag-run-id": run, "dagster-airlift/airflow-task-id": "load_sales_orders"}
    observed.instance.create_run_for_job(defs.get_repository_def().get_job("__ASSET_JOB"), tags=tags)
    observed.tick(defs)
    assert observed.materializations(ORDERS) == []


def test_airflow_starts_its_assets_and_dagster_the_others(observed):
    defs = observed.definitions()
    names = {one.name for one in (*(defs.sensors or ()), *(defs.schedules or ()))}
    assert names == {"ours__airflow_dag_status_sensor"}


@pytest.mark.parametrize("observed", [{"only": "sales.orders"}], indirect=True)
def test_a_task_of_dagster_follows_a_table_of_airflow_with_its_window(observed):
    defs = observed.definitions()
    observed.fake.run(LOAD, {"load_sales_orders": "success"}, TICK, events={EVENT: WINDOW})
    repository = defs.get_repository_def()
    (lineage,) = [one for one in repository.sensor_defs if "lineage" in one.name]

    def requests() -> list[dg.RunRequest]:
        context = dg.build_sensor_context(observed.instance, repository_def=repository, sensor_name=lineage.name)
        return list(lineage.evaluate_tick(context).run_requests or ())

    assert requests() == []
    observed.tick(defs)
    (request,) = requests()
    job = repository.get_job(lineage.job_name)
    result = job.get_subset(asset_selection={SUMS}).execute_in_process(
        instance=observed.instance, tags=dict(request.tags), raise_on_error=True
    )
    assert result.success
    (sums,) = observed.materializations(SUMS)
    assert sums.metadata[DATA_INTERVAL].value == INTERVAL
    assert requests() == []


@pytest.mark.parametrize("observed", [{"partitions": "cron"}], indirect=True)
@pytest.mark.parametrize(
    ("extra", "partitions"),
    [
        (WINDOW, ["2025-03-09"]),
        ({**WINDOW, "sl_end_date": "2025-03-11T05:00:00"}, ["2025-03-09", "2025-03-10"]),
        ({**WINDOW, "sl_end_date": "2025-03-10T04:00:00"}, []),
        ({}, []),
    ],
)
def test_a_window_names_partitions_or_the_asset_is_not_materialized(observed, extra, partitions):
    defs = observed.definitions()
    observed.fake.run(LOAD, {"load_sales_orders": "success"}, TICK, events={EVENT: extra})
    found = observed.tick(defs)
    assert sorted(one.partition for one in observed.materializations(ORDERS)) == partitions
    told = [one.description for one in found.asset_events if isinstance(one, dg.AssetObservation)]
    assert len(told) == (not partitions) and all("its partitions are not known" in text for text in told)


def test_errors_name_what_is_wrong(observed, tmp_path):
    with pytest.raises(StarlakeError, match=r"expected `asset_map\.json` or a manifest of"):
        AirflowTasks.from_export(tmp_path / "nothing.json")
    (tmp_path / "other.json").write_text('{"assets": [1]}')
    with pytest.raises(StarlakeError, match=r"expected `asset_map\.json` or a manifest of"):
        AirflowTasks.from_export(tmp_path / "other.json")
    with pytest.raises(StarlakeError, match=r"no asset that Airflow materializes.*such as kpi\.sums, sales"):
        observed.airflow.observe(dg.Definitions(), None)
    defs = observed.definitions()
    observed.fake.run(LOAD, {"load_sales_orders": "success"}, TICK, events={EVENT: WINDOW})
    observed.fake.refuses = "/datasets/events"
    with pytest.raises(Exception, match="Error occurred during event transformation") as failed:
        observed.tick(defs)
    assert f"Cannot read the dataset events of {LOAD}" in str(failed.value.__cause__)
    assert observed.materializations(ORDERS) == []


def test_airflow_3_has_no_such_api(observed):
    observed.fake.major = 3
    with pytest.raises(Exception, match=r"Failed to fetch DAGs\. Status code: 404"):
        observed.definitions()
