"""The resources by the words that YAML and the command line have for them."""

from collections.abc import Mapping

from starlake_dagster_assets.resources.base import StarlakeResource
from starlake_dagster_assets.resources.cloud_run import StarlakeCloudRun
from starlake_dagster_assets.resources.dataproc import StarlakeDataproc
from starlake_dagster_assets.resources.duckdb import StarlakeDuckDB
from starlake_dagster_assets.resources.fargate import StarlakeFargate
from starlake_dagster_assets.resources.shell import StarlakeShell
from starlake_dagster_assets.resources.variables import at_definition

__all__ = ["ENVIRONMENTS", "environment_of"]

ENVIRONMENTS: Mapping[str, type[StarlakeResource]] = {
    "duckdb": StarlakeDuckDB,
    "shell": StarlakeShell,
    "dataproc": StarlakeDataproc,
    "cloud_run": StarlakeCloudRun,
    "fargate": StarlakeFargate,
}


def environment_of(resource: object) -> str | None:
    """The word for where a resource runs Starlake; None for what is none of ours."""
    return next((word for word, kind in ENVIRONMENTS.items() if isinstance(at_definition(resource), kind)), None)
