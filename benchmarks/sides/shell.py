"""Steps that run the `starlake` program, whose scripted stand-in is charged what a real one was seen to take.

The stand-in costs next to nothing itself. The seconds of Starlake 1.6.0 on a DuckDB project are added for each process
and each table or task: the start of a JVM with its settings, the first session of a process, a table, a task.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg

from benchmarks.generator import Shape, write_project
from benchmarks.measure import Meter, cpu_seconds
from starlake_dagster_assets import StarlakeProject, StarlakeShell, build_definitions
from tests.fakes.script import Scripted

START, SESSION, TABLE, TASK = 2.9, 2.15, 0.25, 1.0
"""Seconds that were seen: `starlake settings`; a first table after 5.3; each further table; a task in a warm JVM."""
UNREADABLE = {"type": "jdbc", "options": {"url": "jdbc:h2:mem:x", "driver": "org.h2.Driver"}}


def load(meter: Meter, work: Path, tables: int) -> None:
    """Our step: a domain."""
    root, scripted = _laid_out(work, tables, 0)
    _materialized(meter, root, scripted, "process", "kind:table", "ours")


def one_process(meter: Meter, work: Path, tables: int) -> None:
    """The same two commands by hand."""
    root, scripted = _laid_out(work, tables, 0)
    commands = [["stage", "--domains", "d0"], ["load", "--domains", "d0", "--tables", ",".join(_names(tables))]]
    _metered(meter, "one", scripted, lambda: _typed(root, scripted, commands))


def process_a_table(meter: Meter, work: Path, tables: int) -> None:
    """A process a table by hand, as tools do that make a task of each table."""
    root, scripted = _laid_out(work, tables, 0)
    loads = [["load", "--domains", "d0", "--tables", name] for name in _names(tables)]
    _metered(meter, "each", scripted, lambda: _typed(root, scripted, [["stage", "--domains", "d0"], *loads]))


def transforms(meter: Meter, work: Path, tasks: int, launcher: str) -> None:
    """Our step: tasks, by the warm JVM or by a process each."""
    root, scripted = _laid_out(work, 1, tasks)
    _materialized(meter, root, scripted, launcher, "kind:task", launcher)


def _laid_out(work: Path, tables: int, tasks: int) -> tuple[Path, Scripted]:
    shutil.rmtree(work / "shell", ignore_errors=True)
    root = work / "shell" / "project"
    write_project(root, Shape(tables, tasks), UNREADABLE)
    incoming = root / "datasets" / "incoming" / "d0"
    incoming.mkdir(parents=True)
    for name in _names(tables):
        (incoming / f"{name}-1.csv").write_text("id\n1\n")
    return root, Scripted(work / "shell" / "scripted")


def _names(tables: int) -> list[str]:
    return [f"t{number}" for number in range(tables)]


def _materialized(meter: Meter, root: Path, scripted: Scripted, launcher: str, select: str, side: str) -> None:
    """A run of the selected assets; that the project is loaded has a row of its own."""
    starlake = StarlakeShell(env=scripted.environ, starlake=str(scripted.path), launcher=launcher)
    project = StarlakeProject(root, cache_dir=root.parent / "cache")
    defs = build_definitions(project, starlake=starlake, select=select)
    resolve = getattr(defs, "resolve_implicit_global_asset_job_def", None)
    job = resolve() if resolve else defs.get_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        done = _metered(meter, side, scripted, lambda: job.execute_in_process(instance=instance))
        if not done.success:
            raise AssertionError("the run failed")


def _typed(root: Path, scripted: Scripted, commands: list[list[str]]) -> None:
    environ = {**os.environ, **scripted.environ, "SL_ROOT": str(root)}
    for command in commands:
        subprocess.run([str(scripted.path), *command], env=environ, check=True, capture_output=True)


def _metered(meter: Meter, side: str, scripted: Scripted, action: Callable[[], Any]) -> Any:
    """Measures an action, and adds what the processes would have taken."""
    before = cpu_seconds()
    result = action()
    own = cpu_seconds() - before
    charged = charge(scripted)
    meter.notes |= {"processes": len(scripted.calls()), "cpu": round(own, 3), "starlake": round(charged, 2)}
    meter.add(side, cpu=own + charged)
    return result


def charge(scripted: Scripted) -> float:
    """Seconds that the processes of a real `starlake` would have taken."""
    seconds = 0.0
    for call in scripted.calls():
        typed = call.console if call.argv[:1] == ("console",) else (call.argv,)
        seconds += START + (SESSION if any(argv[:1] in (("load",), ("transform",)) for argv in typed) else 0.0)
        for argv in typed:
            if argv[:1] == ("load",):
                seconds += TABLE * len(argv[argv.index("--tables") + 1].split(","))
            elif argv[:1] == ("transform",):
                seconds += TASK
    return seconds
