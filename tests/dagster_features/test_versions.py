"""Definitions, a run, a partition and a sensor tick, on whichever supported Dagster is installed."""

from __future__ import annotations

import re
from pathlib import Path

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeAutomation, StarlakeDuckDB, StarlakeProject, build_definitions
from starlake_dagster_assets.doctor import project as doctor
from tests.dagster_features.projects import APPLICATION, LOAD, rows, write

pytestmark = [
    pytest.mark.dagster_feature("Dagster 1.9.13 to 1.13"),
    # sensor contexts and partitions of 1.9 and 1.10 are marked so by Dagster itself
    pytest.mark.filterwarnings("ignore:.* (is|are) (experimental|currently in (beta|preview))"),
]

FILES = {
    "metadata/application.sl.yml": APPLICATION,
    "metadata/load/sales/_config.sl.yml": LOAD,
    "metadata/load/sales/orders.sl.yml": """version: 1
table:
  name: orders
  pattern: "orders.*.csv"
  metadata: {freshness: {warn: 1 day}}
  attributes:
    - {name: id, type: long}
    - {name: day, type: date}
""",
    "metadata/transform/kpi/by_day.sl.yml": """version: 1
task:
  name: by_day
  schedule: "0 0 * * *"
  writeStrategy: {type: OVERWRITE_BY_PARTITION}
  sink: {partition: [day]}
""",
    "metadata/transform/kpi/by_day.sql": """select day, count(*) as orders from sales.orders where true
{% if sl_start_date %} and day >= cast('{{ sl_start_date }}' as date) {% endif %}
{% if sl_end_date %} and day < cast('{{ sl_end_date }}' as date) {% endif %}
group by day
""",
    "incoming/sales/orders_1.csv": "id,day\n1,2025-03-01\n2,2025-03-02\n3,2025-03-02\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path, FILES)


def definitions(root: Path, **automation: str) -> dg.Definitions:
    settings = StarlakeAutomation.from_options(automation)
    return build_definitions(StarlakeProject(root), starlake=StarlakeDuckDB(), automation=settings)


def test_a_load_runs_and_its_pool_has_a_name_that_every_version_takes(root: Path):
    built = definitions(root)
    pools = {one.op.pool for one in built.assets or () if isinstance(one, dg.AssetsDefinition)}
    assert pools and all(pool and re.fullmatch(r"[A-Za-z0-9_]+", pool) for pool in pools)

    with dg.DagsterInstance.ephemeral() as instance:
        job = built.get_repository_def().get_job("__ASSET_JOB")
        result = job.execute_in_process(instance=instance)
    made = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
    assert result.success
    assert made == {"sales/orders", "kpi/by_day"}
    assert rows(root / "datasets/duckdb.db", "select day::varchar, orders from kpi.by_day order by day") == [
        ("2025-03-01", 1),
        ("2025-03-02", 2),
    ]


def test_a_partition_has_the_rows_of_its_day(root: Path):
    built = definitions(root, partitions="cron", start_date="2025-03-01")
    repository = built.get_repository_def()
    with dg.DagsterInstance.ephemeral() as instance:
        for selection, partition in ((["sales", "orders"], None), (["kpi", "by_day"], "2025-03-02")):
            job = repository.get_implicit_job_def_for_assets([dg.AssetKey(selection)])
            assert job is not None
            result = job.execute_in_process(
                instance=instance, asset_selection=[dg.AssetKey(selection)], partition_key=partition
            )
            assert result.success
        assert instance.get_materialized_partitions(dg.AssetKey(["kpi", "by_day"])) == {"2025-03-02"}
    assert rows(root / "datasets/duckdb.db", "select day::varchar, orders from kpi.by_day") == [("2025-03-02", 2)]


def test_an_arrival_sensor_asks_for_the_table_that_has_a_file(root: Path):
    built = definitions(root, pre_load_strategy="imported", stable_for="0")
    repository = built.get_repository_def()
    (sensor,) = [one for one in repository.sensor_defs if one.name.endswith("_arrival")]
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance, repository_def=repository, sensor_name=sensor.name)
        (request,) = sensor.evaluate_tick(context).run_requests or ()
    assert [key.to_user_string() for key in request.asset_selection or ()] == ["sales/orders"]


def test_doctor_names_the_installed_version():
    finding = next(iter(doctor._dagster()))
    assert dg.__version__ in finding.text
