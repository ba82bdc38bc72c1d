"""Arrival sensors: each set of files is asked for once, when it is stable, for exactly the tables that have files."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import datetime, timezone
from itertools import pairwise

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeTranslator
from starlake_dagster_assets.automation.definitions import covered_intervals
from starlake_dagster_assets.automation.definitions.covered_intervals import CoveredIntervals
from starlake_dagster_assets.automation.file_arrivals.paths import directory
from starlake_dagster_assets.automation.file_arrivals.tags import NO_FILES
from starlake_dagster_assets.automation.policies.model import CronSchedule, Job, PreLoad, Trigger, Triggers
from starlake_dagster_assets.errors import StarlakeError
from starlake_dagster_assets.execution.file_store import StoreError
from tests.automation.file_arrivals.conftest import sales_in, tables, waiting

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
    shown = {key: value for key, value in request.tags.items() if key.startswith("starlake/")}
    assert shown == {"starlake/files": "customers_1.csv and orders_1.csv"}


def test_a_file_that_grows_is_waited_for(world, incoming, clock):
    here = world()
    for number in range(5):
        with (incoming / "orders_1.csv").open("a") as file:
            file.write(f"{number}\n")
        assert "orders_1.csv is new or still changing" in here.tick()
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


@pytest.mark.parametrize(("age", "at_once"), [(86400, True), (60, True), (59, False), (-86400, False)])
def test_a_file_that_was_written_long_enough_ago_counts_at_once(world, incoming, clock, age, at_once):
    here = world(PreLoad("imported", stable_for=60))
    write(incoming, "orders_1.csv")
    os.utime(incoming / "orders_1.csv", (clock.now - age, clock.now - age))
    assert isinstance(here.tick(), list) is at_once
    clock.wait(60)
    assert isinstance(here.tick(), list), "a time of writing in the future holds no file for ever"


def test_files_are_asked_for_once(world, incoming, clock):
    here = world()
    write(incoming, "orders_1.csv")
    (request,) = here.settled()
    run = here.accept(request)
    clock.wait(30)
    assert f"orders_1.csv belongs to run {run.run_id} (STARTED for 1 s)" in here.tick()
    (incoming / "orders_1.csv").unlink()
    here.ended(run)
    assert "nothing is there" in here.tick()


def test_files_of_a_table_that_is_being_loaded_belong_to_its_next_run_and_hold_no_other_table(world, incoming, clock):
    here = world()
    write(incoming, "orders_1.csv")
    (request,) = here.settled()
    run = here.accept(request)
    write(incoming, "orders_2.csv", "items_1.csv")
    (other,) = here.settled()
    assert tables(other) == ["items"]
    here.ended(here.accept(other))
    held = "orders_1.csv and orders_2.csv belong to the next run of sales.orders"
    assert f"{held}: run {run.run_id} (STARTED for 1 s)" in here.tick()
    (incoming / "orders_1.csv").unlink()
    here.ended(run)
    (request,) = here.settled()
    assert tables(request) == ["orders"]


def test_a_run_that_does_not_end_is_named_with_its_age_and_what_to_do(world, incoming, clock):
    clock.now = time.time()
    here = world(PreLoad("imported", stable_for=0))
    write(incoming, "orders_1.csv")
    (request,) = here.tick()
    run = here.accept(request)
    clock.wait(3.5 * 86400)
    write(incoming, "orders_2.csv")
    reason = here.tick()
    assert f"run {run.run_id} (STARTED for 3 d " in reason
    assert "): if its process has ended, terminate it, or set `run_monitoring` in dagster.yaml" in reason


def test_a_run_by_hand_holds_its_tables_too(world, incoming, clock):
    here = world(PreLoad("imported", stable_for=0))
    job = here.repository.get_job("load")
    orders = frozenset({dg.AssetKey(["sales", "orders"])})
    run = here.instance.create_run_for_job(job, asset_selection=orders, status=dg.DagsterRunStatus.STARTING)
    write(incoming, "orders_1.csv", "items_1.csv")
    os.utime(incoming / "orders_1.csv", (0, 0))
    os.utime(incoming / "items_1.csv", (0, 0))
    (request,) = here.tick()
    assert tables(request) == ["items"]
    here.ended(run)
    (request,) = here.tick()
    assert "orders" in tables(request)


@pytest.mark.parametrize("status", [FAILURE, CANCELED])
def test_what_a_failed_run_left_is_not_asked_for_again_until_it_changes(world, incoming, clock, status):
    here = world()
    write(incoming, "orders_1.csv")
    (request,) = here.settled()
    run = here.accept(request)
    here.ended(run, status)
    clock.wait(3600)
    reason, end = here.tick(), "failed" if status is FAILURE else "was canceled"
    assert f"orders_1.csv was requested in run {run.run_id}, which {end}: it is not requested again" in reason
    write(incoming, "orders_1.csv", text="id\n2\n")
    (again,) = here.settled()
    assert again.run_key != request.run_key


def test_what_a_run_that_succeeded_left_is_not_asked_for_for_ever(world, incoming, clock):
    here = world()
    write(incoming, "orders_1.csv")
    (request,) = here.settled()
    here.ended(here.accept(request))
    assert "which succeeded and left it there" in here.settled()


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
    run = here.accept(request)
    assert run is not None
    assert f"belongs to run {run.run_id}" in here.tick()


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
    assert "orders_1.csv was requested in run" in here.tick()


@pytest.mark.parametrize("cursor", ["", "{}", "[0]", "[1, 2]", "nonsense", "[9,0,{},0]", "[3,0,[],0]"])
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
    assert "items_1.csv is new" in here.settled("load_sales_sales_items_arrival")


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
    assert "waiting for an ack file: orders_1.csv (orders_1.ack)" in here.settled()
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


def test_ack_waits_for_its_file_and_deletes_it_once_its_run_has_succeeded(world, incoming, tmp_path):
    here = world(PreLoad("ack", global_ack_file_path="{SL_DATASETS}/{domain}.ack"))
    go = tmp_path / "datasets" / "sales.ack"
    write(incoming, "orders_1.csv")
    assert here.tick() == f"ack file {go}: it is not there; orders_1.csv in {incoming} waits for it."
    go.touch()
    (request,) = here.tick()
    assert tables(request) == ["orders"]
    assert go.exists()
    run = here.accept(request)
    assert f"sales.ack belongs to run {run.run_id}" in here.tick()
    here.ended(run, FAILURE)
    assert f"sales.ack was requested in run {run.run_id}, which failed" in here.tick()
    assert go.exists()
    go.write_text("again")
    (request,) = here.tick()
    here.ended(here.accept(request))
    assert here.tick().startswith(f"{go} was deleted: it was answered.")
    assert not go.exists()
    assert list(go.parent.iterdir()) == [incoming.parent]


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
    assert "go belongs to the next run" in here.tick()
    assert go.read_text() == "two"
    here.ended(run)
    (second,) = here.tick()
    here.ended(here.accept(second))
    here.tick()
    assert not go.exists()


@pytest.mark.parametrize("date", ["{{{{ds}}}}", "{{ds}}", "{{ ds }}", "{YYYY-MM-DD}", "%Y-%m-%d"])
@pytest.mark.parametrize("day", ["2024-05-02", "2024-12-10", "2024-12-01"])
def test_the_path_of_an_ack_names_the_date_as_generated_dags_do(world, tmp_path, clock, date, day):
    here = world(PreLoad("ack", global_ack_file_path=f"{{SL_DATASETS}}/pending/{{domain}}/{date}.ack"))
    clock.now = datetime.fromisoformat(f"{day}T10:00:00+00:00").timestamp()
    assert f"datasets/pending/sales/{day}.ack" in here.tick()
    acks(tmp_path, day)
    (request,) = here.tick()
    assert tables(request) == ["customers", "items", "orders"]


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
    here.ended(here.accept(request))
    clock.wait(86400)
    assert "2024-05-04.ack: it is not there" in here.tick()
    assert not go.exists(), "the ack of yesterday is deleted although today's is waited for"


@pytest.mark.parametrize(
    ("names", "answered"),
    [
        (["2024-05-02.ack"], True),
        (["2024-05-01.ack", "2024-04-30.ack"], True),  # late
        (["2024-05-03.ack"], True),  # of a writer whose day has begun
        (["2024-04-29.ack"], False),
        (["2024-05-04.ack"], False),
        (["2024-05.ack", "x.ack"], None),
    ],
)
def test_an_ack_of_a_neighbouring_date_is_answered_and_others_are_named(world, tmp_path, clock, names, answered):
    here = world(PreLoad("ack"))
    clock.now = datetime(2024, 5, 2, 12, tzinfo=timezone.utc).timestamp()
    found = acks(tmp_path, *(name.removesuffix(".ack") for name in names))
    verdict = here.tick()
    if not answered:
        assert ("2024-" in verdict.partition("it is not there")[2]) is (answered is False), verdict
        return
    (request,) = verdict
    here.ended(here.accept(request))
    assert isinstance(here.tick(), str)
    assert not any(one.exists() for one in found)


def test_an_ack_for_two_crons_is_deleted_when_both_have_answered_it(world, incoming, tmp_path, clock):
    early, late = CronSchedule("0 5 * * *"), CronSchedule("30 5 * * *")
    given = {
        f"sales.{name}": Trigger(f"sales.{name}", "schedule", job, preload=PreLoad("ack"), cron_schedule=cron)
        for name, job, cron in (("orders", "a", early), ("items", "b", late))
    }
    jobs = {"a": Job("a", ("sales.orders",)), "b": Job("b", ("sales.items",))}
    here = world(triggers=Triggers(given, jobs))
    clock.now = datetime(2024, 5, 2, 5, 10, tzinfo=timezone.utc).timestamp()
    (go,) = acks(tmp_path, "2024-05-02")
    (request,) = here.tick("a_arrival")
    here.ended(here.accept(request, "a_arrival"))
    said = here.tick("a_arrival")
    assert f"{go} is kept until b_arrival answers it too" in said
    assert f"ack file {go}: it was answered here." in said and "not there" not in said
    said = here.tick("b_arrival")
    assert f"{go} is for the window that opens at 2024-05-02 05:30:00 UTC." in said
    assert "delete" not in said and "other dates" not in said
    clock.wait(1800)
    (request,) = here.tick("b_arrival")
    assert tables(request) == ["items"]
    here.ended(here.accept(request, "b_arrival"))
    assert "was deleted" in here.tick("a_arrival")
    assert not go.exists()


# ------------------------------------------------------------------------------------------ other stations of a load


@pytest.mark.parametrize(
    ("strategy", "station", "words"),
    [
        ("imported", "stage", "left by run {run}: fix or remove it, then re-execute that run"),
        ("imported", "ingesting", "left by run {run}: fix or remove it"),
        ("pending", "incoming", "which is to be staged: `pending` looks at staged files"),
        ("ack", "stage", "left by run {run}: fix or remove it"),
    ],
)
def test_files_on_another_station_of_a_load_are_named(world, incoming, tmp_path, clock, strategy, station, words):
    here = world(PreLoad(strategy, stable_for=0, global_ack_file_path="{SL_DATASETS}/go"))
    watched = incoming if strategy == "imported" else tmp_path / "datasets" / "stage" / "sales"
    watched.mkdir(parents=True, exist_ok=True)
    write(watched, "orders_1.csv")
    os.utime(watched / "orders_1.csv", (0, 0))
    (tmp_path / "datasets" / "go").touch()
    (request,) = here.tick()
    run = here.accept(request)
    here.ended(run, FAILURE)
    (tmp_path / "datasets" / "go").unlink()
    place = tmp_path / "datasets" / station / "sales"
    place.mkdir(parents=True, exist_ok=True)
    (watched / "orders_1.csv").rename(place / "orders_1.csv")
    reason = here.tick()
    assert f"{place} holds orders_1.csv of sales.orders, {words.format(run=run.run_id)}" in reason
    assert "nothing is there" not in reason


# ------------------------------------------------------------------------------------------------------ windows

DAILY = CronSchedule("0 6 * * *", "Europe/Paris")
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
    assert tables(late) == ["items", "orders"], "a second file of a table is loaded in the same window"
    assert late.tags["starlake/data_interval_end"] == "2024-05-02T06:00:00+02:00"
    run = here.accept(late)
    here.ended(run)
    for file in incoming.iterdir():
        file.unlink()
    clock.now = SIX + 3600
    reason = here.tick()
    assert "closed without files of sales.customers; files that arrive before 2024-05-03 04:00:00 UTC belong" in reason
    assert f"Loaded in it: orders_1.csv (run {here.instance.get_runs()[1].run_id}) and items_1.csv" in reason
    write(incoming, "customers_late.csv")
    (request,) = here.settled()
    assert request.tags["starlake/data_interval_end"] == "2024-05-02T06:00:00+02:00", "a late file is of the window"
    shown = [key for key in request.tags if key.startswith("starlake/")]
    assert shown == ["starlake/data_interval_start", "starlake/data_interval_end"]


def test_a_failed_run_does_not_use_up_its_window(world, incoming, clock):
    here = world(PreLoad("imported", stable_for=0, soft_fail=False), cron=DAILY)
    clock.now = SIX
    write(incoming, "orders_1.csv")
    os.utime(incoming / "orders_1.csv", (0, 0))
    (request,) = here.tick()
    here.ended(here.accept(request), FAILURE)
    assert "which failed" in here.tick()
    write(incoming, "orders_1.csv", text="id\n2\n")
    os.utime(incoming / "orders_1.csv", (1, 1))
    (again,) = here.tick()
    assert again.tags["starlake/data_interval_end"] == request.tags["starlake/data_interval_end"]


def test_a_cron_opens_one_window_in_the_night_in_which_the_clocks_go_back(world, incoming, clock):
    here = world(PreLoad("imported", stable_for=0), cron=CronSchedule("30 2 * * *", "Europe/Paris"))
    ends = []
    for text in ("2024-10-27T02:40:00+02:00", "2024-10-27T02:40:00+01:00"):
        clock.now = datetime.fromisoformat(text).timestamp()
        write(incoming, f"orders_{len(text)}{text[-4]}.csv")
        for file in incoming.iterdir():
            os.utime(file, (0, 0))
        asked = here.tick()
        ends += [one.tags["starlake/data_interval_end"] for one in asked] if isinstance(asked, list) else [asked]
    assert "arrived after the window" in ends[0]
    assert ends[1] == "2024-10-27T02:30:00+01:00"


def test_a_window_that_closes_without_files_is_a_skip(world, clock):
    here = world(PreLoad("imported", soft_fail=True), cron=DAILY)
    clock.now = SIX
    here.tick()
    clock.now = SIX + 3600
    assert here.tick().endswith(
        "nothing is there. The window that opened at 2024-05-02 04:00:00 UTC closed without files of sales.customers, "
        "sales.items and sales.orders; files that arrive before 2024-05-03 04:00:00 UTC belong to it."
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
    assert "closed without files of sales.customers" in failure.step_failure_data.error.message
    assert here.runner.commands == []
    assert "closed without files" in here.tick()


@pytest.mark.parametrize("strategy", ["imported", "ack"])
@pytest.mark.parametrize(
    ("when", "interval", "is_loaded"),
    [
        (SIX + 600, "", True),
        (SIX - 600, "", False),
        (SIX + 600, "2024-05-01T06:00:00+02:00/2024-05-02T06:00:00+02:00", True),
        (SIX + 600, "2024-04-30T06:00:00+02:00/2024-05-01T06:00:00+02:00", False),
    ],
    ids=["by hand in the window", "before it", "for its interval", "for another interval"],
)
def test_a_window_whose_files_were_loaded_by_hand_does_not_fail(
    world, clock, monkeypatch, strategy, when, interval, is_loaded
):
    here = world(PreLoad(strategy, soft_fail=False), cron=DAILY)
    metadata = {"starlake/data_interval": interval} if interval else {}
    monkeypatch.setattr("time.time", lambda: when)
    here.instance.report_runless_asset_event(dg.AssetMaterialization(["sales", "orders"], metadata=metadata))
    clock.now = SIX
    here.tick()
    clock.now = SIX + 3600
    answer = here.tick()
    assert isinstance(answer, str) is is_loaded
    if is_loaded:
        assert "Loaded in it: sales.orders (reported from outside)" in answer and "closed" in answer


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
    reason = here.settled()
    assert "orders_1.csv arrived after the window. The window that opened at 2024-05-02 04:00:00 UTC closed " in reason
    assert "before the first tick of the sensor; the next one opens at 2024-05-03 04:00:00 UTC" in reason


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
    here = world(PreLoad("ack", ack_wait_timeout=7200), cron=CronSchedule("30 23 * * *", "UTC"))
    clock.now = datetime(2024, 5, 3, 0, 30, tzinfo=timezone.utc).timestamp()
    go = tmp_path / "datasets" / "pending" / "sales" / "2024-05-02.ack"
    go.parent.mkdir(parents=True)
    go.touch()
    (request,) = here.tick()
    assert request.tags["starlake/data_interval_end"] == "2024-05-02T23:30:00+00:00"


def test_before_the_first_tick_nothing_is_looked_at(world, clock):
    start = datetime(2030, 1, 1, tzinfo=timezone.utc)
    here = world(PreLoad("imported"), cron=CronSchedule("0 6 * * *", "UTC", start=start))
    assert here.tick() == "The first tick of 0 6 * * * is in the future."


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
MADE_UP = CronSchedule("0 6 * * *", "Europe/Paris", catchup=True)


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
    assert made_up_for(here, clock) == ["2024-05-03", "2024-05-05", "2024-05-06"]
    assert not left[-1].exists()
    for run in here.instance.get_runs():
        if run.tags["starlake/data_interval_end"].startswith("2024-05-03"):
            here.instance.delete_run(run.run_id)
    acks(tmp_path, "2024-05-03")
    assert made_up_for(here, clock, 3) == ["2024-05-03"], "a window without a run is a hole"
    assert "The window that opened at 2024-05-06 04:00:00 UTC closes in " in here.tick()


def test_windows_that_have_a_load_are_not_made_up_for_under_another_name_of_the_job(world, tmp_path, clock):
    cron = replace(MADE_UP, start=datetime(2024, 5, 1))
    clock.now = SIX
    acks(tmp_path, "2024-05-02")
    assert made_up_for(world(PreLoad("ack"), cron=cron), clock, 3) == ["2024-05-02"]
    clock.now = SIX + 2 * DAY
    acks(tmp_path, "2024-05-02", "2024-05-03")
    renamed = world(triggers=waiting(PreLoad("ack"), cron, job="renamed"))
    assert made_up_for(renamed, clock, 3) == ["2024-05-03"]
    assert "2024-05-02.ack: the window that opened at 2024-05-02 04:00:00 UTC has a load already" in renamed.tick()


def test_the_event_log_is_read_for_missed_windows_with_files_only(world, tmp_path, clock, monkeypatch):
    here = world(PreLoad("ack"), cron=replace(MADE_UP, start=datetime(2024, 2, 1)))
    clock.now, read = SIX, []
    find = CoveredIntervals.missing
    monkeypatch.setattr(CoveredIntervals, "missing", lambda self, window: read.append(window) or find(self, window))
    for _ in range(4):
        here.tick()
    assert not read, "91 windows, 30 per tick"
    acks(tmp_path, "2024-02-08")
    assert made_up_for(here, clock, 5) == ["2024-02-08"]
    assert len(read) == len(here.triggers.triggers), "once per table, before the run is requested"


def test_the_event_log_is_read_until_a_window_is_covered(world, tmp_path, clock, monkeypatch):
    """A window whose files are still there does not read what was loaded since, at each tick."""
    here = world(PreLoad("imported", incoming_path=str(tmp_path / "in" / "{YYYY-MM-DD}")), cron=MADE_UP)
    clock.now = SIX
    here.tick()
    clock.now = SIX + 3 * DAY
    (tmp_path / "in" / "2024-05-03" / "sales").mkdir(parents=True)
    write(tmp_path / "in" / "2024-05-03" / "sales", "orders_1.csv")
    loads = [f"2024-05-{day:02}T06:00:00+02:00" for day in (2, 3)]
    loads += [f"2024-05-03T{hour:02}:00:00+02:00" for hour in range(7, 24)]
    for interval in map("/".join, pairwise(loads)):
        made = dg.AssetMaterialization(["sales", "orders"], metadata={"starlake/data_interval": interval})
        here.instance.report_runless_asset_event(made)
    monkeypatch.setattr(covered_intervals, "_PAGE", 2)
    pages, find = [], CoveredIntervals._materialized
    monkeypatch.setattr(CoveredIntervals, "_materialized", lambda self, page: pages.append(page) or find(self, page))
    assert "2024-05-03/sales: the window that opened at 2024-05-03 04:00:00 UTC has a load already" in here.tick()
    assert len(pages) == 1


def test_a_missed_window_without_files_is_closed_once(world, tmp_path, clock):
    here = world(PreLoad("ack", soft_fail=False), cron=MADE_UP)
    clock.now = SIX
    acks(tmp_path, "2024-05-02")
    made_up_for(here, clock, 3)
    clock.now = SIX + 2 * DAY
    (request,) = here.tick()
    assert request.run_key.endswith(f"{SIX + DAY:.0f}:closed")
    assert "2024-05-03 04:00:00 UTC" in request.tags[NO_FILES]
    here.ended(here.accept(request), FAILURE)
    assert "ack file" in here.tick() and "2024-05-04.ack" in here.tick()
    acks(tmp_path, "2024-05-03")
    assert made_up_for(here, clock, 2) == ["2024-05-03"], "an ack that comes late is answered in its window"


def test_without_catchup_the_newest_window_answers_the_acks_of_those_before(world, tmp_path, clock):
    here = world(PreLoad("ack"), cron=DAILY)
    clock.now = SIX
    acks(tmp_path, "2024-05-02")
    made_up_for(here, clock, 3)
    clock.now = SIX + 3 * DAY
    left = acks(tmp_path, "2024-05-03", "2024-05-04", "2024-05-05")
    assert made_up_for(here, clock) == ["2024-05-05"]
    assert not any(one.exists() for one in left)


def test_where_the_place_names_no_date_nothing_is_missed(world, incoming, clock):
    here = world(PreLoad("imported"), cron=MADE_UP)
    clock.now = SIX
    here.tick()
    clock.now = SIX + 3 * DAY
    write(incoming, "orders_1.csv")
    (request,) = here.settled()
    assert request.tags["starlake/data_interval_end"].startswith("2024-05-05")


def test_of_windows_that_look_at_one_place_the_newest_counts(world, tmp_path, clock):
    here = world(PreLoad("ack"), cron=CronSchedule("0 */6 * * *", "UTC", catchup=True))
    clock.now = datetime(2024, 5, 1, 18, 1, tzinfo=timezone.utc).timestamp()
    here.tick()
    clock.now = datetime(2024, 5, 4, 0, 1, tzinfo=timezone.utc).timestamp()
    left = acks(tmp_path, "2024-05-02", "2024-05-03", "2024-05-04")
    ends = []
    for _ in range(12):
        for request in asked if isinstance(asked := here.tick(), list) else []:
            if (run := here.accept(request)) is not None:
                here.ended(run)
                ends.append(request.tags["starlake/data_interval_end"][:13])
    assert ends == ["2024-05-02T18", "2024-05-03T18", "2024-05-04T00"]
    assert not any(one.exists() for one in left), "those of missed windows are deleted as well, once they are answered"


def test_files_that_never_stop_changing_do_not_hold_newer_windows(world, tmp_path, clock):
    place = tmp_path / "in" / "{YYYY-MM-DD}" / "{domain}"
    here = world(PreLoad("imported", incoming_path=str(place), ack_wait_timeout=600), cron=MADE_UP)
    days = [tmp_path / "in" / f"2024-05-0{day}" / "sales" for day in (3, 4)]
    for one in days:
        one.mkdir(parents=True)
    clock.now = SIX
    here.tick()
    clock.now = SIX + 2 * DAY
    write(days[0], "orders_1.csv")
    write(days[1], "orders_2.csv")
    reason = here.tick()
    assert reason.count("new or still changing") == 2
    assert "was missed and is caught up now (catchup)" in reason
    clock.wait(30)
    write(days[0], "orders_1.csv", text="more")
    (request,) = here.tick()
    assert request.tags["starlake/data_interval_end"].startswith("2024-05-04")


def test_the_first_look_begins_at_the_start_date_and_a_lost_cursor_where_the_runs_end(world, tmp_path, clock):
    start = datetime(2024, 4, 30, 12, tzinfo=timezone.utc)
    here = world(PreLoad("ack"), cron=CronSchedule("0 6 * * *", "Europe/Paris", start=start, catchup=True))
    clock.now = SIX
    acks(tmp_path, "2024-04-30", "2024-05-01", "2024-05-02")
    assert made_up_for(here, clock) == ["2024-05-01", "2024-05-02"]
    here.cursors.clear()
    clock.now = SIX + 2 * DAY
    acks(tmp_path, "2024-05-01", "2024-05-03", "2024-05-04")
    assert made_up_for(here, clock) == ["2024-05-03", "2024-05-04"]
