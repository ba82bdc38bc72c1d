"""Endings of loads and tasks: by the program of SL_STARLAKE_PATH where it is set, else by the scripted one."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Any

import pytest

from starlake_dagster_assets.commands import build
from starlake_dagster_assets.execution.backends.local.shell import ShellRunner
from starlake_dagster_assets.execution.outcome import FinalOutcome, Outcome, RunSettings
from starlake_dagster_assets.execution.run_selection import execute_selection
from tests.fakes.script import descendants

REAL = os.environ.get("SL_STARLAKE_PATH")
pytestmark = pytest.mark.real_starlake
GOOD, BAD = "id\n1\n2\n", "id\n1\nnope\n"
MOVE = {"do": "load", "move": True, "native": True, "rows": 2}
FAIL = {**MOVE, "do": "fail"}
CASES: dict[str, dict[str, Any]] = {
    "all": {"files": {"a-1.csv": GOOD, "b-1.csv": GOOD}, "want": {"a": "materialized", "b": "materialized"}},
    "two files": {"files": {"a-1.csv": GOOD, "a-2.csv": GOOD}, "want": {"a": "materialized", "b": "nothing"}},
    "no file": {"files": {}, "want": {"a": "nothing", "b": "nothing"}},
    "a bad file": {
        "files": {"a-1.csv": BAD, "b-1.csv": GOOD},
        "tables": {"a": FAIL},
        "want": {"a": "failed", "b": "materialized"},
        "left": ["a-1.csv"],
    },
    "one bad file of two": {
        "files": {"a-1.csv": GOOD, "a-2.csv": BAD, "b-1.csv": GOOD},
        "tables": {"a": {**MOVE, "do": "part"}},
        "want": {"a": "failed", "b": "materialized"},
        "left": ["a-2.csv"],
    },
    "both bad": {
        "files": {"a-1.csv": BAD, "b-1.csv": BAD},
        "tables": {"a": FAIL, "b": FAIL},
        "want": {"a": "failed", "b": "failed"},
        "left": ["a-1.csv", "b-1.csv"],
    },
    "rejected rows": {
        "files": {"a-1.csv": BAD},
        "env": {"SL_LOADER": "spark"},
        "tables": {"a": {"do": "reject", "move": True}},
        "want": {"a": "materialized", "b": "nothing"},
    },
    "rejected whole": {
        "files": {"a-1.csv": BAD},
        "env": {"SL_LOADER": "spark", "SL_REJECT_ALL_ON_ERROR": "true"},
        "tables": {"a": {"do": "refuse", "move": True}},
        "want": {"a": "failed", "b": "nothing"},
        "left": ["a-1.csv"],
    },
}


def execute_all(bench: Any, names: list[str], *, launcher: str = "process", env: Any = None) -> dict[str, Outcome]:
    source = bench.source()
    given = {"SL_LOADER": "native", **(env or {})}
    fields = {"starlake": REAL} if REAL else {}
    runner = bench.resource(launcher=launcher, env=given, **fields).runner(source)
    found: dict[str, Outcome] = {}
    for item in execute_selection(source, names, runner, RunSettings("job")):
        if isinstance(item, (Outcome, FinalOutcome)):
            outcome = item.outcome if isinstance(item, FinalOutcome) else item
            found[outcome.node.raw.rpartition(".")[2]] = outcome
    return found


def prepare(bench: Any, case: dict[str, Any]) -> None:
    bench.project(["a", "b"], duckdb=True)
    for name in ("a-1.csv", "b-1.csv"):
        (bench.root / "datasets/incoming/sales" / name).unlink()
    for name, text in case["files"].items():
        bench.write(f"datasets/incoming/sales/{name}", text)
    bench.scripted.tables({f"sales.{name}": case.get("tables", {}).get(name, MOVE) for name in ("a", "b")})


def area(bench: Any, name: str) -> list[str]:
    folder = bench.root / "datasets" / name / "sales"
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []


@pytest.mark.parametrize("name", CASES)
def test_how_a_load_ends(bench: Any, name: str):
    case = CASES[name]
    prepare(bench, case)
    found = execute_all(bench, ["sales.a", "sales.b"], env=case.get("env"))
    assert {table: one.status for table, one in found.items()} == case["want"], found
    left = [*area(bench, "stage"), *area(bench, "ingesting")]  # a file without a landed row is put back
    assert left == case.get("left", [])
    if name == "rejected rows":
        assert found["a"].rejected == 1
    assert all(one.reason for one in found.values() if one.status != "materialized")


@pytest.mark.parametrize("launcher", ["process", "console"])
def test_how_tasks_end(bench: Any, launcher: str):
    bench.project(tasks={"ok": "select 1 as id", "bad": "select nosuch from kpi.ok"}, duckdb=True)
    bench.scripted.tasks({"kpi.bad": {"do": "fail"}})
    found = execute_all(bench, ["kpi.ok", "kpi.bad"], launcher=launcher)
    assert {name: one.status for name, one in found.items()} == {"ok": "materialized", "bad": "failed"}
    assert "nosuch" in found["bad"].reason or "Attempting to execute" in found["bad"].reason


@pytest.mark.parametrize("ends", ["cancelled", "killed"])
def test_a_load_that_is_ended_from_outside(bench: Any, ends: str):
    many = "id\n" + "\n".join(map(str, range(2_000_000 if REAL else 2)))
    prepare(bench, {"files": {"a-1.csv": many}, "tables": {"a": {**MOVE, "do": "hang"}}})
    fields = {"starlake": REAL} if REAL else {}
    runner = bench.resource(env={"SL_LOADER": "native"}, **fields).runner(bench.source())
    assert isinstance(runner, ShellRunner)
    runner.start(build.stage("sales", ["a"], job_id="j0")).wait()
    before = descendants(os.getpid())
    handle = runner.start(build.load("sales", ["a"], job_id="j1"))
    for line in handle.lines():
        if "Table: sales.a" not in line.text:
            continue
        if ends == "cancelled":
            handle.cancel()
        else:
            for pid in descendants(os.getpid()) - before:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    result = handle.wait()
    assert result.cancelled == (ends == "cancelled") and result.exit_code != 0
    assert area(bench, "ingesting") == ["a-1.csv"]
