"""Fixtures for the tests of your own project: `pytest_plugins = ["starlake_dagster_assets.pytest_plugin"]`."""

import pytest

from starlake_dagster_assets.resources import StarlakeResource
from starlake_dagster_assets.testing import FakeRunner, Script, fake_starlake

__all__ = ["starlake", "starlake_runner", "starlake_scripts"]


@pytest.fixture
def starlake_scripts() -> dict[str, Script]:
    """Returns outputs of commands, by the whole command line or by its name; empty until the test fills it."""
    return {}


@pytest.fixture
def starlake_runner(starlake_scripts: dict[str, Script]) -> FakeRunner:
    """Returns the runner that executes the scripts and records its `commands`."""
    return FakeRunner(starlake_scripts)


@pytest.fixture
def starlake(starlake_runner: FakeRunner) -> StarlakeResource:
    """Returns the resource for the key `starlake`."""
    return fake_starlake(starlake_runner)
