"""A run from the command line: of one table, and of a bare job, in one workspace."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.measure import Meter

WORKSPACE = """
import dagster as dg
from pathlib import Path
from benchmarks.sides import projects
from benchmarks.sides.step import Nothing
from starlake_dagster_assets import build_definitions

@dg.op
def nothing():
    pass

@dg.job
def bare():
    nothing()

source = projects.source(Path({work!r}), **{shape!r})
one = dg.define_asset_job("one", selection=dg.AssetSelection.assets(["d0", "t0"]))
defs = dg.Definitions.merge(build_definitions(source, starlake=Nothing()), dg.Definitions(jobs=[bare, one]))
"""


def ours(meter: Meter, work: Path, **shape: Any) -> None:
    """A run that makes one table."""
    _run(meter, work, shape, "ours", "one")


def bare(meter: Meter, work: Path, **shape: Any) -> None:
    """A run of one op."""
    _run(meter, work, shape, "bare", "bare")


def _run(meter: Meter, work: Path, shape: dict[str, Any], side: str, job: str) -> None:
    file = work / "workspace.py"
    file.write_text(WORKSPACE.format(work=str(work), shape=shape))
    command = [sys.executable, "-m", "dagster", "job", "execute", "-f", str(file), "-j", job]
    with meter(side):
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode or "RUN_SUCCESS" not in done.stderr:
        raise AssertionError(done.stderr[-2000:])
