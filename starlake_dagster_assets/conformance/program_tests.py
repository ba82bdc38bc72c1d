"""Tests of the program: its arguments, variables and exit code."""

from __future__ import annotations

import pytest

from starlake_dagster_assets.conformance.case import SUBMISSION_KEY, VALUES, Case, alter_identifier
from starlake_dagster_assets.conformance.settings import ConformanceSettings
from starlake_dagster_assets.errors import RunnerError

__all__ = ["ProgramTests"]


class ProgramTests(ConformanceSettings):
    """Tests of the arguments and variables that the program receives, and of its exit code."""

    def test_success(self, conformance: Case) -> None:
        """Tests that a program that exits with 0 succeeds, and that its whole log is read."""
        handle = conformance.start()
        lines = conformance.lines(handle)
        assert conformance.exit_code(handle) == 0
        assert any("INFO Main: Successfully load" in line for line in lines), lines
        assert handle.log_problem == "", "the end marker of the log was not read"

    @pytest.mark.parametrize("code", [1, 3])
    def test_failure(self, conformance: Case, code: int) -> None:
        """Tests that a program that fails is reported as failed, with its exit code and all its lines."""
        conformance.program.behave("failure", exit_code=code)
        handle = conformance.start()
        lines = conformance.lines(handle)
        assert conformance.exit_code(handle) in self._codes(code)
        assert any("orders.csv is not readable" in line for line in lines), lines
        assert any("a line of stderr" in line for line in lines), f"lines of stderr are missing: {lines}"
        status = conformance.ended(
            conformance.environment.submit(conformance.submission(alter_identifier(SUBMISSION_KEY)))
        )
        assert (status.state, status.started) == ("failed", True), status
        assert status.exit_code in self._codes(code), f"the program ended with {code}; found {status.exit_code}"

    def test_command_and_variables(self, conformance: Case) -> None:
        """Tests that the program gets the arguments of the command, its variables and the log level unchanged."""
        assert conformance.exit_code(conformance.start()) == 0
        (run,) = conformance.program.runs()
        assert tuple(run["argv"]) == conformance.command().argv
        for name, value in conformance.command().env.items():
            assert run["env"].get(name) == value, f"submission.command.env must reach the program; {name} did not"
        assert run["env"].get("SL_LOG_LEVEL") == "info", "self.variables(project) must reach the program"

    @pytest.mark.parametrize("name", VALUES)
    def test_special_values(self, conformance: Case, name: str) -> None:
        """Tests that a special argument or variable arrives unchanged, or is rejected if it is in `rejected_values`."""
        assert {*self.rejected_values} <= {*VALUES}, f"rejected_values has unknown names; known are {', '.join(VALUES)}"
        environment, submission = conformance.environment, conformance.submission_with(name)
        if name in self.rejected_values:
            with pytest.raises(Exception) as error:  # any error that is not tried again
                environment.submit(submission)
            kind = environment.classify_error(error.value).kind
            assert kind == "fatal" or isinstance(error.value, RunnerError), f"the error is {kind}; expected fatal"
            assert not conformance.program.runs(), "a submission that was rejected must start nothing"
            return
        assert conformance.ended(environment.submit(submission)).state == "succeeded"
        (run,) = conformance.program.runs()
        argv, found = submission.command.argv, tuple(run["argv"])
        assert found == argv, f"the {name} did not arrive unchanged: found {found[-2:]}, expected {argv[-2:]}"
        for variable, value in submission.command.env.items():
            text = run["env"].get(variable)
            assert text == value, f"the {name} did not arrive unchanged: {variable} is {text!r}, expected {value!r}"

    def test_variables_of_the_worker(self, conformance: Case) -> None:
        """Tests that variables of the worker do not replace those of a command, and do not reach the program."""
        submission = conformance.submission()
        worker = {**dict.fromkeys(submission.command.env, "of the worker"), "SL_LOG_LEVEL": "error", "SL_WORKER": "x"}
        with pytest.MonkeyPatch.context() as monkeypatch:
            for name, value in worker.items():
                monkeypatch.setenv(name, value)
            environment = conformance.reopened()
            assert conformance.ended(environment.submit(submission)).state == "succeeded"
        (run,) = conformance.program.runs()
        for name, value in {**submission.command.env, "SL_LOG_LEVEL": "info"}.items():
            assert run["env"].get(name) == value, f"the worker's variable {name} replaced that of the command"
        if not self.inherits_variables:
            assert "SL_WORKER" not in run["env"], (
                "the program has a variable of the worker; if it is to have all of them, set inherits_variables = True"
            )

    @pytest.mark.parametrize("killed", ["the program", "all processes"])
    def test_killed(self, conformance: Case, killed: str) -> None:
        """Tests that a program ended by a signal never counts as a success, even if its exit code is unknown."""
        conformance.program.behave("killed" if killed == "the program" else "vanished")
        environment = conformance.environment
        status = conformance.ended(environment.submit(conformance.submission()))
        assert status.started, "a program that was killed had started"
        if killed == "the program":
            assert status.state == "failed", f"a program that was killed has the state {status.state}; expected failed"
            assert status.exit_code in self._codes(137), f"the exit code is {status.exit_code}; expected 128 + 9"
        else:
            assert status.state in ("failed", "lost"), f"{killed} were killed, and the state is {status.state}"
            assert status.exit_code != 0, "a program that was killed has no exit code 0"
        handle = conformance.runner(environment).start(conformance.command(alter_identifier(SUBMISSION_KEY)))
        result = conformance.within(handle.wait, "the end of an execution", times=3)
        assert result.exit_code != 0 and not result.cancelled, f"the result of a program that was killed is {result}"
