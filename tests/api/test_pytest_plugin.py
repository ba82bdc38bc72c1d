"""The fixtures that a user's own tests take from the package."""

import os
import subprocess
import sys
from pathlib import Path

import starlake_dagster_assets

TEST = """
import dagster as dg
from starlake_dagster_assets import StarlakeProject, StarlakeResource, starlake_assets
from starlake_dagster_assets.testing import Script, loaded_lines

def test_orders(starlake, starlake_runner, starlake_scripts, tmp_path):
    starlake_scripts["load"] = Script(loaded_lines("sales", "orders", accepted=3))
    project = StarlakeProject(PROJECT, env="DUCKDB", cache_dir=tmp_path)

    @starlake_assets(project=project, select="sales.orders")
    def sales(context, starlake: StarlakeResource):
        yield from starlake.run(context)

    assert dg.materialize([sales], resources={"starlake": starlake}).get_asset_materialization_events()
    assert [command.name for command in starlake_runner.commands] == ["stage", "load"]
"""


def test_a_users_test_with_the_fixtures_passes(tmp_path):
    package = Path(starlake_dagster_assets.__file__).parent
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["starlake_dagster_assets.pytest_plugin"]')
    project = package / "cli" / "starter" / "starlake"
    (tmp_path / "test_user.py").write_text(TEST.replace("PROJECT", repr(str(project))))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
