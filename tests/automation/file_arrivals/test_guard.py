"""The guard in a run: a table whose files are not there is an observation, what nobody can tell is a failure."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeSteps
from starlake_dagster_assets.automation.file_arrivals import pre_load_check
from starlake_dagster_assets.automation.file_arrivals.guard import GuardedRun
from starlake_dagster_assets.automation.policies.model import PreLoad
from starlake_dagster_assets.commands.model import Command
from starlake_dagster_assets.execution import file_store as stores
from starlake_dagster_assets.execution.outcome import RunSettings
from starlake_dagster_assets.testing import FakeRunner, Script, loaded_lines
from tests.automation.file_arrivals.conftest import sales_in, tables

QUICK = PreLoad("imported", stable_for=0)
SUCCESS = "26/11/22 19:01:38 INFO Main: Successfully preload"


def loading(command: Command) -> Script | None:
    """A load that finds a file of each table that it is asked for."""
    if command.name != "load":
        return None
    names = command.args[command.args.index("--tables") + 1].split(",")
    return Script([*(line for name in names for line in loaded_lines("sales", name))])


def by_hand(here):
    """A run of all tables that a person started."""
    request = dg.RunRequest(asset_selection=[dg.AssetKey(["sales", name]) for name in ("customers", "items", "orders")])
    return here.execute(request)


def told(result):
    made = sorted(event.asset_key.path[-1] for event in result.get_asset_materialization_events())
    observed = {
        event.asset_observation_data.asset_observation.asset_key.path[-1]: (
            event.asset_observation_data.asset_observation.description
            or str(event.asset_observation_data.asset_observation.metadata)
        )
        for event in result.all_events
        if event.event_type_value == "ASSET_OBSERVATION"
    }
    return made, observed


def commands(here, name=None):
    return [command for command in here.runner.commands if name in (None, command.name)]


def test_a_run_by_hand_loads_what_is_there_and_observes_the_rest(world, incoming):
    here = world(QUICK, runner=FakeRunner(loading))
    (incoming / "orders_1.csv").touch()
    result = by_hand(here)
    made, observed = told(result)
    assert (result.success, made) == (True, ["orders"])
    assert sorted(observed) == ["customers", "items"]
    assert "not ready: no file of it is in" in observed["items"]
    (load,) = commands(here, "load")
    assert "orders" in load.args


def test_nothing_there_starts_no_program(world):
    here = world(QUICK, runner=FakeRunner(loading))
    result = by_hand(here)
    assert (result.success, told(result)[0], commands(here)) == (True, [], [])


def test_a_file_that_waits_in_the_stage_area_is_loaded(world, tmp_path):
    here = world(QUICK, runner=FakeRunner(loading))
    stage = tmp_path / "datasets" / "stage" / "sales"
    stage.mkdir(parents=True)
    (stage / "items_1.csv").touch()
    assert told(by_hand(here))[0] == ["items"]


def test_a_file_that_is_still_being_written_is_left_to_the_next_run(world, incoming):
    here = world(PreLoad("imported", stable_for=1), runner=FakeRunner(loading))
    (incoming / "orders_1.csv").touch()
    (incoming / "items_1.csv").touch()
    over = threading.Event()

    def write() -> None:
        with (incoming / "orders_1.csv").open("a") as file:
            while not over.wait(0.05):
                file.write("more\n")
                file.flush()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made, observed = told(by_hand(here))
    finally:
        over.set()
        writer.join()
    assert made == ["items"]
    assert "not ready: orders_1.csv changed within 1 s and may still be written" in observed["orders"]


def test_what_the_sensor_found_stable_is_not_waited_for_again(world, incoming, monkeypatch):
    here = world(PreLoad("imported", stable_for=20), runner=FakeRunner(loading))
    (incoming / "orders_1.csv").touch()
    (request,) = here.settled()
    monkeypatch.setattr(pre_load_check.time, "sleep", lambda seconds: pytest.fail("a second look"))
    result = here.execute(request)
    assert told(result)[0] == ["orders"] == tables(request)


@pytest.mark.dagster_feature("*Materialize all* with `pre_load_strategy`")
def test_files_that_were_written_long_ago_are_not_waited_for(world, incoming, monkeypatch):
    here = world(PreLoad("imported", stable_for=60), runner=FakeRunner(loading))
    (incoming / "orders_1.csv").touch()
    os.utime(incoming / "orders_1.csv", (time.time() - 61,) * 2)
    monkeypatch.setattr(pre_load_check.time, "sleep", lambda seconds: pytest.fail("a wait"))
    assert told(by_hand(here))[0] == ["orders"]


@dataclass
class Standing:
    """A clock that only moves while one sleeps."""

    now: float = 100.0
    slept: list[float] = field(default_factory=list)
    time = staticmethod(time.time)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.mark.dagster_feature("*Materialize all* with `pre_load_strategy`")
def test_a_run_waits_once_for_all_policies_and_says_so_first(incoming, tmp_path, monkeypatch):
    source = sales_in(str(incoming), str(tmp_path))
    nodes = [source.graph.nodes[f"sales.{name}"] for name in ("orders", "items")]
    rests = {"sales.orders": PreLoad("imported", stable_for=20), "sales.items": PreLoad("imported", stable_for=30)}
    for name in ("orders_1.csv", "items_1.csv"):
        (incoming / name).touch()
    clock, said = Standing(), list[str]()
    monkeypatch.setattr(pre_load_check, "time", clock)
    guard = GuardedRun(
        lambda node: rests[node.id], source, FakeRunner(), RunSettings("job"), tables=nodes, log=said.append
    )
    assert guard(nodes[:1]) == {} == guard(nodes[1:])
    assert clock.slept == [20, 10]
    assert [text.partition(" changed")[0] for text in said] == [
        f"{incoming}: orders_1.csv",
        f"{incoming}: items_1.csv",
    ]
    assert "waiting 20 s" in said[0] and "waiting 10 s" in said[1]


@pytest.mark.parametrize(
    "entry",
    [
        {"mtime": 1700000000.5},
        {"updated": "2023-11-14T22:13:20.500Z"},
        {"LastModified": datetime(2023, 11, 14, 22, 13, 20, 500_000, tzinfo=timezone.utc)},
    ],
)
def test_the_time_of_a_remote_file_is_read_as_its_client_has_it(entry):
    assert stores._written(entry) == 1700000000.5
    assert stores._written({"size": 1}) is None


def test_files_that_were_taken_while_the_run_was_queued_are_observed(world, incoming):
    here = world(QUICK, runner=FakeRunner(loading))
    (incoming / "orders_1.csv").touch()
    (request,) = here.settled()
    (incoming / "orders_1.csv").unlink()
    result = here.execute(request)
    assert result.success
    assert "not ready" in told(result)[1]["orders"]


def test_a_store_that_cannot_be_reached_is_a_failure(world, incoming):
    here = world(QUICK, runner=FakeRunner(loading))
    incoming.rmdir()
    incoming.write_text("")
    result = by_hand(here)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "unknown whether its files have arrived" in failure.step_failure_data.error.message
    assert commands(here) == []


def test_without_a_guard_nobody_looks(world):
    here = world(PreLoad("imported", guard="none"), runner=FakeRunner(loading))
    assert told(by_hand(here))[0] == ["customers", "items", "orders"]


def test_a_retry_is_not_held_by_files_that_are_on_their_way(world, incoming):
    def once_broken(command: Command) -> Script | None:
        if command.name == "load" and (incoming / "orders_1.csv").exists():
            (incoming / "orders_1.csv").unlink()
            return Script(["26/11/22 19:01:46 ERROR Main: connection lost"], 1)
        return loading(command)

    here = world(
        QUICK,
        runner=FakeRunner(once_broken),
        assets={"steps": StarlakeSteps(retry_policy=dg.RetryPolicy(max_retries=1))},
    )
    (incoming / "orders_1.csv").touch()
    assert "orders" in told(by_hand(here))[0]
    assert len(commands(here, "load")) == 2


def test_a_run_by_hand_takes_the_ack_file(world, incoming, tmp_path):
    ack = PreLoad("ack", global_ack_file_path="{SL_DATASETS}/go", stable_for=0)
    here = world(ack, runner=FakeRunner(loading))
    made, observed = told(by_hand(here))
    assert made == []
    assert f"not ready: the ack file {tmp_path}/datasets/go is not there" in observed["orders"]
    (tmp_path / "datasets" / "go").touch()
    assert told(by_hand(here))[0] == ["customers", "items", "orders"]
    assert not (tmp_path / "datasets" / "go").exists()


def test_a_run_whose_ack_was_seen_is_not_held(world, tmp_path):
    ack = PreLoad("ack", global_ack_file_path="{SL_DATASETS}/go")
    here = world(ack, runner=FakeRunner(loading))
    (tmp_path / "datasets" / "go").touch()
    (request,) = here.tick()
    here.accept(request)
    here.tick()
    assert told(here.execute(request))[0] == ["customers", "items", "orders"]


# ------------------------------------------------------------------------------------- guard="cli": starlake preload

CLI = replace(QUICK, guard="cli")
BEGUN = "26/11/22 19:01:25 INFO PreLoadCmd$: Pre loading domain sales with strategy imported"
DONE = "26/11/22 19:01:26 INFO Main: Preload Successfully preload --domain sales"
OLD = "Error: Unknown option --notReadySentinel"
FAILED = "Starlake failed to execute command with args preload --domain sales"


def loadable(**counts: int) -> list[str]:
    bar = "+------+---------+--------+"
    rows = [f"| sales|{name:>9}|{count:>8}|" for name, count in counts.items()]
    return ["26/11/22 19:01:26 INFO Main: ", bar, "|domain|    table|loadable|", bar, *rows, bar, ""]


def playing(*scripts: Script):
    """`preload` plays one script after the other."""
    left = [*scripts]
    return FakeRunner(lambda command: left.pop(0) if command.name == "preload" else loading(command))


def test_preload_says_which_tables_have_files(world):
    here = world(CLI, runner=playing(Script([BEGUN, DONE, *loadable(orders=1, items=0, customers=0)])))
    made, observed = told(by_hand(here))
    assert made == ["orders"]
    assert "not ready: starlake preload (imported) found no file of it" in observed["items"]
    (preload,) = commands(here, "preload")
    assert preload.args[:6] == (
        "--domain",
        "sales",
        "--tables",
        "customers,items,orders",
        "--strategy",
        "imported",
    )


def test_the_sentinel_is_not_ready_and_no_failure(world, tmp_path):
    def preload(command: Command) -> Script | None:
        if command.name != "preload":
            return loading(command)
        sentinel = tmp_path / command.args[command.args.index("--notReadySentinel") + 1]
        sentinel.parent.mkdir(parents=True, exist_ok=True)
        sentinel.touch()
        return Script([BEGUN, SUCCESS])

    here = world(CLI, runner=FakeRunner(preload))
    result = by_hand(here)
    made, observed = told(result)
    assert (result.success, made, sorted(observed)) == (True, [], ["customers", "items", "orders"])
    assert list((tmp_path / "datasets" / ".not_ready").iterdir()) == []
    assert [command.name for command in commands(here)] == ["preload"]


@pytest.mark.parametrize(
    ("lines", "code", "verdict"),
    [
        ([BEGUN, DONE, *loadable(orders=0, items=0, customers=0)], 1, "not ready"),
        ([BEGUN, DONE, *loadable(orders=1, items=1, customers=1)], 0, "ready"),
        ([BEGUN, FAILED + " 26/11/22 19:01:46 ERROR Main: java.lang.OutOfMemoryError: Java heap space"], 1, "crashed"),
        ([BEGUN], 137, "crashed"),
        ([BEGUN], None, "crashed"),
        (["nonsense"], 1, "crashed"),
    ],
)
def test_a_version_without_sentinel_is_understood_by_its_words(world, lines, code, verdict):
    here = world(CLI, runner=playing(Script([OLD], 1), Script(lines, code)))
    result = by_hand(here)
    made, observed = told(result)
    assert result.success == (verdict != "crashed")
    assert made == (["customers", "items", "orders"] if verdict == "ready" else [])
    assert len(observed) == (3 if verdict == "not ready" else 0)
    assert "--notReadySentinel" not in commands(here, "preload")[1].args


def test_a_crash_with_the_sentinel_is_a_failure(world):
    here = world(CLI, runner=playing(Script([BEGUN, FAILED, "26/11/22 19:01:46 ERROR Main: 403 Forbidden"], 1)))
    result = by_hand(here)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "starlake preload failed: 403 Forbidden" in failure.step_failure_data.error.message


@pytest.mark.parametrize(("lines", "code", "held"), [([BEGUN, FAILED], 1, True), ([BEGUN, SUCCESS], 0, False)])
def test_an_ack_of_a_version_without_sentinel(world, tmp_path, lines, code, held):
    ack = PreLoad("ack", global_ack_file_path="{SL_DATASETS}/go", guard="cli")
    here = world(ack, runner=playing(Script([OLD], 1), Script(lines, code)))
    result = by_hand(here)
    assert result.success
    assert bool(told(result)[1]) is held
    preload = commands(here, "preload")[0]
    assert preload.args[preload.args.index("--globalAckFilePath") + 1] == f"{tmp_path}/datasets/go"


def test_the_guard_looks_where_the_options_say(world, tmp_path):
    place = tmp_path / "elsewhere" / "sales"
    place.mkdir(parents=True)
    here = world(
        PreLoad("imported", stable_for=0, incoming_path=f"{tmp_path}/elsewhere"),
        source=sales_in("/nowhere", str(tmp_path)),
        runner=FakeRunner(loading),
    )
    (place / "orders_1.csv").touch()
    assert told(by_hand(here))[0] == ["orders"]


@pytest.mark.parametrize("strategy", ["imported", "pending", "ack"])
@pytest.mark.parametrize("again", [False, True])
def test_files_where_starlake_does_not_look_are_a_failure_with_both_places(world, tmp_path, incoming, strategy, again):
    """A retry says so, too; and where both are the same place, nothing to load is no failure."""
    for place, fails in ((tmp_path / "elsewhere", True), (tmp_path / "datasets" / "stage", False)):
        source = sales_in(str(incoming if fails or strategy == "pending" else place / "sales"), str(tmp_path))
        paths = {"pending_path" if strategy == "pending" else "incoming_path": str(place)}
        policy = PreLoad(strategy, stable_for=0, global_ack_file_path=f"{tmp_path}/go", **paths)
        here = world(policy, source=source)
        (place / "sales").mkdir(parents=True)
        (place / "sales" / "orders_1.csv").touch()
        (tmp_path / "go").touch()
        result = by_hand(here)
        if again:
            tags = {"dagster/parent_run_id": result.run_id, "dagster/root_run_id": result.run_id}
            result = here.execute(dg.RunRequest(asset_selection=[dg.AssetKey(["sales", "orders"])]), **tags)
        said = told(result)[1].get("orders", "") + str([e.step_failure_data for e in result.get_step_failure_events()])
        assert (f"orders_1.csv lie in {place}/sales ({next(iter(paths))}) as before" in said) is fails
        if fails:
            assert not result.success and "metadata/load/sales" in said
