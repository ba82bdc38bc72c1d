"""A table that gets no new file stands as it is: the steps that read it run, or say why they do not."""

from __future__ import annotations

import dagster as dg
import pytest

from starlake_dagster_assets import (
    ScheduleSettings,
    StarlakeAutomation,
    StarlakeDuckDB,
    StarlakeSteps,
    build_definitions,
)
from tests.dagster_features import projects
from tests.dagster_features.projects import TASK, rows, write

SALES = {**projects.SALES, "metadata/transform/kpi/by_day.sl.yml": TASK}


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.mark.dagster_feature("Tables without a new file, and steps that read them")
@pytest.mark.parametrize("split", ["project", "group", "task"])
def test_a_table_without_a_new_file_does_not_skip_the_steps_that_read_it(tmp_path, instance, split):
    items = "metadata/transform/kpi/items.sl.yml"
    files = {
        **SALES,
        items: "version: 1\ntask:\n  writeStrategy: {type: OVERWRITE}\n",
        items.replace(
            "sl.yml", "sql"
        ): "select (select count(*) from sales.items) as items, count(*) as orders from sales.orders",
        "incoming/sales/items_1.csv": "id,day\n1,2025-03-01\n",
    }
    defs = build_definitions(write(tmp_path, files), starlake=StarlakeDuckDB(), steps=StarlakeSteps(split=split))
    job = defs.get_repository_def().get_job("__ASSET_JOB")
    assert job.execute_in_process(instance=instance).success
    (tmp_path / "incoming/sales/items_2.csv").write_text("id,day\n2,2025-03-02\n")

    result = job.execute_in_process(instance=instance)

    made = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
    assert result.success
    assert made == {"sales/items", "kpi/by_day", "kpi/items"}  # and not sales/orders, which got no file
    assert rows(tmp_path / "datasets/duckdb.db", "select items, orders from kpi.items") == [(2, 3)]


@pytest.mark.dagster_feature("Tables without a new file, and steps that read them")
def test_a_table_that_was_never_loaded_skips_the_steps_that_read_it_with_a_reason(tmp_path, instance):
    files = {name: text for name, text in SALES.items() if not name.startswith("incoming")}
    defs = build_definitions(write(tmp_path, files), starlake=StarlakeDuckDB(), steps=StarlakeSteps(split="group"))
    result = defs.get_repository_def().get_job("__ASSET_JOB").execute_in_process(instance=instance)
    assert result.get_asset_materialization_events() == []
    reasons = {
        event.asset_key.to_user_string() for event in result.all_events if event.event_type_value == "ASSET_OBSERVATION"
    }
    assert reasons >= {"sales/orders", "sales/items"}


@pytest.mark.dagster_feature("Tables without a new file, and steps that read them")
def test_a_partition_is_computed_from_a_table_without_a_new_file(tmp_path, instance):
    task = """version: 1
task:
  schedule: "0 0 * * *"
  writeStrategy: {type: OVERWRITE_BY_PARTITION}
  sink: {partition: [day]}
  attributes: [{name: day, type: date}, {name: orders, type: long}]
"""
    sql = (
        "select day, count(*) as orders from sales.orders where day = cast('{{ sl_start_date }}' as date) group by day"
    )
    files = {"metadata/transform/kpi/by_day.sl.yml": task, "metadata/transform/kpi/by_day.sql": sql}
    defs = build_definitions(
        write(tmp_path, {**SALES, **files}),
        starlake=StarlakeDuckDB(),
        automation=StarlakeAutomation(partitions="cron", schedules=ScheduleSettings(start_date="2025-03-01")),
    )
    job = defs.get_repository_def().get_job("__ASSET_JOB")
    for day in ("2025-03-01", "2025-03-02"):  # the file comes with the first
        assert job.execute_in_process(instance=instance, partition_key=day).success
    assert instance.get_materialized_partitions(dg.AssetKey(["kpi", "by_day"])) == {"2025-03-01", "2025-03-02"}
    found = rows(tmp_path / "datasets/duckdb.db", "select day::varchar, orders from kpi.by_day order by day")
    assert found == [("2025-03-01", 1), ("2025-03-02", 2)]
