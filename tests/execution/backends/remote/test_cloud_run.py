"""The real google-cloud-run and google-cloud-logging against local services whose executions are real processes."""

from dataclasses import replace

import grpc
import pytest
from google.cloud import run_v2

from starlake_dagster_assets.commands.model import Command
from starlake_dagster_assets.execution.backends.protocol import StepAttempt
from starlake_dagster_assets.execution.backends.remote.cloud_run import CloudRunEnvironment
from starlake_dagster_assets.execution.backends.remote.protocol import Policy, Submission
from starlake_dagster_assets.execution.backends.remote.read_quota import ReadQuota, ReadQuotaError
from starlake_dagster_assets.execution.backends.remote.runner import RemoteRunner
from starlake_dagster_assets.execution.outcome import Outcome, RunSettings
from starlake_dagster_assets.execution.run_selection import execute_selection
from starlake_dagster_assets.starlake_project import StarlakeProject
from tests.conformance.subject import Ledger, write_project
from tests.fakes.cloud_run import FakeCloudRun
from tests.fakes.script import Scripted

FAST = Policy(
    poll=0.02, longest_poll=0.05, starting=20, outage=20, grace=0.2, longest_pause=0.02, settle=0.4, cancelling=10
)
LOAD = Command("load", ("--domains", "sales", "--tables", "orders"), {"SL_JOB_ID": "job-1"}, job_id="job-1")


@pytest.fixture
def scripted(tmp_path):
    return Scripted(tmp_path / "scripted").tell(variables=["SL_JOB_ID", "PGPASSWORD"])


@pytest.fixture
def server(scripted):
    with FakeCloudRun([str(scripted.path)], scripted.environ) as fake:
        yield fake


def runner(server, *, policy=FAST, attempt=None, **fields) -> RemoteRunner:
    environment = CloudRunEnvironment(
        "p",
        "starlake",
        env={"SL_LOG_LEVEL": "info"},
        endpoint=server.endpoint,
        logging_endpoint=server.endpoint,
        local=True,
        **fields,
    )
    return RemoteRunner(environment, attempt or StepAttempt("run-1", "step"), policy)


def texts(handle) -> list[str]:
    return [line.text for line in handle.lines()]


def test_one_refused_poll_cancels_nothing(server, scripted):
    scripted.tables({"sales.orders": {"do": "load", "seconds": 0.3}})
    handle = runner(server).start(LOAD)
    server.fail("GetExecution", grpc.StatusCode.PERMISSION_DENIED, times=2)
    warnings = [text for text in texts(handle) if text.startswith("WARN") and "nothing is cancelled" in text]
    assert handle.wait().exit_code == 0
    assert (len(warnings), server.count("CancelExecution")) == (1, 0)


def test_an_execution_that_is_not_visible_yet_is_not_lost(server, scripted):
    server.invisible = 4
    assert runner(server, policy=replace(FAST, grace=20)).start(LOAD).wait().exit_code == 0
    assert len(scripted.calls()) == 1


@pytest.mark.parametrize("late", [lambda index: index > 0, lambda index: index in (1, 2)], ids=["tail", "out of order"])
def test_late_lines_are_waited_for(server, scripted, late):
    scripted.tables({"sales.orders": {"do": "load", "rows": 3}})
    server.log_lag, server.log_late = 0.5, late
    handle = runner(server, policy=replace(FAST, settle=8)).start(LOAD)
    assert sum("ingestion-summary" in text for text in texts(handle)) == 1
    assert handle.log_problem == ""


@pytest.mark.parametrize(
    ("code", "times", "word"),
    [(grpc.StatusCode.RESOURCE_EXHAUSTED, 4, "quota"), (grpc.StatusCode.PERMISSION_DENIED, 10_000, "permissions")],
)
def test_a_log_that_cannot_be_read_is_a_warning_when_it_happens(server, scripted, code, times, word):
    server.fail("ListLogEntries", code, times=times, text="logging.logEntries.list")
    handle = runner(server).start(LOAD)
    warnings = [text for text in texts(handle) if "cannot be read" in text]
    assert len(warnings) == 1 and word in warnings[0] and "logging.logEntries.list" in warnings[0]
    assert handle.wait().exit_code == 0
    assert bool(handle.log_problem) == (times > 100)


def test_a_secret_is_a_reference_to_secret_manager(server, scripted):
    secrets = {"PGPASSWORD": "pg-password:3", "TOKEN": "projects/q/secrets/token"}
    assert runner(server, secrets=secrets).start(LOAD).wait().exit_code == 0
    (execution,) = server.executions.values()
    given = {pair.name: pair for pair in execution.template.containers[0].env}
    reference = given["PGPASSWORD"].value_source.secret_key_ref
    assert (reference.secret, reference.version, given["PGPASSWORD"].value) == ("pg-password", "3", "")
    assert given["TOKEN"].value_source.secret_key_ref.version == "latest"
    assert scripted.calls()[0].env["PGPASSWORD"] == "value of pg-password:3"


@pytest.mark.parametrize("retries", [0, 2])
def test_the_last_attempt_of_the_platform_decides(tmp_path, scripted, retries):
    """Cloud Run runs a task that failed again by itself: each attempt has its own lines."""
    root = write_project(tmp_path / "project")
    tables = {"sales.orders": {"do": "load", "rows": 3}, "sales.customers": {"do": "fail"}}
    scripted.tables(tables)

    class Retrying(FakeCloudRun):
        """The second attempt finds what the first one left."""

        def _start(self, name):
            if self.containers[name]:
                scripted.tables({"sales.orders": {"do": "nothing"}, "sales.customers": {"do": "load"}})
            super()._start(name)

    with Retrying([str(scripted.path)], scripted.environ, max_retries=retries) as server:
        project = StarlakeProject(root, cache_dir=tmp_path / "cache")
        lines = []
        settings = RunSettings(job_prefix="j", on_line=lambda line: lines.append(line.text))
        nodes = ["sales.orders", "sales.customers"]
        found = [
            item for item in execute_selection(project, nodes, runner(server), settings) if isinstance(item, Outcome)
        ]
    status = {outcome.node.id: outcome.status for outcome in found}
    assert status["sales.orders"] == "materialized"
    assert (status["sales.customers"] == "materialized") == (retries > 0)
    assert any("maxRetries 2" in text for text in lines) == (retries > 0)


def test_a_retry_follows_the_execution_of_its_step_and_reports_its_tables(server, scripted, tmp_path):
    """The first attempt reported one table and lost sight; the retry asks for the other one alone."""
    scripted.tables({"sales.orders": {"do": "load"}, "sales.customers": {"do": "load", "seconds": 0.3}})
    ledger = Ledger()
    whole = Command("load", ("--domains", "sales", "--tables", "orders,customers"), {"SL_JOB_ID": "j-1"}, job_id="j-1")
    runner(server, attempt=StepAttempt("run-1", "step", 0, execution_log=ledger)).start(whole)
    project = StarlakeProject(write_project(tmp_path / "project"), cache_dir=tmp_path / "cache")
    again = runner(server, attempt=StepAttempt("run-1", "step", 1, execution_log=ledger))
    found = [*execute_selection(project, ["sales.customers"], again, RunSettings(job_prefix="k"))]
    (outcome,) = [item for item in found if isinstance(item, Outcome)]
    assert (outcome.node.id, outcome.status, outcome.job_id) == ("sales.customers", "materialized", "j-1")
    assert len(server.executions) == 1
    assert not ledger.open


def test_an_execution_is_found_among_many_newer_ones(server):
    one = runner(server)
    submission = Submission(LOAD, "job-1")
    execution = one.environment.submit(submission)
    newer = run_v2.Execution(name="newer", job=server.executions[execution].job)
    server.executions |= {f"newer-{number}": newer for number in range(250)}
    assert one.environment.find(submission) == execution
    assert one.environment.find(Submission(LOAD, "job-2")) is None


def test_the_reads_of_a_process_are_limited():
    moment = [0.0]
    quota = ReadQuota(2, lambda: moment[0])
    quota.take()
    quota.take()
    with pytest.raises(ReadQuotaError, match="2 times in a minute"):
        quota.take()
    moment[0] = 61
    quota.take()
