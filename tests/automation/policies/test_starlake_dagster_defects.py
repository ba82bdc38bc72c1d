"""What goes wrong in starlake-dagster's triggering (peers, W20 to W26) goes right here."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import dagster as dg
import pytest

from starlake_dagster_assets.dagster_assets import dagster_runs
from tests.automation.conftest import Place, project, table, task, trigger

SENSOR = "transform_kpi_lineage"


@pytest.fixture
def location(locate) -> Place:
    """Two chains of one upstream each."""
    return locate(project([table("a"), table("b")], [task("x", ["sales.a"]), task("y", ["sales.b"])]))


def variables(location: Place) -> dict[str, str]:
    argv = location.runner.commands[-1].argv
    return dict(pair.split("=", 1) for pair in argv[argv.index("--options") + 1].split(","))


def test_w20_w21_a_pipeline_of_one_upstream_has_a_date_and_an_interval(location):
    interval = {"starlake/data_interval": "2025-03-01T00:00:00+00:00/2025-03-02T00:00:00+00:00"}
    location.instance.report_runless_asset_event(dg.AssetMaterialization(["sales", "a"], metadata=interval))
    (request,) = location.tick(SENSOR)
    location.run("transform_kpi", request.tags, request.asset_selection)
    assert "--scheduledDate" in location.runner.commands[-1].argv
    found = variables(location)
    assert found["sl_start_date"] == found["sl_data_interval_start"] == "2025-03-01T00:00:00"
    assert found["sl_end_date"] == found["sl_data_interval_end"] == "2025-03-02T00:00:00"


def test_w22_an_event_older_than_the_start_date_is_no_error(locate):
    tomorrow = datetime.now(timezone.utc) + timedelta(days=1)
    location = locate(project([table("a")], [task("x", ["sales.a"])]), start_date=tomorrow)
    location.made("sales.a")
    assert isinstance(location.tick(SENSOR), list)


def test_w23_each_request_starts_its_own(location):
    location.made("sales.a", "sales.b")
    runs = [location.run("transform_kpi", one.tags, one.asset_selection) for one in location.tick(SENSOR)]
    assert runs == [["kpi.x", "kpi.y"]], "both are due: one run"


def test_w24_a_schedule_of_none_falls_back_to_what_is_read():
    source = project([table("a", "daily")], [task("x", ["sales.a"], "None", cron=None)])
    one = trigger(source, "kpi.x", data_cycle_enabled=True)
    assert (one.triggered_by, one.upstream_condition.data_cycle) == ("lineage", "0 0 * * *")


def test_w25_a_tick_asks_for_a_bounded_number_of_runs(location, monkeypatch):
    asked_for = []
    asked = location.instance.get_run_records

    def counted(filters=None, limit=None, **more):
        asked_for.append(bool(filters.run_ids) or dg.DagsterRunStatus.SUCCESS not in filters.statuses)
        return asked(filters, limit, **more)

    for _ in range(3):
        location.made("sales.a")
        (request,) = location.tick(SENSOR)
        location.run("transform_kpi", request.tags, request.asset_selection)
    monkeypatch.setattr(dg.DagsterInstance, "get_run_records", lambda self, *given, **more: counted(*given, **more))
    location.made("sales.a")
    assert isinstance(location.tick(SENSOR), list)
    assert asked_for and all(asked_for), "runs in progress, or runs by their id"


def test_w26_negative_offsets_are_no_other_instants(location):
    zone = timezone(timedelta(hours=-3, minutes=-30))
    start, end = datetime(2024, 5, 1, 0, 0, 0, 250, zone), datetime(2024, 5, 2, tzinfo=zone)
    tags = {dagster_runs.INTERVAL_START: start.isoformat(), dagster_runs.INTERVAL_END: end.isoformat()}
    location.run("transform_kpi", tags)
    argv = location.runner.commands[-1].argv
    assert argv[argv.index("--scheduledDate") + 1] == "2024-05-02T03:30:00+0000"
    assert variables(location)["sl_start_date"] == "2024-05-01T00:00:00"
    assert variables(location)["sl_end_date"] == "2024-05-02T00:00:00"
