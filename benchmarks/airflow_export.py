"""5,000 tables as DAG files: seconds of the export, and how much longer Airflow reads a file than one by hand.

    python benchmarks/airflow_export.py [TABLES] [PYTHON_OF_AN_AIRFLOW]

The second part needs an environment of Airflow, such as `.venv-airflow-3/bin/python`, which the tests make.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from starlake_dagster_assets import StarlakeProject, export_airflow

DOMAIN = 100
"""Tables of a domain, which are one DAG."""
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
import json, statistics, sys, time
exec(compile(open(sys.argv[1]).read(), sys.argv[1], "exec"), {"__name__": "warm", "__doc__": ""})
found = {}
for path in sys.argv[1:]:
    text = open(path).read()
    times = []
    for _ in range(9):
        began = time.process_time()
        exec(compile(text, path, "exec"), {"__name__": "one", "__doc__": ""})
        times.append(time.process_time() - began)
    found[path] = statistics.median(times)
print(json.dumps(found))
"""


def main(tables: int = 5000, python: str | None = None) -> None:
    """Prints both parts."""
    with tempfile.TemporaryDirectory() as work:
        root = Path(work, "project")
        lay_out(root, tables)
        project = StarlakeProject(root, cache_dir=Path(work, "cache"))
        nodes = len(project.graph.nodes)
        began = time.process_time()
        report = export_airflow(project, Path(work, "dags"))
        print(f"{nodes} nodes, {len(report.plan.dags)} DAGs: exported in {time.process_time() - began:.1f} CPU s")
        if python:
            compare(python, Path(work))


def lay_out(root: Path, tables: int) -> None:
    """A project of so many tables, and a task that reads each tenth."""
    application = {"application": {"connectionRef": "main", "connections": {"main": {"type": "bigquery"}}}}
    write(root, "application", application)
    columns = [{"name": "id", "type": "long"}, {"name": "name", "type": "string"}]
    for number in range(tables):
        domain, name = f"d{number // DOMAIN}", f"t{number % DOMAIN}"
        if number % DOMAIN == 0:
            metadata = {"directory": "{{SL_ROOT}}/in/" + domain, "schedule": "0 5 * * *"}
            write(root, f"load/{domain}/_config", {"load": {"name": domain, "metadata": metadata}})
        table = {"name": name, "pattern": f"{name}.*", "comment": "A table.", "attributes": columns}
        write(root, f"load/{domain}/{name}", {"table": table})
        if number % 10 == 0:
            task = root / "metadata" / "transform" / f"m{number // DOMAIN}" / f"k{number}.sql"
            task.parent.mkdir(parents=True, exist_ok=True)
            task.write_text(f"select count(*) as n from {domain}.{name}")


def write(root: Path, name: str, content: dict) -> None:
    """A file of the project; JSON is YAML."""
    path = root / "metadata" / f"{name}.sl.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"version": 1, **content}))


def compare(python: str, work: Path) -> None:
    """The file of one domain beside one by hand with as many tasks."""
    ours = next((work / "dags").glob("starlake_load_d0_*.py"))
    hand = work / "by_hand.py"
    hand.write_text(BY_HAND.format(name="by_hand") + "".join(TASK.format(number=n) for n in range(DOMAIN)))
    done = subprocess.run([python, "-c", TIMED, str(ours), str(hand)], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    first, second = found[str(ours)], found[str(hand)]
    print(
        f"a file of {DOMAIN} tables: {first * 1000:.0f} ms, by hand {second * 1000:.0f} ms: {first / second:.2f} times"
    )


if __name__ == "__main__":
    main(*([int(sys.argv[1])] if len(sys.argv) > 1 else []), *sys.argv[2:3])
