"""`doctor --environment kubernetes`: permissions, entry point, log level, admission. Nothing is made."""

import pytest

from starlake_dagster_assets.doctor.environment import examine_environment
from starlake_dagster_assets.resources import StarlakeKubernetes
from starlake_dagster_assets.starlake_project import StarlakeProject
from tests.conformance.subject import SECRET, write_project
from tests.fakes.kubernetes import FakeKubernetes

MEMORY = {"resources": {"limits": {"memory": "4Gi"}}}
QUOTA = 'jobs.batch "x" is forbidden: violates PodSecurity "restricted:latest"'


def denied(*what):
    return lambda server: server.forbidden.update(what)


@pytest.mark.parametrize(
    ("fields", "arrange", "topic", "level", "words"),
    [
        (MEMORY, denied(), "permissions", "ok", "create jobs, get jobs, delete jobs, list pods"),
        (MEMORY, denied(), "log", "ok", "get pods/log is allowed"),
        (MEMORY, denied(), "job", "ok", "dry run"),
        (MEMORY, denied(), "memory", "ok", "4Gi"),
        (MEMORY, denied(), "entry point", "ok", "the image decides"),
        ({}, denied(), "memory", "warning", "no memory limit"),
        ({}, denied("delete jobs"), "permissions", "error", "not allowed: delete jobs"),
        ({}, denied("get pods/log"), "log", "error", "results are read from the warehouse only"),
        ({}, denied("list events"), "events", "warning", "is not explained|are not explained"),
        ({}, lambda server: server.fail("CreateJob", 403, QUOTA), "job", "error", "violates PodSecurity"),
        ({}, lambda server: setattr(server, "token", "x"), "permissions", "error", "expired or not known"),
        ({"namespace": "nowhere"}, denied(), "job", "error", 'namespaces "nowhere" not found'),
        (
            {"k8s_config": {"container_config": {"command": ["bash", "-c"]}}},
            denied(),
            "entry point",
            "warning",
            "does not end with starlake",
        ),
        ({"env_secrets": [SECRET]}, denied(), "environment", "error", "is a secret of the project"),
    ],
)
def test_what_is_found(tmp_path, monkeypatch, fields, arrange, topic, level, words):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    project = StarlakeProject(write_project(tmp_path / "project"), cache_dir=tmp_path / "cache")
    with FakeKubernetes(["false"]) as server:
        arrange(server)
        resource = StarlakeKubernetes(image="starlake:1.6.0", kubeconfig_file=server.kubeconfig(tmp_path), **fields)
        found = {finding.topic: finding for finding in examine_environment(resource, project)}
        assert not server.jobs
    assert found[topic].level == level
    assert any(word in found[topic].text for word in words.split("|")), found[topic]
