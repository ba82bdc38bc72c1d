"""Answers of the API server that go wrong, each on each call: one Job, one execution, and the result of the program."""

from dataclasses import replace

import pytest

from starlake_dagster_assets.commands.model import Command
from starlake_dagster_assets.execution.backends.protocol import StepAttempt
from starlake_dagster_assets.execution.backends.remote.protocol import Policy
from starlake_dagster_assets.execution.backends.remote.runner import RemoteRunner

FAST = Policy(
    poll=0.02, longest_poll=0.05, starting=20, outage=5, grace=0.3, longest_pause=0.02, settle=5, cancelling=20
)
LOAD = Command("load", ("--domains", "sales", "--tables", "orders"), {"SL_JOB_ID": "job-1"}, job_id="job-1")
FAULTS = {
    "conflict": {"code": 409, "reason": "Conflict", "message": "the object has been modified"},
    "expired": {"code": 410, "reason": "Expired", "message": "too old resource version"},
    "throttled": {"code": 429, "message": "too many requests"},
    "internal": {"code": 500, "message": "etcdserver: request timed out"},
    "proxy": {"code": 502, "plain": True},
    "unavailable": {"code": 503, "message": "the server is currently unable to handle the request"},
    "cut": {"code": 0},
    "answer lost": {"code": 0, "after": True},
    "token expired": {"code": 401, "message": "Unauthorized"},
}
CALLS = ("CreateJob", "GetJob", "ListPods", "ListEvents", "GetLog")


def start(environment, policy=FAST):
    return RemoteRunner(environment, StepAttempt("run-1", "sales"), policy).start(LOAD)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_result_is_that_of_the_program(server, scripted, environment, fault):
    scripted.tables({"sales.orders": {"do": "load", "seconds": 0.2}})
    for call in CALLS:
        server.fail(call, times=2, **FAULTS[fault])
    handle = start(environment())
    lines = [line.text for line in handle.lines()]
    assert (handle.wait().exit_code, handle.log_problem) == (0, "")
    assert (len(server.jobs), len(server.pods), len(scripted.calls())) == (1, 1, 1)
    assert sum("Ingest resolved" in line for line in lines) == 1
    assert sum("Main: Successfully" in line for line in lines) == 1


@pytest.mark.parametrize("fault", ["expired", "throttled", "internal", "answer lost"])
@pytest.mark.parametrize("how", ["evicted", "node_lost", "drained", "oom"])
def test_what_ends_a_pod_is_no_success_whatever_the_answers_are(server, scripted, environment, how, fault):
    scripted.tables({"sales.orders": {"do": "hang"}})
    handle = start(environment(), replace(FAST, settle=0.2))
    next(line for line in handle.lines() if "Ingest resolved" in line.text)
    for call in CALLS[1:]:
        server.fail(call, times=3, **FAULTS[fault])
    server.disrupt(server.only_pod, how)
    assert handle.wait().exit_code != 0
    assert (len(server.jobs), len(scripted.calls())) == (1, 1)
