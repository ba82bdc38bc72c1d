"""The same window for the same partition, wherever Starlake runs; and the example, partitioned by its crons."""

import shutil
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from starlake_dagster_assets import (
    StarlakeAutomation,
    StarlakeDuckDB,
    StarlakeMetadata,
    StarlakeProject,
    StarlakeShell,
    build_definitions,
)
from starlake_dagster_assets.testing import FakeRunner, fake_starlake
from tests.automation.definitions.schedules.conftest import options_of
from tests.fakes.script import Scripted

ROOT = Path(__file__).resolve().parents[4]
FROM, TO = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
APPLICATION = """
version: 1
application:
  connectionRef: duck
  timezone: Europe/Paris
  audit: {sink: {connectionRef: duck}}
  connections:
    duck: {type: jdbc, options: {url: "jdbc:duckdb:{{SL_ROOT}}/x.db", driver: org.duckdb.DuckDBDriver}}
"""
WINDOW = ("2026-03-28T00:00:00", "2026-03-30T00:00:00")


TASK = """version: 1
task: {schedule: daily, writeStrategy: {type: OVERWRITE_BY_PARTITION}, sink: {partition: [day]}}
"""


def project_of(tmp_path: Path) -> StarlakeProject:
    root = tmp_path / "project"
    for name, text in {
        "application.sl.yml": APPLICATION,
        "transform/kpi/seen.sl.yml": TASK,
        "transform/kpi/seen.sql": (
            "select '{{sl_start_date}}' as since, '{{sl_end_date}}' as until, cast('{{sl_start_date}}' as date) as day"
        ),
        "transform/kpi/empty.sl.yml": TASK,
        "transform/kpi/empty.sql": "select current_date as day where '{{sl_start_date}}' = ''",
    }.items():
        path = root / "metadata" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return StarlakeProject(root, cache_dir=tmp_path / "cache")


def run(defs: dg.Definitions, instance: dg.DagsterInstance, *keys: str, **settings) -> dict[str, list[str]]:
    resolve = getattr(defs, "resolve_implicit_global_asset_job_def", None)
    repository = defs.get_repository_def()
    selection = [dg.AssetKey(key.split(".")) for key in keys]
    job = resolve() if resolve else repository.get_implicit_job_def_for_assets(selection)
    result = job.execute_in_process(instance=instance, asset_selection=selection, **settings)
    found: dict[str, list[str]] = {}
    for event in result.get_asset_materialization_events():
        found.setdefault(".".join(event.asset_key.path), []).append(event.partition)
    return found


@pytest.mark.parametrize("environment", ["embedded", "shell", "fake"])
def test_a_range_over_a_night_of_spring_has_one_window(environment, tmp_path, instance):
    """W20: `sl_start_date` and `sl_end_date`, as people in Paris read their clocks; an empty window is made as well."""
    project, scripted, fake = project_of(tmp_path), Scripted(tmp_path / "scripted"), FakeRunner()
    starlake = {
        "embedded": StarlakeDuckDB(),
        "shell": StarlakeShell(starlake=str(scripted.path), env=scripted.environ),
        "fake": fake_starlake(fake),
    }[environment]
    defs = build_definitions(
        project,
        starlake=starlake,
        automation=StarlakeAutomation(partitions="cron"),
        metadata=StarlakeMetadata(row_counts=False, columns=False),
    )
    days = {FROM: "2026-03-28", TO: "2026-03-29"}
    made = run(defs, instance, "kpi.seen", "kpi.empty", tags=days)
    assert made == {"kpi.seen": ["2026-03-28", "2026-03-29"], "kpi.empty": ["2026-03-28", "2026-03-29"]}
    if environment == "embedded":
        with duckdb.connect(str(project.root / "x.db"), read_only=True) as warehouse:
            (row,) = warehouse.sql("select since, until, cast(day as varchar) from kpi.seen").fetchall()
        assert row == (*WINDOW, "2026-03-28")
        return
    typed = [call.argv for call in scripted.calls()] if environment == "shell" else [c.argv for c in fake.commands]
    commands = [argv for argv in typed if "transform" in argv]
    assert len(commands) == 2
    assert {(options_of(argv)["sl_start_date"], options_of(argv)["sl_end_date"]) for argv in commands} == {WINDOW}
    assert all("2026-03-29T22:00:00+0000" in argv for argv in commands), "--scheduledDate is an instant, in UTC"


@pytest.mark.slow
def test_the_example_by_its_crons_with_a_backfill_of_five_days(tmp_path, monkeypatch, instance):
    root = tmp_path / "starbake"
    shutil.copytree(ROOT / "example_project" / "starbake", root, ignore=shutil.ignore_patterns("datasets"))
    for day in ("day1", "day2"):
        shutil.copytree(
            ROOT / "example_project" / "deliveries" / day, root / "datasets" / "incoming", dirs_exist_ok=True
        )
    project = StarlakeProject(root, env="DUCKDB", cache_dir=tmp_path / "cache")
    defs = build_definitions(
        project,
        automation=StarlakeAutomation(partitions="cron"),
        metadata=StarlakeMetadata(row_counts=False, columns=False),
    )
    grids = {
        key.to_user_string(): asset.partitions_def
        for asset in defs.assets
        if isinstance(asset, dg.AssetsDefinition)
        for key in asset.keys
    }
    assert {key: grid.cron_schedule for key, grid in grids.items() if grid and key.startswith(("starbake", "kpi"))} == {
        "starbake/Customers": "0 5 * * *",
        "starbake/Orders": "0 * * * *",
        "kpi/daily_revenue": "0 5 * * *",
    }, "those that are overwritten as a whole have no partitions"
    hour = run(defs, instance, "starbake.Orders", partition_key="2025-03-10-14:00")
    assert hour == {"starbake.Orders": ["2025-03-10-14:00"]}
    tables = ("starbake.Customers", "starbake.Ingredients", "starbake.Products", "reference.Shops")
    assert set(run(defs, instance, *tables, partition_key="2025-03-10")) == set(tables)
    unpartitioned = ("kpi.order_lines", "Products.ProductCost", "kpi.revenue_by_product")
    assert set(run(defs, instance, *unpartitioned)) == set(unpartitioned)
    five = run(defs, instance, "kpi.daily_revenue", tags={FROM: "2025-03-06", TO: "2025-03-10"})
    assert five == {"kpi.daily_revenue": [f"2025-03-{day:02}" for day in range(6, 11)]}
    assert run(defs, instance, "kpi.top_products") == {"kpi.top_products": [None]}
    with duckdb.connect(str(root / "datasets" / "duckdb.db"), read_only=True) as warehouse:
        days = warehouse.sql("select distinct cast(order_date as varchar) from kpi.daily_revenue order by 1").fetchall()
        told = warehouse.sql("select count(*) from audit.audit where schema = 'daily_revenue'").fetchall()
    assert [day for (day,) in days] == [f"2025-03-{day:02}" for day in range(6, 11)]
    assert told == [(1,)], "one transform for the whole range"
