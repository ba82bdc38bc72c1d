"""The export of DAG files, and how long Airflow takes to read one beside one by hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.measure import Meter, NotMeasured
from benchmarks.sides import projects

IMPORTS = """
from datetime import datetime
try:
    from airflow.sdk import DAG, Asset, Param
except ImportError:
    from airflow import DAG
    from airflow.datasets import Dataset as Asset
    from airflow.models.param import Param
try:
    from airflow.providers.standard.operators.bash import BashOperator
except ImportError:
    from airflow.operators.bash import BashOperator
"""
BY_HAND = """
with DAG("by_hand", schedule="0 5 * * *", start_date=datetime(2024, 1, 1), catchup=False, default_args={"retries": 1}):
    stage = BashOperator(task_id="import_d0", bash_command="starlake stage --domains d0")
"""
TABLE = '''    t{number} = BashOperator(
        task_id="load_d0_t{number}",
        bash_command="starlake load --domains d0 --tables t{number}",
        env={{"SL_ROOT": "{{{{ var.value.starlake_root }}}}"}},
        append_env=True,
        outlets=[Asset("d0_t{number}")],
        doc_md="""A table of d0, with its columns: id long, name string.""",
    )
    stage >> t{number}
'''
TASKS = """
day = {"type": ["null", "string"], "description": "A day, such as 2024-05-02"}
with DAG(
    "by_hand",
    schedule=[Asset("d0_t0")],
    start_date=datetime(2024, 1, 1),
    catchup=False,
    default_args={"retries": 1},
    params={"start": Param(None, **day), "end": Param(None, **day)},
):
"""
TASK = '''    BashOperator(
        task_id="{domain}_{name}",
        bash_command="starlake transform --name {domain}.{name}",
        env={{"SL_ROOT": "{{{{ var.value.starlake_root }}}}"}},
        append_env=True,
        inlets=[{inlets}],
        outlets=[Asset("{domain}_{name}")],
        doc_md="""A task of {domain}, with its columns: id long, name string.""",
    )
'''
READ = """
import json, logging, sys, time
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:
    from airflow.models import DagBag
logging.disable(logging.CRITICAL)
found = {}
for path in sys.argv[1:]:
    found[path] = []
    for _ in range(15):
        bag = DagBag("/nowhere", collect_dags=False)
        began = time.process_time()
        dags = bag.process_file(path, only_if_updated=False)
        found[path].append(time.process_time() - began)
        assert len(dags) == 1, bag.import_errors
print(json.dumps(found))
"""
"""As Airflow does: it takes the byte code of a file that has not changed from where Python keeps it."""


def ours(meter: Meter, work: Path, **shape: Any) -> None:
    """The export, from a project that is loaded."""
    from starlake_dagster_assets import export_airflow

    project = projects.source(work, **shape)
    meter.notes["nodes"] = len(project.graph.nodes)
    shutil.rmtree(work / "dags", ignore_errors=True)
    with meter("ours"):
        export_airflow(project, work / "dags")
    meter.notes["bytes"] = sum(path.stat().st_size for path in (work / "dags").rglob("*.py"))


def same_bytes(meter: Meter, work: Path, **_shape: Any) -> None:
    """The same files once more."""
    files = {path: path.read_bytes() for path in (work / "dags").rglob("*.py")}
    again = work / "dags-again"
    shutil.rmtree(again, ignore_errors=True)
    again.mkdir()
    with meter("same_bytes"):
        for path, content in files.items():
            (again / path.name).write_bytes(content)


def tables(meter: Meter, work: Path, tables: int, python: str) -> None:
    """The file of one domain, and one by hand with as many tasks, read by a real Airflow."""
    text = BY_HAND + "".join(TABLE.format(number=number) for number in range(tables))
    _read(meter, work, python, "starlake_load_d0*.py", text, tables=tables)


def tasks(meter: Meter, work: Path, python: str, **shape: int) -> None:
    """The file of tasks that follow tables, and one by hand that has as much: parameters, assets, documents."""
    text = TASKS
    for task in projects.planned(**shape).tasks:
        inlets = ", ".join(f'Asset("{name.replace(".", "_")}")' for name in task.reads)
        text += TASK.format(domain=task.domain, name=task.name, inlets=inlets)
    _read(meter, work, python, "starlake_transform_*.py", text, **shape)


def _read(meter: Meter, work: Path, python: str, which: str, text: str, **shape: Any) -> None:
    if not Path(python).exists():
        raise NotMeasured("there is no environment of Airflow 3; `pytest tests/airflow/test_real.py` makes it")
    from starlake_dagster_assets import export_airflow

    dags = work / "dags"
    shutil.rmtree(dags, ignore_errors=True)
    export_airflow(projects.source(work, **shape), dags)
    (mine,) = dags.glob(which)
    hand = dags / "by_hand.py"
    hand.write_text(IMPORTS + text)
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environ |= {"AIRFLOW_HOME": str(work / "airflow"), "PYTHONPATH": ""}
    command = [python, "-c", READ, str(mine), str(hand)]
    done = subprocess.run(command, env=environ, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    for side, path in (("ours", mine), ("by_hand", hand)):
        for seconds in found[str(path)]:
            meter.add(side, cpu=seconds)
