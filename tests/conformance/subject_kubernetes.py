"""Kubernetes Jobs, by the real client against a local API server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from starlake_dagster_assets.execution.backends.protocol import Runner, StepAttempt
from starlake_dagster_assets.execution.backends.remote.kubernetes import KubernetesEnvironment
from starlake_dagster_assets.execution.backends.remote.kubernetes_job import JobTemplate
from starlake_dagster_assets.execution.backends.remote.runner import RemoteRunner
from tests.conformance.subject import ScriptedRunning, Subject
from tests.conformance.subject_remote import policy
from tests.fakes.kubernetes import FakeKubernetes

__all__ = ["SUBJECTS"]


@contextmanager
def kubernetes(work: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedRunning]:
    def make(attempt: StepAttempt, timeout: float | None) -> Runner:
        template = JobTemplate("starlake:1.6.0", env={"SL_LOG_LEVEL": "info"})
        environment = KubernetesEnvironment(template, kubeconfig_file=server.kubeconfig(work))
        return RemoteRunner(environment, attempt, policy(timeout))

    running = ScriptedRunning(
        work,
        make,
        outage=lambda: server.fail("GetJob", 503, times=3),
        endless_outage=lambda: server.fail("GetJob", 503, times=10_000),
        lost_answer=lambda: server.fail("CreateJob", 504, after=True),
        throttled=lambda: server.fail("CreateJob", 429, times=2),
        recovery=lambda: server.faults.clear(),  # noqa: PLW0108 - there is no server yet
    )
    with FakeKubernetes([str(running.scripted.path)], running.scripted.environ) as server:
        yield running


SUBJECTS = [Subject("kubernetes", kubernetes, remote=True)]
