"""`SL_ENV` and `SL_ROOT` of a resource never replace those of the project silently, in any environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from starlake_dagster_assets import (
    StarlakeCloudRun,
    StarlakeDataproc,
    StarlakeFargate,
    StarlakeKubernetes,
    StarlakeProject,
    StarlakeShell,
    build_definitions,
)
from starlake_dagster_assets.doctor.environment import examine_environment
from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.execution.backends.protocol import StepAttempt
from tests.conformance.subject import write_project

REMOTE: dict[str, Any] = {
    "cloud_run": lambda **fields: StarlakeCloudRun(project="p", job="j", **fields),
    "dataproc": lambda **fields: StarlakeDataproc(project="p", jars=["gs://b/starlake.jar"], **fields),
    "fargate": lambda **fields: StarlakeFargate(task_definition="t", container="c", subnets=["s"], **fields),
    "kubernetes": lambda **fields: StarlakeKubernetes(image="starlake:1.6.0", **fields),
}
ALL: dict[str, Any] = {**REMOTE, "shell": StarlakeShell}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = write_project(tmp_path / "project")
    (root / "metadata" / "env.DEV.sl.yml").write_text("version: 1\nenv: {}\n")
    return root


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("env", "known"), [("DEV", "the environment 'DEV'"), (None, "no environment")])
def test_another_environment_is_an_error_that_names_both(name: str, env: str | None, known: str, root: Path):
    project, resource = StarlakeProject(root, env=env), ALL[name](env={"SL_ENV": "PROD"})
    message = rf"env `SL_ENV` is 'PROD', and the project is loaded with {known}.* Next: load the project with that"
    with pytest.raises(RunnerError, match=message):
        build_definitions(project, starlake=resource)
    with pytest.raises(RunnerError, match=message):
        resource.runner(project, StepAttempt())
    found = [one for one in examine_environment(resource, project) if one.level == "error"]
    assert found and found[0].text.startswith("env `SL_ENV` is 'PROD'")


@pytest.mark.parametrize("name", ALL)
def test_a_variable_is_compared_when_a_run_starts(name: str, root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ENVIRONMENT", "PROD")
    project, resource = StarlakeProject(root, env="DEV"), ALL[name](env={"SL_ENV": dg.EnvVar("ENVIRONMENT")})
    build_definitions(project, starlake=resource)
    with (
        dg.build_resources({"starlake": resource}) as resources,
        pytest.raises(RunnerError, match="env `SL_ENV` is 'PROD'"),
    ):
        resources.starlake.runner(project, StepAttempt())


@pytest.mark.parametrize("name", ALL)
def test_the_same_environment_is_no_error(name: str, root: Path):
    build_definitions(StarlakeProject(root, env="DEV"), starlake=ALL[name](env={"SL_ENV": "DEV"}))


@pytest.mark.parametrize("name", REMOTE)
def test_two_locations_of_the_project(name: str, root: Path):
    project = StarlakeProject(root)
    with pytest.raises(RunnerError, match=r"env `SL_ROOT` is 'gs://b/y', and `root` is 'gs://b/x'\. Next: remove"):
        build_definitions(project, starlake=REMOTE[name](env={"SL_ROOT": "gs://b/y"}, root="gs://b/x"))
    build_definitions(project, starlake=REMOTE[name](env={"SL_ROOT": "gs://b/x/"}, root="gs://b/x"))
    build_definitions(project, starlake=REMOTE[name](env={"SL_ROOT": "gs://b/y"}))
    options = {"sl_env_var": '{"SL_ROOT": "gs://b/y", "A": "1"}'}
    kind, fields = type(REMOTE[name]()), REMOTE[name]().model_dump(exclude_unset=True)
    assert kind.from_options(options, **fields).env == {"SL_ROOT": "gs://b/y", "A": "1"}
    assert kind.from_options(options, root="gs://b/x", **fields).env == {"A": "1"}, "a field takes precedence"


def test_another_location_than_that_of_the_project(root: Path):
    project = StarlakeProject(root)
    with pytest.raises(
        RunnerError, match=f"env `SL_ROOT` is '/opt/bake', and the directory of the project is '{root}'. Next: remove"
    ):
        build_definitions(project, starlake=StarlakeShell(env={"SL_ROOT": "/opt/bake"}))
    build_definitions(project, starlake=StarlakeShell(env={"SL_ROOT": f"file://{root}"}))
    assert StarlakeShell.from_options({"sl_env_var": '{"SL_ROOT": "/opt/bake", "A": "1"}'}).env == {"A": "1"}


@pytest.mark.parametrize("name", ["cloud_run", "fargate", "kubernetes"])
def test_the_environment_is_no_secret(name: str):
    with pytest.raises(RunnerError, match="secrets `SL_ENV`: it is that of the project"):
        REMOTE[name](secrets={"SL_ENV": "w:p"})


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"name": "SL_ENV", "value": "PROD"}, "k8s_config.container_config.env sets SL_ENV: it is that of the project"),
        ({"name": "SL_JOB_ID", "value": "1"}, "k8s_config.container_config.env sets SL_JOB_ID: each command gets"),
        ({"name": "A", "value": "2"}, "the variable `A` is in both `env` and `k8s_config`"),
        ({"name": "B", "value": "2"}, "the variable `B` is in both `secrets` and `k8s_config`"),
    ],
)
def test_a_variable_in_raw_configuration_is_not_replaced_silently(env: dict[str, str], message: str):
    with pytest.raises(RunnerError, match=message):
        REMOTE["kubernetes"](env={"A": "1"}, secrets={"B": "w:p"}, k8s_config={"container_config": {"env": [env]}})
