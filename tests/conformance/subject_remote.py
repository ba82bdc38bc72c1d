"""Fargate and Cloud Run, each by its real client against a local service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from starlake_dagster_assets.execution.backends.protocol import Runner, StepAttempt
from starlake_dagster_assets.execution.backends.remote.cloud_run import CloudRunEnvironment
from starlake_dagster_assets.execution.backends.remote.fargate import FargateEnvironment
from starlake_dagster_assets.execution.backends.remote.protocol import Policy
from starlake_dagster_assets.execution.backends.remote.runner import RemoteRunner
from tests.conformance.subject import ScriptedRunning, Subject
from tests.fakes.aws import FakeAws
from tests.fakes.cloud_run import FakeCloudRun

__all__ = ["SUBJECTS", "policy"]

_ENV = {"SL_LOG_LEVEL": "info"}


def policy(timeout: float | None) -> Policy:
    """Nothing is waited for longer than a test can bear."""
    return Policy(
        poll=0.02,
        longest_poll=0.05,
        timeout=timeout,
        starting=20,
        outage=3,
        grace=0.2,
        longest_pause=0.02,
        settle=0.4,
        cancelling=10,
    )


@contextmanager
def fargate(work: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedRunning]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(work / "none"))

    def make(attempt: StepAttempt, timeout: float | None) -> Runner:
        environment = FargateEnvironment("starlake", "starlake", ("subnet-1",), env=_ENV, endpoint_url=server.url)
        return RemoteRunner(environment, attempt, policy(timeout))

    running = ScriptedRunning(
        work,
        make,
        outage=lambda: server.fail("DescribeTasks", "ServerException", status=503, times=3),
        endless_outage=lambda: server.fail("DescribeTasks", "ServerException", status=503, times=10_000),
        lost_answer=lambda: server.fail("RunTask", "ServerException", status=500, after=True),
        throttled=lambda: server.fail("RunTask", "ThrottlingException", times=2),
        recovery=lambda: server.faults.clear(),  # noqa: PLW0108 - there is no server yet
    )
    with FakeAws([str(running.scripted.path)], running.scripted.environ) as server:
        yield running


@contextmanager
def cloud_run(work: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedRunning]:
    def make(attempt: StepAttempt, timeout: float | None) -> Runner:
        environment = CloudRunEnvironment(
            "p", "starlake", env=_ENV, endpoint=server.endpoint, logging_endpoint=server.endpoint, local=True
        )
        return RemoteRunner(environment, attempt, policy(timeout))

    code = grpc.StatusCode
    running = ScriptedRunning(
        work,
        make,
        outage=lambda: server.fail("GetExecution", code.UNAVAILABLE, times=3),
        endless_outage=lambda: server.fail("GetExecution", code.UNAVAILABLE, times=10_000),
        lost_answer=lambda: server.fail("RunJob", code.UNAVAILABLE, after=True),
        throttled=lambda: server.fail("RunJob", code.RESOURCE_EXHAUSTED, times=2, text="Quota exceeded"),
        recovery=lambda: server.faults.clear(),  # noqa: PLW0108 - there is no server yet
    )
    with FakeCloudRun([str(running.scripted.path)], running.scripted.environ) as server:
        yield running


SUBJECTS = [Subject("fargate", fargate, remote=True), Subject("cloud_run", cloud_run, remote=True)]
