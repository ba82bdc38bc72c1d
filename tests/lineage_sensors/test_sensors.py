"""Lineage sensors on a real instance: runs of real jobs, ticks that are lost, chains, skip reasons."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster._core.events import StepMaterializationData

from starlake_dagster_assets import StarlakeTranslator
from starlake_dagster_assets.automation import build_lineage_sensors
from starlake_dagster_assets.testing import FakeRunner, Script, loaded_lines
from starlake_dagster_assets.triggers.model import Job, Trigger, Triggers, Upstream, Watch
from tests.lineage_sensors.conftest import all_of, any_of, watching

ABC = ("sales.a", "sales.b", "sales.c")
ALL = {"kpi": (["kpi.x"], Watch(all_of(*ABC)))}
ANY = {"kpi": (["kpi.x"], Watch(any_of(*ABC)))}


def test_all_waits_for_each_and_names_what_is_missing(world):
    it = world(watching(ALL))
    it.made("sales.a", "sales.c")
    reason = it.tick()
    assert "Waits for sales.b" in reason and "sales.b was never made" in reason
    assert "sales.a at 20" in reason and "sales.c at 20" in reason
    it.made("sales.b")
    (request,) = it.tick()
    assert request.tags["starlake/trigger"] == "kpi_lineage"
    assert "sales.a (run outside)" in request.tags["starlake/upstreams"]
    assert "before the last run" in it.tick()


def test_any_runs_with_one_and_takes_what_else_has_moved(world):
    it = world(watching(ANY))
    it.made("sales.a", "sales.b")
    assert len(it.tick()) == 1
    assert "Nothing new was seen" in it.tick()
    it.made("sales.c")
    assert len(it.tick()) == 1


def test_the_run_makes_the_transform_and_each_wave_of_a_chain_runs_once(world):
    chain = {
        "one": (["kpi.x"], Watch(all_of(*ABC))),
        "two": (["kpi.y"], Watch(Upstream("kpi.x"))),
        "three": (["kpi.z"], Watch(Upstream("kpi.y"))),
    }
    it = world(watching(chain))
    for wave in (1, 2):
        for name in ABC:
            it.made(name)
            it.daemon()
        for _ in range(4):
            it.daemon()
        assert [it.count(key) for key in ("kpi.x", "kpi.y", "kpi.z")] == [wave] * 3


def test_a_tick_that_was_never_recorded_asks_for_nothing_twice(world):
    it = world(watching(ALL))
    it.made(*ABC)
    (request,) = it.tick(forget=True)
    run = it.run("kpi_lineage", request)
    assert run is not None and run.is_success
    assert "before the last run" in it.tick(forget=True)
    it.made("sales.b")
    assert "Waits for sales.a and sales.c" in it.tick()
    it.made("sales.a", "sales.c")
    assert len(it.tick()) == 1


def test_a_failed_run_consumes_nothing_and_is_not_repeated_by_itself(world):
    scripts = {"transform --name kpi.x": Script(["26/01/01 ERROR Main: broken"], exit_code=1)}
    it = world(watching(ALL), runner=FakeRunner(scripts))
    it.made(*ABC)
    it.daemon()
    assert len(it.asked) == 1 and it.count("kpi.x") == 0
    assert "did not succeed" in it.tick()
    scripts.clear()
    it.made("sales.b")
    it.daemon()
    assert it.count("kpi.x") == 1
    assert "before the last run" in it.tick()


def in_progress(it, *keys: str) -> str:
    """A run of some assets that has started and not ended."""
    job = it.repository.get_job("__ASSET_JOB")
    selection = frozenset(dg.AssetKey(key.split(".")) for key in keys)
    run = it.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, asset_selection=selection)
    return run.run_id


def in_run(it, run: str, key: str) -> None:
    made = dg.AssetMaterialization(dg.AssetKey(key.split(".")))
    event = dg.DagsterEvent("ASSET_MATERIALIZATION", "load", event_specific_data=StepMaterializationData(made))
    it.instance.report_dagster_event(event, run)


def test_a_run_that_will_make_more_is_waited_for(world):
    it = world(watching(ANY))
    run = in_progress(it, "sales.a", "sales.b", "kpi.x")
    in_run(it, run, "sales.a")
    reason = it.tick()
    assert run in reason and "will still make sales.b" in reason and "kpi.x" not in reason
    in_run(it, run, "sales.b")
    assert len(it.tick()) == 1


def test_a_run_that_never_ends_holds_a_wave_for_the_settle_time_only(world):
    it = world(watching(ANY), options={"settle": 0})
    in_run(it, in_progress(it, "sales.a", "sales.b"), "sales.a")
    assert len(it.tick()) == 1


def test_observations_are_not_materializations(world, instance):
    it = world(watching(ANY))
    instance.report_runless_asset_event(dg.AssetObservation(dg.AssetKey(["sales", "a"])))
    assert "never made" in it.tick()


def test_min_interval_holds_and_forgets_nothing(world):
    it = world(watching({"kpi": (["kpi.x"], Watch(any_of(*ABC), min_interval=3600))}))
    it.made("sales.a")
    assert len(it.tick()) == 1
    it.made("sales.b")
    reason = it.tick()
    assert "sales.b at" in reason and "minimum interval 1 h" in reason and "the next one may be in" in reason


def test_groups_share_a_sensor_by_policy_and_each_targets_its_own_job(world):
    it = world(watching({"one": (["kpi.x"], Watch(all_of(*ABC))), "two": (["kpi.y", "kpi.z"], Watch(any_of("kpi.x")))}))
    assert {name: sensor.job_name for name, sensor in it.sensors.items()} == {
        "one_lineage": "one",
        "two_lineage": "two",
    }
    it.made(*ABC, "kpi.x")
    for name, made in (("one_lineage", {"kpi/x"}), ("two_lineage", {"kpi/y", "kpi/z"})):
        (request,) = it.tick(name)
        run = it.run(name, request)
        assert run is not None
        events = it.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        assert {event.dagster_event.asset_key.to_user_string() for event in events} == made


def test_upstreams_that_run_first_are_made_not_watched(world):
    triggers = Triggers(
        {
            "kpi.x": Trigger("kpi.x", "none", "kpi"),
            "kpi.y": Trigger("kpi.y", "lineage", "kpi", watch=Watch(any_of(*ABC))),
            "kpi.z": Trigger("kpi.z", "lineage", "kpi", watch=Watch(Upstream("kpi.y"))),
        },
        {"kpi": Job("kpi", ("kpi.x", "kpi.y", "kpi.z"))},
    )
    it = world(triggers)
    assert sorted(it.sensors) == ["kpi_lineage"]
    it.made("sales.a")
    (request,) = it.tick("kpi_lineage")
    assert {key.to_user_string() for key in request.asset_selection} == {"kpi/x", "kpi/y"}


@pytest.mark.parametrize("status", list(dg.DefaultSensorStatus))
def test_the_status_is_chosen(world, status):
    it = world(watching(ALL), options={"status": status, "minimum_interval_seconds": 77})
    (sensor,) = it.sensors.values()
    assert sensor.default_status is status and sensor.minimum_interval_seconds == 77


def test_an_asset_of_the_users_own_and_one_of_another_location_are_watched(world, make):
    source = make.source([make.table("a")], [make.task("x", ["sales.a", "crm.people"])])

    @dg.asset(key=["own", "model"])
    def model() -> None: ...

    it = world(
        watching({"kpi": (["kpi.x"], Watch(all_of("crm.people", "own.model", "elsewhere.t")))}), source, extra=[model]
    )
    it.made("crm.people", "elsewhere.t")
    assert "own.model was never made" in it.tick()
    it.made("own.model")
    assert len(it.tick()) == 1


class Daily(StarlakeTranslator):
    def get_partitions_def(self, node):
        return dg.DailyPartitionsDefinition("2024-01-01", end_offset=0)


def test_partitions_are_mapped_and_each_runs_once(world, make):
    source = make.source([make.table("a"), make.table("b")], [make.task("x", ["sales.a", "sales.b"])])
    lines = [line for name in "ab" for line in loaded_lines("sales", name)]
    it = world(
        watching({"kpi": (["kpi.x"], Watch(all_of("sales.a", "sales.b")))}),
        source,
        translator=Daily(),
        runner=FakeRunner({"load": Script(lines)}),
    )
    it.made("sales.a", partition="2024-01-02")
    it.made("sales.b", partition="2024-01-03")
    assert "2024-01-02: Waits for sales.b" in it.tick()
    it.made("sales.b", partition="2024-01-02")
    (request,) = it.tick()
    assert request.partition_key == "2024-01-02"
    run = it.run("kpi_lineage", request)
    assert run is not None and run.is_success
    it.made("sales.a", partition="2024-01-03")
    (request,) = it.tick()
    assert request.partition_key == "2024-01-03"
    assert it.tick() == "Nothing new was seen upstream."


class DailyTasks(StarlakeTranslator):
    def get_partitions_def(self, node):
        return dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-01-04") if node.task else None


def test_an_upstream_without_partitions_moves_the_newest_one(world, make):
    source = make.source([make.table("a")], [make.task("x", ["sales.a"])])
    it = world(watching({"kpi": (["kpi.x"], Watch(Upstream("sales.a")))}), source, translator=DailyTasks())
    it.made("sales.a")
    (request,) = it.tick()
    assert request.partition_key == "2024-01-03"


HOURS = dg.HourlyPartitionsDefinition("2024-01-01-00:00")


def test_a_partitioned_asset_of_another_code_location_is_mapped_where_it_is_declared(world, make):
    source = make.source([make.table("a")], [make.task("x", ["sales.a"])])
    watch = Watch(all_of("ml/scores", "ml/labels"))
    declared = [dg.AssetSpec(["ml", "scores"], partitions_def=HOURS), dg.AssetSpec("unrelated")]
    it = world(watching({"kpi": (["kpi.x"], watch)}), source, translator=DailyTasks(), extra=declared)
    it.made("ml/scores", partition="2024-01-02-07:00")
    assert "2024-01-02: Waits for ml/labels" in it.tick()
    it.made("ml/labels", partition="2024-01-02")
    (request,) = it.tick()
    assert request.partition_key == "2024-01-02", "hours are mapped to their day; an undeclared one goes by its name"


def test_a_partition_of_an_unknown_grid_moves_the_newest_one(world, make):
    source = make.source([make.table("a")], [make.task("x", ["sales.a"])])
    it = world(watching({"kpi": (["kpi.x"], Watch(Upstream("ml/labels")))}), source, translator=DailyTasks())
    it.made("ml/labels", partition="week 7")
    (request,) = it.tick()
    assert request.partition_key == "2024-01-03"


def test_the_times_of_events_are_no_interval(world):
    it = world(watching({"kpi": (["kpi.x"], Watch(Upstream("sales.a")))}))
    for _ in range(2):
        it.made("sales.a")
        it.daemon()
    commands = [command.argv for command in it.runner.commands if command.argv[0] == "transform"]
    assert len(commands) == 2
    assert not any("--options" in argv or "--scheduledDate" in argv for argv in commands)


def test_what_was_made_before_a_redeploy_breaks_no_tick(world):
    """W22: a new sensor object over the same cursor and old events."""
    it = world(watching(ALL))
    it.made(*ABC)
    assert len(it.tick()) == 1
    again = world(watching(ALL), cursors=it.cursors)
    assert "before the last run" in again.tick()


def test_a_tick_asks_for_the_runs_of_its_own_trigger_only(world, monkeypatch):
    """W25: no scan of all the runs of a job, and none at all where nothing has moved."""
    it = world(watching(ALL))
    limits = []
    real = it.instance.get_run_records

    def counted(filters=None, limit=None, **more):
        limits.append((limit, filters.tags))
        return real(filters, limit=limit, **more)

    monkeypatch.setattr(it.instance, "get_run_records", counted)
    it.tick()
    assert limits == []
    it.made(*ABC)
    it.tick()
    assert limits and all(tags and "starlake/trigger" in tags for limit, tags in limits if limit is not None)


class Odd(StarlakeTranslator):
    def get_partitions_def(self, node):
        return (
            None
            if node.kind == "table"
            else dg.StaticPartitionsDefinition(["2024-05-02T06:00:00.123-0500", "a_b", "é:+ T"])
        )


@pytest.mark.parametrize("key", ["2024-05-02T06:00:00.123-0500", "a_b", "é:+ T"])
def test_partition_keys_arrive_as_they_are(world, make, key):
    """W26: fractions of seconds, negative offsets, underscores."""
    source = make.source([make.table("a")], [make.task("x", ["sales.a"])])
    it = world(watching({"kpi": (["kpi.x"], Watch(Upstream("sales.a")))}), source, translator=Odd())
    it.made("sales.a", partition=key)
    (request,) = it.tick()
    assert request.partition_key == key


def test_sensors_of_a_job_with_two_kinds_of_partitions_make_their_jobs_themselves(sales):
    watch = Watch(any_of("sales.a"))
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
