"""starlake-dagster beside this package, both on the Dagster that it works with, in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from benchmarks.generator import Shape, write_project
from benchmarks.measure import Meter, NotMeasured

THEIRS = """
import os
import sys
from ai.starlake.job import StarlakeExecutionEnvironment, StarlakeJobFactory, StarlakeOrchestrator
from ai.starlake.orchestration import OrchestrationFactory, StarlakeDomain, StarlakeSchedule, StarlakeTable

job = StarlakeJobFactory.create_job(
    filename=os.path.basename(__file__), module_name=__name__, orchestrator=StarlakeOrchestrator.DAGSTER,
    execution_environment=StarlakeExecutionEnvironment.SHELL, options={options!r},
)
tables = {tables!r}
domains = [StarlakeDomain(domain, domain, [StarlakeTable(name, name) for name in names]) for domain, names in tables]
with OrchestrationFactory.create_orchestration(job=job) as orchestration:
    with orchestration.sl_create_pipeline(schedule=StarlakeSchedule(None, "0 0 * * *", domains)) as pipeline:
        start = pipeline.start_task(task_id="start")
        loads = []
        for domain in domains:
            with orchestration.sl_create_task_group(group_id="load_" + domain.name, pipeline=pipeline) as group:
                for table in domain.tables:
                    pipeline.sl_load(
                        task_id="load_" + domain.name + "_" + table.name, domain=domain.name, table=table.name,
                        spark_config=None, params={{"cron": "0 0 * * *"}},
                    )
            loads.append(group)
        end = pipeline.end_task(task_id="end")
        start >> loads
        end << loads
"""
OURS = """
from starlake_dagster_assets import StarlakeProject, StarlakeShell, build_definitions

defs = build_definitions(
    StarlakeProject({root!r}, cache_dir={cache!r}), starlake=StarlakeShell(starlake={starlake!r}, env={environ!r})
)
"""
LOADED = """
import sys
sys.path.insert(0, {folder!r})
import {module} as loaded
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._serdes import serialize_value
repository = loaded.defs.get_repository_def()
repository.load_all_definitions()
snap = RepositorySnap.from_def(repository)
print("bytes", len(serialize_value(snap)), "jobs", len(repository.get_all_jobs()))
"""
RUN = """
import sys
sys.path.insert(0, {folder!r})
import dagster as dg
import {module} as loaded
jobs = [job for job in loaded.defs.get_repository_def().get_all_jobs() if job.name {which}]
with dg.DagsterInstance.local_temp({home!r}) as instance:
    done = jobs[0].execute_in_process(instance=instance)
    assert done.success
    print("ops", len(jobs[0].all_node_defs), "keys", len(instance.all_asset_keys()))
"""


def ours(meter: Meter, work: Path, tables: int, run: bool) -> None:
    """This package."""
    _side(meter, work, tables, run, "ours")


def theirs(meter: Meter, work: Path, tables: int, run: bool) -> None:
    """starlake-dagster."""
    _side(meter, work, tables, run, "theirs")


def _side(meter: Meter, work: Path, tables: int, run: bool, side: str) -> None:
    python = os.environ.get("PEER_PYTHON", str(Path(__file__).resolve().parents[2] / ".venv-peer" / "bin" / "python"))
    if not Path(python).exists():
        raise NotMeasured("there is no environment of starlake-dagster; `make .venv-peer/.installed` makes it")
    from tests.fakes.script import Scripted

    folder = work / f"peer-{side}-{tables}"
    scripted = Scripted(folder / "scripted")
    scripted.journal.unlink(missing_ok=True)
    root = folder / "project"
    made = write_project(root, Shape(tables))
    names: dict[str, list[str]] = {}
    for table in made.tables:
        names.setdefault(table.domain, []).append(table.name)
        incoming = root / "datasets" / "incoming" / table.domain
        stage = root / "datasets" / "stage" / table.domain
        for place in (incoming, stage) if side == "theirs" else (incoming,):
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{table.name}-1.csv").write_text("id\n1\n")
    variables = {"SL_ROOT": str(root), "SL_LOG_LEVEL": "info", **scripted.environ}
    options = {"SL_STARLAKE_PATH": str(scripted.path), "sl_env_var": json.dumps(variables)}
    options["pre_load_strategy"] = "none"
    text = (
        OURS.format(
            root=str(root), cache=str(folder / "cache"), starlake=str(scripted.path), environ=dict(scripted.environ)
        )
        if side == "ours"
        else THEIRS.format(options=options, tables=list(names.items()))
    )
    module = f"location_{side}"
    (folder / f"{module}.py").write_text(text)
    which = "== '__ASSET_JOB'" if side == "ours" else "!= '__ASSET_JOB'"
    home = folder / "home"
    home.mkdir(exist_ok=True)
    code = RUN if run else LOADED
    program = code.format(folder=str(folder), module=module, which=which, home=str(home))
    command = [python, "-W", "ignore", "-c", program]
    if side == "ours":
        subprocess.run(command, cwd=folder, capture_output=True, check=False) if not run else None  # the manifest
    with meter(side):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(done.stderr[-1500:])
    words = done.stdout.splitlines()[-1].split()
    meter.notes |= {**dict(zip(words[::2], words[1::2], strict=True)), "lines": len(done.stdout.splitlines())}
    if run:
        processes = len(scripted.calls())
        if not processes:
            raise AssertionError(f"no process was started: {done.stderr[-800:]}")
        meter.notes["processes"] = processes
        meter.add(f"{side} processes", count=processes)
