"""How commands of Starlake are said with the operators of each environment; the registry of environments names them."""

from __future__ import annotations

from starlake_dagster_assets.airflow.operators.checks import Checks
from starlake_dagster_assets.airflow.operators.dialect import Dialect
from starlake_dagster_assets.airflow.operators.standard import either

__all__ = ["Checks", "Dialect", "either"]
