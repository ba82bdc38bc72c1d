"""A case of the conformance suite: an environment, the program that it starts, and the errors of its calls."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast, get_args

import pytest

from starlake_dagster_assets.conformance.stand_in_program import ScriptedProgram
from starlake_dagster_assets.environments import Command, Environment, Status, Submission
from starlake_dagster_assets.errors import closest_match
from starlake_dagster_assets.execution.backends.protocol import StepAttempt
from starlake_dagster_assets.execution.backends.remote.handle import RemoteHandle
from starlake_dagster_assets.execution.backends.remote.protocol import State
from starlake_dagster_assets.execution.backends.remote.runner import RemoteRunner

if TYPE_CHECKING:
    from starlake_dagster_assets.conformance.suite import EnvironmentConformance

__all__ = ["FAULTS", "Case", "opened"]

SECONDS = 30
"""Seconds within which an execution must do what is expected of it."""
FAULTS: Mapping[str, str] = MappingProxyType(
    {"throttled": "submit", "lost_answer": "submit", "outage": "status", "endless_outage": "status"}
)
"""The call that must fail, by name of the fault."""


class _Recorded:
    """An environment whose failed calls are noted."""

    def __init__(self, environment: Environment, note: Callable[[str, Exception], None]) -> None:
        self._environment, self._note = environment, note

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._environment, name)
        if name not in FAULTS.values():
            return found

        def call(*args: Any) -> Any:
            try:
                return found(*args)
            except Exception as error:
                self._note(name, error)
                raise

        return call


class Case:
    """A test case: an environment, and the program that it starts."""

    def __init__(self, suite: EnvironmentConformance, directory: Path) -> None:
        self._suite, self._directory = suite, directory
        self._fault = ""
        self._errors: dict[str, list[Exception]] = {}
        self.program = ScriptedProgram(directory / "program")
        self.environment = self.reopened()

    def reopened(self) -> Environment:
        """Returns a new object of the environment."""
        return self._suite.open_environment(self.program, self._directory)

    def command(self, job_id: str = "job-1") -> Command:
        """Returns a load of one table."""
        args = ("--domains", "sales", "--tables", "orders")
        return Command("load", args, {"SL_JOB_ID": job_id}, job_id=job_id)

    def submission(self, key: str = "job-1") -> Submission:
        """Returns the submission of that load."""
        return Submission(self.command(key), key, {"run_id": "run-1", "step": "step"})

    def start(self) -> RemoteHandle:
        """Starts the load as a step does."""
        runner = RemoteRunner(self._recorded, StepAttempt("run-1", "step"), self._suite.policy)
        return runner.start(self.command())

    def faults(self) -> Mapping[str, Callable[[], None]]:
        """Returns the faults of the subclass; fails the test if one is unknown."""
        found = cast("Mapping[str, Callable[[], None]] | None", self._suite.faults(self.environment))
        if not isinstance(found, Mapping):
            pytest.fail(f"faults() returned {type(found).__name__}; expected functions by name, such as `throttled`.")
        for name, function in found.items():
            if name not in FAULTS:
                close = closest_match(name, FAULTS)
                hint = f"; did you mean `{close}`?" if close else f". Known are {', '.join(FAULTS)}."
                pytest.fail(f"faults() has the unknown fault `{name}`{hint}")
            if not callable(function):
                pytest.fail(f"faults()[{name!r}] is {type(function).__name__}; expected a function without arguments.")
        return found

    def fail(self, fault: str) -> None:
        """Lets the next calls fail; skips the test if the subclass cannot."""
        faults = self.faults()
        if fault not in faults:
            pytest.skip(f"faults() has no `{fault}`")
        self._fault = fault
        faults[fault]()

    def require_effect(self) -> None:
        """Fails the test if the call that the fault is about has not failed."""
        call = FAULTS[self._fault]
        if not self._errors.get(call):
            pytest.fail(
                f"the fault `{self._fault}` had no effect: {call} did not raise. Next: let the next call of {call} "
                "raise the error that the service's client raises then."
            )

    def probe(self, execution: str) -> None:
        """Calls `status` once; fails the test if the fault has no effect on it."""
        with suppress(Exception):
            self._recorded.status(execution)
        self.require_effect()

    def ended(self, *executions: str) -> Status:
        """Returns the status of executions that have ended."""
        for execution in executions:
            self.until(
                lambda one=execution: self.environment.status(one).over,
                lambda one=execution: f"status of {one!r} to be final; it is {self.environment.status(one)}",
            )
        status = self.environment.status(executions[-1])
        assert status.state in get_args(State), f"status returned the unknown state {status.state!r}"
        return status

    def until(self, condition: Callable[[], bool], awaited: str | Callable[[], str]) -> None:
        """Waits for a condition.

        Args:
            condition: The condition.
            awaited: What is awaited, for the message.
        """
        end = time.monotonic() + SECONDS
        while not condition():
            if time.monotonic() >= end:
                text = awaited if isinstance(awaited, str) else awaited()
                pytest.fail(f"waited {SECONDS} seconds for {text}")
            time.sleep(self._suite.policy.poll / 5)

    @property
    def _recorded(self) -> Environment:
        return cast("Any", _Recorded(self.environment, self._note))

    def _note(self, call: str, error: Exception) -> None:
        self._errors.setdefault(call, []).append(error)
        if self._fault == "throttled" and self.program.runs():
            pytest.fail("the fault `throttled` started an execution; submit must fail before it starts anything.")
        if self._fault == "lost_answer" and call == "submit":
            awaited = "an execution of the submission whose answer is lost: `lost_answer` must start one, and then fail"
            self.until(lambda: bool(self.program.runs()), awaited)


@contextmanager
def opened(suite: EnvironmentConformance, directory: Path) -> Generator[Case]:
    """Opens a case; ends all processes of its program at its end."""
    case = Case(suite, directory)
    try:
        yield case
    finally:
        case.program.proceed()
        for run in case.program.runs():
            with suppress(OSError):
                os.kill(int(run["pid"]), 9)
