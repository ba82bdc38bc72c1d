"""`dagster asset materialize`, killed: after the next run every row is in its table once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DEFINITIONS = """
from starlake_dagster_assets import StarlakeDuckDB, StarlakeProject, build_definitions

defs = build_definitions(StarlakeProject({root!r}), starlake=StarlakeDuckDB())
"""
ROWS = 50
EVENTS = ("STEP_START", "ASSET_MATERIALIZATION", "STEP_OUTPUT")


def materialize(bench: Any, home: Path) -> subprocess.Popen[str]:
    definitions = home / "definitions.py"
    definitions.write_text(DEFINITIONS.format(root=str(bench.root)))
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    program = [sys.executable, "-m", "dagster", "asset", "materialize", "--select", "*", "-f", str(definitions)]
    return subprocess.Popen(
        program,
        env={**bench.environ, "DAGSTER_HOME": str(home), "XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    )


def deliver(bench: Any, number: int) -> None:
    rows = [f"{number * ROWS + row},x,1" for row in range(ROWS)]
    bench.file(f"orders_{number}.csv", *rows, "wrong,x,1", area="incoming")


@pytest.mark.newest_only
def test_runs_killed_at_their_events_lose_no_row_and_double_none(bench: Any, tmp_path: Path) -> None:
    bench.table()
    bench.task("kpi.total", "select count(*) as n from shop.orders", "writeStrategy: {type: OVERWRITE}")
    home = tmp_path / "home"
    home.mkdir()
    for number, event in enumerate(EVENTS):
        deliver(bench, number)
        process = materialize(bench, home)
        assert process.stdout is not None
        assert any(event in line for line in process.stdout), f"the run ended before {event}"
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    deliver(bench, len(EVENTS))
    process = materialize(bench, home)
    printed, _ = process.communicate()
    assert process.returncode == 0, printed
    wanted = (len(EVENTS) + 1) * ROWS
    assert bench.query("SELECT count(*), count(DISTINCT id) FROM shop.orders") == [(wanted, wanted)]
    assert bench.query("SELECT n FROM kpi.total") == [(wanted,)]
    assert bench.query("SELECT count(*) FROM audit.rejected") == [(len(EVENTS) + 1,)]
    assert (bench.files("incoming"), bench.files("stage"), bench.files("ingesting")) == ([], [], [])
