"""The package of docs/extending.md, as a reader writes and installs it."""

from __future__ import annotations

import importlib
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from tests.docs.blocks import ROOT, blocks

__all__ = ["install", "loaded"]

PAGE = ROOT / "docs" / "extending.md"


def install(directory: Path, entry_point: str = "starlake_batch:ENVIRONMENT", name: str = "batch") -> Path:
    """Writes the package and its registration into a directory, which belongs on the path of modules."""
    for block in blocks(PAGE):
        if path := block.marks.get("file"):
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
    distribution = directory / "starlake_batch-1.0.dist-info"
    distribution.mkdir(exist_ok=True)
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: starlake-batch\nVersion: 1.0\n")
    (distribution / "entry_points.txt").write_text(f"[starlake_dagster_assets.environments]\n{name} = {entry_point}\n")
    return directory


@lru_cache(maxsize=1)
def loaded() -> Any:
    """Returns the module of the package; it is not registered in this process."""
    directory = Path(tempfile.mkdtemp(prefix="starlake-batch-"))
    for block in blocks(PAGE):
        if block.marks.get("file") == "starlake_batch/__init__.py":
            (directory / "starlake_batch.py").write_text(block.text, encoding="utf-8")
    sys.path.append(str(directory))
    return importlib.import_module("starlake_batch")
