"""Variables of `env` are secret by one rule: in remote environments, in the local shell and in the Airflow export."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from starlake_dagster_assets import StarlakeCloudRun, StarlakeProject, StarlakeShell
from starlake_dagster_assets.airflow.dag_options import Templates
from starlake_dagster_assets.commands.redaction import redact, secrets_of
from starlake_dagster_assets.errors import RunnerError
from tests.conformance.subject import SECRET, write_project

SECRETS = {
    "a name": ("PGPASSWORD", "hunter22x", "hunter22x"),
    "a URL": ("WAREHOUSE", "postgresql://sl:hunter22x@db/dwh", "hunter22x"),
    "a JDBC URL": ("WAREHOUSE", "jdbc:redshift://db/dwh?user=sl&password=hunter22x", "hunter22x"),
    "a token": ("GIT", "ghp_0123456789abcdefghijABCDEFGHIJ012345", "ghp_0123456789abcdefghijABCDEFGHIJ012345"),
    "a value of the project": ("GREETING", SECRET, SECRET),
}
OTHERS = {
    "a path": ("PGPASSWORD_FILE", "/run/secrets/pg"),
    "a mounted key": ("API_TOKEN", "/var/run/secrets/token"),
    "a name in a store": ("DB_SECRET_NAME", "warehouse-password"),
    "a number of tokens": ("MAX_TOKENS", "4096"),
    "a placeholder": ("WAREHOUSE", "postgresql://sl:${PGPASSWORD}@db/dwh"),
    "a word": ("MODE", "hunter22x"),
}


@pytest.fixture
def project(tmp_path: Path) -> StarlakeProject:
    return StarlakeProject(write_project(tmp_path / "project"))


def exported(project: StarlakeProject, name: str, value: str) -> str:
    return Templates(project, settings={"sl_env_var": json.dumps({name: value})}).environment()[name]


@pytest.mark.parametrize("case", SECRETS)
def test_a_secret(case: str, project: StarlakeProject):
    name, value, secret = SECRETS[case]
    with pytest.raises(RunnerError, match="secret"):
        StarlakeCloudRun(project="p", job="j", env={name: value}).runner(project)
    runner = StarlakeShell(env={name: value}).runner(project)
    hidden = secrets_of(project.model) | runner.capabilities.secrets
    assert redact(f"connecting with {secret} now", hidden) == "connecting with *** now"
    assert exported(project, name, value) == "{{ var.value." + name + " }}"


@pytest.mark.parametrize("case", OTHERS)
def test_no_secret(case: str, project: StarlakeProject):
    name, value = OTHERS[case]
    StarlakeCloudRun(project="p", job="j", env={name: value}).runner(project)
    runner = StarlakeShell(env={name: value}).runner(project)
    assert value not in runner.capabilities.secrets
    assert exported(project, name, value) == value


def test_an_inherited_variable(project: StarlakeProject, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WAREHOUSE_URL", "postgresql://sl:hunter22x@db/dwh")
    monkeypatch.setenv("OTHER_URL", "postgresql://sl:pw1@db/dwh")
    secrets = StarlakeShell().runner(project).capabilities.secrets
    assert "hunter22x" in secrets and "pw1" not in secrets, "a short one is also in ordinary texts"
