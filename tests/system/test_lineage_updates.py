"""Lineage sensors under a real daemon: each update goes through a chain exactly once, also over restarts."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.system.conftest import copy_of_the_example
from tests.system.dagster_dev import DagsterDev

pytestmark = pytest.mark.slow

LOCATION = """
from pathlib import Path

import dagster as dg
from starlake_dagster_assets import StarlakeProject, build_definitions
from starlake_dagster_assets.automation.definitions.lineage_sensors import build_lineage_sensors
from starlake_dagster_assets.testing import fake_starlake
from starlake_dagster_assets.automation.policies.model import AllOf, Job, Trigger, Triggers, Upstream, UpstreamCondition

project = StarlakeProject(Path(__file__).parent / "starbake", env="DUCKDB")
both = UpstreamCondition(AllOf((Upstream("starbake.Orders"), Upstream("starbake.Customers"))))
lines = UpstreamCondition(Upstream("kpi.order_lines"))
triggers = Triggers(
    {
        "kpi.order_lines": Trigger("kpi.order_lines", "lineage", "lines", upstream_condition=both),
        "kpi.daily_revenue": Trigger("kpi.daily_revenue", "lineage", "revenue", upstream_condition=lines),
    },
    {"lines": Job("lines", ("kpi.order_lines",)), "revenue": Job("revenue", ("kpi.daily_revenue",))},
)
defs = dg.Definitions(
    assets=build_definitions(project, starlake=fake_starlake()).assets,
    resources={"starlake": fake_starlake()},
    executor=dg.in_process_executor,
    sensors=build_lineage_sensors(project, triggers, minimum_interval_seconds=1),
)
"""
_REPORT = """mutation($key: AssetKeyInput!) { reportRunlessAssetEvents(eventParams: {
  eventType: ASSET_MATERIALIZATION, assetKey: $key }) { __typename } }"""
_LOCATIONS = """query { workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError {
  __typename ... on PythonError { message } } } } } }"""
_RUNS = "query { runsOrError { ... on Runs { results { status tags { key value } } } } }"


def made(server: DagsterDev, *assets: str) -> None:
    for asset in assets:
        told = server.query(_REPORT, key={"path": asset.split("/")})["reportRunlessAssetEvents"]
        assert told["__typename"] == "ReportRunlessAssetEventsSuccess"


def runs(server: DagsterDev) -> list[str]:
    """The sensor of each run, those of runs that have not ended or failed with their status."""
    found = []
    for run in server.query(_RUNS)["runsOrError"]["results"]:
        trigger = next(tag["value"] for tag in run["tags"] if tag["key"] == "starlake/trigger")
        found.append(trigger if run["status"] == "SUCCESS" else f"{trigger} {run['status']}")
    return sorted(found)


def reached(server: DagsterDev, expected: list[str]) -> None:
    deadline = time.monotonic() + 120
    while (there := runs(server)) != expected:
        assert time.monotonic() < deadline, there
        time.sleep(0.2)


def ticked(server: DagsterDev, words: str) -> None:
    """Returns once a tick of the first sensor after now says some words."""
    query = """query { sensorOrError(sensorSelector: {repositoryLocationName: "starbake",
      repositoryName: "__repository__", sensorName: "lines_lineage"}) { __typename
      ... on PythonError { message } ... on Sensor { sensorState { ticks(limit: 1) { timestamp skipReason } } } } }"""
    since, deadline = time.time(), time.monotonic() + 120
    while True:
        found = server.query(query)["sensorOrError"]
        assert found["__typename"] == "Sensor", (found, server.query(_LOCATIONS))
        ticks = found["sensorState"]["ticks"]
        if ticks and ticks[0]["timestamp"] > since and words in (ticks[0]["skipReason"] or ""):
            return
        assert time.monotonic() < deadline, ticks
        time.sleep(0.2)


def test_each_update_is_used_once_over_restarts(tmp_path: Path):
    environ = copy_of_the_example(tmp_path)
    (tmp_path / "example_project" / "location.py").write_text(LOCATION)
    (tmp_path / "workspace.yaml").write_text(
        "load_from:\n  - python_file: {relative_path: example_project/location.py, location_name: starbake}\n"
    )
    one, two = ["lines_lineage"], ["revenue_lineage"]
    server = DagsterDev(tmp_path, environ)
    try:
        made(server, "starbake/Customers")
        ticked(server, "starbake.Orders was never materialized")
        assert runs(server) == []
        made(server, "starbake/Orders")
        reached(server, one + two)
        made(server, "starbake/Orders")
    finally:
        server.stop()
    server = DagsterDev(tmp_path, environ)
    try:
        ticked(server, "Waits for starbake.Customers")
        made(server, "starbake/Orders", "starbake/Customers")
        reached(server, one * 2 + two * 2)
        ticked(server, "which kpi.order_lines has read")
        assert runs(server) == one * 2 + two * 2
    finally:
        server.stop()
