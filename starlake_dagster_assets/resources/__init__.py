"""Where Starlake runs, as Dagster resources: one module an environment, whose packages are imported when it runs."""

from collections.abc import Mapping

from starlake_dagster_assets.resources.base import StarlakeResource as StarlakeResource
from starlake_dagster_assets.resources.cloud_run import StarlakeCloudRun as StarlakeCloudRun
from starlake_dagster_assets.resources.dataproc import DataprocCluster as DataprocCluster
from starlake_dagster_assets.resources.dataproc import DataprocServerless as DataprocServerless
from starlake_dagster_assets.resources.dataproc import StarlakeDataproc as StarlakeDataproc
from starlake_dagster_assets.resources.duckdb import StarlakeDuckDB as StarlakeDuckDB
from starlake_dagster_assets.resources.fargate import StarlakeFargate as StarlakeFargate
from starlake_dagster_assets.resources.shell import StarlakeShell as StarlakeShell

__all__ = [
    "ENVIRONMENTS",
    "DataprocCluster",
    "DataprocServerless",
    "StarlakeCloudRun",
    "StarlakeDataproc",
    "StarlakeDuckDB",
    "StarlakeFargate",
    "StarlakeResource",
    "StarlakeShell",
]

ENVIRONMENTS: Mapping[str, type[StarlakeResource]] = {
    "duckdb": StarlakeDuckDB,
    "shell": StarlakeShell,
    "dataproc": StarlakeDataproc,
    "cloud_run": StarlakeCloudRun,
    "fargate": StarlakeFargate,
}
"""The resources by the words that YAML and the command line have for them."""
