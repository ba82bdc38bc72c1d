"""The README on a real `dagster dev`: *Materialize all*, the files of the second day, and the sensors switched on."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from pathlib import Path

import duckdb
import pytest

from tests.example.conftest import EXAMPLE, Truth
from tests.system.conftest import ROOT, copy_of_the_example
from tests.system.dagster_dev import DagsterDev

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_SENSORS = """query { sensorsOrError(repositorySelector: {repositoryLocationName: "starbake",
  repositoryName: "__repository__"}) { ... on Sensors { results { name } } } }"""
_START = """mutation($name: String!) { startSensor(sensorSelector: {repositoryLocationName: "starbake",
  repositoryName: "__repository__", sensorName: $name}) { __typename } }"""
_RUNS = """query { runsOrError { ... on Runs { results { runId status tags { key value }
  assetSelection { path } assetMaterializations { assetKey { path } } } } } }"""


def switched_on(server: DagsterDev) -> None:
    """Every sensor of the code location."""
    for sensor in server.query(_SENSORS)["sensorsOrError"]["results"]:
        assert server.query(_START, name=sensor["name"])["startSensor"]["__typename"] == "Sensor"


def runs(server: DagsterDev) -> list[dict]:
    return server.query(_RUNS)["runsOrError"]["results"]


def materialized(run: dict) -> list[str]:
    return sorted({"/".join(one["assetKey"]["path"]) for one in run["assetMaterializations"]})


def deliver(datasets: Path, day: str) -> None:
    shutil.copytree(ROOT / "example_project" / "deliveries" / day, datasets / "incoming", dirs_exist_ok=True)


def rests(server: DagsterDev, last: str, seconds: float = 480) -> list[dict]:
    """The runs, once the last asset is made by one of the sensors' runs and none is in progress."""
    deadline = time.monotonic() + seconds
    while True:
        found = [run for run in runs(server) if any(tag["key"] == "dagster/sensor_name" for tag in run["tags"])]
        ended = all(run["status"] in ("SUCCESS", "FAILURE", "CANCELED") for run in found)
        if ended and any(last in materialized(run) for run in found):
            return found
        assert time.monotonic() < deadline, [(run["status"], materialized(run)) for run in found]
        time.sleep(0.5)


def test_the_second_day_reaches_every_table_by_the_sensors(tmp_path: Path) -> None:
    environ = copy_of_the_example(tmp_path)
    datasets = tmp_path / "example_project" / "starbake" / "datasets"
    deliver(datasets, "day1")
    with (tmp_path / "example_project" / "definitions.py").open("a") as location:
        location.write(
            "\nfor sensor in defs.sensors or ():\n    sensor._min_interval = 2  # ticks come half a minute apart\n"
        )
    server = DagsterDev(tmp_path, environ)
    try:
        nodes = server.query("query { assetNodes { assetKey { path } isMaterializable } }")["assetNodes"]
        keys = ["/".join(node["assetKey"]["path"]) for node in nodes if node["isMaterializable"]]
        assert server.ended(server.launch(keys))[0] == "SUCCESS"
        deliver(datasets, "day2")
        switched_on(server)
        found = rests(server, "weekly_report")
    finally:
        server.stop()
    assert {run["status"] for run in found} == {"SUCCESS"}
    made = Counter(key for run in found for key in materialized(run))
    assert made == dict.fromkeys(keys, 1), "each table, task and the report once"
    loads = [run for run in found if any(key.startswith(("starbake/", "reference/")) for key in materialized(run))]
    assert len(loads) == 2, "one run per domain"
    truth = Truth()
    for day in ("day1", "day2"):
        truth.add_day(EXAMPLE / "deliveries" / day)
    with duckdb.connect(str(datasets / "duckdb.db"), read_only=True) as warehouse:
        for query, expected in truth.tables().items():
            rows = warehouse.sql(query).fetchall()
            assert set(rows) == expected and len(rows) == len(expected), query
    newest = max(order["ordered_at"][:10] for order, _, _ in truth.sales())
    assert (datasets / "reports" / "weekly.md").read_text().startswith(f"# Starbake, {newest}")
