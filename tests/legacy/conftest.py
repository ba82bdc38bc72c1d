from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeProject

EXAMPLE = Path(__file__).parents[2] / "example_project"


@pytest.fixture(scope="session")
def starbake(tmp_path_factory: pytest.TempPathFactory) -> StarlakeProject:
    """The example project, for looking at."""
    return StarlakeProject(EXAMPLE / "starbake", env="DUCKDB", cache_dir=tmp_path_factory.mktemp("cache"))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance
