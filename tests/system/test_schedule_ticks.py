"""Schedules under a real daemon: each tick is one run, of the partition whose minute has just closed."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from tests.system.conftest import copy_of_the_example
from tests.system.dagster_dev import DagsterDev

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LOCATION = """
from datetime import datetime
from pathlib import Path

import dagster as dg
from starlake_dagster_assets import StarlakeProject, StarlakeTranslator, build_definitions
from starlake_dagster_assets.automation.definitions.schedules import build_schedules
from starlake_dagster_assets.testing import fake_starlake
from starlake_dagster_assets.automation.policies.model import CronSchedule, Job, Trigger, Triggers

project = StarlakeProject(Path(__file__).parent / "starbake", env="DUCKDB")
minutes = CronSchedule("* * * * *", "Europe/Paris", start=datetime.fromisoformat("START"))
node = "kpi.daily_revenue"
triggers = Triggers(
    {node: Trigger(node, "schedule", "minutely", cron_schedule=minutes, partitions="cron")},
    {"minutely": Job("minutely", ("kpi.daily_revenue",))},
)
translator = StarlakeTranslator().bound_to(project, triggers)
defs = dg.Definitions(
    assets=build_definitions(project, starlake=fake_starlake(), translator=translator, automation=triggers).assets,
    resources={"starlake": fake_starlake()},
    executor=dg.in_process_executor,
    schedules=build_schedules(
        project, triggers, translator=translator, status=dg.DefaultScheduleStatus.RUNNING
    ),
)
"""
_RUNS = "query { runsOrError { ... on Runs { results { status tags { key value } } } } }"


def done(server: DagsterDev) -> list[dict[str, str]]:
    """The tags of the runs that have succeeded, oldest interval first."""
    found = server.query(_RUNS)["runsOrError"]["results"]
    assert not [run for run in found if run["status"] in ("FAILURE", "CANCELED")]
    tags = [{tag["key"]: tag["value"] for tag in run["tags"]} for run in found if run["status"] == "SUCCESS"]
    return sorted(tags, key=lambda one: one["starlake/data_interval_end"])


def test_each_tick_is_one_run_of_the_minute_that_has_closed(tmp_path: Path):
    environ = copy_of_the_example(tmp_path)
    start = (datetime.now(timezone.utc) - timedelta(hours=1)).replace(second=0, microsecond=0)
    (tmp_path / "example_project" / "location.py").write_text(LOCATION.replace("START", start.isoformat()))
    (tmp_path / "workspace.yaml").write_text(
        "load_from:\n  - python_file: {relative_path: example_project/location.py, location_name: starbake}\n"
    )
    server = DagsterDev(tmp_path, environ)
    try:
        deadline = time.monotonic() + 400
        while len(runs := done(server)) < 2:
            assert time.monotonic() < deadline, runs
            time.sleep(1)
    finally:
        server.stop()
    ends = [one["starlake/data_interval_end"] for one in runs]
    assert len(set(ends)) == len(ends), "no interval twice"
    for one in runs:
        since, until = (datetime.fromisoformat(one[f"starlake/data_interval_{side}"]) for side in ("start", "end"))
        assert until - since == timedelta(minutes=1) and until.second == 0
        assert since.strftime("%Y-%m-%d-%H:%M") == one["dagster/partition"]
        assert one["dagster/schedule_name"] == "minutely_schedule"
