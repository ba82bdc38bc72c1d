"""What lineage sensors say and request: reasons, tags, selections; assets of others; what a tick costs."""

from __future__ import annotations

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeTranslator
from starlake_dagster_assets.automation.definitions.lineage_runs import JobPlan
from starlake_dagster_assets.automation.definitions.lineage_sensors import build_lineage_sensors
from starlake_dagster_assets.automation.policies.model import Job, Trigger, Triggers, Upstream, UpstreamCondition
from starlake_dagster_assets.testing import FakeRunner, Script
from tests.automation.definitions.lineage_sensors.conftest import World, all_of, any_of, watching

ABC = ("sales.a", "sales.b", "sales.c")
ANY = UpstreamCondition(any_of(*ABC))
ALL = {"kpi": (["kpi.x"], UpstreamCondition(all_of(*ABC)))}


def test_a_tick_names_what_it_saw_and_what_it_awaits(world):
    it = world(watching(ALL))
    it.made("sales.a", "sales.c")
    reason = it.tick()
    assert "Waits for sales.b. Seen: sales.a at 20" in reason and "sales.b was never materialized." in reason
    it.made("sales.b")
    (request,) = it.tick()
    assert {name: value for name, value in request.tags.items() if name.startswith("starlake/")} == {
        "starlake/trigger": "kpi_lineage",
        "starlake/upstreams": "sales.a (run outside), sales.b (run outside), sales.c (run outside)",
    }
    assert [key.path for key in request.asset_selection] == [["kpi", "x"]]
    it.run("kpi_lineage", request)
    assert "which kpi.x has read" in it.tick()


def test_the_tag_names_the_run_of_each_update_that_was_not_read(world):
    it = world(watching(ALL))
    it.made(*ABC)
    it.daemon()
    runs = [it.by_hand("sales/a").run_id for _ in range(2)]
    it.made("sales.b", "sales.c")
    (request,) = it.tick()
    assert f"sales.a (runs {', '.join(runs)})" in request.tags["starlake/upstreams"]


def test_the_run_key_is_that_of_the_updates_whatever_the_sensor_is_called(world):
    it = world(watching(ALL))
    it.made(*ABC)
    (request,) = it.tick()
    (again,) = it.tick()
    (renamed,) = world(watching({"renamed": ALL["kpi"]})).tick()
    assert request.run_key == again.run_key == renamed.run_key
    it.made("sales.a")
    (newer,) = it.tick()
    assert newer.run_key != request.run_key


def test_the_minimum_interval_is_named(world):
    it = world(watching({"kpi": (["kpi.x"], UpstreamCondition(any_of(*ABC), min_interval=3600))}))
    it.made("sales.a")
    it.daemon()
    it.made("sales.b")
    reason = it.tick()
    assert "sales.b at" in reason and "minimum interval 1 h" in reason and "the next one may be in" in reason


def test_each_sensor_targets_its_own_job(world):
    it = world(watching({"one": (["kpi.x"], ANY), "two": (["kpi.y", "kpi.z"], UpstreamCondition(any_of("sales.a")))}))
    assert {name: sensor.job_name for name, sensor in it.sensors.items()} == {
        "one_lineage": "one",
        "two_lineage": "two",
    }
    it.made("sales.a")
    assert it.daemon() == [{"kpi/x"}, {"kpi/y", "kpi/z"}]


def test_upstreams_that_run_first_are_made_not_watched(world):
    triggers = Triggers(
        {
            "kpi.x": Trigger("kpi.x", "none", "kpi"),
            "kpi.y": Trigger("kpi.y", "lineage", "kpi", upstream_condition=ANY),
        },
        {"kpi": Job("kpi", ("kpi.x", "kpi.y"))},
    )
    it = world(triggers)
    assert sorted(it.sensors) == ["kpi_lineage"]
    it.made("sales.a")
    assert it.daemon() == [{"kpi/x", "kpi/y"}]


@pytest.mark.dagster_feature("Failed steps and tasks that Dagster skips")
def test_a_task_runs_once_an_asset_that_failed_in_its_run_is_materialized(world):
    """`kpi.y` is started by `sales.c`, and reads `kpi.x`, which its run materializes first and nothing else starts."""
    found = watching({"kpi": (["kpi.y"], UpstreamCondition(any_of("sales.c")))})
    triggers = {**found.triggers, "kpi.x": Trigger("kpi.x", "none", "kpi")}
    scripts = {"transform --name kpi.x": Script(["26/01/01 ERROR Main: broken"], exit_code=1)}
    jobs = {"kpi": Job("kpi", ("kpi.x", "kpi.y"))}
    it: World = world(Triggers(triggers, jobs), runner=FakeRunner(scripts))
    it.made("sales.c")
    it.quiet()
    it.quiet()
    assert len(it.asked) == 1 and it.count("kpi.y") == 0
    it.by_hand("kpi.x")
    assert it.quiet() == 0, "it failed again"
    scripts.clear()
    it.by_hand("kpi.x")
    it.quiet()
    assert it.count("kpi.y") == 1
    assert len(it.asked) == 2


@pytest.mark.parametrize("status", list(dg.DefaultSensorStatus))
def test_the_status_is_chosen(world, status):
    it = world(watching(ALL), options={"status": status, "minimum_interval_seconds": 77})
    (sensor,) = it.sensors.values()
    assert sensor.default_status is status and sensor.minimum_interval_seconds == 77


def test_an_upstream_whose_sensor_is_stopped_is_not_waited_for(world):
    chain = {"one": (["kpi.x"], ANY), "two": (["kpi.y"], UpstreamCondition(any_of("kpi.x", "sales.c")))}
    it = world(watching(chain))
    it.made("sales.c")
    assert "waits for kpi.x: it is due itself" in it.tick("two_lineage")
    stopped = world(watching(chain), options={"status": dg.DefaultSensorStatus.STOPPED})
    assert "waits for kpi.x" in stopped.tick("two_lineage"), "its own sensor ticks: which ones are on is not known"
    sensors = [it.sensors["two_lineage"], stopped.sensors["one_lineage"]]
    defs = dg.Definitions(assets=it.defs.assets, sensors=sensors, resources=it.defs.resources)
    it.repository = defs.get_repository_def()
    assert [[key.path for key in one.asset_selection] for one in it.tick("two_lineage")] == [[["kpi", "y"]]]


def test_former_arguments_have_no_effect(sales):
    with pytest.warns(DeprecationWarning, match="settle"):
        build_lineage_sensors(sales, watching(ALL), settle=0)


def test_an_asset_of_the_users_own_and_one_of_another_location_are_watched(world, make):
    source = make.source([make.table("a")], [make.task("x", ["sales.a", "crm.people"])])

    @dg.asset(key=["own", "model"])
    def model() -> None: ...

    watch = UpstreamCondition(all_of("crm.people", "own.model", "elsewhere.t"))
    it = world(watching({"kpi": (["kpi.x"], watch)}), source, extra=[model])
    it.made("crm.people", "elsewhere.t")
    assert "own.model was never materialized" in it.tick()
    it.made("own.model")
    assert it.daemon() == [{"kpi/x"}]
    assert it.daemon() == [], "what is no dependency counts as read when it is older than the run"


class DailyTasks(StarlakeTranslator):
    def get_partitions_def(self, node):
        return dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-01-04") if node.task else None


HOURS = dg.HourlyPartitionsDefinition("2024-01-01-00:00")


def test_a_partitioned_asset_of_another_code_location_is_mapped_where_it_is_declared(world, make):
    source = make.source([make.table("a")], [make.task("x", ["sales.a"])])
    watch = UpstreamCondition(all_of("ml/scores", "ml/labels"))
    declared = [dg.AssetSpec(["ml", "scores"], partitions_def=HOURS), dg.AssetSpec("unrelated")]
    it = world(watching({"kpi": (["kpi.x"], watch)}), source, translator=DailyTasks(), extra=declared)
    it.made("ml/scores", partition="2024-01-02-07:00")
    assert "kpi.x [2024-01-02]: Waits for ml/labels" in it.tick()
    it.made("ml/labels", partition="2024-01-02")
    (request,) = it.tick()
    assert request.partition_key == "2024-01-02", "hours are mapped to their day; an undeclared one goes by its name"


def test_a_partition_of_an_unknown_grid_moves_the_newest_one(world, make):
    source = make.source([make.table("a")], [make.task("x", ["sales.a"])])
    it = world(
        watching({"kpi": (["kpi.x"], UpstreamCondition(Upstream("ml/labels")))}), source, translator=DailyTasks()
    )
    it.made("ml/labels", partition="week 7")
    (request,) = it.tick()
    assert request.partition_key == "2024-01-03"


def test_the_times_of_events_are_no_interval(world):
    it = world(watching({"kpi": (["kpi.x"], UpstreamCondition(Upstream("sales.a")))}))
    for _ in range(2):
        it.made("sales.a")
        it.daemon()
    commands = [command.argv for command in it.runner.commands if command.argv[0] == "transform"]
    assert len(commands) == 2
    assert not any("--options" in argv or "--scheduledDate" in argv for argv in commands)


def test_an_unpartitioned_task_follows_the_partitions_of_its_upstream(world, make):
    class DailyTables(StarlakeTranslator):
        def get_partitions_def(self, node):
            return dg.DailyPartitionsDefinition("2024-01-01") if node.table else None

    source = make.source([make.table("a")], [make.task("x", ["sales.a"])])
    it: World = world(
        watching({"kpi": (["kpi.x"], UpstreamCondition(Upstream("sales.a")))}), source, translator=DailyTables()
    )
    it.made("sales.a", partition="2024-01-02")
    run = it.in_progress("sales.a", partition="2024-01-03")
    assert f"waits for sales.a: run {run}" in it.tick()
    it.in_run(run, "sales.a", "2024-01-03")
    assert it.daemon() == [{"kpi/x"}]
    assert it.daemon() == []


class Odd(StarlakeTranslator):
    def get_partitions_def(self, node):
        return (
            None
            if node.kind == "table"
            else dg.StaticPartitionsDefinition(["2024-05-02T06:00:00.123-0500", "a_b", "é:+ T"])
        )


def test_partition_keys_arrive_as_they_are(world, make):
    """W26: fractions of seconds, negative offsets, underscores."""
    source = make.source([make.table("a")], [make.task("x", ["sales.a"])])
    watch = UpstreamCondition(Upstream("sales.a"), all_history=True)
    it = world(watching({"kpi": (["kpi.x"], watch)}), source, translator=Odd())
    keys = ["2024-05-02T06:00:00.123-0500", "a_b", "é:+ T"]
    for key in keys:
        it.made("sales.a", partition=key)
    assert [one.partition_key for one in it.tick()] == keys


def test_sensors_of_a_job_with_two_kinds_of_partitions_make_their_jobs_themselves(sales):
    watch = UpstreamCondition(any_of("sales.a"))
    triggers = watching({"kpi": (["kpi.x", "kpi.y"], watch)})
    grids = {
        "kpi.x": dg.DailyPartitionsDefinition("2026-01-01"),
        "kpi.y": dg.HourlyPartitionsDefinition("2026-01-01-00:00"),
    }

    class Mine(StarlakeTranslator):
        def get_partitions_def(self, node):
            return grids.get(node.id)

    sensors = build_lineage_sensors(sales, triggers, translator=Mine())
    assert [(sensor.name, sensor.job_name) for sensor in sensors] == [
        ("kpi_daily_lineage", "kpi_daily"),
        ("kpi_hourly_lineage", "kpi_hourly"),
    ]


def test_a_tick_without_news_reads_the_assets_once_and_no_runs(world, monkeypatch):
    """W25: no scan of the runs of a job."""
    it = world(watching({"kpi": (["kpi.x"], ANY), "two": (["kpi.y"], UpstreamCondition(any_of("kpi.x")))}))
    asked: list[str] = []
    for name in ("get_run_records", "get_asset_records", "get_latest_planned_materialization_info"):
        real = getattr(it.instance, name)

        def counted(*args, name=name, real=real, **more):
            asked.append(name)
            return real(*args, **more)

        monkeypatch.setattr(it.instance, name, counted)
    it.tick("two_lineage")
    assert asked == ["get_asset_records"]


@pytest.mark.dagster_feature("Manual materializations and sensors of tasks")
def test_a_run_that_ends_while_the_event_log_is_read_is_not_repeated(world, monkeypatch):
    it: World = world(watching({"kpi": (["kpi.x"], UpstreamCondition(any_of("sales.a", "sales.b")))}))
    it.made("sales.a")
    (request,) = it.tick("kpi_lineage")
    plan = JobPlan.runs

    def slow(self):
        found = plan(self)
        monkeypatch.undo()
        it.run("kpi_lineage", request)
        return found

    monkeypatch.setattr(JobPlan, "runs", slow)
    assert "has read" in it.tick("kpi_lineage") and it.count("kpi.x") == 1
