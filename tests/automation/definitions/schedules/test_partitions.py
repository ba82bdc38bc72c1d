"""Partitions by cron and by sink: which windows there are, and that a run gets exactly its own."""

from datetime import datetime, timezone
from itertools import pairwise

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlake_dagster_assets import StarlakeMetadata, StarlakeTranslator, build_starlake_assets
from starlake_dagster_assets.automation.policies.model import CronSchedule, Trigger, Triggers
from starlake_dagster_assets.dagster_assets.specs.partitions import PARTITIONS_START, cron_partitions, node_partitions
from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.project.model.project import Attribute, Metadata, Sink
from starlake_dagster_assets.project.resolve.schedules import PRESETS
from starlake_dagster_assets.testing import FakeRunner, Script, fake_starlake, loaded_lines
from tests.automation.definitions.schedules.conftest import PARIS, merged, options_of, scheduled

DAILY = CronSchedule("0 5 * * *", PARIS)
HOURLY = CronSchedule("0 * * * *", PARIS)
FROM, TO = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
SALES = ["sales.orders", "sales.customers"]

crons = st.one_of(
    st.sampled_from(sorted(PRESETS.values())),
    st.builds("{} {} * * *".format, st.integers(0, 59), st.integers(0, 23)),
    st.builds("{} */{} * * *".format, st.integers(0, 59), st.integers(1, 12)),
    st.builds("{} {} * * {}".format, st.integers(0, 59), st.integers(0, 23), st.sampled_from(["1-5", "MON,FRI", "7"])),
    st.builds("{} {} {},{} * *".format, *[st.integers(0, 23)] * 2, st.integers(1, 14), st.integers(15, 28)),
)
zones = st.sampled_from([PARIS, "UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns"])


@settings(max_examples=40, deadline=None)
@given(crons, zones, st.datetimes(datetime(2025, 1, 2), datetime(2026, 12, 1)))
def test_windows_tile_time_and_are_those_of_the_ticks(cron, zone, moment):
    windows = cron_partitions(CronSchedule(cron, zone))
    found, at = [], moment.replace(tzinfo=timezone.utc)
    for _ in range(30):
        window = windows.get_next_partition_window(at, respect_bounds=False)
        found.append(window)
        at = window.end
    assert all(before.end == after.start for before, after in pairwise(found))
    assert all(window.start < window.end for window in found)
    keys = [windows.get_partition_keys_in_time_window(window) for window in found]
    assert all(len(key) == 1 for key in keys), "one key a window"
    assert len({key[0] for key in keys}) == len(keys), "no key twice"
    assert [windows.time_window_for_partition_key(key[0]) for key in keys] == found


def test_partitions_are_the_same_after_every_reload(sales):
    """W22, W25: the peers' start is the file's mtime, their frequency depends on the time of day."""
    triggers = scheduled({"load": (SALES, DAILY)}, "cron")
    first, again = (node_partitions(sales, triggers)["sales.orders"] for _ in range(2))
    assert first == again
    assert first.start.replace(tzinfo=None) == PARTITIONS_START
    keys = first.get_partition_keys(current_time=datetime(2025, 1, 5, tzinfo=timezone.utc))
    assert keys == ["2025-01-01", "2025-01-02", "2025-01-03"], "the 4th closes at 5 in the morning of the 5th"


def test_start_and_end_date_bound_the_partitions():
    clock = CronSchedule("0 5 * * *", PARIS, datetime(2026, 3, 28), datetime(2026, 3, 30))
    assert cron_partitions(clock).get_partition_keys() == ["2026-03-28", "2026-03-29"]
    until = CronSchedule("0 0 * * *", PARIS, datetime(2026, 3, 28), datetime(2026, 3, 30))
    assert cron_partitions(until).get_partition_keys()[-1] == "2026-03-30", "the day that is named belongs to it"


@pytest.mark.parametrize(
    ("kind", "tags", "cron"),
    [
        ("date", (), "0 0 * * *"),
        ("timestamp", (), "0 0 * * *"),
        ("string", (), None),
        ("string", ("partition=monthly",), "0 0 1 * *"),
        ("timestamp", ("partition=hourly",), "0 * * * *"),
    ],
)
def test_partitions_of_a_sink(make, kind, tags, cron):
    table = make.table(
        "orders",
        attributes=(Attribute(name="d", rename="day", type=kind),),
        metadata=Metadata(sink=Sink(partition=("day",))),
        tags=tags,
    )
    source = make.source([table, make.table("plain")], timezone=PARIS)
    triggers = {node: Trigger(node, "none", "", partitions="sink") for node in ("sales.orders", "sales.plain")}
    found = node_partitions(source, Triggers(triggers, {}))
    assert {node: windows.cron_schedule for node, windows in found.items()} == ({"sales.orders": cron} if cron else {})
    assert all(windows.timezone == PARIS for windows in found.values())


def test_a_tag_that_names_no_time_is_named(make):
    source = make.source([make.table("orders", tags=("partition=weekly",))])
    triggers = Triggers({"sales.orders": Trigger("sales.orders", "none", "", partitions="sink")}, {})
    with pytest.raises(
        ProjectError, match=r"orders.sl.yml:3: sales.orders: the tag `partition=weekly` names no time unit"
    ):
        node_partitions(source, triggers)


def run(source, triggers, selection, *, runner=None, instance=None, **settings):
    bound = StarlakeTranslator().bound_to(source, triggers)
    runner = runner or FakeRunner()
    result = dg.materialize(
        build_starlake_assets(source, translator=bound, metadata=StarlakeMetadata(row_counts=False, columns=False)),
        resources={"starlake": fake_starlake(runner)},
        selection=[dg.AssetKey(node.split(".")) for node in selection],
        instance=instance,
        raise_on_error=False,
        **settings,
    )
    return result, runner


def partitions_made(result) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for event in result.get_asset_materialization_events():
        found.setdefault(event.asset_key.to_user_string(), []).append(event.partition)
    return found


def test_a_range_is_one_run_and_one_window(sales, instance):
    triggers = scheduled({"kpi": (["kpi.revenue"], DAILY)}, "cron")
    days = ["2026-03-28", "2026-03-29", "2026-03-30"]
    result, runner = run(sales, triggers, ["kpi.revenue"], instance=instance, tags={FROM: days[0], TO: days[-1]})
    assert result.success and partitions_made(result) == {"kpi/revenue": days}
    (command,) = runner.commands
    said = options_of(command.argv)
    assert (said["sl_start_date"], said["sl_end_date"]) == ("2026-03-28T05:00:00", "2026-03-31T05:00:00")
    assert "2026-03-31T03:00:00+0000" in command.argv
    (step,) = [
        one
        for one in build_starlake_assets(sales, translator=StarlakeTranslator().bound_to(sales, triggers))
        if one.partitions_def
    ]
    assert step.backfill_policy == dg.BackfillPolicy.single_run()


def test_a_retry_of_a_range_makes_only_what_is_missing(sales, instance):
    triggers = scheduled({"kpi": (["kpi.revenue", "kpi.people"], DAILY)}, "cron", retries=1, retry_delay=0)
    attempts = []

    def script(command):
        attempts.append(command.args[1])
        return (
            Script(["ERROR Main: out of luck"], 1)
            if attempts.count("kpi.revenue") == 1 and "revenue" in attempts[-1]
            else None
        )

    tags = {FROM: "2026-03-01", TO: "2026-03-02"}
    result, _ = run(
        sales, triggers, ["kpi.revenue", "kpi.people"], instance=instance, runner=FakeRunner(script), tags=tags
    )
    assert result.success
    assert attempts == ["kpi.people", "kpi.revenue", "kpi.revenue"]
    assert {key: len(made) for key, made in partitions_made(result).items()} == {"kpi/people": 2, "kpi/revenue": 2}


def test_a_late_load_without_files_is_observed_not_made(sales, instance):
    triggers = scheduled({"load": (SALES, DAILY)}, "cron")
    runner = FakeRunner({"load": Script(loaded_lines("sales", "orders"))})
    result, _ = run(sales, triggers, SALES, instance=instance, runner=runner, partition_key="2025-02-01")
    assert result.success and partitions_made(result) == {"sales/orders": ["2025-02-01"]}
    seen = [
        e.asset_observation_data.asset_observation
        for e in result.all_events
        if e.event_type_value == "ASSET_OBSERVATION"
    ]
    assert [one.asset_key.path[-1] for one in seen] == ["customers"]


def test_grids_of_different_frequency_and_no_grid_share_a_run_in_order(sales, instance):
    """Unpartitioned, daily and unpartitioned again: three steps, which 1.9 would not split by itself."""
    triggers = scheduled({"kpi": (["kpi.revenue"], DAILY)}, "cron")
    bound = StarlakeTranslator().bound_to(sales, triggers)
    steps = build_starlake_assets(sales, translator=bound)
    assert [sorted(key.path[-1] for key in step.keys) for step in steps] == [
        ["customers", "orders", "people"],
        ["revenue"],
        ["summary"],
    ]
    everything = [*SALES, "kpi.revenue", "kpi.people", "kpi.summary"]
    runner = FakeRunner({"load": Script([*loaded_lines("sales", "orders"), *loaded_lines("sales", "customers")])})
    result, _ = run(sales, triggers, everything, instance=instance, runner=runner, partition_key="2026-03-01")
    assert result.success
    assert [command.args[1] for command in runner.commands if command.name == "transform"] == [
        "kpi.people",
        "kpi.revenue",
        "kpi.summary",
    ]


def test_a_daily_task_reads_an_hourly_table_and_another_time_zone_as_a_whole(make, instance):
    source = make.source(
        [make.table("orders")], [make.task("a", ["sales.orders"]), make.task("b", ["kpi.a"]), make.task("c", ["kpi.b"])]
    )
    late = CronSchedule("0 * * * *", PARIS, datetime(2026, 3, 1))
    triggers = merged(
        scheduled({"load": (["sales.orders"], late)}, "cron"),
        scheduled({"a": (["kpi.a"], DAILY)}, "cron"),
        scheduled({"b": (["kpi.b"], CronSchedule("0 0 * * *", "UTC"))}, "cron"),
    )
    bound = StarlakeTranslator().bound_to(source, triggers)
    mappings = {node: [dep.partition_mapping for dep in spec.deps] for node, spec in bound.specs().items()}
    (hours,) = mappings["kpi.a"]
    assert isinstance(hours, dg.TimeWindowPartitionMapping) and hours.allow_nonexistent_upstream_partitions
    assert mappings["kpi.b"] == [dg.AllPartitionMapping()] and mappings["kpi.c"] == [None]
    result, _ = run(source, triggers, ["kpi.a"], instance=instance, partition_key="2025-12-24")
    assert result.success, "before the first partition of what it reads"


def test_a_users_own_partitions_win(world):
    class Mine(StarlakeTranslator):
        def get_partitions_def(self, node):
            return dg.StaticPartitionsDefinition(["fr", "de"]) if node.id == "kpi.revenue" else None

    triggers = scheduled({"kpi": (["kpi.revenue"], DAILY)}, "cron")
    asked = world(triggers, translator=Mine()).tick(datetime(2026, 3, 2, 4, tzinfo=timezone.utc))
    assert [one.partition_key for one in asked] == ["fr", "de"]
    assert len({one.run_key for one in asked}) == 2


def test_a_tick_takes_the_partition_of_the_sink_that_has_closed(world, make):
    """A task at three in the morning, partitioned by the days of its column: yesterday."""
    task = make.task(
        "revenue", ["sales.orders"], attributes=(Attribute(name="day", type="date"),), sink=Sink(partition=("day",))
    )
    source = make.source([make.table("orders")], [task], timezone=PARIS)
    triggers = scheduled({"kpi": (["kpi.revenue"], CronSchedule("0 3 * * *", PARIS))}, "sink")
    (request,) = world(triggers, source).tick(datetime(2026, 3, 2, 2, tzinfo=timezone.utc))
    assert request.partition_key == "2026-03-01"
    assert request.tags["starlake/data_interval_end"] == "2026-03-02T00:00:00+01:00"


def test_partitions_of_another_grid_than_the_clocks_are_all_those_that_have_closed(world, make):
    def task(name, grain):
        return make.task(name, sink=Sink(partition=("day",)), tags=(f"partition={grain}",))

    source = make.source([], [task("hours", "hourly"), task("months", "monthly")], timezone=PARIS)
    triggers = scheduled({"kpi": (["kpi.hours", "kpi.months"], CronSchedule("0 3 * * *", PARIS))}, "sink")
    it = world(triggers, source)
    assert sorted(it.schedules) == ["kpi_hourly_schedule", "kpi_monthly_schedule"], "a job of Dagster has one grid"
    day, month = datetime(2026, 3, 29, 1, tzinfo=timezone.utc), datetime(2026, 4, 1, 1, tzinfo=timezone.utc)
    hours = [one.partition_key for one in it.tick(day, "kpi_hourly_schedule")]
    assert len(hours) == 23, "the day on which an hour is left out"
    assert (hours[0], hours[-1]) == ("2026-03-28-03:00", "2026-03-29-01:00")
    assert it.tick(day, "kpi_monthly_schedule") == (
        "Nothing to materialize at 2026-03-29T03:00:00+02:00: no partition has closed since the tick before."
    )
    assert [one.partition_key for one in it.tick(month, "kpi_monthly_schedule")] == ["2026-03-01"]
