"""Arrival sensors under a real daemon: a slow writer, a restart in between, each set requested exactly once."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import duckdb
import pytest

from tests.system.conftest import ROOT, copy_of_the_example
from tests.system.dagster_dev import DagsterDev

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LOCATION = """
from pathlib import Path

from starlake_dagster_assets import (
    PreLoadSettings,
    StarlakeAutomation,
    StarlakeDuckDB,
    StarlakeProject,
    build_definitions,
)

project = StarlakeProject(Path(__file__).parent / "starbake", env="DUCKDB")
automation = StarlakeAutomation(
    schedules=False,
    lineage=False,
    pre_load=PreLoadSettings(strategy="imported", poke_interval=1, stable_for=3),
    status="RUNNING",
)
defs = build_definitions(project, starlake=StarlakeDuckDB(), automation=automation)
"""
# With statuses Dagster looks ticks up by selector; without, by an origin that a restarted server no longer has.
_SENSORS = """query { sensorsOrError(repositorySelector: {repositoryLocationName: "starbake",
  repositoryName: "__repository__"}) { ... on Sensors { results { name sensorState {
  ticks(limit: 1, statuses: [STARTED, SKIPPED, SUCCESS, FAILURE]) {
  timestamp skipReason error { message } } } } } } }"""
_RUNS = """query { runsOrError { ... on Runs { results { runId status tags { key value }
  assetSelection { path } } } } }"""
SENSOR = "load_starbake_files_arrival"
DELIVERIES = ROOT / "example_project" / "deliveries"


def ticks(server: DagsterDev) -> dict[str, dict]:
    """The last tick of each sensor that has one."""
    found = server.query(_SENSORS)["sensorsOrError"]["results"]
    return {one["name"]: one["sensorState"]["ticks"][0] for one in found if one["sensorState"]["ticks"]}


def ticked(server: DagsterDev, sensor: str, words: str) -> None:
    """Returns once a tick of a sensor after now says some words."""
    since, deadline = time.time(), time.monotonic() + 120
    while True:
        tick = ticks(server).get(sensor)
        if tick and tick["timestamp"] > since and words in (tick["skipReason"] or ""):
            return
        assert time.monotonic() < deadline, tick
        time.sleep(0.2)


def runs(server: DagsterDev) -> list[tuple[str, list[str], str]]:
    """Files, tables and status of each run."""
    found = []
    for run in server.query(_RUNS)["runsOrError"]["results"]:
        tags = {tag["key"]: tag["value"] for tag in run["tags"]}
        tables = sorted("/".join(key["path"]) for key in run["assetSelection"])
        found.append((tags.get("starlake/files", ""), tables, run["status"]))
    return sorted(found)


def reached(server: DagsterDev, count: int) -> list[tuple[str, list[str], str]]:
    deadline = time.monotonic() + 180
    while len(there := [run for run in runs(server) if run[2] == "SUCCESS"]) < count:
        assert time.monotonic() < deadline, (runs(server), ticks(server))
        time.sleep(0.3)
    return there


def write_slowly(source: Path, target: Path, hurry: threading.Event) -> threading.Thread:
    """Writes half of a file, is at it for as long as nobody is in a hurry, and writes the rest."""
    data = source.read_bytes()
    half = len(data) // 2

    def write() -> None:
        with target.open("wb", buffering=0) as file:
            file.write(data[:half])
            while not hurry.wait(0.5):
                os.utime(target)
            file.write(data[half:])

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def test_each_set_of_files_is_loaded_once_over_restarts(tmp_path: Path):
    environ = copy_of_the_example(tmp_path)
    project = tmp_path / "example_project" / "starbake"
    incoming = project / "datasets" / "incoming" / "starbake"
    incoming.mkdir(parents=True)
    (tmp_path / "example_project" / "location.py").write_text(LOCATION)
    (tmp_path / "workspace.yaml").write_text(
        "load_from:\n  - python_file: {relative_path: example_project/location.py, location_name: starbake}\n"
    )
    day1, day2 = DELIVERIES / "day1" / "starbake", DELIVERIES / "day2" / "starbake"
    hurry = threading.Event()
    server = DagsterDev(tmp_path, environ)
    try:
        ticked(server, SENSOR, "nothing is there")
        shutil.copy(day1 / "products_20250309.json", incoming)
        writer = write_slowly(day1 / "customers_20250309.csv", incoming / "customers_20250309.csv", hurry)
        (first,) = reached(server, 1)
        assert first == ("products_20250309.json", ["starbake/Products"], "SUCCESS")
        ticked(server, SENSOR, "customers_20250309.csv is new or still changing")
    finally:
        server.stop()
    hurry.set()
    writer.join()
    server = DagsterDev(tmp_path, environ)
    try:
        assert reached(server, 2)[0] == ("customers_20250309.csv", ["starbake/Customers"], "SUCCESS")
        shutil.copy(day2 / "customers_20250310.csv", incoming)
        assert ("customers_20250310.csv", ["starbake/Customers"], "SUCCESS") in reached(server, 3)
        ticked(server, SENSOR, "nothing is there")
        assert len(runs(server)) == 3
    finally:
        server.stop()
    with duckdb.connect(str(project / "datasets" / "duckdb.db"), read_only=True) as warehouse:
        loaded = warehouse.sql("select count(*) from audit.audit where success and step = 'LOAD'").fetchone()
        customers = warehouse.table("starbake.Customers").shape[0]
    assert loaded == (3,)
    assert customers >= 40
    assert list(incoming.iterdir()) == []
