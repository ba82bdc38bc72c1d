"""`starlake-dagster doctor --environment`: what it finds of services that are not as they should be."""

import json

import grpc
import pytest
from typer.testing import CliRunner

from starlake_dagster_assets.doctor.environment import examine_environment
from starlake_dagster_assets.resources import StarlakeCloudRun, StarlakeDataproc, StarlakeFargate, StarlakeShell
from starlake_dagster_assets.starlake_project import StarlakeProject
from tests.conformance.subject import write_project
from tests.fakes.aws import FakeAws
from tests.fakes.cloud_run import FakeCloudRun
from tests.fakes.dataproc import FakeDataproc
from tests.fakes.script import Scripted


@pytest.fixture
def project(tmp_path):
    return StarlakeProject(write_project(tmp_path / "project"), cache_dir=tmp_path / "cache")


@pytest.fixture
def scripted(tmp_path):
    return Scripted(tmp_path / "scripted")


def levels(resource, project) -> dict[str, str]:
    """The worst level by topic."""
    found: dict[str, str] = {}
    for finding in examine_environment(resource, project):
        order = ("ok", "warning", "error")
        found[finding.topic] = max(found.get(finding.topic, "ok"), finding.level, key=order.index)
    return found


def cloud_run(server, **fields) -> StarlakeCloudRun:
    given = {"project": "p", "job": "starlake", "endpoint": server.endpoint, "logging_endpoint": server.endpoint}
    return StarlakeCloudRun(**{**given, "local": True, **fields})


def test_cloud_run_as_it_should_be(project, scripted):
    with FakeCloudRun([str(scripted.path)], {"SL_LOG_LEVEL": "info"}) as server:
        server.command = ["/app/starlake/starlake.sh"]
        found = levels(cloud_run(server), project)
        assert not server.executions
    topics = ("job", "retries and time limit", "entry point", "permissions", "executions", "log")
    assert {topic: found[topic] for topic in topics} == dict.fromkeys(topics, "ok")
    assert found["warehouse"] == "warning"  # a DuckDB file there


@pytest.mark.parametrize(
    ("program", "level", "words"),
    [
        (None, "ok", "1.6.0"),
        ("/nowhere/starlake", "error", "/nowhere/starlake does not exist"),
        ("broken", "error", "exit code 3"),
    ],
)
def test_the_program_of_a_shell_is_started(project, scripted, tmp_path, program, level, words):
    (tmp_path / "broken").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "broken").chmod(0o755)
    path = {None: str(scripted.path), "broken": str(tmp_path / "broken")}.get(program, program)
    found = [*examine_environment(StarlakeShell(starlake=path, env=scripted.environ), project)]
    (starlake,) = [finding for finding in found if finding.topic == "starlake"]
    assert starlake.level == level and words in starlake.text
    assert not scripted.calls("load")


@pytest.mark.parametrize(
    ("arrange", "topic", "level"),
    [
        (lambda server: setattr(server, "max_retries", 3), "retries and time limit", "warning"),
        (lambda server: setattr(server, "lacking", {"run.jobs.runWithOverrides"}), "permissions", "error"),
        (lambda server: setattr(server, "command", ["bash", "-c"]), "entry point", "warning"),
        (lambda server: server.environ.update(SL_LOG_LEVEL="error"), "log level", "warning"),
        (lambda server: server.fail("ListLogEntries", grpc.StatusCode.PERMISSION_DENIED, times=9), "log", "error"),
        (lambda server: server.fail("ListExecutions", grpc.StatusCode.PERMISSION_DENIED), "executions", "error"),
        (lambda server: server.fail("GetJob", grpc.StatusCode.NOT_FOUND), "job", "error"),
    ],
)
def test_cloud_run_as_it_should_not_be(project, scripted, arrange, topic, level):
    with FakeCloudRun([str(scripted.path)]) as server:
        arrange(server)
        assert levels(cloud_run(server), project)[topic] == level


@pytest.mark.parametrize(
    ("options", "topic", "level"),
    [
        ({}, "log", "ok"),
        ({"log_mode": None}, "log", "warning"),
        ({"log_driver": "splunk"}, "log", "warning"),
        ({"container": "other"}, "container", "error"),
        ({"task_definition": "unknown"}, "task definition", "error"),
        ({"entry_point": ["bash"]}, "entry point", "warning"),
    ],
)
def test_fargate(project, scripted, monkeypatch, tmp_path, options, topic, level):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    server_options = {name: value for name, value in options.items() if name.startswith("log_")}
    with FakeAws([str(scripted.path)], **server_options) as server:
        server.entry_point = options.get("entry_point", ["starlake"])
        resource = StarlakeFargate(
            task_definition=options.get("task_definition", "starlake"),
            container=options.get("container", "starlake"),
            subnets=["subnet-1"],
            endpoint_url=server.url,
        )
        assert levels(resource, project)[topic] == level
        assert not server.tasks


def test_dataproc_without_its_cluster_and_jar(project, scripted):
    with FakeDataproc([str(scripted.path)]) as server:
        fields = {"endpoint": server.endpoint, "storage_endpoint": server.gcs.url, "local": True}
        resource = StarlakeDataproc(project="p", jars="gs://b/starlake.jar", cluster="shared", **fields)
        found = levels(resource, project)
    assert (found["cluster"], found["jar"]) == ("error", "error")


def test_the_command_line(project, scripted):
    from starlake_dagster_assets.cli import _register, app

    _register()
    with FakeCloudRun([str(scripted.path)]) as server:
        server.lacking = {"run.jobs.run"}
        fields = {"project": "p", "job": "starlake", "local": "true"}
        fields |= {"endpoint": server.endpoint, "logging_endpoint": server.endpoint}
        given = [word for name, value in fields.items() for word in ("--set", f"{name}={value}")]
        done = CliRunner().invoke(app, ["doctor", str(project.root), "--environment", "cloud_run", "--json", *given])
    assert done.exit_code == 1
    assert any("run.jobs.run" in finding["text"] for finding in json.loads(done.stdout) if finding["level"] == "error")
