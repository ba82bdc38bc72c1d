"""The environment of docs/extending.md: a copy of this file is the start of the tests of another one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from starlake_dagster_assets.execution.backends.protocol import Runner, StepAttempt
from starlake_dagster_assets.execution.backends.remote.runner import RemoteRunner
from tests.conformance.subject import ScriptedRunning, Subject
from tests.conformance.subject_remote import policy
from tests.environments.example import loaded

__all__ = ["SUBJECTS"]


class Faulty:
    """An environment of which some calls fail: before they are made, or after (`after`)."""

    def __init__(self, environment: Any, faults: dict[str, list[tuple[Exception, bool]]]) -> None:
        self._environment = environment
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._environment, name)
        if not self._faults.get(name):
            return found

        def call(*args: Any) -> Any:
            error, after = self._faults[name].pop(0)
            if after:
                found(*args)
            raise error

        return call


@contextmanager
def batch(work: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedRunning]:
    faults: dict[str, list[tuple[Exception, bool]]] = {}

    def fail(name: str, error: Exception, times: int = 1, *, after: bool = False) -> None:
        faults[name] = [(error, after)] * times

    def make(attempt: StepAttempt, timeout: float | None) -> Runner:
        variables = {**running.scripted.environ, "SL_LOG_LEVEL": "info"}
        environment = loaded().BatchEnvironment(work / "batch", str(running.scripted.path), variables)
        faulty: Any = Faulty(environment, faults)
        return RemoteRunner(faulty, attempt, policy(timeout))

    running = ScriptedRunning(
        work,
        make,
        outage=lambda: fail("status", BlockingIOError("busy"), 3),
        endless_outage=lambda: fail("status", BlockingIOError("busy"), 10_000),
        lost_answer=lambda: fail("submit", TimeoutError("no answer"), after=True),
        throttled=lambda: fail("submit", BlockingIOError("busy"), 2),
        recovery=faults.clear,
    )
    yield running


SUBJECTS = [Subject("extending", batch, remote=True)]
