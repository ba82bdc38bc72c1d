"""Conformance suite of execution environments: `class TestMine(EnvironmentConformance)` in a test module of yours.

The suite starts a stand-in for the Starlake program in your environment, and reads what the environment reports of it.
See the page *Add an execution environment* of the documentation (`docs/extending.md`).

- `suite`: the tests.
- `case`: an environment for one test, faults, and waiting.
- `stand_in_program`: the stand-in for the Starlake program.
"""

import pytest

pytest.register_assert_rewrite("starlake_dagster_assets.conformance.suite")  # so that failures show values

from starlake_dagster_assets.conformance.stand_in_program import ScriptedProgram  # noqa: E402
from starlake_dagster_assets.conformance.suite import EnvironmentConformance  # noqa: E402

__all__ = ["EnvironmentConformance", "ScriptedProgram"]
