"""Wrong values of resource fields, variables and names: one sentence with the field, the reason and the next step."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from starlake_dagster_assets import (
    StarlakeDuckDB,
    StarlakeProject,
    StarlakeShell,
    build_schedule_from_starlake_selection,
)
from starlake_dagster_assets.errors import CommandError, RunnerError, StarlakeError
from starlake_dagster_assets.resources import DataprocCluster

COMMA = "option 'a': its value contains a comma, which Starlake cannot escape. Next: set the variable in an env file"


@pytest.mark.parametrize(
    ("resource", "fields", "message"),
    [
        (StarlakeDuckDB, {"memory_limit": "4 bananas"}, "StarlakeDuckDB: `memory_limit` is wrong: '4 bananas' is no"),
        (StarlakeDuckDB, {"threads": "many"}, "StarlakeDuckDB: `threads` should be a valid integer"),
        (StarlakeDuckDB, {"threads": 0}, "StarlakeDuckDB: `threads` should be greater than 0; found 0."),
        (StarlakeShell, {"timeout": "soon"}, "StarlakeShell: `timeout` should be a valid number"),
        (DataprocCluster, {"num_workers": "x"}, "DataprocCluster: `num_workers` should be a valid integer"),
        (DataprocCluster, {"num_wrkers": 3}, "DataprocCluster has no option `num_wrkers`; did you mean `num_workers`?"),
    ],
)
def test_a_wrong_field_is_one_sentence(resource: Any, fields: dict[str, Any], message: str):
    with pytest.raises(RunnerError) as caught:
        resource(**fields)
    assert message in str(caught.value)
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize("limit", ["4GB", "512 MiB", "80%", "1.5tb", "2 gigabytes", dg.EnvVar("MEMORY_OF_DUCKDB")])
def test_amounts_of_memory(limit: str):
    assert StarlakeDuckDB(memory_limit=limit).memory_limit == limit


def test_a_variable_that_is_not_set_or_wrong_is_named(monkeypatch: pytest.MonkeyPatch):
    resource = StarlakeDuckDB(timeout=dg.EnvVar("SECONDS_OF_DUCKDB"))
    monkeypatch.delenv("SECONDS_OF_DUCKDB", raising=False)
    with pytest.raises(RunnerError, match=r"`timeout` is the environment variable SECONDS_OF_DUCKDB, .* Next: set it"):
        resource.create_resource(dg.build_init_resource_context())
    monkeypatch.setenv("SECONDS_OF_DUCKDB", "-4")
    with pytest.raises(
        RunnerError, match=r"`timeout` should be greater than 0; found '-4' \(read from SECONDS_OF_DUCKDB\)\."
    ):
        resource.create_resource(dg.build_init_resource_context())


@pytest.mark.parametrize("make", [lambda o: StarlakeProject("shop", options=o), lambda o: StarlakeDuckDB(options=o)])
def test_a_variable_that_no_command_can_carry_is_refused_at_once(make: Any):
    with pytest.raises(CommandError) as caught:
        make({"a": "secret,text"})
    assert COMMA in str(caught.value) and "secret" not in str(caught.value)


def test_a_name_of_a_job_that_dagster_refuses(root: Path):
    with pytest.raises(StarlakeError, match=r"job_name='x y' is not a name in Dagster; .* such as 'x_y'\."):
        build_schedule_from_starlake_selection(StarlakeProject(root), job_name="x y", cron_schedule="0 6 * * *")
