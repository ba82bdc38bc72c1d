"""One test per cloud, with an account of yours: `pytest -m live tests/live`.

`STARLAKE_LIVE_CLOUD_RUN`, `…_FARGATE`, `…_DATAPROC` and `…_KUBERNETES` have the fields of the resource as JSON.
Each runs the preflight and one harmless command (`settings`), and sees its end in the log.
"""

import json
import os

import pytest

from starlake_dagster_assets.commands import doctor_commands as inspect
from starlake_dagster_assets.doctor.environment import examine_environment
from starlake_dagster_assets.environments import get_environment
from starlake_dagster_assets.starlake_project import StarlakeProject
from tests.conformance.subject import write_project

ACCOUNTS = {word: f"STARLAKE_LIVE_{word.upper()}" for word in ("cloud_run", "fargate", "dataproc", "kubernetes")}


@pytest.mark.live
@pytest.mark.parametrize("word", ACCOUNTS)
def test_the_preflight_and_a_command(word: str, tmp_path):
    fields = os.environ.get(ACCOUNTS[word])
    if fields is None:
        pytest.skip(f"{ACCOUNTS[word]} is not set: the fields of the resource as JSON")
    resource = get_environment(word).resource_class()(**json.loads(fields))
    project = StarlakeProject(write_project(tmp_path / "project"), cache_dir=tmp_path / "cache")
    broken = [finding for finding in examine_environment(resource, project) if finding.level == "error"]
    assert [one for one in broken if one.topic != "warehouse"] == []
    runner = resource.runner(project)
    try:
        handle = runner.start(inspect.settings())
        lines = [line.text for line in handle.lines()]
        assert handle.wait().exit_code == 0, lines
        assert getattr(handle, "log_problem", "") == "", lines
    finally:
        close = getattr(runner, "close", None)
        if callable(close):
            close()
