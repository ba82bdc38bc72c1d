"""The export of DAG files, and how long Airflow takes to read one beside one by hand."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.measure import Meter, NotMeasured
from benchmarks.sides import projects

BY_HAND = """
from datetime import datetime
try:
    from airflow.sdk import DAG, Asset
except ImportError:
    from airflow import DAG
    from airflow.datasets import Dataset as Asset
try:
    from airflow.providers.standard.operators.bash import BashOperator
except ImportError:
    from airflow.operators.bash import BashOperator

with DAG("{name}", schedule="0 5 * * *", start_date=datetime(2024, 1, 1), catchup=False, default_args={{"retries": 1}}):
    stage = BashOperator(task_id="import_d0", bash_command="starlake stage --domains d0")
"""
TASK = '''    t{number} = BashOperator(
        task_id="load_d0_t{number}",
        bash_command="starlake load --domains d0 --tables t{number}",
        env={{"SL_ROOT": "{{{{ var.value.starlake_root }}}}"}},
        append_env=True,
        outlets=[Asset("d0_t{number}")],
        doc_md="""A table of d0, with its columns: id long, name string.""",
    )
    stage >> t{number}
'''
TIMED = """
import json, sys, time
exec(compile(open(sys.argv[1]).read(), sys.argv[1], "exec"), {"__name__": "warm", "__doc__": ""})
found = {}
for path in sys.argv[1:]:
    text = open(path).read()
    times = []
    for _ in range(9):
        began = time.process_time()
        exec(compile(text, path, "exec"), {"__name__": "one", "__doc__": ""})
        times.append(time.process_time() - began)
    found[path] = times
print(json.dumps(found))
"""


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


def parsed(meter: Meter, work: Path, tables: int, python: str) -> None:
    """The file of one domain and one by hand with as many tasks, read by a real Airflow."""
    if not Path(python).exists():
        raise NotMeasured("there is no environment of Airflow 3; `pytest tests/airflow/test_real.py` makes it")
    from starlake_dagster_assets import export_airflow

    shutil.rmtree(work / "dags", ignore_errors=True)
    export_airflow(projects.source(work, tables=tables), work / "dags")
    (mine,) = (work / "dags").glob("starlake_load_d0*.py")
    hand = work / "by_hand.py"
    hand.write_text(BY_HAND.format(name="by_hand") + "".join(TASK.format(number=n) for n in range(tables)))
    done = subprocess.run([python, "-c", TIMED, str(mine), str(hand)], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    for side, path in (("ours", mine), ("by_hand", hand)):
        for seconds in found[str(path)]:
            meter.add(side, cpu=seconds)
