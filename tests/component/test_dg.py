"""What `dg` itself does with the component, in a project as `create-dagster` lays it out."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("dagster_dg_cli")

ROOT = Path(__file__).resolve().parents[2]
TYPE = "starlake_dagster_assets.StarlakeProjectComponent"
PYPROJECT = """
[project]
name = "shop"
version = "0.1.0"
[tool.dg]
directory_type = "project"
[tool.dg.project]
root_module = "shop"
"""
DEFINITIONS = """
from pathlib import Path
from dagster import definitions, load_from_defs_folder

@definitions
def defs():
    return load_from_defs_folder(path_within_project=Path(__file__).parent)
"""

pytestmark = [pytest.mark.slow, pytest.mark.newest_only]


@pytest.fixture
def dg(tmp_path: Path):
    package = tmp_path / "src" / "shop"
    (package / "defs").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (package / "definitions.py").write_text(DEFINITIONS)
    for directory in (package, package / "defs"):
        (directory / "__init__.py").touch()
    shutil.copytree(
        ROOT / "example_project" / "starbake", tmp_path / "starbake", ignore=shutil.ignore_patterns("datasets")
    )
    paths = [str(tmp_path / "src"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(paths),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "COLUMNS": "200",
    }

    def run(*args: str) -> str:
        done = subprocess.run(
            [Path(sys.executable).with_name("dg"), *args],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_it_is_listed_scaffolded_checked_and_shows_its_assets(dg, tmp_path):
    assert TYPE in dg("list", "components")
    dg("scaffold", "defs", TYPE, "bakery", "--project", "starbake", "--env", "DUCKDB")
    written = (tmp_path / "src" / "shop" / "defs" / "bakery" / "defs.yaml").read_text()
    assert "{{ context.project_root }}/starbake" in written
    dg("check", "yaml")
    dg("utils", "refresh-defs-state")
    found = json.loads(dg("list", "defs", "--json"))
    assert "starbake/Orders" in {one["asset_key"] for one in found["assets"]}
