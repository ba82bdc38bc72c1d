"""A case of the conformance suite: an environment, the program that it starts, and the errors of its calls."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args

import pytest

from starlake_dagster_assets.conformance.other_interpreter import take_over
from starlake_dagster_assets.conformance.stand_in_program import ScriptedProgram
from starlake_dagster_assets.environments import Command, Environment, Line, Status, Submission
from starlake_dagster_assets.errors import closest_match
from starlake_dagster_assets.execution.backends.protocol import StepAttempt
from starlake_dagster_assets.execution.backends.remote.handle import RemoteHandle
from starlake_dagster_assets.execution.backends.remote.protocol import State
from starlake_dagster_assets.execution.backends.remote.runner import RemoteRunner

if TYPE_CHECKING:
    from starlake_dagster_assets.conformance.settings import ConformanceSettings

__all__ = [
    "FAULTS",
    "LABELS",
    "LONG_KEYS",
    "SUBMISSION_KEY",
    "VALUES",
    "VARIABLE",
    "Case",
    "alter_identifier",
    "open_case",
]

_T = TypeVar("_T")
SUBMISSION_KEY = "0f1e2d3c-load-sales-orders-a1b2c3d4"
"""Idempotency key of the first submission."""
LONG_KEYS = tuple(
    f"6f9619ff-8b86-d011-b42d-00c04fc964ff-load_sales__orders_of_all_shops_and_their_returns_by_region-0-{number}"
    for number in (1, 2)
)
"""Keys of the first two commands of a step: as long as those of long step names, with different last characters."""
VARIABLE = 'it\'s $HOME, "2 * 2" = é'
"""Value of a variable and of an option, which no shell may change."""
LABELS: Mapping[str, str] = MappingProxyType(
    {"run_id": "6f9619ff-8b86-d011-b42d-00c04fc964ff", "step": "sales__orders", "partition": "2026-01-01|Île [1]"}
)
"""Labels of submissions, with characters that services do not accept."""
VALUES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "empty argument": ("argument", ""),
        "empty variable": ("variable", ""),
        "line break in an argument": ("argument", "first\n\nlast\n"),
        "line break in a variable": ("variable", "first\n\nlast\n"),
        "reference in an argument": ("argument", "$(SL_JOB_ID) ${SL_JOB_ID} `id` %SL_JOB_ID%"),
        "reference in a variable": ("variable", "$(SL_JOB_ID) ${SL_JOB_ID} `id` %SL_JOB_ID%"),
    }
)
"""Kind and text of values that programs must get unchanged, by name."""
FAULTS: Mapping[str, str] = MappingProxyType(
    {"throttled": "submit", "lost_answer": "submit", "outage": "status", "endless_outage": "status"}
)
"""The call that must fail, by name of the fault."""
_EXITING = 0.2
"""Seconds for which a killed process may still be listed."""
_CALLS = ("submit", "find", "status", "logs", "cancel", "classify_error", "refresh", "close")
_SWAPPED = str.maketrans("0123456789abcdefABCDEF", "1032547698badcfeBADCFE")


class _Recorded:
    """An environment whose calls have a time limit and whose failed calls are recorded."""

    def __init__(self, environment: Environment, case: Case) -> None:
        self._environment, self._case = environment, case

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._environment, name)
        if name not in _CALLS:
            return found

        def call(*args: Any) -> Any:
            try:
                answer = self._case.within(lambda: found(*args), f"{name} to return; a call must not wait for the end")
            except Exception as error:
                self._case.note(name, error)
                raise
            if name == "submit":
                self._case.submitted.append(answer)
            return answer

        return call


class Case:
    """A test case: an environment, and the program that it starts."""

    def __init__(self, suite: ConformanceSettings, directory: Path) -> None:
        self._suite, self._directory = suite, directory
        self._fault = ""
        self.errors: dict[str, list[Exception]] = {}
        """Errors of failed calls, by the name of the call."""
        self.submitted: list[str] = []
        """Execution ids that `submit` returned."""
        self.program = ScriptedProgram(directory / "program")
        self._opened = suite.open_environment(self.program, directory)
        self.environment: Environment = cast("Any", _Recorded(self._opened, self))

    def reopened(self) -> Environment:
        """Returns a new object of the environment."""
        return cast("Any", _Recorded(self._suite.open_environment(self.program, self._directory), self))

    def command(self, job_id: str = SUBMISSION_KEY) -> Command:
        """Returns a load of one table whose arguments contain characters that a shell would interpret."""
        args = ("--domains", "sales", "--tables", "orders", "--options", f"note={VARIABLE.replace(',', ';')}")
        return Command("load", args, {"SL_JOB_ID": job_id, "SL_NOTE": VARIABLE}, job_id=job_id)

    def submission(self, key: str = SUBMISSION_KEY) -> Submission:
        """Returns the submission of the load that `command` returns."""
        return Submission(self.command(key), key, LABELS)

    def submission_with(self, name: str) -> Submission:
        """Returns the submission of a load that has one of `VALUES` as its last argument or as a variable."""
        kind, text = VALUES[name]
        command = self.command()
        if kind == "argument":
            command = replace(command, args=(*command.args, text))
        else:
            command = replace(command, env={**command.env, "SL_VALUE": text})
        return Submission(command, SUBMISSION_KEY, LABELS)

    def take_over(self) -> Mapping[str, Any]:
        """Finds, reads and cancels the execution of the submission in another interpreter."""
        return take_over(self._suite, self._directory, self.submission())

    def start(self, key: str = SUBMISSION_KEY) -> RemoteHandle:
        """Starts the load through a runner, as a step does."""
        return self.runner(self.environment).start(self.command(key))

    def runner(self, environment: Environment, number: int = 0) -> RemoteRunner:
        """Returns the runner of an attempt of the step."""
        attempt = StepAttempt(LABELS["run_id"], LABELS["step"], number, {"partition": LABELS["partition"]})
        return RemoteRunner(environment, attempt, self._suite.policy)

    def exit_code(self, handle: RemoteHandle) -> int | None:
        """Returns the exit code of an execution, once it has ended."""
        return self.within(lambda: handle.wait().exit_code, "the end of an execution", times=3)

    def lines(self, handle: RemoteHandle) -> Sequence[str]:
        """Returns the lines of an execution, once it has ended."""
        return self.within(lambda: [line.text for line in handle.lines()], "the end of the lines", times=3)

    def read_log(self, execution: str, cursor: str | None = None) -> Sequence[Line]:
        """Returns all lines after a cursor, with as many calls as needed."""
        found: list[Line] = []
        while True:
            lines, cursor = self.environment.logs(execution, cursor)
            if not lines:
                return found
            found.extend(lines)
            if len(found) > 100_000:
                pytest.fail("logs returned lines for every cursor; expected none after the last line.")

    def whole_log(self, execution: str) -> Sequence[str]:
        """Waits for the last line of an execution that has ended, and returns the text of all its lines."""
        found: list[str] = []

        def is_complete() -> bool:
            found[:] = [line.text for line in self.read_log(execution)]
            return any("Main: Successfully" in text for text in found)

        self.until(is_complete, lambda: f"logs to return the last line of the program; it returned {len(found)} lines")
        return found

    # ------------------------------------------------------------------------------------------------- faults

    def faults(self) -> Mapping[str, Callable[[], None]]:
        """Returns the faults of the subclass; fails the test if one is unknown."""
        found = cast("Mapping[str, Callable[[], None]] | None", self._suite.faults(self._opened))
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
        """Makes the next calls fail; skips the test if the subclass does not define the fault."""
        faults = self.faults()
        if fault not in faults:
            pytest.skip(f"faults() has no `{fault}`")
        self._fault = fault
        faults[fault]()

    def require_effect(self, *kinds: str) -> None:
        """Fails the test if the call of the fault has not failed, or if its error has an unexpected kind.

        Args:
            kinds: Kinds of `ErrorClass` that are correct for the error.
        """
        call = FAULTS[self._fault]
        if not self.errors.get(call):
            pytest.fail(
                f"the fault `{self._fault}` had no effect: {call} did not raise. Next: let the next call of {call} "
                "raise the error that the service's client raises then."
            )
        error = self.errors[call][0]
        found = self.environment.classify_error(error).kind
        assert found in kinds, f"classify_error returned {found} for {error!r} of `{self._fault}`; expected {kinds}"

    def probe(self, execution: str) -> None:
        """Calls `status` once; fails the test if the call of the fault has not failed."""
        with suppress(Exception):
            self.environment.status(execution)
        self.require_effect("retry", "ambiguous")

    def note(self, call: str, error: Exception) -> None:
        """Records the error of a call; fails the test if the fault has the wrong effect."""
        self.errors.setdefault(call, []).append(error)
        if self._fault == "throttled" and self.program.runs():
            pytest.fail("the fault `throttled` started an execution; submit must fail before it starts anything.")
        if self._fault == "lost_answer" and call == "submit":
            awaited = "an execution of the submission whose answer is lost: `lost_answer` must start one, and then fail"
            self.until(self._has_started, awaited)

    def _has_started(self) -> bool:
        """Whether the program was started by a submission whose answer is lost."""
        with suppress(Exception):  # emulations of a service may proceed with each call only
            execution = self.environment.find(self.submission())
            self.environment.status(execution or "")
        return bool(self.program.runs())

    # ------------------------------------------------------------------------------------------------ waiting

    def ended(self, *executions: str) -> Status:
        """Waits until executions have ended, and returns the status of the last one."""
        for execution in executions:
            self.until(
                lambda one=execution: self.environment.status(one).over,
                lambda one=execution: f"status of {one!r} to be final; it is {self.environment.status(one)}",
            )
        status = self.environment.status(executions[-1])
        assert status.state in get_args(State), f"status returned the unknown state {status.state!r}"
        return status

    def running(self, number: int = 1) -> None:
        """Waits until the programs of `number` submissions were started and at least one of them runs."""

        def is_running() -> bool:
            for execution in self.submitted:  # emulations of a service may proceed with each call only
                self.environment.status(execution)
            return len(self.program.runs()) >= number and self.program.is_running()

        self.until(is_running, lambda: f"submit to start the program; {len(self.program.runs())} of {number} started")

    def stopped(self) -> None:
        """Fails the test if the program still runs."""
        end = time.monotonic() + _EXITING
        while self.program.is_running():
            if time.monotonic() > end:
                pytest.fail("the state of the execution was final while its program still ran")
            time.sleep(0.01)

    def until(self, condition: Callable[[], bool], awaited: str | Callable[[], str]) -> None:
        """Waits for a condition.

        Args:
            condition: The condition.
            awaited: What is awaited, for the message.
        """
        end = time.monotonic() + self._suite.time_limit
        while not condition():
            if time.monotonic() >= end:
                text = awaited if isinstance(awaited, str) else awaited()
                pytest.fail(f"waited {self._suite.time_limit:g} seconds for {text}")
            time.sleep(self._suite.policy.poll / 5)

    def within(self, call: Callable[[], _T], awaited: str, times: int = 1) -> _T:
        """Returns the result of a call, or raises its error; fails the test if it takes too long.

        Args:
            call: The call, which is made in a thread.
            awaited: What is awaited, for the message.
            times: Factor of the time limit.
        """
        found: list[_T] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                found.append(call())
            except BaseException as error:
                errors.append(error)

        thread, seconds = Thread(target=run, daemon=True), times * self._suite.time_limit
        thread.start()
        thread.join(seconds)
        if thread.is_alive():
            pytest.fail(f"waited {seconds:g} seconds for {awaited}")
        if errors:
            raise errors[0]
        return found[0]


def alter_identifier(identifier: str) -> str:
    """Returns an identifier of the same form with different last characters."""
    at = [match.start() for match in re.finditer("[0-9a-fA-F]", identifier)][-8:]
    return "".join(char.translate(_SWAPPED) if number in at else char for number, char in enumerate(identifier))


@contextmanager
def open_case(suite: ConformanceSettings, directory: Path) -> Generator[Case]:
    """Opens a test case, and kills all processes of its program at the end."""
    case = Case(suite, directory)
    try:
        yield case
    finally:
        case.program.proceed()
        for run in case.program.runs():
            with suppress(OSError):
                os.kill(int(run["pid"]), 9)
