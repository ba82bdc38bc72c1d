"""Runs of a real daemon in remote environments: the real clients, local services, one resource a code location."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from starlake_dagster_assets.conformance.stand_in_program import is_alive
from tests.fakes.aws import FakeAws
from tests.fakes.cloud_run import FakeCloudRun
from tests.fakes.dataproc import FakeDataproc
from tests.fakes.script import Scripted
from tests.system.conftest import copy_of_the_example
from tests.system.dagster_dev import DagsterDev

pytestmark = pytest.mark.slow

PLACES = ("fargate", "cloud_run", "dataproc", "serverless")
CUSTOMERS, ORDERS = "starbake/Customers", "starbake/Orders"
SECRET = "n0body-may-see-this"
DEFINITIONS = """
import os
from pathlib import Path

import dagster as dg
from starlake_dagster_assets import StarlakeMetadata, StarlakeProject, StarlakeSteps, build_definitions
from starlake_dagster_assets.resources import DataprocServerless, StarlakeCloudRun, StarlakeDataproc, StarlakeFargate

place = Path(__file__).stem
spark = {
    "project": "p", "jars": "gs://b/starlake.jar", "endpoint": os.environ.get(f"FAKE_{place.upper()}"),
    "storage_endpoint": os.environ.get(f"FAKE_GCS_{place.upper()}"), "local": True,
}
fast = {"poll_interval": 0.1, "env": {"SL_METRICS": "on"}}
made = {
    "fargate": lambda: StarlakeFargate(
        task_definition="starlake", container="starlake", subnets="subnet-1",
        endpoint_url=os.environ["FAKE_AWS"], **fast
    ),
    "cloud_run": lambda: StarlakeCloudRun(
        project="p", job="starlake", endpoint=os.environ["FAKE_RUN"], logging_endpoint=os.environ["FAKE_RUN"],
        local=True, **fast
    ),
    "dataproc": lambda: StarlakeDataproc(**spark, **fast),
    "serverless": lambda: StarlakeDataproc(**spark, **fast, serverless=DataprocServerless()),
}
defs = build_definitions(
    StarlakeProject(Path(__file__).parent / "example_project" / "starbake", env="DUCKDB"),
    starlake=made[place](),
    steps=StarlakeSteps(
        "group", executor=dg.multiprocess_executor, retry_policy=dg.RetryPolicy(max_retries=1)
    ),
    metadata=StarlakeMetadata(row_counts=False, columns=False),
)
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    return {place: Scripted(tmp_path_factory.mktemp(place)) for place in PLACES}


@pytest.fixture(scope="module")
def services(scripts):
    def given(place):
        # What a container brings of its own, a secret among it.
        return {**scripts[place].environ, "PG_PASSWORD": SECRET, "SL_LOG_LEVEL": "info"}

    program = {place: [str(scripts[place].path)] for place in PLACES}
    with (
        FakeAws(program["fargate"], given("fargate")) as aws,
        FakeCloudRun(program["cloud_run"], given("cloud_run")) as run,
        FakeDataproc(program["dataproc"], given("dataproc")) as dataproc,
        FakeDataproc(program["serverless"], given("serverless")) as serverless,
    ):
        yield {"fargate": aws, "cloud_run": run, "dataproc": dataproc, "serverless": serverless}


@pytest.fixture(scope="module")
def server(tmp_path_factory, services):
    work = tmp_path_factory.mktemp("remote")
    environ = copy_of_the_example(work)
    environ |= {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_CONFIG_FILE": str(work / "none"),
        "FAKE_AWS": services["fargate"].url,
        "FAKE_RUN": services["cloud_run"].endpoint,
        "FAKE_DATAPROC": services["dataproc"].endpoint,
        "FAKE_GCS_DATAPROC": services["dataproc"].gcs.url,
        "FAKE_SERVERLESS": services["serverless"].endpoint,
        "FAKE_GCS_SERVERLESS": services["serverless"].gcs.url,
    }
    places = [{"python_file": {"relative_path": f"{place}.py", "location_name": place}} for place in PLACES]
    for place in PLACES:
        (work / f"{place}.py").write_text(DEFINITIONS)
    (work / "workspace.yaml").write_text(json.dumps({"load_from": places}))
    running = DagsterDev(work, environ)
    yield running
    running.stop()


@pytest.fixture
def place(request, scripts):
    scripts[request.param].journal.unlink(missing_ok=True)
    return request.param


def only(*places: str):
    return pytest.mark.parametrize("place", places, indirect=True)


def made(events) -> set[str]:
    return {"/".join(e["assetKey"]["path"]) for e in events if e["__typename"] == "MaterializationEvent"}


def worker(events) -> int:
    """The process of the step that runs now."""
    said = [e["message"] for e in events if "apturing logs" in (e.get("message") or "")]
    return int(said[-1].partition("(pid: ")[2].partition(")")[0])


@only("dataproc", "serverless")
def test_a_part_failure_fails_only_what_failed(server, scripts, place):
    scripts[place].tables({"starbake.Customers": {"do": "load"}, "starbake.Orders": {"do": "fail"}})
    status, events = server.ended(server.launch([CUSTOMERS, ORDERS], location=place))
    assert status == "FAILURE"
    assert made(events) == {CUSTOMERS}
    commands = [call.argv[0] for call in scripts[place].calls()]
    assert commands == ["stage", "load", "stage", "load"]  # the retry takes what is missing, and only that
    assert scripts[place].calls("load")[1].argv[4] == "Orders"
    assert SECRET not in json.dumps(events)
    assert not any(SECRET in " ".join(call.argv) for call in scripts[place].calls())


@only(*PLACES)
def test_cancelling_the_run_ends_what_runs_there(server, scripts, services, place):
    scripts[place].tables({"starbake.Customers": {"do": "hang"}})
    run = server.launch([CUSTOMERS], location=place)
    server.said(run, "Ingest resolved file")
    server.terminate(run)
    status, events = server.ended(run)
    assert status == "CANCELED"
    assert not made(events)
    assert not any(is_alive(call.pid) for call in scripts[place].calls())
    if place == "dataproc":
        deadline = time.monotonic() + 60  # Dagster may say CANCELED while the step still cleans up
        while services[place].clusters and time.monotonic() < deadline:
            time.sleep(0.2)
        assert not services[place].clusters
    if place == "serverless":
        assert services[place].batches


@pytest.mark.newest_only  # there too the retry takes over, but 1.9 fails every run of which a worker was killed
@only("cloud_run", "serverless")
def test_a_killed_worker_is_followed_by_one_that_takes_over(server, scripts, place):
    scripts[place].tables({"starbake.Customers": {"do": "load", "rows": 7, "seconds": 8}})
    run = server.launch([CUSTOMERS], location=place)
    server.said(run, "Ingest resolved file")
    os.kill(worker(server.run(run)[1]), signal.SIGKILL)
    status, events = server.ended(run)
    assert status == "SUCCESS", [e.get("message") for e in events][-20:]
    assert made(events) == {CUSTOMERS}
    assert [call.argv[0] for call in scripts[place].calls()].count("load") == 1
