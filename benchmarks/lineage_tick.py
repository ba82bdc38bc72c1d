"""The tick of a lineage sensor over many upstreams against one bulk `get_asset_records` call of the same instance.

Run it with `python benchmarks/lineage_tick.py`. It prints one line a pair and writes the medians as JSON. The ratio to
keep is 2 at most, in CPU seconds, on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg

from starlake_dagster_assets import StarlakeProject, build_definitions
from starlake_dagster_assets.automation.lineage import build_lineage_sensors
from starlake_dagster_assets.triggers.model import AllOf, Job, Trigger, Triggers, Upstream, Watch

__all__ = ["main"]

APPLICATION = """version: 1
application:
  connectionRef: duckdb
  connections:
    duckdb: {type: jdbc, options: {url: "jdbc:duckdb:{{SL_ROOT}}/datasets/duckdb.db", driver: org.duckdb.DuckDBDriver}}
"""


@dataclass(frozen=True)
class Cost:
    """What a call took, in seconds."""

    wall: float
    cpu: float


def project(root: Path) -> None:
    """Writes a project of one task; what it watches lives elsewhere."""
    folder = root / "metadata" / "transform" / "kpi"
    folder.mkdir(parents=True)
    (root / "metadata" / "application.sl.yml").write_text(APPLICATION)
    (folder / "all.sql").write_text("select 1 as a")


def timed(action: Callable[[], Any]) -> Cost:
    """Runs an action once."""
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def measure(upstreams: int, pairs: int) -> dict[str, object]:
    """Alternates ticks that start no run, ticks that start one, and the bulk call."""
    idle: list[tuple[Cost, Cost]] = []
    news: list[tuple[Cost, Cost]] = []
    names = [f"sales.table_{number}" for number in range(upstreams)]
    keys = [dg.AssetKey(name.split(".")) for name in names]
    with TemporaryDirectory(prefix="lineage-tick-") as folder, dg.DagsterInstance.local_temp(folder) as instance:
        root = Path(folder) / "project"
        project(root)
        source = StarlakeProject(root, cache_dir=Path(folder) / "cache")
        watch = Watch(AllOf(tuple(Upstream(name) for name in names)))
        triggers = Triggers(
            {"kpi.all": Trigger("kpi.all", "lineage", "kpi", watch=watch)}, {"kpi": Job("kpi", ("kpi.all",))}
        )
        (sensor,) = build_lineage_sensors(source, triggers)
        made = build_definitions(source)
        repository = dg.Definitions(assets=made.assets, sensors=[sensor], resources=made.resources).get_repository_def()
        for key in keys:
            instance.report_runless_asset_event(dg.AssetMaterialization(key))

        def tick(cursor: str | None) -> str | None:
            context = dg.build_sensor_context(
                instance=instance, cursor=cursor, repository_def=repository, sensor_name=sensor.name
            )
            data = sensor.evaluate_tick(context)
            if bool(data.run_requests) is bool(cursor):
                raise SystemExit(f"{len(data.run_requests)} runs were requested: {data.skip_message}")
            return data.cursor

        cursor = tick(None)
        for number in range(pairs + 1):
            bulk = timed(lambda: instance.get_asset_records(keys))
            found = (timed(lambda: tick(cursor)), timed(lambda: tick(None)))
            if number == 0:
                continue  # the first round warms the caches
            idle.append((found[0], bulk))
            news.append((found[1], bulk))
            print(
                f"pair {number}: idle tick {found[0].cpu:.3f} CPU s, tick with a run {found[1].cpu:.3f} CPU s; "
                f"get_asset_records {bulk.cpu:.3f} CPU s"
            )
    return {
        "upstreams": upstreams,
        "pairs": pairs,
        "cursor_bytes": len(cursor or ""),
        "idle_cpu_s": _median(tick.cpu for tick, _ in idle),
        "run_cpu_s": _median(tick.cpu for tick, _ in news),
        "bulk_cpu_s": _median(bulk.cpu for _, bulk in idle),
        "ratio_idle": _median(tick.cpu / bulk.cpu for tick, bulk in idle),
        "ratio_run": _median(tick.cpu / bulk.cpu for tick, bulk in news),
        "target": 2,
    }


def _median(values: Iterable[float]) -> float:
    return round(statistics.median(values), 3)


def main() -> int:
    """Reads the arguments, measures, prints and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upstreams", type=int, default=1_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "lineage_tick.json")
    given = parser.parse_args()
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
    warnings.simplefilter("ignore")
    result = measure(given.upstreams, given.pairs)
    text = json.dumps(result, indent=2)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
