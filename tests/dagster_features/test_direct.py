"""Assets that a test calls as functions, without a run."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from starlake_dagster_assets import (
    ScheduleSettings,
    StarlakeAutomation,
    StarlakeDuckDB,
    StarlakeProject,
    StarlakeResource,
    build_definitions,
    starlake_assets,
)
from starlake_dagster_assets.testing import FakeRunner, Script, fake_starlake, loaded_lines
from tests.dagster_features.projects import SALES, rows, write

pytestmark = [
    pytest.mark.dagster_feature("Direct invocation with `build_asset_context()`, and `dg.materialize()`"),
    pytest.mark.filterwarnings("ignore:.* (is|are) (experimental|currently in (beta|preview))"),
]
LOADED = Script(loaded_lines("sales", "orders", accepted=3, rejected=1))
DAILY = {
    "metadata/transform/kpi/by_day.sl.yml": """version: 1
task:
  schedule: "0 0 * * *"
  writeStrategy: {type: OVERWRITE_BY_PARTITION}
  sink: {partition: [day]}
"""
}


def told(events: Any) -> dict[type, list[str]]:
    found: dict[type, list[str]] = {}
    for event in events:
        found.setdefault(type(event), []).append(event.asset_key.to_user_string())
    return found


@pytest.fixture
def project(tmp_path: Path) -> StarlakeProject:
    return StarlakeProject(write(tmp_path / "sales", SALES))


def assets(project: StarlakeProject) -> Any:
    @starlake_assets(project=project)
    def sales(context: dg.AssetExecutionContext, starlake: StarlakeResource):
        yield from starlake.run(context).fetch_row_counts()

    return sales


def test_a_function_is_called_with_a_fake_runner(project):
    runner = FakeRunner({"load": LOADED})
    with dg.build_asset_context() as context:
        found = told(assets(project)(context, starlake=fake_starlake(runner)))
    assert found[dg.MaterializeResult] == ["sales/orders", "kpi/by_day"]
    assert found[dg.AssetObservation] == ["sales/items"]
    assert [command.name for command in runner.commands] == ["stage", "load", "transform"]


def test_a_function_is_called_with_the_embedded_engine(project):
    with dg.build_asset_context() as context:
        found = told(assets(project)(context, starlake=StarlakeDuckDB()))
    assert found[dg.MaterializeResult] == ["sales/orders", "kpi/by_day"]
    assert rows(project.root / "datasets/duckdb.db", "select orders from kpi.by_day order by 1") == [(1,), (2,)]


def test_a_failure_is_raised(project):
    runner = FakeRunner({"load": LOADED, "transform": Script(["ERROR no such column"], 1)})
    with dg.build_asset_context() as context, pytest.raises(dg.Failure, match=r"1 of 3 failed: kpi\.by_day"):
        list(assets(project)(context, starlake=fake_starlake(runner)))


def test_a_partition_and_the_options_of_a_run_are_those_of_the_context(project):
    write(project.root, DAILY)
    daily = StarlakeProject(project.root)
    runner = FakeRunner()
    automation = StarlakeAutomation(partitions="cron", schedules=ScheduleSettings(start_date="2025-03-01"))
    defs = build_definitions(daily, select="kpi.by_day", starlake=fake_starlake(runner), automation=automation)
    (step,) = [one for one in defs.assets or () if isinstance(one, dg.AssetsDefinition)]
    with dg.build_asset_context(partition_key="2025-03-02", resources={"starlake": fake_starlake(runner)}) as context:
        assert told(step(context))[dg.MaterializeResult] == ["kpi/by_day"]
    (command,) = runner.commands
    assert "sl_start_date=2025-03-02" in " ".join(command.argv)


@pytest.mark.parametrize("selection", [None, ["sales/orders"]])
def test_materialize_runs_what_a_test_selects(project, selection):
    chosen = [dg.AssetKey(key.split("/")) for key in selection] if selection else None
    result = dg.materialize([assets(project)], selection=chosen, resources={"starlake": StarlakeDuckDB()})
    made = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}
    assert made == ({"sales/orders"} if selection else {"sales/orders", "kpi/by_day"})
