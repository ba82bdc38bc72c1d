"""Fixtures for the tests of your own project: `pytest_plugins = ["starlake_dagster_assets.pytest_plugin"]`."""

import pytest

from starlake_dagster_assets.resources import StarlakeResource
from starlake_dagster_assets.testing import FakeRunner, Script, fake_starlake

__all__ = ["starlake", "starlake_runner", "starlake_scripts"]


@pytest.fixture
def starlake_scripts() -> dict[str, Script]:
    """Returns the scripted outputs, by command line or by command name; empty until the test adds some."""
    return {}


@pytest.fixture
def starlake_runner(starlake_scripts: dict[str, Script]) -> FakeRunner:
    """Returns the runner that answers commands with the scripts and records them in `commands`."""
    return FakeRunner(starlake_scripts)


@pytest.fixture
def starlake(starlake_runner: FakeRunner) -> StarlakeResource:
    """Returns a resource for the key `starlake` that uses the scripted runner."""
    return fake_starlake(starlake_runner)
