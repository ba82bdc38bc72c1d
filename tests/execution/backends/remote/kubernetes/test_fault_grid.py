"""Answers of the API server that go wrong, each on each call: one Job, one execution, and the result of the program."""

from dataclasses import replace

import pytest

from starlake_dagster_assets.commands.model import Command
from starlake_dagster_assets.execution.backends.protocol import StepAttempt
from starlake_dagster_assets.execution.backends.remote.calls import Calls, TimeSource
from starlake_dagster_assets.execution.backends.remote.protocol import Policy, Submission
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
    "proxy": {"code": 502, "message": "<html>bad gateway", "plain": True},
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


@pytest.mark.parametrize("fault", FAULTS)
def test_a_cancellation_deletes_the_job_whatever_the_answers_are(server, scripted, environment, fault):
    scripted.tables({"sales.orders": {"do": "hang"}})
    handle = start(environment())
    next(line for line in handle.lines() if "Ingest resolved" in line.text)
    server.fail("DeleteJob", times=2, **FAULTS[fault])
    handle.cancel()
    assert handle.wait().cancelled
    assert (server.jobs, server.pods, len(scripted.calls())) == ({}, {}, 1)


def test_a_node_that_answers_without_the_log_is_asked_again(server, scripted, environment):
    scripted.tables({"sales.orders": {"do": "load", "seconds": 0.1}})
    text = "unable to retrieve container logs for containerd://1\n"
    server.fail("GetLog", 200, text, times=3, plain=True)
    handle = start(environment())
    lines = [line.text for line in handle.lines()]
    assert (handle.wait().exit_code, handle.log_problem) == (0, "")
    assert sum("Ingest resolved" in line for line in lines) == 1
    assert not [line for line in lines if line.startswith(text[:10])]
    assert sum(f"the node does not give the log: {text.strip()}" in line for line in lines) == 1


def test_the_pause_that_the_server_asks_for(server, environment):
    """The client of urllib3 would sleep by itself; the driver does, and an interruption ends its pause."""
    one, pauses = environment(), []
    clock = TimeSource(pause=lambda _, seconds: bool(pauses.append(seconds)))
    policy = replace(FAST, longest_pause=20)
    server.fail("GetJob", 429, "too many requests", times=3, retry_after="7")
    server.fail("GetJob", 429, "too many requests", retry_after="60")
    server.fail("GetJob", 503, "no number of seconds", retry_after="Wed, 21 Oct 2026 07:28:00 GMT")
    assert Calls(one, policy, clock).read(lambda: one.find(Submission(LOAD, "job-1"))) is None
    assert [seconds >= 7 for seconds in pauses[:3]] == [True] * 3
    assert (pauses[3], len(pauses), server.count("GetJob")) == (20, 5, 6)
