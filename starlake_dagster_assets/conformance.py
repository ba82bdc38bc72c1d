"""Conformance suite of execution environments: `class TestMine(EnvironmentConformance)` in a test module of yours.

The suite starts a stand-in for the Starlake program in your environment, and reads what the environment reports of it.
See the page *Add an environment* of the documentation (`docs/extending.md`).
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import pytest

from starlake_dagster_assets.environments import Command, Environment, ErrorClass, Line, Policy, Status, Submission
from starlake_dagster_assets.errors import UnreachableError
from starlake_dagster_assets.execution.backends.protocol import StepAttempt
from starlake_dagster_assets.execution.backends.remote.handle import RemoteHandle
from starlake_dagster_assets.execution.backends.remote.protocol import State
from starlake_dagster_assets.execution.backends.remote.runner import RemoteRunner

__all__ = ["EnvironmentConformance", "ScriptedProgram"]

_SECONDS = 30
"""Seconds within which an execution must do what is expected of it."""
_LINES = [f"26/01/01 00:00:00 INFO Main: line {number} é" for number in range(200)]
_PROGRAM = """
import json, os, pathlib, sys, time
here = pathlib.Path(__file__).parent
behaviour = (here / "behaviour").read_text()
names = ("SL_JOB_ID", "SL_LOG_LEVEL", "SL_ROOT")
run = {"pid": os.getpid(), "argv": sys.argv[1:], "env": {n: os.environ[n] for n in names if n in os.environ}}
with open(here / "runs", "a") as runs:
    runs.write(json.dumps(run) + "\\n")
out = open(1, "w", encoding="utf-8", buffering=1)
at = "26/01/01 00:00:00 "
files = "files: [/p/orders.csv], domain: sales, schema: orders, input: 3, accepted: 3, rejected:0"
out.write(at + "INFO IngestionWorkflow: Ingest resolved file : orders.csv as table sales.orders\\n")
if behaviour == "hang":
    time.sleep(600)
while behaviour == "wait" and not (here / "go").exists():
    time.sleep(0.01)
if behaviour == "lines":
    out.write("".join(json.loads((here / "lines").read_text())))
if behaviour == "failure":
    out.write(at + "ERROR IngestionWorkflow: orders.csv is not readable\\n")
    out.write(at + "ERROR IngestionWorkflow: Some tables failed to be loaded\\n")
    out.write("Starlake failed to execute command with args " + " ".join(sys.argv[1:]) + "\\n")
    sys.exit(1)
out.write(at + "INFO IngestionAudit$: ingestion-summary -> " + files + "\\n")
out.write(at + "INFO IngestionWorkflow: All tables loaded successfully\\n")
out.write(at + "INFO Main: Successfully " + " ".join(sys.argv[1:]) + "\\n")
"""


@dataclass(frozen=True)
class ScriptedProgram:
    """Stand-in for the Starlake program, which your environment must start.

    Attributes:
        directory: Directory of its files, which its executions must be able to read and write.
    """

    directory: Path

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "program.py").write_text(_PROGRAM, encoding="utf-8")
        (self.directory / "lines").write_text(json.dumps([f"{line}\n" for line in _LINES]), encoding="utf-8")
        argv = shlex.join([sys.executable, "-I", "-S", str(self.directory / "program.py")])
        self.path.write_text(f'#!/bin/sh\n{argv} "$@"\nexit $?\n', encoding="utf-8")  # as Starlake's own launcher
        self.path.chmod(0o755)
        self.behave("success")

    @property
    def path(self) -> Path:
        """The executable."""
        return self.directory / "starlake"

    def behave(self, behaviour: Literal["success", "failure", "hang", "wait", "lines"]) -> None:
        """Sets what the next executions do; `wait` ends after `proceed`."""
        (self.directory / "behaviour").write_text(behaviour)

    def proceed(self) -> None:
        """Lets executions end that wait."""
        (self.directory / "go").touch()

    def runs(self) -> Sequence[Mapping[str, Any]]:
        """Returns `argv`, `env` and `pid` of each execution that was started."""
        path = self.directory / "runs"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def is_running(self) -> bool:
        """Whether an execution still runs."""
        return any(_is_alive(int(run["pid"])) for run in self.runs())


class EnvironmentConformance:
    """Tests of one `Environment`; a subclass must define `open_environment`.

    Each test opens a new environment with its own directory.
    """

    policy: Policy = Policy(
        poll=0.05, longest_poll=0.1, starting=20, outage=3, grace=0.5, longest_pause=0.05, settle=2, cancelling=20
    )
    """Times of the loop: raise them if your service answers slowly."""

    def open_environment(self, program: ScriptedProgram, directory: Path) -> Environment:
        """Returns a new object of the environment, which starts `program.path`.

        A second call with the same arguments must return an object of the same service: it has the executions of the
        first one.

        Args:
            program: The program.
            directory: Directory for files of the test.
        """
        raise NotImplementedError("Define open_environment(self, program, directory) in your subclass.")

    def faults(self, environment: Environment) -> Mapping[str, Callable[[], None]]:
        """Returns functions that let the next calls fail; tests of faults that are not named are skipped.

        The names are `throttled` (`submit` fails twice, and starts nothing), `lost_answer` (`submit` starts an
        execution, and fails), `outage` (`status` fails three times) and `endless_outage` (`status` fails from now on).
        """
        return {}

    # ------------------------------------------------------------------------------------------------ results

    def test_success(self, conformance: _Case) -> None:
        """Tests that a program that ends with 0 has succeeded, and its whole log was read."""
        handle = conformance.start()
        lines = [line.text for line in handle.lines()]
        assert handle.wait().exit_code == 0
        assert any("INFO Main: Successfully load" in line for line in lines), lines
        assert handle.log_problem == "", "the end marker of the log was not read"

    def test_failure(self, conformance: _Case) -> None:
        """Tests that a program that ends with 1 has failed, with its exit code and its lines."""
        conformance.program.behave("failure")
        handle = conformance.start()
        lines = [line.text for line in handle.lines()]
        assert handle.wait().exit_code == 1
        assert any("orders.csv is not readable" in line for line in lines), lines

    def test_command_and_variables(self, conformance: _Case) -> None:
        """Tests that the program gets the arguments of the command, its variables and the log level."""
        assert conformance.start().wait().exit_code == 0
        (run,) = conformance.program.runs()
        assert tuple(run["argv"]) == conformance.command().argv
        assert run["env"]["SL_JOB_ID"] == "job-1", "submission.command.env must reach the program"
        assert run["env"].get("SL_LOG_LEVEL") == "info", "self.variables(project) must reach the program"

    def test_states_are_those_of_the_protocol(self, conformance: _Case) -> None:
        """Tests that an execution is pending or running while its program runs, and an unknown id is lost."""
        conformance.program.behave("wait")
        environment = conformance.environment
        execution = environment.submit(conformance.submission())
        assert isinstance(execution, str) and execution, "submit must return the id of the execution"
        conformance.until(conformance.program.is_running)
        assert environment.status(execution).state in ("pending", "running")
        conformance.program.proceed()
        status = conformance.ended(execution)
        assert (status.state, status.exit_code) == ("succeeded", 0)
        assert environment.status(execution) == status, "a state that is final must stay"

    # ---------------------------------------------------------------------------------------------------- log

    def test_each_line_once(self, conformance: _Case) -> None:
        """Tests that lines are whole, in order, and read once, from any cursor."""
        conformance.program.behave("lines")
        environment = conformance.environment
        execution = environment.submit(conformance.submission())
        found: list[Line] = []
        cursor: str | None = None

        def complete() -> bool:
            nonlocal cursor
            over = environment.status(execution).over
            lines, cursor = environment.logs(execution, cursor)
            found.extend(lines)
            return over and not lines and any("Main: Successfully" in line.text for line in found)

        conformance.until(complete)
        texts = [line.text for line in found]
        assert [text for text in texts if "INFO Main: line" in text] == _LINES
        assert [line.text for line in environment.logs(execution, None)[0]] == texts, "cursor None is the beginning"

    # ---------------------------------------------------------------------------------------------- one execution

    def test_find(self, conformance: _Case) -> None:
        """Tests that `find` returns the execution of a key, while it runs and afterwards, and None for another key."""
        environment, submission = conformance.environment, conformance.submission()
        assert environment.find(submission) is None
        execution = environment.submit(submission)
        conformance.until(lambda: environment.find(submission) == execution)
        conformance.ended(execution)
        assert environment.find(submission) == execution, "find must return finished executions too"
        assert environment.find(conformance.submission("job-2")) is None

    def test_idempotency(self, conformance: _Case) -> None:
        """Tests that the same key is submitted once, if the environment is idempotent."""
        environment = conformance.environment
        if not getattr(environment, "is_idempotent", False):
            pytest.skip("the environment is not idempotent: the loop calls `find` instead")
        executions = {environment.submit(conformance.submission()) for _ in range(2)}
        assert len(executions) == 1
        conformance.ended(*executions)
        assert len(conformance.program.runs()) == 1

    def test_interrupted_before_it_is_submitted(self, conformance: _Case) -> None:
        """Tests that `submit` calls `submission.confirm()` before it starts anything."""
        submission = Submission(conformance.command(), "job-1", wanted=lambda: False)
        with pytest.raises(Exception, match="interrupted before it was submitted"):
            conformance.environment.submit(submission)
        assert not conformance.program.runs()

    def test_another_process_takes_over(self, conformance: _Case) -> None:
        """Tests that a new object of the environment finds and follows an execution to its end."""
        conformance.program.behave("wait")
        execution = conformance.environment.submit(conformance.submission())
        other = conformance.reopened()
        conformance.until(lambda: other.find(conformance.submission()) == execution)
        conformance.program.proceed()
        handle = RemoteRunner(other, StepAttempt("run-1", "step", 1), self.policy).start(conformance.command())
        assert handle.wait().exit_code == 0
        assert len(conformance.program.runs()) == (1 if getattr(other, "is_idempotent", False) else 2)

    # ------------------------------------------------------------------------------------------------ cancelling

    def test_cancel(self, conformance: _Case) -> None:
        """Tests that a cancelled execution ends with everything that it started, and is never a success."""
        conformance.program.behave("hang")
        handle = conformance.start()
        next(line for line in handle.lines() if "Ingest resolved" in line.text)
        handle.cancel()
        assert handle.wait().cancelled and handle.wait().exit_code is None
        conformance.until(lambda: not conformance.program.is_running())

    def test_cancel_of_what_has_ended(self, conformance: _Case) -> None:
        """Tests that cancelling an execution that has ended is no error, and changes nothing."""
        environment = conformance.environment
        execution = environment.submit(conformance.submission())
        status = conformance.ended(execution)
        environment.cancel(execution)
        assert environment.status(execution) == status

    # --------------------------------------------------------------------------------------------------- errors

    def test_classified_errors(self, conformance: _Case) -> None:
        """Tests that `classify_error` classifies every error, and never raises."""
        for error in (ValueError("x"), OSError("x"), TimeoutError("x"), KeyError("x")):
            error_class = conformance.environment.classify_error(error)
            assert isinstance(error_class, ErrorClass) and error_class.text
            assert error_class.kind in ("retry", "ambiguous", "denied", "fatal")
        conformance.environment.refresh()
        conformance.environment.close()
        conformance.environment.close()

    def test_throttled(self, conformance: _Case) -> None:
        """Tests that a throttled submission is repeated, and starts one execution."""
        conformance.fail("throttled")
        assert conformance.start().wait().exit_code == 0
        assert len(conformance.program.runs()) == 1

    def test_lost_answer(self, conformance: _Case) -> None:
        """Tests that a submission whose answer is lost starts one execution."""
        conformance.fail("lost_answer")
        assert conformance.start().wait().exit_code == 0
        assert len(conformance.program.runs()) == 1

    def test_outage(self, conformance: _Case) -> None:
        """Tests that an outage while the program runs changes no result."""
        handle = conformance.start()
        conformance.fail("outage")
        assert handle.wait().exit_code == 0

    def test_endless_outage(self, conformance: _Case) -> None:
        """Tests that an outage that does not end cancels nothing, and gives no result."""
        conformance.program.behave("wait")
        handle = conformance.start()
        conformance.until(conformance.program.is_running)
        conformance.fail("endless_outage")
        with pytest.raises(UnreachableError):
            handle.wait()
        assert conformance.program.is_running()

    @pytest.fixture(name="conformance")
    def _conformance(self, tmp_path: Path) -> Iterator[_Case]:
        with _opened(self, tmp_path) as case:
            yield case


class _Case:
    """A test case: an environment, and the program that it starts."""

    def __init__(self, suite: EnvironmentConformance, directory: Path) -> None:
        self._suite, self._directory = suite, directory
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
        return RemoteRunner(self.environment, StepAttempt("run-1", "step"), self._suite.policy).start(self.command())

    def fail(self, fault: str) -> None:
        """Lets the next calls fail; skips the test if the subclass cannot."""
        faults = self._suite.faults(self.environment)
        if fault not in faults:
            pytest.skip(f"faults() has no `{fault}`")
        faults[fault]()

    def ended(self, *executions: str) -> Status:
        """Returns the status of executions that have ended."""
        for execution in executions:
            self.until(lambda one=execution: self.environment.status(one).over)
        status = self.environment.status(executions[-1])
        assert status.state in get_args(State)
        return status

    def until(self, condition: Callable[[], bool]) -> None:
        """Waits for a condition."""
        end = time.monotonic() + _SECONDS
        while not condition():
            assert time.monotonic() < end, f"it did not happen within {_SECONDS} seconds"
            self.pause()

    def pause(self) -> None:
        """Pauses between two reads."""
        time.sleep(self._suite.policy.poll / 5)


@contextmanager
def _opened(suite: EnvironmentConformance, directory: Path) -> Generator[_Case]:
    case = _Case(suite, directory)
    try:
        yield case
    finally:
        case.program.proceed()
        for run in case.program.runs():
            with suppress(OSError):
                os.kill(int(run["pid"]), 9)


def _is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False
