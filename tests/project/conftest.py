"""Small projects written on the spot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from starlake_dagster_assets.project.load import load_project
from tests.project.texts import APPLICATION


def write(root: Path, files: Mapping[str, str]) -> Path:
    """Writes a project: paths below `metadata` to texts; an application is added."""
    for path, text in {"application.sl.yml": APPLICATION, **files}.items():
        target = root / "metadata" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Any]:
    """Writes files and loads them, without the environment of the process."""

    def run(files: Mapping[str, str], **arguments: Any) -> Any:
        root = write(tmp_path / "project", files)
        return load_project(root, **{"environ": {}, "cache_dir": tmp_path / "cache", **arguments})

    return run
