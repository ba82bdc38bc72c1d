"""Tasks that follow other assets run when their condition is met by the asset events that they have not read."""

from __future__ import annotations

from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from starlake_dagster_assets.airflow.runtime import asset_updates, macros
from starlake_dagster_assets.airflow.runtime.asset_updates import READ
from starlake_dagster_assets.airflow.runtime.update_condition import run_if_updated
from tests.airflow.scheduler import events_of
from tests.airflow.standin import asset

A, B, X = asset("a"), asset("b"), asset("x")
DAYS = ["2026-01-01T00:00:00", "2026-01-02T00:00:00", "2026-01-03T00:00:00"]


class Skipped(Exception):
    """As Airflow's."""


@pytest.fixture(autouse=True)
def skips(monkeypatch) -> None:
    monkeypatch.setattr(asset_updates, "import_module", lambda name: SimpleNamespace(AirflowSkipException=Skipped))


class Flow:
    """A DAG with the task that makes `x`, the events of assets, and the runs that events start."""

    def __init__(self, condition: Any, **more: Any) -> None:
        self.hook, self.log, self.runs = run_if_updated(condition, **more), list[Any](), 0

    def event(self, uri: str, extra: dict[str, Any] | None = None, run: str = "other") -> Any:
        found = SimpleNamespace(
            id=len(self.log) + 1,
            uri=uri,
            asset=SimpleNamespace(uri=uri),
            extra=extra or {},
            timestamp=datetime(2026, 1, 1, tzinfo=timezone.utc),
            source_dag_id="d",
            source_run_id=run,
        )
        self.log.append(found)
        return found

    def run(self, *updated: str, fails: bool = False, run_id: str = "", **more: Any) -> str:
        """The state of the task in a run that events of assets start, or that is of another type."""
        window = more.pop("day", None)
        extra = {"sl_start_date": DAYS[window], "sl_end_date": DAYS[window + 1]} if window is not None else {}
        events = [self.event(uri, extra) for uri in updated]
        self.runs += 1
        xcoms: dict[str, Any] = {}
        dag = SimpleNamespace(
            dag_id="d", timezone="UTC", timetable=None, get_task=lambda name: SimpleNamespace(outlets=[B])
        )
        run_id = run_id or f"r{self.runs}"
        run = SimpleNamespace(
            conf=more.get("conf"), run_type=more.get("kind", "asset_triggered"), run_id=run_id, run_after=None
        )
        run.start_date = datetime(2026, 2, 1, tzinfo=timezone.utc)
        states = {run_id: dict.fromkeys(more.get("here", ()), "success")}
        context = {
            "dag": dag,
            "dag_run": run,
            "run_id": run_id,
            "params": {},
            "triggering_asset_events": {number: [one] for number, one in enumerate(events)},
            "inlet_events": events_of(self.log)(()),
            "outlet_events": {X: SimpleNamespace(extra={})},
            "task": SimpleNamespace(
                inlets=[A, B], outlets=[X], upstream_task_ids={*more.get("here", ())}, _pre_execute_hook=self.hook
            ),
            "ti": SimpleNamespace(
                dag_id="d",
                task_id="x_task",
                try_number=self.runs,
                get_task_states=lambda **_: states,
                xcom_pull=lambda task_ids, key: xcoms.get(key),
                xcom_push=lambda key, value: xcoms.update({key: value}),
            ),
        }
        self.window = macros.window(context)[0] and macros.window(context)
        try:
            self.hook(context)
        except Skipped:
            return "skipped"
        for uri in more.get("meanwhile", ()):
            self.event(uri)
        if fails:
            return "failed"
        macros.emit_window(context)
        self.event("x", context["outlet_events"][X].extra, run_id)
        return "success"


ALL, ANY = A & B, A | B
HISTORIES = [
    ("all: waits for both", ALL, [("a",), ("b",)], ["skipped", "success"]),
    ("all: both at once", ALL, [("a", "b")], ["success"]),
    (
        "all: each update counts once",
        ALL,
        [("a", "b"), ("a",), ("a",), ("b",)],
        ["success", "skipped", "skipped", "success"],
    ),
    ("all: others do not start it", ALL, [("a", "b"), ("c",)], ["success", "skipped"]),
    ("any: one is enough once both exist", ANY, [("a",), ("b",), ("a",)], ["skipped", "success", "success"]),
    ("any: others do not start it", ANY, [("a", "b"), ("c",)], ["success", "skipped"]),
    ("nested", A & (B | asset("c")), [("a",), ("c",), ("b",), ("a",)], ["skipped", "success", "skipped", "success"]),
]


@pytest.mark.parametrize(
    ("condition", "updates", "states"), [one[1:] for one in HISTORIES], ids=[one[0] for one in HISTORIES]
)
def test_a_task_runs_once_its_condition_is_met_by_updates_that_it_has_not_read(condition, updates, states):
    present = [] if condition not in (ALL, ANY) else ["a", "b"]
    flow = Flow(condition, present=present)
    assert [flow.run(*uris) for uris in updates] == states


def test_a_task_that_failed_runs_with_the_next_update_of_any_of_its_assets():
    """As in Dagster: an update counts until the task has succeeded; other updates do not start it again."""
    flow = Flow(ALL)
    assert flow.run("a", "b", fails=True) == "failed"
    assert [flow.run("c"), flow.run("a"), flow.run("a")] == ["skipped", "success", "skipped"]


def test_an_update_while_a_task_runs_counts_for_the_next_run():
    flow = Flow(ALL)
    assert flow.run("a", "b", meanwhile=["b"]) == "success"
    assert flow.run("a") == "success"


def test_updates_of_tasks_of_the_same_run_count():
    flow = Flow(ALL)
    assert flow.run("a", here=["b_task"]) == "skipped", "b_task succeeded, and b has no event so far"
    flow.event("b")
    assert flow.run("c", here=["b_task"]) == "success"


@pytest.mark.parametrize("kind", ["manual", "scheduled"])
def test_a_person_or_a_schedule_of_the_user_starts_a_task(kind):
    flow = Flow(ALL)
    assert flow.run(kind=kind) == ("success" if kind == "manual" else "skipped")
    flow.event("a")
    flow.event("b")
    assert flow.run(kind=kind) == "success"
    assert flow.log[-1].extra[READ] == {"a": flow.log[-3].id, "b": flow.log[-2].id}


def test_a_task_that_is_cleared_after_it_succeeded_runs_again_with_the_same_window():
    flow = Flow(ALL)
    flow.run("a", "b", day=0)
    assert flow.run("a", day=1) == "skipped"
    assert flow.run(run_id="r1") == "success"
    assert flow.window == (DAYS[0], DAYS[1])
    assert flow.run("b", day=1) == "success", "the update of a is still not read"
    assert flow.window == (DAYS[1], DAYS[2])


def test_the_window_spans_the_updates_that_are_read():
    flow = Flow(ALL)
    assert [flow.run("a", day=0), flow.run("b", day=1)] == ["skipped", "success"]
    assert flow.window == (DAYS[0], DAYS[2])
    assert flow.log[-1].extra["sl_start_date"] == DAYS[0]
    flow.run("a", day=1)
    assert flow.run("b") == "success" and not flow.window, "an update without a window: everything is computed"


def test_a_manual_run_reads_the_updates_within_its_window():
    flow = Flow(ANY)
    flow.event("a", {"sl_start_date": DAYS[0], "sl_end_date": DAYS[1]})
    flow.event("b", {"sl_start_date": DAYS[1], "sl_end_date": DAYS[2]})
    assert flow.run(kind="manual", conf={"sl_start_date": DAYS[0], "sl_end_date": DAYS[1]}) == "success"
    assert flow.log[-1].extra[READ] == {"a": 1, "b": 0}


def test_what_an_event_does_not_record_was_read_if_it_is_older_than_the_run():
    flow = Flow(ALL)
    flow.event("a")
    flow.event("b")
    flow.event("x").timestamp = datetime(2026, 1, 3, tzinfo=timezone.utc)  # of an earlier export
    assert [flow.run("a"), flow.run("b")] == ["skipped", "success"]


def test_too_many_updates_have_no_window():
    flow = Flow(ANY)
    for _ in range(1001):
        flow.event("a", {"sl_start_date": DAYS[0], "sl_end_date": DAYS[1]})
    assert flow.run("b", day=0) == "success" and not flow.window
    assert flow.log[-1].extra[READ] == {"a": 1001, "b": 1002}


def test_an_airflow_whose_tasks_cannot_read_events_fails_by_name():
    with pytest.raises(RuntimeError, match=r"needs Airflow 2\.10"):
        asset_updates.TaskUpdates.of({}, X, [A])
