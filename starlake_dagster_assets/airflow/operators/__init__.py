"""How commands of Starlake are said with the operators of each environment."""

from __future__ import annotations

from collections.abc import Mapping

from starlake_dagster_assets.airflow.model import EnvironmentName
from starlake_dagster_assets.airflow.operators.checks import Checks
from starlake_dagster_assets.airflow.operators.cloud_run import CloudRun
from starlake_dagster_assets.airflow.operators.dataproc import Dataproc
from starlake_dagster_assets.airflow.operators.dialect import Dialect
from starlake_dagster_assets.airflow.operators.fargate import Fargate
from starlake_dagster_assets.airflow.operators.shell import Shell

__all__ = ["DIALECTS", "Checks", "Dialect"]

DIALECTS: Mapping[EnvironmentName, type[Dialect]] = {
    "shell": Shell,
    "dataproc": Dataproc,
    "cloud_run": CloudRun,
    "fargate": Fargate,
}
"""By the name of the environment."""
