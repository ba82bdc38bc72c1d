from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def copy_of_the_example(work: Path) -> dict[str, str]:
    """The example and its workspace in a directory, and the environment to run them in, away from the user's own."""
    shutil.copytree(ROOT / "example_project", work / "example_project", ignore=shutil.ignore_patterns("datasets"))
    shutil.copy(ROOT / "workspace.yaml", work)
    home = work / "dagster_home"
    home.mkdir()
    shutil.copy(ROOT / "example_project" / "dagster.yaml", home)
    scripts = Path(sys.executable).parent
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "XDG_CACHE_HOME": str(work / "cache"),
    }


@pytest.fixture
def example(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command of this environment beside a copy of the example; its `project` is the Starlake project."""
    environ = copy_of_the_example(tmp_path)

    def run(module: str, *args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *(["-m", module] if module else []), *args]
        return subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120, check=False
        )

    run.project = tmp_path / "example_project" / "starbake"  # pyright: ignore[reportFunctionMemberAccess]
    return run
