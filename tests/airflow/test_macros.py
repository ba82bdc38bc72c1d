"""Macros of exported DAGs, with contexts as Airflow 2 and 3 have them: windows, and which tasks run."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from starlake_dagster_assets.airflow.runtime import asset_updates, macros
from tests.airflow.standin import asset

UTC = timezone.utc
CRON = type("CronDataIntervalTimetable", (), {})()
ASSETS = type("AssetTriggeredTimetable", (), {})()
DAY = {"sl_start_date": "2026-01-01T00:00:00", "sl_end_date": "2026-01-02T00:00:00"}
NEXT = {"sl_start_date": "2026-01-02T00:00:00", "sl_end_date": "2026-01-03T00:00:00"}
INTERVAL = (datetime(2026, 5, 1, 3, tzinfo=UTC), datetime(2026, 5, 2, 3, tzinfo=UTC))


def event(uri: str, extra: dict[str, Any] | None = None) -> SimpleNamespace:
    return SimpleNamespace(uri=uri, asset=SimpleNamespace(uri=uri), extra=extra)


def context(
    *events: SimpleNamespace,
    conf: dict[str, str] | None = None,
    params: dict[str, Any] | None = None,
    interval: tuple[datetime, datetime] | None = None,
    timetable: Any = ASSETS,
    run_type: str = "asset_triggered",
    major: int = 3,
    **more: Any,
) -> dict[str, Any]:
    name = {2: "triggering_dataset_events", 3: "triggering_asset_events"}[major]
    found: dict[str, list[Any]] = {}
    for one in events:
        found.setdefault(one.uri, []).append(one)
    run = SimpleNamespace(
        conf=conf, run_after=datetime(2026, 6, 1, tzinfo=UTC), run_type=run_type, run_id="r", start_date=None
    )
    start, end = interval or (None, None)
    return {
        "dag": SimpleNamespace(timezone="Europe/Paris", timetable=timetable, dag_id="d"),
        "dag_run": run,
        "params": params or {},
        name: found,
        "data_interval_start": start,
        "data_interval_end": end,
        **more,
    }


@pytest.mark.parametrize("major", [2, 3])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"conf": {"sl_start_date": "2026-01-01", "sl_end_date": "2026-01-02"}},
            ("2025-12-31T23:00:00", "2026-01-01T23:00:00"),
        ),
        ({"params": {"sl_start_date": None, "sl_end_date": ""}}, ("", "2026-06-01T00:00:00")),
        (
            {"params": {"sl_start_date": "2026-01-01T00:00:00Z", "sl_end_date": "2026-01-02T00:00:00+00:00"}},
            ("2026-01-01T00:00:00", "2026-01-02T00:00:00"),
        ),
        ({"interval": INTERVAL, "timetable": CRON}, ("2026-05-01T03:00:00", "2026-05-02T03:00:00")),
        ({"interval": INTERVAL}, ("", "2026-05-02T03:00:00")),
        ({"interval": INTERVAL, "events": [DAY, NEXT]}, ("2026-01-01T00:00:00", "2026-01-03T00:00:00")),
        ({"interval": INTERVAL, "events": [DAY, None]}, ("", "2026-05-02T03:00:00")),
        ({"interval": INTERVAL, "events": [DAY, {"of": "another DAG"}]}, ("", "2026-05-02T03:00:00")),
    ],
    ids=["conf", "empty", "zones", "cron", "clock", "events", "event-without", "foreign-event"],
)
def test_the_window_of_a_run_is_declared_or_there_is_none(major, given, expected):
    given = dict(given)
    events = [event(f"a{index}", extra) for index, extra in enumerate(given.pop("events", []))]
    assert macros.window(context(*events, major=major, **given)) == expected


@pytest.mark.parametrize(
    ("conf", "told"),
    [
        ({"sl_start_date": "2026-01-01"}, "give both"),
        ({"sl_end_date": "2026-01-01"}, "give both"),
        ({"sl_start_date": "2026-01-02", "sl_end_date": "2026-01-01"}, "is after sl_end_date"),
        ({"sl_start_date": "yesterday", "sl_end_date": "2026-01-01"}, "no date"),
    ],
)
def test_half_a_window_and_a_reversed_one_are_errors(conf, told):
    with pytest.raises(ValueError, match=told):
        macros.window(context(conf=conf))


def test_a_window_is_told_to_the_assets_and_none_is_not():
    for conf, extra in (({"sl_start_date": "2026-01-01", "sl_end_date": "2026-01-02"}, True), ({}, False)):
        outlets = {asset("a"): SimpleNamespace(extra={})}
        task = SimpleNamespace(outlets=[asset("a")], upstream_task_ids=set())
        macros.emit_window(context(conf=conf, task=task, ti=None, outlet_events=outlets))
        assert bool(outlets[asset("a")].extra) is extra


START, END = "2026-05-01T03:00:00", "2026-05-02T03:00:00"


@pytest.mark.parametrize(
    ("earlier", "loads", "conf", "start"),
    [
        (None, [], None, None),
        ([START, START], [], None, START),
        (["", "2026-04-27T03:00:00"], [], None, "2026-04-27T03:00:00"),
        ([END, "2026-05-09T03:00:00"], [], None, START),
        (None, [], {"sl_start_date": "2026-05-01T05:00:00", "sl_end_date": "2026-05-02T05:00:00"}, START),
        (None, [[START, END], ["", END]], None, None),
        (None, [[START, END], None, ["2026-04-30T03:00:00", END]], None, "2026-04-30T03:00:00"),
    ],
    ids=["first", "next", "missed_ticks", "backfill", "configured", "after_a_first_load", "after_loads"],
)
def test_the_window_of_a_load_begins_where_that_of_the_load_before_ended(earlier, loads, conf, start):
    outlets, pushed = {"a": SimpleNamespace(extra={})}, dict[str, Any]()

    def pull(task_ids: Any, key: str, **more: Any) -> Any:
        return loads if isinstance(task_ids, list) else earlier if more["include_prior_dates"] else None

    ups = {"import"} if not loads else {"load_a", "load_b", "load_c"}
    task = SimpleNamespace(outlets=["a"], upstream_task_ids=ups)
    one = SimpleNamespace(task_id="load", xcom_pull=pull, xcom_push=lambda key, value: pushed.update({key: value}))
    given = {"conf": conf, "interval": INTERVAL, "timetable": CRON, "run_type": "scheduled"}
    macros.emit_load_window(context(task=task, ti=one, outlet_events=outlets, **given))
    assert outlets["a"].extra == ({"sl_start_date": start, "sl_end_date": END} if start else {})
    assert pushed == ({} if loads else {"sl_loaded": [start or "", END]})


class Skipped(Exception):
    """As Airflow's."""


@pytest.fixture
def skips(monkeypatch) -> None:
    monkeypatch.setattr(asset_updates, "import_module", lambda name: SimpleNamespace(AirflowSkipException=Skipped))


@pytest.mark.usefixtures("skips")
def test_the_event_of_a_dag_names_what_was_updated():
    task = SimpleNamespace(upstream_task_ids={"u", "v"}, outlets=["dag"])
    for states, updated in (({"u": "success", "v": "failed"}, ["u_made"]), ({"u": "skipped", "v": "failed"}, None)):
        found = context(task=task, outlet_events={"dag": SimpleNamespace(extra={})})
        found["dag"].get_task = lambda name: SimpleNamespace(outlets=[SimpleNamespace(uri=f"{name}_made")])
        found["ti"] = SimpleNamespace(dag_id="d", get_task_states=lambda states=states, **_: {"r": states})
        if updated is None:
            with pytest.raises(Skipped):
                asset_updates.emit_updates(**found)
        else:
            asset_updates.emit_updates(**found)
            assert found["outlet_events"]["dag"].extra == {"sl_updated": updated}


def test_the_manifest_is_in_the_folder_of_the_dag_else_next_to_the_module(tmp_path, monkeypatch):
    """Python imports the module once per process, from the first folder that has it."""
    for folder in ("one", "two", "both"):
        (tmp_path / folder).mkdir()
    for path, names in (("one/a", ["d.py", "other.py"]), ("two/b", ["d.py"])):
        manifest = {"exported_by": "starlake-dagster", "files": names}
        (tmp_path / f"{path}.manifest.json").write_text(json.dumps(manifest))
    for number, text in enumerate(['{"files": ["d.py"]}', "{}", "[]", "null", "no JSON", '{"exported_by": "x"}']):
        (tmp_path / "two" / f"a_{number}.manifest.json").write_text(text)
    (tmp_path / "two" / "a.manifest.json").write_bytes(b"\xff")
    monkeypatch.setattr(macros, "__file__", str(tmp_path / "one" / "starlake_worker.py"))
    found = context()

    def manifest_of(folder: str, file: str = "") -> str:
        found["dag"].fileloc = str(tmp_path / folder / "d.py")
        return macros.manifest(found, file)

    assert manifest_of("two") == str(tmp_path / "two" / "b.manifest.json")
    assert manifest_of("both") == str(tmp_path / "one" / "a.manifest.json")
    assert manifest_of("two", "other.py") == str(tmp_path / "one" / "a.manifest.json")
    assert manifest_of("two", "missing.py") == ""
