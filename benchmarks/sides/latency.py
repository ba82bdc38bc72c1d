"""Seconds from a delivered file to the last materialization that reads it, with a real daemon and default sensors.

The floor has the same stages without a Starlake project: a sensor that finds the file starts a job, and a multi-asset
sensor starts the job of two assets downstream. On both sides the file arrives right after a tick of the first sensor.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import dagster as dg

from benchmarks.measure import Meter

_T = TypeVar("_T")
_LIMIT = 240
"""Seconds after which a side has failed."""

OURS = """
from pathlib import Path
from starlake_dagster_assets import StarlakeAutomation, StarlakeDuckDB, StarlakeProject, build_definitions

defs = build_definitions(
    StarlakeProject(Path(__file__).parent / "shop"),
    starlake=StarlakeDuckDB(),
    automation=StarlakeAutomation(pre_load="imported"),
)
"""
THEIRS = """
from pathlib import Path
import dagster as dg
import duckdb

HERE = Path(__file__).parent
INCOMING, DATABASE = HERE / "shop/datasets/incoming/sales", str(HERE / "shop/datasets/duckdb.db")

def run(sql: str) -> None:
    with duckdb.connect(DATABASE) as con:
        con.execute(sql)

@dg.asset(key=["sales", "orders"])
def orders() -> None:
    run(f"create or replace table orders as select * from read_csv('{INCOMING}/orders_*.csv')")

@dg.asset(key=["kpi", "by_day"], deps=[orders])
def by_day() -> None:
    run("create or replace table by_day as select id % 7 as day, count(*) as orders from orders group by 1")

@dg.asset(key=["kpi", "best_day"], deps=[by_day])
def best_day() -> None:
    run("create or replace table best_day as select max(orders) as orders from by_day")

load = dg.define_asset_job("load", ["sales/orders"])
transform = dg.define_asset_job("transform", ["kpi/by_day", "kpi/best_day"])

@dg.sensor(job=load)
def files(context: dg.SensorEvaluationContext):
    for path in sorted(INCOMING.glob("orders_*.csv")):
        yield dg.RunRequest(run_key=path.name)

@dg.multi_asset_sensor(monitored_assets=[dg.AssetKey(["sales", "orders"])], job=transform)
def updates(context):
    if any(context.latest_materialization_records_by_key().values()):
        context.advance_all_cursors()
        yield dg.RunRequest()

defs = dg.Definitions([orders, by_day, best_day], jobs=[load, transform], sensors=[files, updates])
"""
PROJECT = {
    "application.sl.yml": """version: 1
application:
  connectionRef: duckdb
  connections:
    duckdb: {type: jdbc, options: {url: "jdbc:duckdb:{{SL_ROOT}}/datasets/duckdb.db", driver: org.duckdb.DuckDBDriver}}
""",
    "load/sales/_config.sl.yml": """version: 1
load:
  name: sales
  metadata: {directory: "{{SL_ROOT}}/datasets/incoming/sales"}
""",
    "load/sales/orders.sl.yml": """version: 1
table:
  name: orders
  pattern: "orders_.*.csv"
  attributes: [{name: id, type: int}]
""",
    "transform/kpi/by_day.sql": "select id % 7 as day, count(*) as orders from sales.orders group by 1",
    "transform/kpi/best_day.sql": "select max(orders) as orders from kpi.by_day",
}


def ours(meter: Meter, work: Path) -> None:
    """The project with its sensors."""
    _measure(meter, work, "ours", OURS)


def dagster(meter: Meter, work: Path) -> None:
    """Sensors and assets by hand."""
    _measure(meter, work, "dagster", THEIRS)


def _measure(meter: Meter, work: Path, side: str, definitions: str) -> None:
    with TemporaryDirectory(dir=work, prefix="latency-", ignore_cleanup_errors=True) as directory:
        home = Path(directory)
        for name, text in PROJECT.items():
            path = home / "shop" / "metadata" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (home / "shop" / "datasets" / "incoming" / "sales").mkdir(parents=True)
        (home / "definitions.py").write_text(definitions)
        (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        environ = {**os.environ, "DAGSTER_HOME": str(home)}
        with (home / "daemon.log").open("wb") as log, dg.DagsterInstance.from_config(str(home)) as instance:
            _start_sensors(home)
            command = [sys.executable, "-m", "dagster._daemon", "run", "-f", "definitions.py"]
            daemon = subprocess.Popen(command, cwd=home, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                meter.add(side, wall=_seconds(home, instance))
            except TimeoutError as error:
                raise SystemExit(f"{error}\n{(home / 'daemon.log').read_text()[-3000:]}") from error
            finally:
                daemon.terminate()
                daemon.wait(30)


def _start_sensors(home: Path) -> None:
    """Switches all sensors of the code location on, as a person does in the UI."""
    command = [sys.executable, "-m", "dagster", "sensor", "start", "--start-all", "-f", "definitions.py"]
    subprocess.run(command, cwd=home, env={**os.environ, "DAGSTER_HOME": str(home)}, check=True, capture_output=True)


def _seconds(home: Path, instance: dg.DagsterInstance) -> float:
    """Returns the seconds from the file to the materialization of the last asset."""
    first = next(
        state
        for state in instance.all_instigator_state()
        if not state.instigator_name.startswith(("lineage", "updates"))
    )

    def ticks() -> int:
        return len(instance.get_ticks(first.instigator_origin_id, first.selector_id, limit=1_000))

    before = _until("a tick", lambda: ticks() or None)
    _until("the next tick", lambda: ticks() > before or None)
    part = home / "orders_1.part"
    part.write_text("id\n" + "\n".join(map(str, range(1_000))) + "\n")
    began = time.time()
    part.rename(home / "shop" / "datasets" / "incoming" / "sales" / "orders_1.csv")
    key = dg.AssetKey(["kpi", "best_day"])

    def materialized() -> float | None:
        event = instance.get_latest_materialization_event(key)
        return None if event is None else event.timestamp

    return _until("the last materialization", materialized) - began


def _until(awaited: str, look: Callable[[], _T | None]) -> _T:
    end = time.monotonic() + _LIMIT
    while time.monotonic() < end:
        if (found := look()) is not None:
            return found
        time.sleep(0.2)
    raise TimeoutError(f"{awaited}: not seen within {_LIMIT} seconds")
