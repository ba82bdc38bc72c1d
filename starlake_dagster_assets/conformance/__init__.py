"""Conformance suite of execution environments: `class TestMine(EnvironmentConformance)` in one of your test modules.

The suite starts a stand-in for the Starlake program in your environment, and reads what the environment reports of it.
See the page *Add an execution environment* of the documentation (`docs/extending.md`).

- `suite`: the tests.
- `program_tests`, `log_tests`: the tests of the program, and of its log.
- `settings`: attributes and functions that a subclass may define.
- `case`: one test case, with its environment, faults and waiting.
- `other_interpreter`: another interpreter that takes over an execution.
- `stand_in_program`: the stand-in for the Starlake program.
"""

import pytest

for _name in ("suite", "program_tests", "log_tests", "case"):  # so that failures show values
    pytest.register_assert_rewrite(f"{__name__}.{_name}")

from starlake_dagster_assets.conformance.case import VALUES  # noqa: E402
from starlake_dagster_assets.conformance.stand_in_program import ScriptedProgram  # noqa: E402
from starlake_dagster_assets.conformance.suite import EnvironmentConformance  # noqa: E402

__all__ = ["VALUES", "EnvironmentConformance", "ScriptedProgram"]
