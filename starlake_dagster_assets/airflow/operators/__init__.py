"""Starlake commands as Airflow operators.

- `renderer`: the base class, `OperatorRenderer`
- `shell`, `dataproc`, `cloud_run`, `fargate`, `kubernetes`: one per environment of the registry
  (`starlake_dagster_assets.environments`)
- `google`: base class of the operators of Dataproc and Cloud Run
- `expectation_tasks`: tasks that query the results of expectations
- `standard`: operators of Airflow itself
"""

from __future__ import annotations

from starlake_dagster_assets.airflow.operators.expectation_tasks import ExpectationCheckRenderer
from starlake_dagster_assets.airflow.operators.renderer import OperatorRenderer
from starlake_dagster_assets.airflow.operators.standard import render_operator_import

__all__ = ["ExpectationCheckRenderer", "OperatorRenderer", "render_operator_import"]
