"""Tests that an execution environment must pass: subclass `EnvironmentConformance` in one of your test modules."""

from __future__ import annotations

from typing import Any, cast

import pytest

from starlake_dagster_assets.conformance.case import LONG_KEYS, SUBMISSION_KEY, Case, alter_identifier
from starlake_dagster_assets.conformance.log_tests import LogTests
from starlake_dagster_assets.conformance.program_tests import ProgramTests
from starlake_dagster_assets.environments import ErrorClass, Submission
from starlake_dagster_assets.errors import UnreachableError

__all__ = ["EnvironmentConformance"]


class EnvironmentConformance(ProgramTests, LogTests):
    """Tests of one `Environment`; a subclass must define `open_environment`.

    Each test opens a new environment with its own directory.
    """

    # ------------------------------------------------------------------------------------------------- states

    def test_attributes(self, conformance: Case) -> None:
        """Tests the attributes of the environment, and that a new object has the same name."""
        found: Any = conformance.environment
        assert isinstance(found.name, str) and found.name.strip(), f"name is {found.name!r}; expected text"
        assert conformance.reopened().name == found.name, "a new process must find executions by the same name"
        for name in ("is_idempotent", "uses_spark"):
            assert isinstance(getattr(found, name, False), bool), f"{name} must be True or False"
        size = getattr(found, "argv_bytes", None)
        assert size is None or (isinstance(size, int) and size > 0), f"argv_bytes is {size!r}; expected a size or None"
        for name in ("overrides_of", "url", "release", "log_gap"):
            member = getattr(found, name, None)
            kind = type(member).__name__
            assert member is None or callable(member), (
                f"{name} is {member!r} ({kind}); an attribute of this name is a function, which the loop calls. Give "
                "your attribute another name"
            )
        if hasattr(found, "overrides_of"):
            settings = found.overrides_of(("no=setting",))
            assert isinstance(settings, tuple), f"overrides_of returned {settings!r}; expected a tuple of texts"
        execution = found.submit(conformance.submission())
        for name in ("url", "log_gap"):
            text = getattr(found, name)(execution) if hasattr(found, name) else ""
            assert isinstance(text, str), f"{name} returned {text!r}; expected text"

    def test_states_are_those_of_the_protocol(self, conformance: Case) -> None:
        """Tests that a running execution has no exit code, and that its final status does not change."""
        conformance.program.behave("wait")
        environment = conformance.environment
        execution = environment.submit(conformance.submission())
        assert isinstance(execution, str) and execution, "submit must return the id of the execution"
        conformance.running()
        conformance.until(
            lambda: environment.status(execution).state == "running",
            lambda: f"status to be running while the program runs; it is {environment.status(execution)}",
        )
        environment.refresh()
        assert environment.status(execution).exit_code is None, "there is no exit code while the program runs"
        assert environment.status(execution).state == "running"
        conformance.program.proceed()
        status = conformance.ended(execution)
        assert (status.state, status.exit_code, status.started) == ("succeeded", 0, True)
        assert environment.status(execution) == status, "a state that is final must stay"
        other = conformance.reopened().status(execution)
        assert (other.state, other.exit_code) == ("succeeded", 0), "a new process must read the same end"

    def test_unknown_execution(self, conformance: Case) -> None:
        """Tests that an execution that the service does not have is lost, and that cancelling it is not an error."""
        conformance.program.behave("wait")
        environment = conformance.environment
        execution = environment.submit(conformance.submission())
        unknown = self.unknown_execution(execution)
        assert unknown != execution, "unknown_execution() must return an id that the service does not have"
        conformance.running()
        assert environment.status(unknown).state == "lost", "an execution that the service does not have is lost"
        environment.cancel(unknown)
        conformance.program.proceed()
        assert conformance.ended(execution).state == "succeeded"
        assert environment.status(unknown).state == "lost", "an execution that the service does not have is lost"

    # ---------------------------------------------------------------------------------------------- one execution

    def test_find(self, conformance: Case) -> None:
        """Tests that `find` returns the execution of a key, while it runs and afterwards, and None for another key."""
        environment, submission = conformance.environment, conformance.submission()
        assert environment.find(submission) is None
        execution = environment.submit(submission)
        conformance.until(
            lambda: environment.find(submission) == execution,
            lambda: f"find to return {execution!r} for its key; it returns {environment.find(submission)!r}",
        )
        conformance.ended(execution)
        assert environment.find(submission) == execution, "find must return finished executions too"
        for key in (
            alter_identifier(SUBMISSION_KEY),
            SUBMISSION_KEY[:-1],
            f"{SUBMISSION_KEY}0",
            f"1{SUBMISSION_KEY[1:]}",
        ):
            found = environment.find(conformance.submission(key))
            assert found is None, f"find returned {found!r} for the key {key}, and only {SUBMISSION_KEY} was submitted"

    def test_executions_are_separate(self, conformance: Case) -> None:
        """Tests that executions with similar keys have their own state, log and end."""
        environment, program = conformance.environment, conformance.program
        program.behave("wait")
        first = environment.submit(conformance.submission())
        conformance.running()
        program.behave("failure", exit_code=3)
        second = environment.submit(conformance.submission(alter_identifier(SUBMISSION_KEY)))
        assert first != second, f"two keys have the same execution {first!r}"
        status = conformance.ended(second)
        assert status.state == "failed" and status.exit_code in self._codes(3), status
        program.behave("hang")
        third = environment.submit(conformance.submission(f"{SUBMISSION_KEY}0"))
        conformance.running(3)
        environment.cancel(third)
        assert conformance.ended(third).state == "cancelled"
        assert environment.status(first).state == "running", "another execution was cancelled"
        program.proceed()
        assert conformance.ended(first).state == "succeeded"
        assert environment.status(second) == status
        conformance.until(
            lambda: any("Successfully" in line.text for line in conformance.read_log(first)), "the log of the first"
        )
        assert not any("not readable" in line.text for line in conformance.read_log(first)), "a line of another"
        assert not any("Successfully" in line.text for line in conformance.read_log(second)), "a line of another"

    def test_long_keys(self, conformance: Case) -> None:
        """Tests that keys that differ only in the last of 100 characters have their own executions."""
        environment = conformance.environment
        submission, other = (conformance.submission(key) for key in LONG_KEYS)
        first = environment.submit(submission)
        first_status = conformance.ended(first)
        found = environment.find(other)
        assert found is None, (
            f"find returned {found!r} for the key {other.key}, and only {submission.key} was submitted"
        )
        conformance.program.behave("failure", exit_code=3)
        second = environment.submit(other)
        assert first != second, f"the keys {submission.key} and {other.key} have the same execution {first!r}"
        status = conformance.ended(second)
        assert status.state == "failed" and status.exit_code in self._codes(3), status
        assert environment.status(first) == first_status, "another execution has changed"
        assert [environment.find(submission), environment.find(other)] == [first, second]
        assert sorted(run["env"]["SL_JOB_ID"] for run in conformance.program.runs()) == [*LONG_KEYS]

    def test_idempotency(self, conformance: Case) -> None:
        """Tests that the same key is submitted once, if the environment is idempotent."""
        environment = conformance.environment
        if not getattr(environment, "is_idempotent", False):
            pytest.skip("the environment is not idempotent: the loop calls `find` instead")
        executions = {environment.submit(conformance.submission()) for _ in range(2)}
        assert len(executions) == 1, f"one key has the executions {sorted(executions)}"
        conformance.ended(*executions)
        assert conformance.reopened().submit(conformance.submission()) in executions
        assert conformance.ended(*executions).state == "succeeded"
        assert len(conformance.program.runs()) == 1, "one key was executed more than once"

    def test_interrupted_before_it_is_submitted(self, conformance: Case) -> None:
        """Tests that `submit` calls `submission.confirm()` before it starts anything."""
        environment = conformance.environment
        submission = Submission(conformance.command(), SUBMISSION_KEY, is_needed=lambda: False)
        with pytest.raises(Exception, match="interrupted before it was submitted"):
            environment.submit(submission)
        assert environment.find(submission) is None, "submit must call submission.confirm() before it starts anything"
        conformance.ended(environment.submit(conformance.submission(alter_identifier(SUBMISSION_KEY))))
        started = [run["env"]["SL_JOB_ID"] for run in conformance.program.runs()]
        assert started == [alter_identifier(SUBMISSION_KEY)], (
            "submit must call submission.confirm() before it starts anything"
        )

    def test_another_process_takes_over(self, conformance: Case) -> None:
        """Tests that a new object of the environment finds and follows an execution to its end."""
        conformance.program.behave("wait")
        execution = conformance.environment.submit(conformance.submission())
        conformance.running()
        other = conformance.reopened()
        conformance.until(
            lambda: other.find(conformance.submission()) == execution,
            f"find of another object of the environment to return {execution!r}",
        )
        conformance.until(
            lambda: any("Ingest resolved" in line.text for line in other.logs(execution, None)[0]),
            "another object of the environment to read the log from its beginning",
        )
        conformance.program.proceed()
        handle = conformance.runner(other, 1).start(conformance.command())
        assert conformance.exit_code(handle) == 0
        runs, idempotent = len(conformance.program.runs()), getattr(other, "is_idempotent", False)
        assert runs == 1 or (runs == 2 and not idempotent), f"a key that was submitted again was executed {runs} times"

    def test_another_interpreter(self, conformance: Case) -> None:
        """Tests that a new interpreter finds, reads and cancels an execution: nothing is kept in memory."""
        conformance.program.behave("hang")
        execution = conformance.environment.submit(conformance.submission())
        conformance.running()
        answer = conformance.take_over()
        assert answer["found"] == execution, f"another interpreter found {answer['found']!r}; expected {execution!r}"
        assert answer["state"] == "running", f"for another interpreter, the running execution is {answer['state']}"
        assert any("Ingest resolved" in line for line in answer["lines"]), "another interpreter did not read the log"
        assert answer["end"] in ("cancelled", "lost"), f"for another interpreter, it is {answer['end']} after cancel"
        conformance.ended(execution)
        conformance.stopped()

    # ------------------------------------------------------------------------------------------------ cancelling

    def test_cancel(self, conformance: Case) -> None:
        """Tests that cancelling a step ends everything that the step started, and never counts as a success."""
        conformance.program.behave("hang")
        handle = conformance.start()
        conformance.running()
        conformance.within(handle.cancel, "the end of a cancelled execution", times=3)
        assert handle.wait().cancelled and handle.wait().exit_code is None
        conformance.stopped()

    @pytest.mark.parametrize("canceller", ["the same process", "another process"])
    def test_state_after_a_cancellation(self, conformance: Case, canceller: str) -> None:
        """Tests that a cancelled execution becomes `cancelled` only after its program has ended."""
        conformance.program.behave("hang")
        execution = conformance.environment.submit(conformance.submission())
        conformance.running()
        environment = conformance.environment if canceller == "the same process" else conformance.reopened()
        environment.cancel(execution)
        environment.cancel(execution)
        conformance.until(
            lambda: environment.status(execution).over,
            lambda: f"cancel to end the execution; status is {environment.status(execution)}",
        )
        conformance.stopped()
        assert environment.status(execution).state == "cancelled"
        known = conformance.reopened().status(execution).state
        assert known in ("cancelled", "lost"), f"for a new process, the cancelled execution is {known}"

    def test_cancel_of_what_has_ended(self, conformance: Case) -> None:
        """Tests that cancelling an execution that has ended is not an error, and changes nothing."""
        environment = conformance.environment
        execution = environment.submit(conformance.submission())
        status = conformance.ended(execution)
        environment.cancel(execution)
        assert environment.status(execution) == status
        conformance.program.behave("failure", exit_code=3)
        execution = environment.submit(conformance.submission(alter_identifier(SUBMISSION_KEY)))
        status = conformance.ended(execution)
        environment.cancel(execution)
        assert environment.status(execution) == status

    # --------------------------------------------------------------------------------------------------- errors

    def test_classified_errors(self, conformance: Case) -> None:
        """Tests that `classify_error` classifies every error, never raises, and classifies a bug as fatal."""
        classify = conformance.environment.classify_error
        for error in (ValueError("x"), OSError("x"), TimeoutError("x"), KeyError("x")):
            error_class = cast("object", classify(error))
            assert isinstance(error_class, ErrorClass) and error_class.text
            assert error_class.kind in ("retry", "ambiguous", "denied", "fatal")
        for error in (TypeError("a bug"), AttributeError("a bug")):
            found = classify(error)
            assert found.kind == "fatal", f"{error!r} is a bug, and {found.kind}; expected fatal: it happens again"
        conformance.environment.refresh()
        conformance.environment.close()
        conformance.environment.close()

    def test_faults(self, conformance: Case) -> None:
        """Tests that the names of `faults()` are known."""
        conformance.faults()

    def test_throttled(self, conformance: Case) -> None:
        """Tests that a throttled submission is repeated, and starts one execution."""
        conformance.fail("throttled")
        assert conformance.exit_code(conformance.start()) == 0
        conformance.require_effect("retry")
        assert len(conformance.program.runs()) == 1

    def test_lost_answer(self, conformance: Case) -> None:
        """Tests that a submission whose answer is lost starts one execution."""
        conformance.fail("lost_answer")
        assert conformance.exit_code(conformance.start()) == 0
        conformance.require_effect("ambiguous")
        assert len(conformance.program.runs()) == 1

    def test_outage(self, conformance: Case) -> None:
        """Tests that an outage while the program runs changes no result."""
        conformance.program.behave("wait")
        handle = conformance.start()
        conformance.running()
        conformance.fail("outage")
        conformance.program.proceed()
        assert conformance.exit_code(handle) == 0
        conformance.require_effect("retry", "ambiguous")

    def test_endless_outage(self, conformance: Case) -> None:
        """Tests that an endless outage cancels nothing and produces no result."""
        conformance.program.behave("wait")
        handle = conformance.start()
        conformance.running()
        execution = conformance.environment.find(conformance.submission())
        conformance.fail("endless_outage")
        conformance.probe(execution or "")
        with pytest.raises(UnreachableError):
            handle.wait()
        assert conformance.program.is_running()
