"""Configuration in the shape of dagster-k8s, merged by its own rules, configures the Job of a command."""

from __future__ import annotations

import pytest

from starlake_dagster_assets.commands.model import Command
from starlake_dagster_assets.execution.backends.remote.kubernetes_job import JobTemplate
from starlake_dagster_assets.execution.backends.remote.kubernetes_settings import overrides_of
from starlake_dagster_assets.execution.backends.remote.protocol import Submission

RAW = {"container_config": {"resources": {"limits": {"cpu": "1"}}}, "pod_spec_config": {"tolerations": [{"key": "a"}]}}
TAG = 'dagster-k8s/config={"container_config": {"resources": {"limits": {"memory": "8Gi"}}}'


@pytest.mark.dagster_feature("`dagster-k8s` configuration of runs, and `K8sRunLauncher`")
@pytest.mark.parametrize(
    ("behaviour", "limits"), [("DEEP", {"cpu": "1", "memory": "8Gi"}), ("SHALLOW", {"memory": "8Gi"})]
)
def test_configuration_of_dagster_k8s_is_merged_by_its_rules(behaviour: str, limits: dict[str, str]):
    library = pytest.importorskip("dagster_k8s.job")
    tag = f'{TAG}, "merge_behavior": "{behaviour}"}}'
    command = Command("load", ("--domains", "sales"), job_id="job-1", overrides=overrides_of([tag]))
    job = JobTemplate("starlake", k8s_config=RAW).job(Submission(command, "job-1"), "data")
    pod = job["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"] == {"limits": limits}
    assert pod["tolerations"] == [{"key": "a"}]
    assert set(RAW) < set(library.UserDefinedDagsterK8sConfig._fields)
