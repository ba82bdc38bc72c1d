"""Tests that an execution environment must pass: subclass `EnvironmentConformance` in a test module of yours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from starlake_dagster_assets.conformance.case import Case, opened
from starlake_dagster_assets.conformance.stand_in_program import LINES, ScriptedProgram
from starlake_dagster_assets.environments import Environment, ErrorClass, Line, Policy, Submission
from starlake_dagster_assets.errors import UnreachableError
from starlake_dagster_assets.execution.backends.protocol import StepAttempt
from starlake_dagster_assets.execution.backends.remote.runner import RemoteRunner

__all__ = ["EnvironmentConformance"]


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

    def test_success(self, conformance: Case) -> None:
        """Tests that a program that ends with 0 has succeeded, and its whole log was read."""
        handle = conformance.start()
        lines = [line.text for line in handle.lines()]
        assert handle.wait().exit_code == 0
        assert any("INFO Main: Successfully load" in line for line in lines), lines
        assert handle.log_problem == "", "the end marker of the log was not read"

    def test_failure(self, conformance: Case) -> None:
        """Tests that a program that ends with 1 has failed, with its exit code and its lines."""
        conformance.program.behave("failure")
        handle = conformance.start()
        lines = [line.text for line in handle.lines()]
        assert handle.wait().exit_code == 1
        assert any("orders.csv is not readable" in line for line in lines), lines

    def test_command_and_variables(self, conformance: Case) -> None:
        """Tests that the program gets the arguments of the command, its variables and the log level."""
        assert conformance.start().wait().exit_code == 0
        (run,) = conformance.program.runs()
        assert tuple(run["argv"]) == conformance.command().argv
        assert run["env"]["SL_JOB_ID"] == "job-1", "submission.command.env must reach the program"
        assert run["env"].get("SL_LOG_LEVEL") == "info", "self.variables(project) must reach the program"

    def test_states_are_those_of_the_protocol(self, conformance: Case) -> None:
        """Tests that an execution is pending or running while its program runs, and an unknown id is lost."""
        conformance.program.behave("wait")
        environment = conformance.environment
        execution = environment.submit(conformance.submission())
        assert isinstance(execution, str) and execution, "submit must return the id of the execution"
        conformance.until(conformance.program.is_running, "submit to start the program")
        assert environment.status(execution).state in ("pending", "running")
        conformance.program.proceed()
        status = conformance.ended(execution)
        assert (status.state, status.exit_code) == ("succeeded", 0)
        assert environment.status(execution) == status, "a state that is final must stay"

    # ---------------------------------------------------------------------------------------------------- log

    def test_each_line_once(self, conformance: Case) -> None:
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

        conformance.until(
            complete, lambda: f"logs to return the last line of the program; it returned {len(found)} lines"
        )
        texts = [line.text for line in found]
        assert [text for text in texts if "INFO Main: line" in text] == LINES
        assert [line.text for line in environment.logs(execution, None)[0]] == texts, "cursor None is the beginning"

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
        assert environment.find(conformance.submission("job-2")) is None

    def test_idempotency(self, conformance: Case) -> None:
        """Tests that the same key is submitted once, if the environment is idempotent."""
        environment = conformance.environment
        if not getattr(environment, "is_idempotent", False):
            pytest.skip("the environment is not idempotent: the loop calls `find` instead")
        executions = {environment.submit(conformance.submission()) for _ in range(2)}
        assert len(executions) == 1
        conformance.ended(*executions)
        assert len(conformance.program.runs()) == 1

    def test_interrupted_before_it_is_submitted(self, conformance: Case) -> None:
        """Tests that `submit` calls `submission.confirm()` before it starts anything."""
        submission = Submission(conformance.command(), "job-1", wanted=lambda: False)
        with pytest.raises(Exception, match="interrupted before it was submitted"):
            conformance.environment.submit(submission)
        assert not conformance.program.runs()

    def test_another_process_takes_over(self, conformance: Case) -> None:
        """Tests that a new object of the environment finds and follows an execution to its end."""
        conformance.program.behave("wait")
        execution = conformance.environment.submit(conformance.submission())
        other = conformance.reopened()
        conformance.until(
            lambda: other.find(conformance.submission()) == execution,
            f"find of another object of the environment to return {execution!r}",
        )
        conformance.program.proceed()
        handle = RemoteRunner(other, StepAttempt("run-1", "step", 1), self.policy).start(conformance.command())
        assert handle.wait().exit_code == 0
        assert len(conformance.program.runs()) == (1 if getattr(other, "is_idempotent", False) else 2)

    # ------------------------------------------------------------------------------------------------ cancelling

    def test_cancel(self, conformance: Case) -> None:
        """Tests that a cancelled execution ends with everything that it started, and is never a success."""
        conformance.program.behave("hang")
        handle = conformance.start()
        next(line for line in handle.lines() if "Ingest resolved" in line.text)
        handle.cancel()
        assert handle.wait().cancelled and handle.wait().exit_code is None
        conformance.until(lambda: not conformance.program.is_running(), "cancel to end the program")

    def test_cancel_of_what_has_ended(self, conformance: Case) -> None:
        """Tests that cancelling an execution that has ended is no error, and changes nothing."""
        environment = conformance.environment
        execution = environment.submit(conformance.submission())
        status = conformance.ended(execution)
        environment.cancel(execution)
        assert environment.status(execution) == status

    # --------------------------------------------------------------------------------------------------- errors

    def test_classified_errors(self, conformance: Case) -> None:
        """Tests that `classify_error` classifies every error, and never raises."""
        for error in (ValueError("x"), OSError("x"), TimeoutError("x"), KeyError("x")):
            error_class = conformance.environment.classify_error(error)
            assert isinstance(error_class, ErrorClass) and error_class.text
            assert error_class.kind in ("retry", "ambiguous", "denied", "fatal")
        conformance.environment.refresh()
        conformance.environment.close()
        conformance.environment.close()

    def test_faults(self, conformance: Case) -> None:
        """Tests that the names of `faults()` are known."""
        conformance.faults()

    def test_throttled(self, conformance: Case) -> None:
        """Tests that a throttled submission is repeated, and starts one execution."""
        conformance.fail("throttled")
        assert conformance.start().wait().exit_code == 0
        conformance.require_effect()
        assert len(conformance.program.runs()) == 1

    def test_lost_answer(self, conformance: Case) -> None:
        """Tests that a submission whose answer is lost starts one execution."""
        conformance.fail("lost_answer")
        assert conformance.start().wait().exit_code == 0
        conformance.require_effect()
        assert len(conformance.program.runs()) == 1

    def test_outage(self, conformance: Case) -> None:
        """Tests that an outage while the program runs changes no result."""
        conformance.program.behave("wait")
        handle = conformance.start()
        conformance.until(conformance.program.is_running, "submit to start the program")
        conformance.fail("outage")
        conformance.program.proceed()
        assert handle.wait().exit_code == 0
        conformance.require_effect()

    def test_endless_outage(self, conformance: Case) -> None:
        """Tests that an outage that does not end cancels nothing, and gives no result."""
        conformance.program.behave("wait")
        handle = conformance.start()
        conformance.until(conformance.program.is_running, "submit to start the program")
        execution = conformance.environment.find(conformance.submission())
        conformance.fail("endless_outage")
        conformance.probe(execution or "")
        with pytest.raises(UnreachableError):
            handle.wait()
        assert conformance.program.is_running()

    @pytest.fixture(name="conformance")
    def _conformance(self, tmp_path: Path) -> Iterator[Case]:
        with opened(self, tmp_path) as case:
            yield case
