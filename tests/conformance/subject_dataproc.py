"""Dataproc in its three forms, by the real client against a local service."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from starlake_dagster_assets.execution.backends.protocol import Runner, StepAttempt
from starlake_dagster_assets.execution.backends.remote.dataproc import DataprocBatches, DataprocJobs, SparkProgram
from starlake_dagster_assets.execution.backends.remote.dataproc_cluster import (
    ClusterPlan,
    ClusterService,
    EphemeralClusters,
)
from starlake_dagster_assets.execution.backends.remote.driver_output import DriverOutput
from starlake_dagster_assets.execution.backends.remote.runner import RemoteRunner
from tests.conformance.subject import ScriptedRunning, Subject
from tests.conformance.subject_remote import policy
from tests.fakes.dataproc import FakeDataproc

__all__ = ["SUBJECTS"]

Make = Callable[[ClusterService, SparkProgram, DriverOutput, StepAttempt], Any]


def opened(make: Make, submitting: str, looking: str) -> Callable[[Path, pytest.MonkeyPatch], Any]:
    @contextmanager
    def open_(work: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedRunning]:
        def runner(attempt: StepAttempt, timeout: float | None) -> Runner:
            service = ClusterService("p", "europe-west1", endpoint=server.endpoint, local=True)
            program = SparkProgram(("gs://b/starlake.jar",), env={"SL_LOG_LEVEL": "info"})
            output = DriverOutput("p", endpoint=server.gcs.url)
            return RemoteRunner(make(service, program, output, attempt), attempt, policy(timeout))

        code = grpc.StatusCode
        running = ScriptedRunning(
            work,
            runner,
            outage=lambda: server.fail(looking, code.UNAVAILABLE, times=3),
            endless_outage=lambda: server.fail(looking, code.UNAVAILABLE, times=10_000),
            lost_answer=lambda: server.fail(submitting, code.UNAVAILABLE, after=True),
            throttled=lambda: server.fail(submitting, code.RESOURCE_EXHAUSTED, times=2),
            recovery=lambda: server.faults.clear(),  # noqa: PLW0108 - there is no server yet
        )
        environ = {**running.scripted.environ, "SL_LOG_LEVEL": "info"}
        with FakeDataproc([str(running.scripted.path)], environ) as server:
            yield running

    return open_


def jobs(service: ClusterService, program: SparkProgram, output: DriverOutput, attempt: StepAttempt) -> DataprocJobs:
    made = EphemeralClusters(service, ClusterPlan(), attempt.run_id, poll=0.01)
    return DataprocJobs(service, program, output, made)


def batches(
    service: ClusterService, program: SparkProgram, output: DriverOutput, attempt: StepAttempt
) -> DataprocBatches:
    return DataprocBatches(service, program, output)


SUBJECTS = [
    Subject("dataproc", opened(jobs, "SubmitJob", "GetJob"), remote=True),
    Subject("dataproc_serverless", opened(batches, "CreateBatch", "GetBatch"), remote=True),
]
