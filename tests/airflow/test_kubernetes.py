"""Airflow files whose commands are Pods of Kubernetes."""

import ast
import re

import pytest

from starlake_dagster_assets import StarlakeProject, export_airflow
from starlake_dagster_assets.airflow.plan.model import AirflowOptions
from tests.conformance.subject import write_project

SETTINGS = {
    "kubernetes_image": "starlake:1.6.0",
    "kubernetes_namespace": "data",
    "kubernetes_service_account_name": "starlake",
    "kubernetes_env_secrets": "warehouse, other",
    "kubernetes_cpu": "1",
    "kubernetes_memory": "4Gi",
    "kubernetes_conn_id": "cluster",
}


@pytest.mark.parametrize("settings", [{}, SETTINGS], ids=["smallest", "everything"])
def test_commands_are_pods(tmp_path, settings):
    project = StarlakeProject(write_project(tmp_path / "project"), cache_dir=tmp_path / "cache")
    export_airflow(
        project, tmp_path / "dags", environment="kubernetes", options=AirflowOptions(settings=dict(settings))
    )
    texts = [path.read_text() for path in (tmp_path / "dags").rglob("*.py")]
    (text,) = [one for one in texts if "KubernetesPodOperator(" in one]
    ast.parse(text)
    assert "from airflow.providers.cncf.kubernetes.operators.pod import" in text
    assert re.search(r'arguments=command_line\(\s*"load"', text)
    assert '"env_vars": ENV' in text
    assert ("kubernetes.client import models as k8s" in text) == bool(settings)
    if settings:
        for said in (
            "SECRETS = [",
            'Secret("env", None, "warehouse")',
            'k8s.V1ResourceRequirements(requests={"cpu": "1", "memory": "4Gi"}, limits={"memory": "4Gi"})',
            '"service_account_name": "starlake"',
            '"kubernetes_conn_id": "cluster"',
        ):
            assert said in text
