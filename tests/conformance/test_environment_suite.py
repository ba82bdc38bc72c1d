"""The suite that the package offers for environments of others: it rejects every broken one."""

import os
from pathlib import Path
from typing import Any

import pytest

from starlake_dagster_assets.conformance import EnvironmentConformance, ScriptedProgram, case
from starlake_dagster_assets.environments import Environment, ErrorClass, Line, Status
from tests.conformance.subject_extending import Faulty
from tests.environments.example import loaded


def batch(program: ScriptedProgram, directory: Path) -> Any:
    return loaded().BatchEnvironment(directory / "jobs", str(program.path), {"SL_LOG_LEVEL": "info"})


class TestExampleOfThePage(EnvironmentConformance):
    """The environment of docs/extending.md."""

    def open_environment(self, program: ScriptedProgram, directory: Path) -> Any:
        return Faulty(batch(program, directory), {})

    def faults(self, environment: Any) -> Any:
        failures = environment._faults

        def fail(name: str, error: Exception, times: int, *, after: bool = False) -> None:
            failures[name] = [(error, after)] * times

        return {
            "throttled": lambda: fail("submit", BlockingIOError("busy"), 2),
            "lost_answer": lambda: fail("submit", TimeoutError("no answer"), 1, after=True),
            "outage": lambda: fail("status", BlockingIOError("busy"), 3),
            "endless_outage": lambda: fail("status", BlockingIOError("busy"), 10_000),
        }


class Broken:
    """The environment of the page, of which one call is wrong."""

    def __init__(self, program: ScriptedProgram, directory: Path, wrong: str) -> None:
        self._wrong, self._submissions = wrong, 0
        self._environment: Any = batch(program, directory)

    def __getattr__(self, name: str) -> Any:
        wrong = getattr(type(self), f"_{self._wrong}", None) if self._wrong.startswith(f"{name}_") else None
        return wrong.__get__(self) if wrong is not None else getattr(self._environment, name)

    def _submit_without_id(self, submission: Any) -> Any:
        self._environment.submit(submission)

    def _submit_twice(self, submission: Any) -> str:
        self._submissions += 1
        other = type(submission)(submission.command, f"{submission.key}-{os.getpid()}-{self._submissions}")
        return self._environment.submit(other)

    def _submit_unconfirmed(self, submission: Any) -> str:
        return self._environment.submit(type(submission)(submission.command, submission.key))

    def _status_always_succeeded(self, execution: str) -> Status:
        return Status("succeeded", 0)

    def _status_without_exit_code(self, execution: str) -> Status:
        found = self._environment.status(execution)
        return Status("succeeded", 0) if found.over else found

    def _status_in_other_words(self, execution: str) -> Any:
        found = self._environment.status(execution)
        return Status("COMPLETED", 0) if found.over else found  # type: ignore[arg-type]

    def _logs_from_the_beginning(self, execution: str, cursor: Any) -> Any:
        return self._environment.logs(execution, None)

    def _logs_in_pieces(self, execution: str, cursor: Any) -> Any:
        lines, after = self._environment.logs(execution, cursor)
        return [Line(part) for line in lines for part in (line.text[:20], line.text[20:])], after

    def _logs_without_end(self, execution: str, cursor: Any) -> Any:
        lines, after = self._environment.logs(execution, cursor)
        return [line for line in lines if "Main: Succ" not in line.text and "failed to exec" not in line.text], after

    def _find_nothing(self, submission: Any) -> None:
        return None

    def _cancel_nothing(self, execution: str) -> None:
        return None

    def _classify_error_of_none(self, error: Exception) -> ErrorClass | None:
        return None


TESTS = [name for name in vars(EnvironmentConformance) if name.startswith("test_")]
BROKEN = {
    "submit_without_id": "test_states_are_those_of_the_protocol",
    "submit_twice": "test_idempotency",
    "submit_unconfirmed": "test_interrupted_before_it_is_submitted",
    "status_always_succeeded": "test_states_are_those_of_the_protocol",
    "status_without_exit_code": "test_failure",
    "status_in_other_words": "test_success",
    "logs_from_the_beginning": "test_each_line_once",
    "logs_in_pieces": "test_each_line_once",
    "logs_without_end": "test_success",
    "find_nothing": "test_find",
    "cancel_nothing": "test_cancel",
    "classify_error_of_none": "test_classified_errors",
}


@pytest.mark.parametrize("wrong", BROKEN)
def test_a_broken_environment_is_rejected(wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(case, "SECONDS", 1)

    class Suite(EnvironmentConformance):
        policy = type(EnvironmentConformance.policy)(poll=0.02, outage=0.5, grace=0.2, settle=0.2, cancelling=0.5)

        def open_environment(self, program: ScriptedProgram, directory: Path) -> Environment:
            return Broken(program, directory, wrong)

    with case.opened(Suite(), tmp_path) as opened, pytest.raises((Exception, pytest.fail.Exception)) as error:
        getattr(Suite(), BROKEN[wrong])(opened)
    assert "it did not happen" not in str(error.value)
    assert AWAITED.get(wrong, "") in str(error.value)


AWAITED = {
    "find_nothing": "waited 1 seconds for find to return 'job-1' for its key; it returns None",
    "cancel_nothing": "",
}
INERT = {
    "throttled": "the fault `throttled` had no effect: submit did not raise",
    "lost_answer": "the fault `lost_answer` had no effect: submit did not raise",
    "outage": "the fault `outage` had no effect: status did not raise",
    "endless_outage": "the fault `endless_outage` had no effect: status did not raise",
    "throtled": "unknown fault `throtled`; did you mean `throttled`?",
    "reboot": "unknown fault `reboot`. Known are throttled, lost_answer",
    "starts nothing": "waited 1 seconds for an execution of the submission whose answer is lost",
    "starts something": "the fault `throttled` started an execution",
    "none": "faults() returned NoneType; expected functions by name",
    "no function": "faults()['outage'] is str; expected a function",
}


@pytest.mark.parametrize("name", INERT)
def test_a_fault_without_effect_is_rejected(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(case, "SECONDS", 1)

    class Suite(EnvironmentConformance):
        def open_environment(self, program: ScriptedProgram, directory: Path) -> Any:
            return Faulty(batch(program, directory), {})

        def faults(self, environment: Any) -> Any:
            def fail(*, after: bool) -> None:
                environment._faults["submit"] = [(TimeoutError("no answer"), after)]

            special = {
                "none": None,
                "no function": {"outage": "status"},
                "starts nothing": {"lost_answer": lambda: fail(after=False)},
                "starts something": {"throttled": lambda: fail(after=True)},
            }
            return special.get(name, {name: lambda: None})

    known = {"starts nothing": "lost_answer", "starts something": "throttled"}.get(name, name)
    test = getattr(Suite(), f"test_{known}", Suite().test_faults)
    if name == "starts something":
        monkeypatch.setattr(ScriptedProgram, "runs", lambda self: [{"pid": 0}])
    with case.opened(Suite(), tmp_path) as opened, pytest.raises(pytest.fail.Exception) as error:
        monkeypatch.setattr(case.os, "kill", lambda *args: None)
        test(opened)
    assert INERT[name] in str(error.value)
