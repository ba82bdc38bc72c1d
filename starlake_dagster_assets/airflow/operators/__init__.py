"""Writes Starlake commands as Airflow operators, one class per environment of the registry.

`renderer` is the base class. `standard` has the operators of Airflow itself, `checks` those of expectations. The
registry (`starlake_dagster_assets/environments.py`) names the class of each environment.
"""

from __future__ import annotations

from starlake_dagster_assets.airflow.operators.checks import Checks
from starlake_dagster_assets.airflow.operators.renderer import OperatorRenderer
from starlake_dagster_assets.airflow.operators.standard import either

__all__ = ["Checks", "OperatorRenderer", "either"]
