"""Ticks of schedules: what they ask for, with which interval, and why they ask for nothing."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.events import AssetMaterializationPlannedData
from dagster._core.test_utils import create_run_for_test

from starlake_dagster_assets.automation.definitions.schedules import build_schedules
from starlake_dagster_assets.automation.policies.model import CronSchedule, Job, PreLoad, Trigger, Triggers
from starlake_dagster_assets.dagster_assets.dagster_runs import interval_tags
from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.project.model.project import WriteStrategy
from tests.automation.definitions.schedules.conftest import PARIS, merged, scheduled

ZONE = ZoneInfo(PARIS)
DAILY = CronSchedule("0 5 * * *", PARIS)
SALES = ["sales.customers", "sales.orders"]


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=ZONE)


def interval(request: dg.RunRequest) -> tuple[str, str]:
    return request.tags["starlake/data_interval_start"], request.tags["starlake/data_interval_end"]


def test_one_schedule_for_each_job_and_clock_in_the_time_zone_of_the_project(world):
    it = world(
        merged(
            scheduled({"load": (SALES, DAILY)}), scheduled({"kpi": (["kpi.summary"], CronSchedule("0 6 * * 1", PARIS))})
        )
    )
    assert sorted(it.schedules) == ["kpi_schedule", "load_schedule"]
    schedule = it.schedules["load_schedule"]
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 5 * * *", PARIS)
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    assert schedule.description == "Materializes sales.customers and sales.orders at 0 5 * * * (Europe/Paris)."


def test_two_clocks_of_a_job_are_two_schedules_named_by_their_presets(world, make):
    triggers = Triggers(
        {
            "sales.orders": Trigger("sales.orders", "schedule", "load", cron_schedule=CronSchedule("0 * * * *", PARIS)),
            "sales.customers": Trigger(
                "sales.customers", "schedule", "load", cron_schedule=CronSchedule("30 4 * * *", PARIS)
            ),
        },
        {"load": Job("load", ("sales.customers", "sales.orders"))},
    )
    source = make.source(
        [make.table("orders"), make.table("customers")], schedule_presets={"hourly": "0 * * * *"}, timezone=PARIS
    )
    it = world(triggers, source)
    assert sorted(it.schedules) == ["load_30_4_x_x_x_schedule", "load_hourly_schedule"]
    (request,) = it.tick(at(2026, 3, 2, 7), "load_hourly_schedule")
    assert request.asset_selection == [dg.AssetKey(["sales", "orders"])]


def test_a_run_has_the_interval_of_its_tick_not_of_its_launch(world):
    """W24 and the launch time as `--scheduledDate` of the peers."""
    it = world(scheduled({"kpi": (["kpi.revenue", *SALES], DAILY)}))
    (request,) = it.tick(at(2026, 3, 2, 5))
    assert interval(request) == ("2026-03-01T05:00:00+01:00", "2026-03-02T05:00:00+01:00")
    assert request.run_key == "2026-03-02T04:00:00+00:00"
    assert it.run(request).success
    assert it.options() == [
        {
            "sl_start_date": "2026-03-01T05:00:00",
            "sl_end_date": "2026-03-02T05:00:00",
            "sl_data_interval_start": "2026-03-01T05:00:00",
            "sl_data_interval_end": "2026-03-02T05:00:00",
        }
    ]
    dated = [command.argv for command in it.runner.commands if "--scheduledDate" in command.argv]
    assert {argv[argv.index("--scheduledDate") + 1] for argv in dated} == {"2026-03-02T04:00:00+0000"}
    assert {argv[0] for argv in dated} == {"load", "transform"}


def test_a_tick_that_is_evaluated_again_asks_for_the_same_run(world):
    it = world(scheduled({"load": (SALES, DAILY)}))
    first, again = it.tick(at(2026, 3, 2, 5)), it.tick(datetime(2026, 3, 2, 4, tzinfo=timezone.utc))
    assert [one.run_key for one in first] == [one.run_key for one in again]


@pytest.mark.parametrize(
    ("cron", "tick", "start", "end"),
    [
        ("0 5 * * *", (2026, 3, 29, 5), "2026-03-28T05:00:00+01:00", "2026-03-29T05:00:00+02:00"),
        ("0 5 * * *", (2026, 10, 25, 5), "2026-10-24T05:00:00+02:00", "2026-10-25T05:00:00+01:00"),
        ("0 * * * *", (2026, 3, 29, 3), "2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00"),
        ("30 2 * * *", (2026, 3, 29, 3), "2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00"),
        ("30 2 * * *", (2026, 3, 30, 2, 30), "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"),
    ],
)
def test_nights_in_which_the_clocks_change(world, cron, tick, start, end):
    it = world(scheduled({"load": (SALES, CronSchedule(cron, PARIS))}))
    (request,) = it.tick(at(*tick))
    assert interval(request) == (start, end)


def test_the_hour_that_comes_twice_has_two_intervals(world):
    it = world(scheduled({"load": (SALES, CronSchedule("0 * * * *", PARIS))}))
    night = [datetime(2026, 10, 25, hour, tzinfo=timezone.utc) for hour in (0, 1, 2)]
    asked = [it.tick(moment)[0] for moment in night]
    assert [interval(one) for one in asked] == [
        ("2026-10-25T01:00:00+02:00", "2026-10-25T02:00:00+02:00"),
        ("2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"),
        ("2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"),
    ]
    assert len({one.run_key for one in asked}) == 3


def test_outside_of_start_and_end_a_tick_says_so(world):
    clock = CronSchedule("0 5 * * *", PARIS, datetime(2026, 3, 1), datetime(2026, 3, 31))
    it = world(scheduled({"load": (SALES, clock)}))
    early = it.tick(at(2026, 3, 1, 5))
    assert early == (
        "Nothing to materialize at 2026-03-01T05:00:00+01:00: its data interval is outside of the dates; "
        "start_date is 2026-03-01T00:00:00, end_date is 2026-03-31T00:00:00."
    )
    assert len(it.tick(at(2026, 3, 2, 5))) == 1
    assert len(it.tick(at(2026, 3, 31, 5))) == 1, "the interval that begins on the 30th"
    assert "outside of the dates" in it.tick(at(2026, 4, 1, 5))


def test_catchup_asks_for_what_was_missed_since_the_start_and_only_once(world, instance):
    clock = CronSchedule("0 5 * * *", PARIS, datetime(2026, 3, 1), catchup=True)
    it = world(scheduled({"kpi": (["kpi.revenue"], clock)}))
    asked = it.tick(at(2026, 3, 5, 5))
    assert [interval(one)[0][:10] for one in asked] == ["2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04"]
    for one in asked:
        it.run(one)
    (next_one,) = it.tick(at(2026, 3, 6, 5))
    assert interval(next_one)[0].startswith("2026-03-05")
    it.run(next_one)
    assert "each interval that has ended has a run or a materialization" in it.tick(at(2026, 3, 6, 5))
    late = it.tick(at(2026, 3, 9, 5))  # the daemon was away for two days
    assert [interval(one)[0][:10] for one in late] == ["2026-03-06", "2026-03-07", "2026-03-08"]
    for record in instance.get_run_records():
        if interval(record.dagster_run)[0].startswith("2026-03-03"):
            instance.delete_run(record.dagster_run.run_id)
    holes = it.tick(at(2026, 3, 9, 5))
    assert [interval(one)[0][:10] for one in holes] == ["2026-03-03", "2026-03-06", "2026-03-07", "2026-03-08"]


@pytest.mark.parametrize("partitions", ["none", "cron"])
@pytest.mark.parametrize("start", [datetime(2026, 3, 1), None])
def test_catchup_of_a_renamed_schedule_asks_for_nothing_that_its_assets_have(world, partitions, start):
    clock = CronSchedule("0 5 * * *", PARIS, start, catchup=True)
    both = ["kpi.revenue", *SALES]
    first = world(scheduled({"kpi": (both, clock)}, partitions))
    for asked in first.tick(at(2026, 3, 3, 5)):
        assert first.run(asked).success
    it = world(scheduled({"renamed": (both, clock)}, partitions))
    late = it.tick(at(2026, 3, 5, 5))
    assert [interval(one)[0][:10] for one in late] == ["2026-03-03", "2026-03-04"]


def test_catchup_asks_for_the_history_of_a_new_task_alone(world, instance):
    clock = CronSchedule("0 5 * * *", PARIS, datetime(2026, 3, 1), catchup=True)
    it = world(scheduled({"kpi": (SALES, clock)}))
    for asked in it.tick(at(2026, 3, 3, 5)):
        assert it.run(asked).success
    it = world(scheduled({"kpi": (["kpi.revenue", *SALES], clock)}))
    found = [
        (interval(one)[0][8:10], sorted(key.to_user_string() for key in one.asset_selection or ()))
        for one in it.tick(at(2026, 3, 4, 5))
    ]
    assert found == [("01", ["kpi/revenue"]), ("02", ["kpi/revenue"]), ("03", [])], "the last one makes everything"


def test_catchup_without_a_start_begins_at_the_first_interval_that_has_a_run(world, instance):
    it = world(scheduled({"load": (SALES, CronSchedule("0 5 * * *", PARIS, catchup=True))}))
    (first,) = it.tick(at(2026, 3, 5, 5))
    it.run(first)
    assert [interval(one)[0][:10] for one in it.tick(at(2026, 3, 7, 5))] == ["2026-03-05", "2026-03-06"]


DAY = CronSchedule("0 5 * * *", PARIS, datetime(2026, 3, 1), catchup=True)
KPI = ["kpi.revenue"]


def planned(instance, tags: Mapping[str, str], status: str = "SUCCESS", node: str = "kpi.revenue") -> None:
    """A run that was planned to materialize a node, and materialized nothing."""
    known = {name: value for name, value in {"dagster/schedule_name": "former_schedule", **tags}.items() if value}
    run = create_run_for_test(instance, "former", tags=known)
    key = dg.AssetKey(node.split("."))
    data = AssetMaterializationPlannedData(key)
    instance.report_dagster_event(
        dg.DagsterEvent("ASSET_MATERIALIZATION_PLANNED", "former", event_specific_data=data), run.run_id
    )
    if status != "STARTED":
        instance.report_dagster_event(dg.DagsterEvent(f"PIPELINE_{status}", "former"), run.run_id)


def of(start: int, end: int, hour: int = 5) -> dict[str, str]:
    return interval_tags((at(2026, 3, start, hour), at(2026, 3, end, hour)))


BY_HAND = {"dagster/schedule_name": ""}


@pytest.mark.parametrize(
    ("facts", "job", "clock", "expected"),
    [
        pytest.param(["tick"], "renamed", DAY, "03 04", id="renamed-job-and-schedule"),
        pytest.param(["tick"], "renamed", replace(DAY, start=None), "03 04", id="renamed-without-start"),
        pytest.param(["tick"], "kpi", replace(DAY, cron="0 6 * * *"), "02 03 04", id="later-cron"),
        pytest.param(["tick"], "kpi", replace(DAY, cron="0 4 * * *"), "01 03 04", id="earlier-cron"),
        pytest.param(["tick"], "kpi", replace(DAY, timezone="UTC", cron="0 4 * * *"), "03 04", id="another-time-zone"),
        pytest.param([of(1, 2), of(2, 3)], "kpi", DAY, "03 04", id="another-schedule-found-nothing"),
        pytest.param([(of(1, 2), "FAILURE")], "kpi", DAY, "02 03 04", id="failed-run-of-a-former-schedule"),
        pytest.param([(of(2, 3), "STARTED")], "kpi", DAY, "01 03 04", id="run-in-progress"),
        pytest.param([({**of(2, 3), **BY_HAND}, "FAILURE")], "kpi", DAY, "01 02 03 04", id="failed-run-by-hand"),
        pytest.param([({**of(2, 3), **BY_HAND}, "STARTED")], "kpi", DAY, "01 03 04", id="by-hand-in-progress"),
        pytest.param([({**of(2, 3), **BY_HAND}, "SUCCESS")], "kpi", DAY, "01 03 04", id="by-hand"),
        pytest.param(["2026-03-02T05/2026-03-04T05"], "kpi", DAY, "01 04", id="load-that-covers-two-ticks"),
        pytest.param(["2026-03-02T05/2026-03-04T05"], "kpi", replace(DAY, start=None), "04", id="catchup-turned-on"),
    ],
)
def test_catchup_asks_for_what_no_run_and_no_materialization_covers(world, instance, facts, job, clock, expected):
    """Under every name of the job, the schedule and the code location."""
    for fact in facts:
        if fact == "tick":
            first = world(scheduled({"kpi": (KPI, DAY)}))
            for request in first.tick(at(2026, 3, 3, 5)):
                assert first.run(request).success
        elif isinstance(fact, str):
            text = "/".join(f"{end}:00:00+01:00" for end in fact.split("/"))
            event = dg.AssetMaterialization(["kpi", "revenue"], metadata={"starlake/data_interval": text})
            instance.report_runless_asset_event(event)
        else:
            tags, status = fact if isinstance(fact, tuple) else (fact, "SUCCESS")
            planned(instance, tags, status)
    planned(instance, of(3, 4), node="crm.calls")
    it = world(scheduled({job: (KPI, clock)}))
    hour = int(clock.cron.split()[1]) + (clock.timezone == "UTC")
    starts = [interval(one)[0][8:13] for one in it.tick(at(2026, 3, 5, hour))]
    assert starts == [f"{day}T{clock.cron.split()[1]:0>2}" for day in expected.split()]


@pytest.mark.parametrize("catchup", [False, True])
@pytest.mark.parametrize("cron", ["0 6 * * *", "0 4 * * *"])
def test_a_task_that_appends_has_each_hour_once_when_the_cron_changes(world, make, cron, catchup):
    strategy = WriteStrategy(type="APPEND")
    task = make.task("added", ["sales.orders"], sql="select '{{ sl_start_date }}'", write_strategy=strategy)
    source = make.source([make.table("orders")], [task], timezone=PARIS)
    options = []
    for day, clock in ((2, "0 5 * * *"), (3, cron)):
        it = world(scheduled({"kpi": (["kpi.added"], CronSchedule(clock, PARIS, catchup=catchup))}), source)
        requests = it.tick(at(2026, 3, day, int(clock.split()[1])))
        assert all(it.run(request).success for request in requests)
        options += [one["sl_start_date"][8:13] + "/" + one["sl_end_date"][8:13] for one in it.options()]
    last = f"03T0{cron.split()[1]}"
    between = [f"02T05/02T0{cron.split()[1]}"] if catchup and cron == "0 6 * * *" else []
    rest = f"02T06/{last}" if between else f"02T05/{last}"
    assert options == ["01T05/02T05", *between, rest]


def test_without_catchup_only_the_last_interval(world):
    it = world(scheduled({"load": (SALES, CronSchedule("0 5 * * *", PARIS, datetime(2026, 3, 1)))}))
    assert len(it.tick(at(2026, 3, 9, 5))) == 1


def test_partitioned_assets_are_asked_for_by_the_window_that_has_just_closed(world):
    it = world(scheduled({"kpi": (["kpi.revenue", *SALES], DAILY)}, "cron"))
    (request,) = it.tick(at(2026, 3, 2, 5))
    assert request.partition_key == "2026-03-01"
    assert it.run(request).success
    (said,) = it.options()
    assert (said["sl_start_date"], said["sl_end_date"]) == ("2026-03-01T05:00:00", "2026-03-02T05:00:00")
    made = it.instance.get_materialized_partitions(dg.AssetKey(["sales", "orders"]))
    assert made == {"2026-03-01"}


def test_what_nobody_owns_runs_with_what_needs_it(world):
    """`run_dependencies_first`: tables without a schedule in the job of a task, partitioned or not."""
    tables = {node: Trigger(node, "none", "kpi") for node in SALES}
    triggers = merged(Triggers(tables, {}), scheduled({"kpi": (["kpi.revenue", *SALES], DAILY)}, "cron"))
    triggers = Triggers({**triggers.triggers, **tables}, triggers.jobs)
    it = world(triggers)
    (request,) = it.tick(at(2026, 3, 2, 5))
    selected = {key.to_user_string() for key in request.asset_selection or []}
    assert selected == {"kpi/revenue", "sales/orders"}
    assert it.run(request).success
    commands = [command.name for command in it.runner.commands]
    assert commands == ["stage", "load", "transform"]
    assert all("2026-03-02T04:00:00+0000" in command.argv for command in it.runner.commands if command.name != "stage")


def test_a_schedule_whose_files_are_waited_for_is_the_arrival_sensors(sales):
    waits = Trigger("sales.orders", "schedule", "load", PreLoad("imported"), DAILY)
    assert build_schedules(sales, Triggers({"sales.orders": waits}, {"load": Job("load", ("sales.orders",))})) == []


def test_crons_that_dagster_does_not_know_are_named_all_at_once(sales):
    triggers = merged(
        scheduled({"load": (["sales.orders"], CronSchedule("0 0 15W * *", PARIS))}),
        scheduled({"kpi": (["kpi.revenue"], CronSchedule("0 0 * * *", "Europe/Pari"))}),
    )
    with pytest.raises(ProjectError) as error:
        build_schedules(sales, triggers)
    kpi, load = str(error.value).splitlines()
    assert "metadata/load/sales/orders.sl.yml:3: sales.orders: Dagster does not know the schedule `0 0 15W * *`" in load
    assert "kpi.revenue: `Europe/Pari` is not a time zone" in kpi


def test_each_of_two_schedules_runs_its_own_job(world):
    """W23: closures over a loop variable ran the last pipeline for all."""
    it = world(scheduled({"a": (["sales.orders"], DAILY), "b": (["sales.customers"], DAILY)}))
    for name, table in (("a_schedule", "orders"), ("b_schedule", "customers")):
        (request,) = it.tick(at(2026, 3, 2, 5), name)
        it.run(request, name)
        assert it.runner.commands[-1].args[3] == table


def test_intervals_keep_every_digit_in_tags(world):
    """W26: quoting turned `T`, `:` and negative offsets into something else."""
    it = world(scheduled({"load": (SALES, CronSchedule("30 2 * * *", "America/St_Johns"))}))
    (request,) = it.tick(datetime(2026, 1, 2, 6, tzinfo=timezone.utc))
    assert interval(request) == ("2026-01-01T02:30:00-03:30", "2026-01-02T02:30:00-03:30")
    assert datetime.fromisoformat(interval(request)[1]) == datetime(2026, 1, 2, 6, tzinfo=timezone.utc)
