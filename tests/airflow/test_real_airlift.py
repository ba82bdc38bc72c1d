"""Tasks that are switched to Dagster and back in real Airflows, and their runs in a real Dagster."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from starlake_dagster_assets import JobSettings, StarlakeAutomation, export_airflow
from starlake_dagster_assets.airflow.plan.model import AirflowOptions
from starlake_dagster_assets.dagster_assets.dagster_runs import DATA_INTERVAL
from tests.airflow.real import AIRFLOWS, HERE, Airflow, until
from tests.airflow.test_states import LOAD, ORDERS, History, Shop
from tests.fakes.airflow import FakeAirflow
from tests.fakes.servers import ended

pytestmark = [pytest.mark.airflow, pytest.mark.newest_only, pytest.mark.slow]

DEFINITIONS = """
from dagster_airlift.core import AirflowBasicAuthBackend, AirflowInstance

from starlake_dagster_assets import StarlakeProject, StarlakeShell, build_definitions
from starlake_dagster_assets.airlift import AirflowTasks

airflow = AirflowTasks.from_export({assets!r})
project = StarlakeProject({root!r})
starlake = StarlakeShell(starlake={program!r}, env={environ!r})
defs = build_definitions(project, starlake=starlake, automation=airflow.remaining_triggers(project))
backend = AirflowBasicAuthBackend(webserver_url={url!r}, username="admin", password="admin")
defs = airflow.observe(defs, AirflowInstance(auth_backend=backend, name="ours"))
"""

OPERATOR = """
from dagster_airlift.in_airflow import DefaultProxyTaskToDagsterOperator


class Ours(DefaultProxyTaskToDagsterOperator):
    ui_color = "#ffffff"
"""


@pytest.fixture(params=sorted(AIRFLOWS), ids=lambda major: f"airflow{major}")
def airflow(request) -> Airflow:
    return AIRFLOWS[request.param].install()


class Sides:
    """A project whose DAGs run in an Airflow, and the Dagster that its tasks can be switched to."""

    def __init__(self, work: Path, airflow: Airflow, days: int) -> None:
        self.shop = Shop(work, History("airlift", days=[[f"orders-{day}.csv"] for day in range(days)]))
        once = StarlakeAutomation(jobs=JobSettings(retries=0))
        self.shop.dags.mkdir()
        (self.shop.dags / "ours.py").write_text(OPERATOR)
        options = AirflowOptions(airlift=True, airlift_operator="ours:Ours")
        report = export_airflow(self.shop.project, self.shop.dags, automation=once, options=options)
        self.api = FakeAirflow({dag.id: [task.id for task in dag.tasks] for dag in report.plan.dags})
        self.home = airflow.home(work / "home", self.shop.dags)
        self.home.airflow("dags", "reserialize")  # `dags test` records events of datasets that the database knows
        self.dagster_home = work / "dagster"
        self.dagster_home.mkdir()
        coordinator = {"module": "dagster.core.run_coordinator", "class": "DefaultRunCoordinator"}
        (self.dagster_home / "dagster.yaml").write_text(json.dumps({"run_coordinator": coordinator}))
        self.variables = {
            **self.shop.scripted.environ,
            "AIRFLOW_VAR_STARLAKE_PATH": str(self.shop.program),
            "AIRFLOW_VAR_STARLAKE_ROOT": str(self.shop.root),
        }
        text = DEFINITIONS.format(
            assets=str(self.shop.dags / "asset_map.json"),
            root=str(self.shop.root),
            program=str(self.shop.program),
            environ=dict(self.shop.scripted.environ),
            url=self.api.url,
        )
        (work / "definitions.py").write_text(text)
        self.definitions = work / "definitions.py"

    def switch(self, proxied: bool) -> None:
        path = self.shop.dags / "proxied_state" / f"{LOAD}.yaml"
        words = ("false", "true") if proxied else ("true", "false")
        path.write_text(path.read_text().replace(*words))

    def run(self, day: int, url: str, *, deliver: bool = True) -> tuple[str, str]:
        """Runs the DAG of a day; returns the state of its load, and the window of the newest event of the dataset."""
        if deliver:
            self.shop.deliver(self.shop.history.days[day])
        date = f"2025-03-{10 + day}T05:00:00+00:00"
        self.home.run(HERE / "run_dags.py", date, LOAD, env={**self.variables, "DAGSTER_URL": url})
        with contextlib.closing(sqlite3.connect(self.home.path / "airflow.db")) as found:
            both = "task_instance join dag_run on dag_run.run_id = task_instance.run_id"
            query = (
                f"select task_instance.state from {both} where task_id = 'load_sales_orders' order by dag_run.id desc"
            )
            (state,) = found.execute(query).fetchone()
            table = "asset_event" if self.home.airflow_.major == 3 else "dataset_event"
            events = [text for (text,) in found.execute(f"select extra from {table} order by timestamp")]
        return state, f"{len(events)} {events[-1] if events else ''}"

    @contextlib.contextmanager
    def dagster(self) -> Iterator[str]:
        """A web server of Dagster, at the URL that it yields."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        argv = [sys.executable, "-m", "dagster_webserver", "-f", str(self.definitions), "-h", "127.0.0.1", "-p", port]
        root = Path(__file__).resolve().parents[2]
        env = {**os.environ, "DAGSTER_HOME": str(self.dagster_home), "PYTHONPATH": str(root)}
        with (self.dagster_home / "out").open("wb") as out:
            server = subprocess.Popen(argv, env=env, stdout=out, stderr=out, start_new_session=True)
        url = f"http://127.0.0.1:{port}"
        try:
            until(lambda: _answers(f"{url}/server_info"), 120, lambda: (self.dagster_home / "out").read_text()[-3000:])
            yield url
        finally:
            ended(server)
            self.api.close()

    def materializations(self) -> list[Any]:
        with dg.DagsterInstance.from_config(str(self.dagster_home)) as instance:
            records = instance.fetch_materializations(ORDERS, limit=10).records
            return [one.asset_materialization for one in reversed(records)]

    @property
    def archived(self) -> list[str]:
        return sorted(path.name for path in (self.shop.root / "datasets" / "archive" / "sales").glob("*"))


def _answers(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2):
        return True
    return False


@pytest.mark.timeout(600)  # five processes of Airflow and Dagster, one after the other
def test_a_task_moves_to_dagster_and_back(airflow, tmp_path):
    sides = Sides(tmp_path, airflow, days=3)
    with sides.dagster() as url:
        sides.switch(True)
        state, events = sides.run(0, url)
        assert state == "success"
        assert events.startswith("1 ") and '"sl_start_date": "2025-03-09T05:00:00"' in events
        (made,) = sides.materializations()
        assert made.metadata[DATA_INTERVAL].value == "2025-03-09T05:00:00+00:00/2025-03-10T05:00:00+00:00"
        assert sides.archived == ["orders-0.csv"]

        state, events = sides.run(1, url, deliver=False)
        assert (state, events[:2]) == ("skipped", "1 "), "no file: neither a materialization nor an event"
        assert len(sides.materializations()) == 1

        sides.switch(False)
        state, events = sides.run(2, url)
        assert (state, events[:2]) == ("success", "2 ")
        assert len(sides.materializations()) == 1, "the task has run in Airflow again"
        assert sides.archived == ["orders-0.csv", "orders-2.csv"]
