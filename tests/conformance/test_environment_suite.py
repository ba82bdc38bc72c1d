"""The suite that the package offers for environments of others: it rejects every broken one."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from starlake_dagster_assets.conformance import EnvironmentConformance, ScriptedProgram, case
from starlake_dagster_assets.conformance.case import LONG_KEYS, SUBMISSION_KEY
from starlake_dagster_assets.environments import Environment, ErrorClass, Line, Status
from tests.conformance.subject_extending import Faulty
from tests.environments.example import loaded


def batch(program: ScriptedProgram, directory: Path) -> Any:
    return loaded().BatchEnvironment(directory / "jobs", str(program.path), {"SL_LOG_LEVEL": "info"})


class TestExampleOfThePage(EnvironmentConformance):
    """The environment of docs/extending.md."""

    inherits_variables = True

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


EXECUTIONS: dict[str, str] = {}
"""Executions of this interpreter, which another one does not know."""


def _sl(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in variables.items() if name.startswith("SL_")}


class Broken:
    """The environment of the page, of which one call is wrong."""

    strict = False
    """Whether it rejects empty variables, and line breaks in arguments."""

    def __init__(self, program: ScriptedProgram, directory: Path, wrong: str) -> None:
        self._wrong, self._submitted, self._cancelled = wrong, list[Any](), set[str]()
        self._read: dict[str, Any] = {}
        self._environment: Any = batch(program, directory)

    def __getattr__(self, name: str) -> Any:
        if self._wrong == "name_none" and name == "name":
            return None
        if self._wrong == "url_of_service" and name == "url":
            return "http://service"  # of its own, and no function
        wrong = getattr(type(self), f"_{self._wrong}", None) if self._wrong.startswith(f"{name}_") else None
        found = wrong.__get__(self) if wrong is not None else getattr(self._environment, name)
        return (lambda *args: self._noted(name, found, *args)) if name in ("submit", "cancel") else found

    def _noted(self, name: str, call: Any, *args: Any) -> Any:
        if name == "submit":
            if self.strict and ("" in args[0].command.env.values() or "\n" in "".join(args[0].command.args)):
                raise ValueError("values have one line, and are not empty")
            self._submitted.append(args[0].key)
            EXECUTIONS[args[0].key] = args[0].key
        else:
            self._cancelled.add(args[0])
        return call(*args)

    # ------------------------------------------------------------------------------------------------- submit

    def _submit_without_id(self, submission: Any) -> Any:
        self._environment.submit(submission)

    def _submit_twice(self, submission: Any) -> str:
        key = f"{submission.key}-{os.getpid()}-{len(self._submitted)}"
        return self._environment.submit(replace(submission, key=key))

    def _submit_again_after_the_end(self, submission: Any) -> str:
        found = self._environment.find(submission)
        if found and self._environment.status(found).over:
            return self._submit_twice(submission)
        return self._environment.submit(submission)

    def _submit_unconfirmed(self, submission: Any) -> str:
        return self._environment.submit(replace(submission, is_needed=lambda: True))

    def _submit_confirmed_late(self, submission: Any) -> str:
        found = self._submit_unconfirmed(submission)
        submission.confirm()
        return found

    def _submit_without_env(self, submission: Any) -> str:
        command = replace(submission.command, env={"SL_JOB_ID": submission.key})
        return self._environment.submit(replace(submission, command=command))

    def _submit_with(self, submission: Any, *, args: Any = None, env: Any = None) -> str:
        command = submission.command
        command = replace(command, args=tuple(args or command.args), env=command.env if env is None else env)
        return self._environment.submit(replace(submission, command=command))

    def _submit_without_empty_arguments(self, submission: Any) -> str:
        return self._submit_with(submission, args=[arg for arg in submission.command.args if arg])

    def _submit_without_empty_variables(self, submission: Any) -> str:
        return self._submit_with(submission, env={name: text for name, text in submission.command.env.items() if text})

    def _submit_with_arguments_of_one_line(self, submission: Any) -> str:
        return self._submit_with(submission, args=[" ".join(arg.split("\n")) for arg in submission.command.args])

    def _submit_with_stripped_arguments(self, submission: Any) -> str:
        return self._submit_with(submission, args=[arg.strip() for arg in submission.command.args])

    def _submit_with_variables_of_one_line(self, submission: Any) -> str:
        env = submission.command.env
        return self._submit_with(submission, env={name: text.partition("\n")[0] for name, text in env.items()})

    def _submit_with_expanded_arguments(self, submission: Any) -> str:
        args = [arg.replace("$(SL_JOB_ID)", submission.key) for arg in submission.command.args]
        return self._submit_with(submission, args=args)

    def _submit_with_variables_of_the_worker(self, submission: Any) -> str:
        return self._submit_with(submission, env={**submission.command.env, **_sl(os.environ)})

    def _submit_with_more_variables_of_the_worker(self, submission: Any) -> str:
        more = {name: text for name, text in _sl(os.environ).items() if name != "SL_LOG_LEVEL"}
        return self._submit_with(submission, env={**more, **submission.command.env})

    def _submit_with_joined_arguments(self, submission: Any) -> str:
        command = replace(submission.command, args=tuple(" ".join(submission.command.args).split()))
        return self._environment.submit(replace(submission, command=command))

    def _submit_with_a_short_key(self, submission: Any) -> str:
        return self._environment.submit(replace(submission, key=submission.key[:6]))

    def _submit_with_a_long_key(self, submission: Any) -> str:
        return self._environment.submit(replace(submission, key=submission.key[: len(SUBMISSION_KEY) - 2]))

    def _submit_and_wait(self, submission: Any) -> str:
        found = self._environment.submit(submission)
        while not self._environment.status(found).over:
            time.sleep(0.01)
        return found

    # ------------------------------------------------------------------------------------------------- status

    def _status_always_succeeded(self, execution: str) -> Status:
        return Status("succeeded", 0)

    def _status_never_final(self, execution: str) -> Status:
        return Status("running")

    def _status_always_pending_until_its_end(self, execution: str) -> Status:
        found = self._environment.status(execution)
        return found if found.over else Status("pending")

    def _status_that_waits(self, execution: str) -> Status:
        while not (found := self._environment.status(execution)).over:
            time.sleep(0.01)
        return found

    def _status_without_exit_code(self, execution: str) -> Status:
        found = self._environment.status(execution)
        return Status("succeeded", 0) if found.over else found

    def _status_failed_with_1(self, execution: str) -> Status:
        found = self._environment.status(execution)
        return Status("failed", 1) if found.state == "failed" else found

    def _status_failed_and_not_started(self, execution: str) -> Status:
        found = self._environment.status(execution)
        return replace(found, started=False) if found.state == "failed" else found

    def _status_with_an_exit_code_while_it_runs(self, execution: str) -> Status:
        found = self._environment.status(execution)
        return found if found.over else replace(found, exit_code=0)

    def _status_killed_and_succeeded(self, execution: str) -> Status:
        found = self._environment.status(execution)
        return Status("succeeded", 0) if (found.exit_code or 0) > 127 else found

    def _status_killed_and_cancelled(self, execution: str) -> Status:
        found = self._environment.status(execution)
        return Status("cancelled") if (found.exit_code or 0) > 127 else found

    def _status_vanished_and_succeeded(self, execution: str) -> Status:
        return self._unless_lost(execution, Status("succeeded", 0))

    def _status_vanished_and_running(self, execution: str) -> Status:
        return self._unless_lost(execution, Status("running"))

    def _status_vanished_with_exit_code(self, execution: str) -> Status:
        return self._unless_lost(execution, Status("failed", 0))

    def _status_in_other_words(self, execution: str) -> Any:
        found = self._environment.status(execution)
        return Status("COMPLETED", 0) if found.over else found  # type: ignore[arg-type]

    def _status_succeeded_after_a_cancellation(self, execution: str) -> Status:
        found = self._environment.status(execution)
        return Status("succeeded", 0) if found.state == "cancelled" else found

    def _status_failed_after_a_cancellation(self, execution: str) -> Status:
        found = self._environment.status(execution)
        return Status("failed", -15) if found.state == "cancelled" else found

    def _status_cancelled_too_early(self, execution: str) -> Status:
        return Status("cancelled") if execution in self._cancelled else self._environment.status(execution)

    def _status_cancelled_for_this_process_only(self, execution: str) -> Status:
        found = self._environment.status(execution)
        return Status("failed", 143) if found.state == "cancelled" and not self._cancelled else found

    def _status_of_unknown_succeeded(self, execution: str) -> Status:
        return self._unless_lost(execution, Status("succeeded", 0))

    def _status_of_unknown_failed(self, execution: str) -> Status:
        return self._unless_lost(execution, Status("failed", 1))

    def _status_of_unknown_pending(self, execution: str) -> Status:
        return self._unless_lost(execution, Status("pending"))

    def _status_of_unknown_cancelled(self, execution: str) -> Status:
        return self._unless_lost(execution, Status("cancelled"))

    def _unless_lost(self, execution: str, other: Status) -> Status:
        found = self._environment.status(execution)
        return other if found.state == "lost" else found

    def _status_of_the_last(self, execution: str) -> Status:
        return self._environment.status(self._submitted[-1])

    def _status_in_memory(self, execution: str) -> Status:
        return self._environment.status(execution) if execution in self._submitted else Status("lost")

    def _refresh_forgets(self) -> None:
        self._wrong = "status_of_unknown_pending"
        self._environment = replace(self._environment, directory=self._environment.directory / "other")

    # --------------------------------------------------------------------------------------------------- logs

    def _logs_from_the_beginning(self, execution: str, cursor: Any) -> Any:
        return self._environment.logs(execution, None)

    def _logs_in_pieces(self, execution: str, cursor: Any) -> Any:
        return self._changed_lines(execution, cursor, lambda text: [text[:20], text[20:]])

    def _logs_twice(self, execution: str, cursor: Any) -> Any:
        return self._changed_lines(execution, cursor, lambda text: [text, text])

    def _logs_stripped(self, execution: str, cursor: Any) -> Any:
        return self._changed_lines(execution, cursor, lambda text: [text.strip()])

    def _logs_shortened(self, execution: str, cursor: Any) -> Any:
        return self._changed_lines(execution, cursor, lambda text: [text[:1000]])

    def _logs_in_ascii(self, execution: str, cursor: Any) -> Any:
        return self._changed_lines(execution, cursor, lambda text: [text.encode("ascii", "replace").decode()])

    def _logs_without_stack_traces(self, execution: str, cursor: Any) -> Any:
        return self._changed_lines(execution, cursor, lambda text: [] if text.startswith(("java", "\t")) else [text])

    def _logs_without_repetition(self, execution: str, cursor: Any) -> Any:
        lines, after = self._environment.logs(execution, cursor)
        return list({line.text: line for line in lines}.values()), after

    def _logs_without_the_last_line(self, execution: str, cursor: Any) -> Any:
        lines, after = self._environment.logs(execution, cursor)
        return lines[:-1], after

    def _logs_without_the_middle_of_a_burst(self, execution: str, cursor: Any) -> Any:
        lines, after = self._environment.logs(execution, cursor)
        return (lines if len(lines) <= 500 else [*lines[:250], *lines[-250:]]), after

    def _logs_up_to_a_limit(self, execution: str, cursor: Any) -> Any:
        lines, after = self._environment.logs(execution, cursor)
        return lines[-1000:], after

    def _logs_in_utf8_only(self, execution: str, cursor: Any) -> Any:
        return self._changed_lines(execution, cursor, lambda text: [] if "\ufffd" in text else [text])

    def _logs_cut_at_a_wrong_byte(self, execution: str, cursor: Any) -> Any:
        return self._changed_lines(execution, cursor, lambda text: text.split("\ufffd")[:1])

    def _logs_with_wrong_bytes(self, execution: str, cursor: Any) -> Any:
        lines, after = self._environment.logs(execution, cursor)
        return [replace(line, raw=line.text.encode()) for line in lines], after

    def _logs_without_long_lines(self, execution: str, cursor: Any) -> Any:
        return self._changed_lines(execution, cursor, lambda text: [text] if len(text) <= 20_000 else [])

    def _logs_with_cut_lines(self, execution: str, cursor: Any) -> Any:
        return self._changed_lines(execution, cursor, lambda text: [text[:16_384]])

    def _logs_shortened_to_4000(self, execution: str, cursor: Any) -> Any:
        return self._changed_lines(execution, cursor, lambda text: [text[:4_000]])

    def _logs_with_splitlines(self, execution: str, cursor: Any) -> Any:
        return self._changed_lines(execution, cursor, str.splitlines)

    def _logs_of_finished_lines(self, execution: str, cursor: Any) -> Any:
        data = (self._environment.directory / execution / "log").read_bytes()[int(cursor or 0) :]
        whole = data[: data.rfind(b"\n") + 1]
        lines = whole.decode("utf-8", "replace").split("\n")[:-1]
        return [Line(text) for text in lines], str(int(cursor or 0) + len(whole))

    def _logs_backwards(self, execution: str, cursor: Any) -> Any:
        lines, after = self._environment.logs(execution, cursor)
        return lines[::-1], after

    def _logs_without_end(self, execution: str, cursor: Any) -> Any:
        lines, after = self._environment.logs(execution, cursor)
        return [line for line in lines if "Main: Succ" not in line.text and "failed to exec" not in line.text], after

    def _logs_after_the_end_only(self, execution: str, cursor: Any) -> Any:
        over = self._environment.status(execution).over
        return self._environment.logs(execution, cursor) if over else ([], cursor)

    def _logs_of_each_line_an_attempt(self, execution: str, cursor: Any) -> Any:
        lines, after = self._environment.logs(execution, cursor)
        return [replace(line, attempt=number) for number, line in enumerate(lines)], after

    def _logs_of_the_last(self, execution: str, cursor: Any) -> Any:
        return self._environment.logs(self._submitted[-1], cursor)

    def _logs_with_a_position_in_memory(self, execution: str, cursor: Any) -> Any:
        lines, self._read[execution] = self._environment.logs(execution, self._read.get(execution))
        return lines, "the same"

    def _logs_with_unfinished_lines(self, execution: str, cursor: Any) -> Any:
        data = (self._environment.directory / execution / "log").read_text()[int(cursor or 0) :]
        return [Line(text) for text in data.splitlines()], str(int(cursor or 0) + len(data))

    def _changed_lines(self, execution: str, cursor: Any, change: Callable[[str], list[str]]) -> Any:
        lines, after = self._environment.logs(execution, cursor)
        return [Line(part) for line in lines for part in change(line.text)], after

    # -------------------------------------------------------------------------------------------------- others

    def _find_nothing(self, submission: Any) -> None:
        return None

    def _find_the_last(self, submission: Any) -> str | None:
        return self._submitted[-1] if self._submitted else None

    def _find_by_prefix(self, submission: Any) -> str | None:
        known = sorted(path.name for path in self._environment.directory.glob("*"))
        return next((name for name in known if name.startswith(submission.key)), None)

    def _find_while_it_runs(self, submission: Any) -> str | None:
        found = self._environment.find(submission)
        return found if found and not self._environment.status(found).over else None

    def _find_in_memory(self, submission: Any) -> str | None:
        return submission.key if submission.key in self._submitted else None

    def _find_in_the_module(self, submission: Any) -> str | None:
        return EXECUTIONS.get(submission.key)

    def _cancel_nothing(self, execution: str) -> None:
        return None

    def _cancel_everything(self, execution: str) -> None:
        for path in self._environment.directory.glob("*"):
            self._environment.cancel(path.name)

    def _cancel_in_memory(self, execution: str) -> None:
        if execution in self._submitted:
            self._environment.cancel(execution)

    def _cancel_raises_for_unknown(self, execution: str) -> None:
        if self._environment.status(execution).over:
            raise LookupError(execution)
        self._environment.cancel(execution)

    def _cancel_marks_what_has_ended(self, execution: str) -> None:
        self._environment.cancel(execution)
        (self._environment.directory / execution / "cancelled").touch()

    def _classify_error_of_none(self, error: Exception) -> ErrorClass | None:
        return None

    def _classify_error_retry(self, error: Exception) -> ErrorClass:
        return ErrorClass("retry", "x")

    def _classify_error_ambiguous(self, error: Exception) -> ErrorClass:
        return ErrorClass("ambiguous", "x")

    def _classify_error_denied(self, error: Exception) -> ErrorClass:
        return ErrorClass("denied", "x")

    def _url_none(self, execution: str) -> None:
        return None


TESTS = [name for name in vars(EnvironmentConformance) if name.startswith("test_")]
BROKEN: dict[str, tuple[Any, ...]] = {
    "name_none": ("test_attributes",),
    "url_none": ("test_attributes",),
    "url_of_service": ("test_attributes",),
    "submit_without_id": ("test_states_are_those_of_the_protocol",),
    "submit_twice": ("test_idempotency",),
    "submit_again_after_the_end": ("test_idempotency",),
    "submit_unconfirmed": ("test_interrupted_before_it_is_submitted",),
    "submit_confirmed_late": ("test_interrupted_before_it_is_submitted",),
    "submit_without_env": ("test_command_and_variables",),
    "submit_with_joined_arguments": ("test_command_and_variables",),
    "submit_with_a_short_key": ("test_executions_are_separate",),
    "submit_with_a_long_key": ("test_executions_are_separate",),
    "submit_and_wait": ("test_states_are_those_of_the_protocol",),
    "submit_without_empty_arguments": ("test_special_values", "empty argument"),
    "submit_without_empty_variables": ("test_special_values", "empty variable"),
    "submit_with_arguments_of_one_line": ("test_special_values", "line break in an argument"),
    "submit_with_stripped_arguments": ("test_special_values", "line break in an argument"),
    "submit_with_variables_of_one_line": ("test_special_values", "line break in a variable"),
    "submit_with_expanded_arguments": ("test_special_values", "reference in an argument"),
    "submit_with_variables_of_the_worker": ("test_variables_of_the_worker",),
    "submit_with_more_variables_of_the_worker": ("test_variables_of_the_worker",),
    "status_killed_and_succeeded": ("test_killed", "the program"),
    "status_killed_and_cancelled": ("test_killed", "the program"),
    "status_vanished_and_succeeded": ("test_killed", "all processes"),
    "status_vanished_and_running": ("test_killed", "all processes"),
    "status_vanished_with_exit_code": ("test_killed", "all processes"),
    "status_always_succeeded": ("test_states_are_those_of_the_protocol",),
    "status_never_final": ("test_success",),
    "status_always_pending_until_its_end": ("test_states_are_those_of_the_protocol",),
    "status_that_waits": ("test_states_are_those_of_the_protocol",),
    "status_without_exit_code": ("test_failure", 1),
    "status_failed_with_1": ("test_failure", 3),
    "status_failed_and_not_started": ("test_failure", 1),
    "status_with_an_exit_code_while_it_runs": ("test_states_are_those_of_the_protocol",),
    "status_in_other_words": ("test_success",),
    "status_succeeded_after_a_cancellation": ("test_state_after_a_cancellation", "the same process"),
    "status_failed_after_a_cancellation": ("test_state_after_a_cancellation", "the same process"),
    "status_cancelled_too_early": ("test_state_after_a_cancellation", "the same process"),
    "status_cancelled_for_this_process_only": ("test_state_after_a_cancellation", "the same process"),
    "status_of_unknown_succeeded": ("test_unknown_execution",),
    "status_of_unknown_failed": ("test_unknown_execution",),
    "status_of_unknown_pending": ("test_unknown_execution",),
    "status_of_unknown_cancelled": ("test_unknown_execution",),
    "status_of_the_last": ("test_executions_are_separate",),
    "status_in_memory": ("test_states_are_those_of_the_protocol",),
    "refresh_forgets": ("test_states_are_those_of_the_protocol",),
    "logs_from_the_beginning": ("test_each_line_once",),
    "logs_in_pieces": ("test_each_line_once",),
    "logs_twice": ("test_each_line_once",),
    "logs_stripped": ("test_each_line_once",),
    "logs_shortened": ("test_each_line_once",),
    "logs_in_ascii": ("test_each_line_once",),
    "logs_without_stack_traces": ("test_each_line_once",),
    "logs_without_repetition": ("test_each_line_once",),
    "logs_without_the_last_line": ("test_each_line_once",),
    "logs_without_the_middle_of_a_burst": ("test_burst",),
    "logs_up_to_a_limit": ("test_burst",),
    "logs_in_utf8_only": ("test_unusual_lines",),
    "logs_cut_at_a_wrong_byte": ("test_unusual_lines",),
    "logs_with_wrong_bytes": ("test_unusual_lines",),
    "logs_without_long_lines": ("test_unusual_lines",),
    "logs_with_cut_lines": ("test_unusual_lines",),
    "logs_with_splitlines": ("test_unusual_lines",),
    "logs_of_finished_lines": ("test_unusual_lines",),
    "logs_backwards": ("test_each_line_once",),
    "logs_without_end": ("test_success",),
    "logs_after_the_end_only": ("test_each_line_once",),
    "logs_of_each_line_an_attempt": ("test_each_line_once",),
    "logs_of_the_last": ("test_executions_are_separate",),
    "logs_with_a_position_in_memory": ("test_each_line_once",),
    "logs_with_unfinished_lines": ("test_each_line_once",),
    "find_nothing": ("test_find",),
    "find_the_last": ("test_find",),
    "find_by_prefix": ("test_find",),
    "find_while_it_runs": ("test_find",),
    "find_in_the_module": ("test_another_interpreter",),
    "find_in_memory": ("test_another_process_takes_over",),
    "cancel_nothing": ("test_cancel",),
    "cancel_everything": ("test_executions_are_separate",),
    "cancel_in_memory": ("test_state_after_a_cancellation", "another process"),
    "cancel_raises_for_unknown": ("test_unknown_execution",),
    "cancel_marks_what_has_ended": ("test_cancel_of_what_has_ended",),
    "classify_error_of_none": ("test_classified_errors",),
    "classify_error_retry": ("test_classified_errors",),
    "classify_error_ambiguous": ("test_classified_errors",),
    "classify_error_denied": ("test_classified_errors",),
}


class BrokenSuite(EnvironmentConformance):
    """The suite of an environment of which one call is wrong."""

    time_limit = 1
    policy = type(EnvironmentConformance.policy)(poll=0.02, outage=0.5, grace=0.2, settle=0.2, cancelling=0.5)

    def __init__(self, wrong: str = "") -> None:
        self.wrong = wrong
        self.inherits_variables = wrong != "submit_with_more_variables_of_the_worker"

    def open_environment(self, program: ScriptedProgram, directory: Path) -> Environment:
        return Broken(program, directory, self.wrong)

    def attributes_of_new_process(self) -> Mapping[str, str]:
        return {"wrong": self.wrong}


@pytest.mark.parametrize("wrong", BROKEN)
def test_a_broken_environment_is_rejected(wrong: str, tmp_path: Path):
    suite, (test, *arguments) = BrokenSuite(wrong), BROKEN[wrong]
    with case.open_case(suite, tmp_path) as opened, pytest.raises((Exception, pytest.fail.Exception)) as error:
        getattr(suite, test)(opened, *arguments)
    assert AWAITED.get(wrong, "") in str(error.value)


class Truncated:
    """The environment of the page, whose service keeps the first characters of keys only."""

    def __init__(self, environment: Any, length: int) -> None:
        self._environment, self._length = environment, length

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._environment, name)
        if name not in ("submit", "find"):
            return found
        return lambda submission: found(replace(submission, key=submission.key[: self._length]))


class TruncatedKeys(BrokenSuite):
    """The suite of an environment that truncates keys."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def open_environment(self, program: ScriptedProgram, directory: Path) -> Any:
        return Truncated(batch(program, directory), self.length)


@pytest.mark.parametrize("length", [50, 63, 99])
def test_truncated_keys_are_rejected(length: int, tmp_path: Path):
    assert {len(key) for key in LONG_KEYS} == {100}
    suite = TruncatedKeys(length)
    with case.open_case(suite, tmp_path / "similar") as opened:
        suite.test_find(opened)
    with case.open_case(suite, tmp_path / "long") as opened, pytest.raises(AssertionError) as error:
        suite.test_long_keys(opened)
    assert f"for the key {LONG_KEYS[1]}, and only {LONG_KEYS[0]} was submitted" in str(error.value)


class Strict(BrokenSuite):
    """A service that accepts no line breaks, and cuts lines."""

    rejected_values = ("line break in an argument", "empty variable")
    longest_line = 4_000

    def open_environment(self, program: ScriptedProgram, directory: Path) -> Environment:
        environment = Broken(program, directory, "logs_shortened_to_4000")
        environment.strict = self.wrong == ""
        return environment


@pytest.mark.parametrize("name", Strict.rejected_values)
@pytest.mark.parametrize("wrong", ["", "accepts it"])
def test_values_that_a_service_does_not_accept_must_be_rejected(wrong: str, name: str, tmp_path: Path):
    suite = Strict(wrong)
    with case.open_case(suite, tmp_path) as opened:
        if wrong:
            with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
                suite.test_special_values(opened, name)
        else:
            suite.test_special_values(opened, name)


@pytest.mark.parametrize("longest", [4_000, 5_000])
def test_lines_are_whole_up_to_the_length_at_which_the_service_cuts_them(longest: int, tmp_path: Path):
    suite = Strict()
    suite.longest_line = longest
    with case.open_case(suite, tmp_path) as opened:
        if longest > 4_000:
            with pytest.raises(AssertionError, match=r"a line of 25,0\d\d characters must be returned; found 4,000"):
                suite.test_unusual_lines(opened)
        else:
            suite.test_unusual_lines(opened)


def test_a_new_interpreter_needs_a_class_of_a_module(tmp_path: Path):
    class Inner(BrokenSuite):
        pass

    with (
        case.open_case(Inner(), tmp_path) as opened,
        pytest.raises(pytest.fail.Exception, match="Inner is defined in a "),
    ):
        opened.take_over()


class Unreachable(BrokenSuite):
    """A suite whose service only this interpreter can reach."""

    def open_environment(self, program: ScriptedProgram, directory: Path) -> Environment:
        return Broken(program, self.server, "")


def test_a_new_interpreter_that_cannot_reach_the_service_names_the_next_step(tmp_path: Path):
    suite = Unreachable()
    suite.server = tmp_path
    with case.open_case(suite, tmp_path) as opened, pytest.raises(pytest.fail.Exception) as error:
        opened.take_over()
    assert "'Unreachable' object has no attribute 'server'" in str(error.value)
    assert "Next: return what open_environment needs of this object" in str(error.value)


AWAITED = {
    "find_nothing": f"waited 1 seconds for find to return '{SUBMISSION_KEY}' for its key; it returns None",
    "status_never_final": "waited 3 seconds for the end of the lines",
    "status_that_waits": "waited 1 seconds for status to return; a call must not wait for the end",
    "submit_and_wait": "waited 1 seconds for submit to return; a call must not wait for the end",
    "submit_without_empty_arguments": "the empty argument did not arrive unchanged",
    "submit_without_empty_variables": "SL_VALUE is None, expected ''",
    "submit_with_variables_of_one_line": "SL_VALUE is 'first'",
    "submit_with_expanded_arguments": "the reference in an argument did not arrive unchanged",
    "submit_with_variables_of_the_worker": "the worker's variable SL_JOB_ID replaced that of the command",
    "submit_with_more_variables_of_the_worker": "the program has a variable of the worker",
    "status_killed_and_succeeded": "a program that was killed has the state succeeded; expected failed",
    "status_killed_and_cancelled": "a program that was killed has the state cancelled; expected failed",
    "status_vanished_and_succeeded": "all processes were killed, and the state is succeeded",
    "status_vanished_and_running": "to be final; it is Status(state='running'",
    "logs_without_the_middle_of_a_burst": "2000 lines were written at once; found 496",
    "logs_up_to_a_limit": "2000 lines were written at once; found 9",
    "logs_in_utf8_only": "a line that is not UTF-8 must be returned; found 'no line'",
    "logs_with_wrong_bytes": "`raw` must be the bytes",
    "logs_without_long_lines": "characters must be returned; found 7",
    "logs_with_cut_lines": "characters must be returned; found 16,384",
    "logs_with_splitlines": "only a line break ends a line",
    "logs_of_finished_lines": "waited 1 seconds for logs to return the last line",
    "find_in_the_module": f"another interpreter found None; expected '{SUBMISSION_KEY}'",
    "status_cancelled_too_early": "the state of the execution was final while its program still ran",
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
    class Suite(EnvironmentConformance):
        time_limit = 1

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
    with case.open_case(Suite(), tmp_path) as opened, pytest.raises(pytest.fail.Exception) as error:
        monkeypatch.setattr(case.os, "kill", lambda *args: None)
        test(opened)
    assert INERT[name] in str(error.value)
