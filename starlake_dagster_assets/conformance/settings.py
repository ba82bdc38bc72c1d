"""Attributes and functions that a subclass of the conformance suite may define."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from starlake_dagster_assets.conformance.case import Case, alter_identifier, open_case
from starlake_dagster_assets.conformance.stand_in_program import ScriptedProgram
from starlake_dagster_assets.environments import Environment, Policy

__all__ = ["ConformanceSettings"]


class ConformanceSettings:
    """Environment and service under test."""

    policy: Policy = Policy(
        poll=0.05, longest_poll=0.1, starting=20, outage=3, grace=0.5, longest_pause=0.05, settle=2, cancelling=20
    )
    """Intervals and deadlines of the runner's loop; raise them if your service answers slowly."""
    time_limit: float = 30
    """Seconds within which a call must return and an execution must reach the expected state."""
    reports_exit_codes: bool = True
    """Whether the service reports the exit code of a program that failed; if not, it may be None or 1."""
    inherits_variables: bool = False
    """Whether programs inherit the environment variables of the worker, as processes of the same machine do."""
    rejected_values: Collection[str] = ()
    """Names of `VALUES` that the service does not accept: `submit` must raise an error, and start nothing."""
    longest_line: int | None = None
    """Characters after which the service cuts lines; None if it does not. The rest may be missing."""

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
        """Returns functions that make the next calls fail, by name of the fault; tests of missing faults are skipped.

        The names are `throttled` (`submit` fails twice, and starts nothing), `lost_answer` (`submit` starts an
        execution, and fails), `outage` (`status` fails three times) and `endless_outage` (`status` fails from now on).
        """
        return {}

    def attributes_of_new_process(self) -> Mapping[str, Any]:
        """Returns the attributes of this object that `open_environment` needs in another interpreter, as JSON values.

        An example is the URL of an emulation that a fixture has started.
        """
        return {}

    def unknown_execution(self, execution: str) -> str:
        """Returns an id that the service does not have: by default one whose last characters differ.

        Args:
            execution: Id of an execution of the service.
        """
        return alter_identifier(execution)

    def _codes(self, code: int) -> tuple[int | None, ...]:
        return (code,) if self.reports_exit_codes else (None, 1)

    @pytest.fixture(name="conformance")
    def _conformance(self, tmp_path: Path) -> Iterator[Case]:
        with open_case(self, tmp_path) as case:
            yield case
