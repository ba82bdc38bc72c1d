"""Arrival sensors: each set of files is asked for once, when it is stable, for exactly the tables that have files."""

from __future__ import annotations

from datetime import datetime, timezone

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeTranslator
from starlake_dagster_assets.arrivals.places import directory
from starlake_dagster_assets.arrivals.stores import StoreError
from starlake_dagster_assets.errors import StarlakeError
from starlake_dagster_assets.triggers.model import Clock, Job, PreLoad, Trigger, Triggers
from tests.arrivals.conftest import sales_in, tables

FAILURE, CANCELED = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED


def write(folder, *names, text="id\n1\n"):
    for name in names:
        (folder / name).write_text(text)


def test_a_set_of_files_is_asked_for_once_it_has_been_the_same_for_a_while(world, incoming, clock):
    here = world(PreLoad("imported", stable_for=60))
    assert "nothing is there" in here.tick()
    write(incoming, "orders_1.csv", "customers_1.csv")
    assert "new or still changing: they count once they have been the same for 1 min" in here.tick()
    clock.wait(59)
    assert "new or still changing" in here.tick()
    clock.wait(1)
    (request,) = here.tick()
    assert tables(request) == ["customers", "orders"]
    assert request.tags["starlake/files"] == "customers_1.csv and orders_1.csv"
    assert request.tags["starlake/trigger"] == "load_arrival"
    assert request.tags["starlake/wave"] == request.run_key


def test_a_file_that_grows_is_waited_for(world, incoming, clock):
    here = world()
    for number in range(5):
        with (incoming / "orders_1.csv").open("a") as file:
            file.write(f"{number}\n")
        assert "orders_1.csv are new or still changing" in here.tick()
        clock.wait(300)
    assert isinstance(here.tick(), list)


def test_a_growing_file_holds_its_table_and_no_other(world, incoming, clock):
    here = world()
    write(incoming, "orders_1.csv", "orders_2.csv", "items_1.csv")
    here.tick()
    write(incoming, "orders_2.csv", text="more")
    clock.wait(30)
    (request,) = here.tick()
    assert tables(request) == ["items"]


def test_the_clock_of_the_store_does_not_matter(world, incoming, clock):
    import os

    here = world()
    for name, moment in (("orders_1.csv", 0), ("items_1.csv", 4_000_000_000)):
        write(incoming, name)
        os.utime(incoming / name, (moment, moment))
    assert isinstance(here.tick(), str)
    clock.wait(30)
    (request,) = here.tick()
    assert tables(request) == ["items", "orders"]


def test_files_are_asked_for_once(world, incoming, clock):
    here = world()
    write(incoming, "orders_1.csv")
    (request,) = here.settled()
    run = here.accept(request)
    clock.wait(30)
    assert f"orders_1.csv belong to run {run.run_id}, which is in progress" in here.tick()
    (incoming / "orders_1.csv").unlink()
    here.ended(run)
    assert "nothing is there" in here.tick()


def test_files_that_come_while_a_run_is_in_progress_belong_to_the_next_one(world, incoming, clock):
    here = world()
    write(incoming, "orders_1.csv")
    (request,) = here.settled()
    run = here.accept(request)
    write(incoming, "orders_2.csv", "items_1.csv")
    assert f"run {run.run_id} is in progress" in here.settled()
    (incoming / "orders_1.csv").unlink()
    here.ended(run)
    (request,) = here.settled()
    assert tables(request) == ["items", "orders"]


@pytest.mark.parametrize("status", [FAILURE, CANCELED])
def test_what_a_failed_run_left_is_not_asked_for_again_until_it_changes(world, incoming, clock, status):
    here = world()
    write(incoming, "orders_1.csv")
    (request,) = here.settled()
    run = here.accept(request)
    here.ended(run, status)
    clock.wait(3600)
    reason = here.tick()
    assert f"orders_1.csv were asked for in run {run.run_id}, which failed: they are not asked for again" in reason
    write(incoming, "orders_1.csv", text="id\n2\n")
    (again,) = here.settled()
    assert again.run_key != request.run_key


def test_what_a_run_that_succeeded_left_is_not_asked_for_for_ever(world, incoming, clock):
    here = world()
    write(incoming, "orders_1.csv")
    (request,) = here.settled()
    here.ended(here.accept(request))
    assert "which succeeded and left them there" in here.settled()


def test_a_file_that_is_put_back_by_hand_is_loaded(world, incoming, clock, tmp_path):
    here = world()
    write(incoming, "orders_1.csv")
    (request,) = here.settled()
    run = here.accept(request)
    (incoming / "orders_1.csv").rename(tmp_path / "orders_1.csv")
    here.ended(run, FAILURE)
    here.tick()
    (tmp_path / "orders_1.csv").rename(incoming / "orders_1.csv")
    (again,) = here.settled()
    assert here.accept(again) is not None


def test_a_run_that_was_deleted_counts_for_nothing(world, incoming, clock):
    here = world()
    write(incoming, "orders_1.csv")
    (request,) = here.settled()
    run = here.accept(request)
    here.ended(run, FAILURE)
    here.instance.delete_run(run.run_id)
    (again,) = here.tick()
    assert again.run_key == request.run_key


def test_a_tick_that_was_never_recorded_asks_for_the_same_run(world, incoming, clock):
    here = world()
    write(incoming, "orders_1.csv")
    here.tick()
    clock.wait(30)
    (request,) = here.tick(forget=True)
    assert here.accept(request) is not None
    assert "in progress" in here.tick()


def test_a_lost_cursor_repeats_nothing(world, incoming, clock):
    here = world()
    write(incoming, "orders_1.csv")
    (request,) = here.settled()
    here.ended(here.accept(request), FAILURE)
    here.cursors.clear()
    write(incoming, "items_1.csv")
    (other,) = here.settled()
    assert tables(other) == ["items"]
    here.ended(here.accept(other))
    assert "orders_1.csv were asked for in run" in here.tick()


@pytest.mark.parametrize("cursor", ["", "{}", "[0]", "[1, 2]", "nonsense", "[9,{},{},null,0,[]]"])
def test_a_cursor_of_something_else_is_a_lost_one(world, incoming, cursor):
    here = world()
    here.cursors["load_arrival"] = cursor
    write(incoming, "orders_1.csv")
    assert isinstance(here.settled(), list)


def test_two_sensors_at_once_ask_for_one_run(world, incoming, clock):
    one, two = world(), world()
    write(incoming, "orders_1.csv")
    (first,), (second,) = [here.settled(wait=30) for here in (one, two)]
    assert [one.accept(first) is not None, two.accept(second) is not None] == [True, False]


def test_a_sensor_of_each_job_and_domain_and_policy(world, incoming):
    fast, slow = PreLoad("imported"), PreLoad("imported", stable_for=600)
    given = {
        "sales.orders": Trigger("sales.orders", "arrival", "load", preload=fast),
        "sales.items": Trigger("sales.items", "arrival", "load", preload=slow),
        "sales.customers": Trigger("sales.customers", "none", "load"),
    }
    here = world(triggers=Triggers(given, {"load": Job("load", tuple(given))}))
    assert sorted(here.sensors) == ["load_sales_sales_items_arrival", "load_sales_sales_orders_arrival"]
    write(incoming, "orders_1.csv", "items_1.csv", "customers_1.csv")
    (request,) = here.settled("load_sales_sales_orders_arrival")
    assert tables(request) == ["orders"]
    assert "items_1.csv are new" in here.settled("load_sales_sales_items_arrival")


def test_no_strategy_is_no_sensor(world):
    assert world(PreLoad("none")).sensors == {}


def test_the_interval_of_a_sensor_is_the_poke_interval(world):
    (sensor,) = world(PreLoad("imported", poke_interval=120)).sensors.values()
    assert sensor.minimum_interval_seconds == 120
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING


# ------------------------------------------------------------------------------------------------ per-file acks


def test_a_file_waits_for_its_ack_file(world, incoming):
    here = world(ack="ack")
    write(incoming, "orders_1.csv")
    assert "these wait for their ack file: orders_1.csv (orders_1.ack)" in here.settled()
    write(incoming, "orders_1.ack")
    (request,) = here.settled()
    assert tables(request) == ["orders"]


def test_a_file_without_ack_does_not_hold_those_that_have_one(world, incoming):
    here = world(ack="ack")
    write(incoming, "orders_1.csv", "orders_1.ack", "orders_2.csv")
    (request,) = here.settled()
    assert request.tags["starlake/files"] == "orders_1.csv"


# ------------------------------------------------------------------------------------------ what an operator sees


def test_a_skip_names_what_nobody_takes(world, incoming):
    here = world()
    write(incoming, "orders.csv", "notes.txt", ".hidden")
    assert here.tick() == (
        f"{incoming} (sales.customers, sales.items and sales.orders): "
        "no table's pattern matches notes.txt and orders.csv."
    )


def test_a_directory_that_is_not_there_yet_is_said(world, incoming):
    here = world()
    incoming.rmdir()
    assert f"there is no directory {incoming}" in here.tick()


def test_a_place_that_cannot_be_read_is_a_failed_tick(world, incoming):
    here = world()
    incoming.rmdir()
    incoming.write_text("a file")
    with pytest.raises(StoreError, match=r"sales cannot be looked at: NotADirectoryError"):
        here.tick()


def test_a_store_whose_package_is_missing_says_which_extra(world, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "adlfs", None)
    here = world(source=sales_in("abfs://box/in/sales", str(tmp_path)))
    with pytest.raises(StoreError, match=r"abfs:// is not installed: pip install 'starlake-dagster-assets\[azure\]'"):
        here.tick()


def test_a_protocol_that_nobody_knows(world, tmp_path):
    with pytest.raises(StoreError, match="fsspec knows no quux://"):
        world(source=sales_in("quux://box/in/sales", str(tmp_path))).tick()


def test_an_unknown_variable_is_seen_when_the_code_is_loaded(world):
    with pytest.raises(StarlakeError, match=r"incoming_path: .* names `domaine`, .* did you mean `domain`\?"):
        world(PreLoad("imported", incoming_path="/in/{domaine}"))


# ------------------------------------------------------------------------------------------------------ pending


def test_pending_looks_at_the_stage_area_without_acks(world, tmp_path):
    here = world(PreLoad("pending"), ack="ack")
    stage = tmp_path / "datasets" / "stage" / "sales"
    stage.mkdir(parents=True)
    write(stage, "orders_1.csv")
    (request,) = here.settled()
    assert tables(request) == ["orders"]


@pytest.mark.parametrize("path", ["{SL_DATASETS}/mine", "{{SL_DATASETS}}/mine/{domain}"])
def test_paths_of_the_options_win(world, tmp_path, path):
    here = world(PreLoad("pending", pending_path=path))
    place = tmp_path / "datasets" / "mine" / "sales"
    place.mkdir(parents=True)
    write(place, "items_1.csv")
    (request,) = here.settled()
    assert tables(request) == ["items"]


# ---------------------------------------------------------------------------------------------------------- ack


def test_ack_waits_for_its_file_and_deletes_it_once_the_run_was_accepted(world, incoming, tmp_path):
    here = world(PreLoad("ack", global_ack_file_path="{SL_DATASETS}/{domain}.ack"))
    go = tmp_path / "datasets" / "sales.ack"
    write(incoming, "orders_1.csv")
    assert here.tick() == f"ack file {go}: it is not there."
    go.touch()
    (request,) = here.tick()
    assert tables(request) == ["orders"]
    assert go.exists()
    run = here.accept(request)
    assert here.tick().startswith(f"{go} was deleted: its run was accepted.")
    assert not go.exists()
    assert list(go.parent.iterdir()) == [incoming.parent]
    here.ended(run, FAILURE)
    assert "it is not there" in here.tick()


def test_an_ack_whose_run_was_never_accepted_is_kept_and_asked_for_again(world, tmp_path):
    here = world(PreLoad("ack", global_ack_file_path="{SL_DATASETS}/go"))
    go = tmp_path / "datasets" / "go"
    go.touch()
    (request,) = here.tick()
    (again,) = here.tick()
    assert again.run_key == request.run_key
    assert go.exists()
    assert tables(request) == ["customers", "items", "orders"], "an ack without files is answered for all tables"


def test_an_ack_that_comes_again_before_the_first_one_is_deleted_is_a_second_run(world, tmp_path):
    here = world(PreLoad("ack", global_ack_file_path="{SL_DATASETS}/go"))
    go = tmp_path / "datasets" / "go"
    go.write_text("1")
    (first,) = here.tick()
    run = here.accept(first)
    go.write_text("two")
    assert "in progress" in here.tick()
    assert go.read_text() == "two"
    here.ended(run)
    (second,) = here.tick()
    assert here.accept(second) is not None
    here.tick()
    assert not go.exists()


def test_an_ack_is_deleted_after_a_lost_cursor_too(world, tmp_path):
    here = world(PreLoad("ack", global_ack_file_path="{SL_DATASETS}/go"))
    go = tmp_path / "datasets" / "go"
    go.touch()
    (request,) = here.tick()
    here.ended(here.accept(request))
    here.cursors.clear()
    assert "was deleted" in here.tick()
    assert not go.exists()


def test_the_date_of_an_ack_is_that_of_the_tick_in_the_time_zone_of_the_project(world, tmp_path, clock):
    here = world(PreLoad("ack", timezone="Pacific/Auckland"))
    clock.now = datetime(2024, 5, 1, 13, tzinfo=timezone.utc).timestamp()
    assert f"{tmp_path}/datasets/pending/sales/2024-05-02.ack" in here.tick()
    clock.wait(86400)
    go = tmp_path / "datasets" / "pending" / "sales" / "2024-05-03.ack"
    go.parent.mkdir(parents=True)
    go.touch()
    (request,) = here.tick()
    here.accept(request)
    clock.wait(86400)
    assert "2024-05-04.ack: it is not there" in here.tick()
    assert not go.exists(), "the ack of yesterday is deleted although today's is waited for"


def test_two_sensors_that_would_wait_for_one_ack_file_are_refused(world):
    ack = PreLoad("ack", global_ack_file_path="{SL_DATASETS}/go")
    other = PreLoad("ack", global_ack_file_path="{SL_DATASETS}/go", poke_interval=60)
    given = {
        "sales.orders": Trigger("sales.orders", "arrival", "a", preload=ack),
        "sales.items": Trigger("sales.items", "arrival", "b", preload=other),
    }
    jobs = {"a": Job("a", ("sales.orders",)), "b": Job("b", ("sales.items",))}
    with pytest.raises(StarlakeError, match=r"sensors a_arrival and b_arrival would both wait for .*/go"):
        world(triggers=Triggers(given, jobs))


# ------------------------------------------------------------------------------------------------------ windows

DAILY = Clock("0 6 * * *", "Europe/Paris")
SIX = datetime(2024, 5, 2, 4, tzinfo=timezone.utc).timestamp()
"""Six o'clock in Paris."""


def test_a_tick_of_a_schedule_opens_a_window_for_its_files(world, incoming, clock):
    here = world(PreLoad("imported", ack_wait_timeout=3600), cron=DAILY)
    clock.now = SIX - 3600
    here.tick()
    clock.now = SIX
    assert "The window that opened at 2024-05-02 04:00:00 UTC closes in 1 h." in here.tick()
    write(incoming, "orders_1.csv")
    (request,) = here.settled()
    assert tables(request) == ["orders"]
    assert request.tags["starlake/data_interval_start"] == "2024-05-01T06:00:00+02:00"
    assert request.tags["starlake/data_interval_end"] == "2024-05-02T06:00:00+02:00"
    here.ended(here.accept(request))
    (incoming / "orders_1.csv").unlink()
    write(incoming, "items_1.csv", "orders_2.csv")
    (late,) = here.settled()
    assert tables(late) == ["items"], "a table has one run a window"
    here.ended(here.accept(late))
    clock.now = SIX + 3600
    assert "was closed without files of sales.customers" in here.tick()
    assert "is over; what comes now belongs to the next one" in here.tick()
    clock.now = SIX + 86400
    (request,) = here.tick()
    assert tables(request) == ["items", "orders"]


def test_a_window_that_closes_without_files_is_a_skip(world, clock):
    here = world(PreLoad("imported", soft_fail=True), cron=DAILY)
    clock.now = SIX
    here.tick()
    clock.now = SIX + 3600
    assert here.tick().startswith(
        "The window from 2024-05-02 04:00:00 UTC to 2024-05-02 05:00:00 UTC was closed without files of "
        "sales.customers, sales.items and sales.orders: nothing came to "
    )


def test_a_window_that_closes_without_files_is_a_run_that_fails_and_says_so(world, clock):
    here = world(PreLoad("imported", soft_fail=False), cron=DAILY)
    clock.now = SIX
    here.tick()
    clock.now = SIX + 3600
    (request,) = here.tick()
    result = here.execute(request)
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "was closed without files of sales.customers" in failure.step_failure_data.error.message
    assert here.runner.commands == []
    assert "is over" in here.tick()


def test_a_file_that_came_in_time_is_waited_for_after_the_end(world, incoming, clock):
    here = world(PreLoad("imported", stable_for=60), cron=DAILY)
    clock.now = SIX + 3590
    write(incoming, "orders_1.csv")
    assert "new or still changing" in here.tick()
    clock.wait(30)
    assert "new or still changing" in here.tick()
    clock.wait(30)
    (request,) = here.tick()
    assert tables(request) == ["orders"]


def test_a_daemon_that_was_down_for_the_whole_window_still_sees_its_files(world, incoming, clock):
    here = world(PreLoad("imported"), cron=DAILY)
    clock.now = SIX - 3600
    here.tick()
    write(incoming, "orders_1.csv")
    clock.now = SIX + 4 * 3600
    (request,) = here.settled()
    assert request.tags["starlake/data_interval_end"] == "2024-05-02T06:00:00+02:00"


def test_a_window_that_was_over_before_the_sensor_was_there_does_not_fail(world, incoming, clock):
    here = world(PreLoad("imported", soft_fail=False), cron=DAILY)
    clock.now = SIX + 4 * 3600
    write(incoming, "orders_1.csv")
    assert "is over; what comes now belongs to the next one" in here.settled()


def test_a_window_asks_again_for_what_a_failed_run_left(world, incoming, clock):
    here = world(PreLoad("imported"), cron=DAILY)
    clock.now = SIX
    write(incoming, "orders_1.csv")
    (request,) = here.settled()
    here.ended(here.accept(request), FAILURE)
    clock.now = SIX + 86400
    (again,) = here.tick()
    assert here.accept(again) is not None


def test_a_request_of_a_window_that_was_never_accepted_is_repeated(world, incoming, clock):
    here = world(PreLoad("imported"), cron=DAILY)
    clock.now = SIX
    write(incoming, "orders_1.csv")
    (request,) = here.settled()
    (again,) = here.tick()
    assert again.run_key == request.run_key


def test_a_lost_cursor_in_a_window_repeats_nothing(world, incoming, clock):
    here = world(PreLoad("imported"), cron=DAILY)
    clock.now = SIX
    write(incoming, "orders_1.csv")
    (request,) = here.settled()
    here.ended(here.accept(request))
    here.cursors.clear()
    assert isinstance(here.settled(), str)


def test_an_ack_of_a_window_has_the_date_of_its_tick(world, tmp_path, clock):
    here = world(PreLoad("ack", ack_wait_timeout=7200), cron=Clock("30 23 * * *", "UTC"))
    clock.now = datetime(2024, 5, 3, 0, 30, tzinfo=timezone.utc).timestamp()
    go = tmp_path / "datasets" / "pending" / "sales" / "2024-05-02.ack"
    go.parent.mkdir(parents=True)
    go.touch()
    (request,) = here.tick()
    assert request.tags["starlake/data_interval_end"] == "2024-05-02T23:30:00+00:00"


def test_before_the_first_tick_nothing_is_looked_at(world, clock):
    start = datetime(2030, 1, 1, tzinfo=timezone.utc)
    here = world(PreLoad("imported"), cron=Clock("0 6 * * *", "UTC", start=start))
    assert here.tick() == "The first tick of 0 6 * * * is still to come."


class Daily(StarlakeTranslator):
    def get_partitions_def(self, node):
        return dg.DailyPartitionsDefinition("2024-05-01", timezone="Europe/Paris") if node.kind == "table" else None


def test_a_partitioned_table_gets_the_partition_of_the_tick(world, incoming, clock):
    here = world(PreLoad("imported"), cron=DAILY, translator=Daily())
    clock.now = SIX
    write(incoming, "orders_1.csv")
    (request,) = here.settled()
    assert request.partition_key == "2024-05-01"


def test_without_a_partition_yet_files_wait(world, incoming, clock):
    here = world(PreLoad("imported"), cron=DAILY, translator=Daily())
    clock.now = SIX - 86400
    write(incoming, "orders_1.csv")
    assert "There is no partition yet that they could belong to." in here.settled()
    clock.now = SIX
    (request,) = here.tick()
    assert request.partition_key == "2024-05-01"


def test_ack_of_a_domain_without_a_directory_lists_the_stage_area():
    source = sales_in("")
    (domain,) = source.model.domains
    at = datetime(2024, 5, 2, tzinfo=timezone.utc)
    assert directory(PreLoad("ack"), source.model, domain, at) == "/project/datasets/stage/sales"
    assert directory(PreLoad("ack", incoming_path="/in"), source.model, domain, at) == "/in/sales"


# ------------------------------------------------------------------------------------------------- missed windows

DAY = 86400
MADE_UP = Clock("0 6 * * *", "Europe/Paris", catchup=True)


def acks(tmp_path, *days: str) -> list:
    folder = tmp_path / "datasets" / "pending" / "sales"
    folder.mkdir(parents=True, exist_ok=True)
    found = [folder / f"{day}.ack" for day in days]
    for one in found:
        one.touch()
    return found


def made_up_for(here, clock, ticks: int = 12) -> list[str]:
    """The ends of the intervals of the runs that ticks ask for, each run over before the next tick."""
    found = []
    for _ in range(ticks):
        asked = here.tick()
        for request in asked if isinstance(asked, list) else []:
            if (run := here.accept(request)) is not None:
                here.ended(run)
                found.append(request.tags["starlake/data_interval_end"][:10])
        clock.wait(30)
    return found


def test_windows_that_were_missed_are_made_up_for_oldest_first(world, tmp_path, clock):
    here = world(PreLoad("ack"), cron=MADE_UP)
    clock.now = SIX
    acks(tmp_path, "2024-05-02")
    assert made_up_for(here, clock, 3) == ["2024-05-02"]
    clock.now = SIX + 4 * DAY
    left = acks(tmp_path, "2024-05-03", "2024-05-05", "2024-05-06")
    reason = here.tick()
    assert isinstance(reason, list), reason
    assert made_up_for(here, clock) == ["2024-05-03", "2024-05-05", "2024-05-06"]
    assert not any(one.exists() for one in left)
    assert here.tick().endswith("The window that opened at 2024-05-06 04:00:00 UTC closes in 54 min. It had its run.")


def test_a_missed_window_without_files_is_closed_once(world, tmp_path, clock):
    here = world(PreLoad("ack", soft_fail=False), cron=MADE_UP)
    clock.now = SIX
    acks(tmp_path, "2024-05-02")
    made_up_for(here, clock, 3)
    clock.now = SIX + 2 * DAY
    (request,) = here.tick()
    assert request.run_key.endswith(f"{SIX + DAY:.0f}:closed")
    assert "2024-05-03 04:00:00 UTC" in request.tags["starlake/no_files"]
    assert "ack file" in here.tick() and "2024-05-04.ack" in here.tick()


def test_without_catchup_only_the_newest_window_is_looked_at(world, tmp_path, clock):
    here = world(PreLoad("ack"), cron=DAILY)
    clock.now = SIX
    acks(tmp_path, "2024-05-02")
    made_up_for(here, clock, 3)
    clock.now = SIX + 3 * DAY
    acks(tmp_path, "2024-05-03", "2024-05-04", "2024-05-05")
    assert made_up_for(here, clock) == ["2024-05-05"]


def test_where_the_place_names_no_date_nothing_is_missed(world, incoming, clock):
    here = world(PreLoad("imported"), cron=MADE_UP)
    clock.now = SIX
    here.tick()
    clock.now = SIX + 3 * DAY
    write(incoming, "orders_1.csv")
    (request,) = here.settled()
    assert request.tags["starlake/data_interval_end"].startswith("2024-05-05")


def test_of_windows_that_look_at_one_place_the_newest_counts(world, tmp_path, clock):
    here = world(PreLoad("ack"), cron=Clock("0 */6 * * *", "UTC", catchup=True))
    clock.now = datetime(2024, 5, 1, 18, 1, tzinfo=timezone.utc).timestamp()
    here.tick()
    clock.now = datetime(2024, 5, 4, 0, 1, tzinfo=timezone.utc).timestamp()
    acks(tmp_path, "2024-05-02", "2024-05-03", "2024-05-04")
    ends = []
    for _ in range(12):
        for request in asked if isinstance(asked := here.tick(), list) else []:
            if (run := here.accept(request)) is not None:
                here.ended(run)
                ends.append(request.tags["starlake/data_interval_end"][:13])
    assert ends == ["2024-05-02T18", "2024-05-03T18", "2024-05-04T00"]


def test_files_that_never_stop_changing_do_not_hold_newer_windows(world, tmp_path, clock):
    place = tmp_path / "in" / "{YYYY-MM-DD}" / "{domain}"
    here = world(PreLoad("imported", incoming_path=str(place), ack_wait_timeout=600), cron=MADE_UP)
    days = [tmp_path / "in" / f"2024-05-0{day}" / "sales" for day in (3, 4)]
    for one in days:
        one.mkdir(parents=True)
    clock.now = SIX
    here.tick()
    clock.now = SIX + DAY + 10
    here.tick()
    clock.now = SIX + 2 * DAY
    write(days[1], "orders_1.csv")
    reasons = []
    for number in range(30):
        write(days[0], "orders_1.csv", text="x" * number)
        if isinstance(asked := here.tick(), list):
            break
        reasons.append(asked)
        clock.wait(30)
    assert "was missed and is made up for (catchup)" in reasons[0]
    assert any("never stopped changing in" in reason for reason in reasons)
    assert 20 < len(reasons) < 30 and asked[0].tags["starlake/data_interval_end"].startswith("2024-05-04")


def test_the_first_look_begins_at_the_start_date_and_a_lost_cursor_where_the_runs_end(world, tmp_path, clock):
    start = datetime(2024, 4, 30, 12, tzinfo=timezone.utc)
    here = world(PreLoad("ack"), cron=Clock("0 6 * * *", "Europe/Paris", start=start, catchup=True))
    clock.now = SIX
    acks(tmp_path, "2024-04-30", "2024-05-01", "2024-05-02")
    assert made_up_for(here, clock) == ["2024-05-01", "2024-05-02"]
    here.cursors.clear()
    clock.now = SIX + 2 * DAY
    acks(tmp_path, "2024-05-01", "2024-05-03", "2024-05-04")
    assert made_up_for(here, clock) == ["2024-05-03", "2024-05-04"]
