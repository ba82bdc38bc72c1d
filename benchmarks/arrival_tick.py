"""The tick of an arrival sensor over a directory of many files against one listing of it with sizes and times.

Run it with `python benchmarks/arrival_tick.py`. It prints one line a pair and writes the medians as JSON. The ratio to
keep is 2 at most, in CPU seconds, on a machine that does nothing else. Measured are ticks while all files are new,
while all belong to a run that failed, while none matches a pattern, and the tick that asks for the run.
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
import fsspec

from starlake_dagster_assets import StarlakeProject, build_arrival_sensors, build_definitions
from starlake_dagster_assets.triggers.model import Job, PreLoad, Trigger, Triggers

__all__ = ["main"]

APPLICATION = """version: 1
application:
  connectionRef: duckdb
  connections:
    duckdb: {type: jdbc, options: {url: "jdbc:duckdb:{{SL_ROOT}}/datasets/duckdb.db", driver: org.duckdb.DuckDBDriver}}
"""
DOMAIN = """version: 1
load:
  name: sales
  metadata: {directory: "{{SL_ROOT}}/datasets/incoming/sales"}
"""
TABLE = """version: 1
table:
  name: %(name)s
  pattern: "%(name)s_.*.csv"
  attributes: [{name: id, type: int}]
"""
TABLES = ("orders", "items", "customers", "shops")


@dataclass(frozen=True)
class Cost:
    """What a call took, in seconds."""

    wall: float
    cpu: float


def project(root: Path, files: int, suffix: str) -> Path:
    """Writes a project of four tables, and their files."""
    folder = root / "metadata" / "load" / "sales"
    folder.mkdir(parents=True)
    (root / "metadata" / "application.sl.yml").write_text(APPLICATION)
    (folder / "_config.sl.yml").write_text(DOMAIN)
    for name in TABLES:
        (folder / f"{name}.sl.yml").write_text(TABLE % {"name": name})
    incoming = root / "datasets" / "incoming" / "sales"
    incoming.mkdir(parents=True)
    for number in range(files):
        (incoming / f"{TABLES[number % len(TABLES)]}_{number:06}.{suffix}").write_text("id\n1\n")
    return incoming


def timed(action: Callable[[], Any]) -> Cost:
    """Runs an action once."""
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


class Bench:
    """A sensor over a directory, and its ticks."""

    def __init__(self, root: Path, files: int, instance: dg.DagsterInstance, stable_for: float, suffix: str) -> None:
        self.incoming = project(root, files, suffix)
        self.instance = instance
        source = StarlakeProject(root, cache_dir=root / "cache")
        nodes = tuple(f"sales.{name}" for name in TABLES)
        pre_load = PreLoad("imported", stable_for=stable_for)
        given = {node: Trigger(node, "arrival", "load", preload=pre_load) for node in nodes}
        (self.sensor,) = build_arrival_sensors(source, Triggers(given, {"load": Job("load", nodes)}))
        made = build_definitions(source)
        self.repository = dg.Definitions(
            assets=made.assets, sensors=[self.sensor], resources=made.resources
        ).get_repository_def()

    def tick(self, cursor: str | None) -> Any:
        """One tick."""
        context = dg.build_sensor_context(
            instance=self.instance, cursor=cursor, repository_def=self.repository, sensor_name=self.sensor.name
        )
        return self.sensor.evaluate_tick(context)


def listing(folder: Path) -> list[tuple[str, int, int]]:
    """The directory, with sizes and times: the least that can be done."""
    with os.scandir(folder) as entries:
        return [(entry.name, (stat := entry.stat()).st_size, stat.st_mtime_ns) for entry in entries if entry.is_file()]


def compared(bench: Bench, kind: str, pairs: int) -> dict[str, object]:
    """Alternates listings and ticks of one kind."""
    first = bench.tick(None)
    if kind == "asked":
        (request,) = first.run_requests
        job = bench.repository.get_job("load")
        bench.instance.create_run_for_job(job, tags=request.tags, status=dg.DagsterRunStatus.FAILURE)
    cursor = None if kind == "request" else first.cursor
    local = fsspec.filesystem("file")
    costs: list[tuple[Cost, Cost, Cost]] = []
    for number in range(pairs + 1):
        plain = timed(lambda: listing(bench.incoming))
        tick = timed(lambda: bench.tick(cursor))
        through = timed(lambda: local.ls(str(bench.incoming), detail=True))
        if number == 0:
            continue  # the first round warms the caches
        costs.append((tick, plain, through))
        print(f"{kind} {number}: tick {tick.cpu:.3f} CPU s; scandir {plain.cpu:.3f}; fsspec {through.cpu:.3f}")
    return {
        "tick_cpu_s": _median(tick.cpu for tick, _, _ in costs),
        "listing_cpu_s": _median(plain.cpu for _, plain, _ in costs),
        "fsspec_listing_cpu_s": _median(through.cpu for _, _, through in costs),
        "ratio": _median(tick.cpu / plain.cpu for tick, plain, _ in costs),
        "ratio_fsspec": _median(tick.cpu / through.cpu for tick, _, through in costs),
        "cursor_bytes": len(first.cursor or ""),
    }


def measure(files: int, pairs: int) -> dict[str, object]:
    """All kinds of ticks."""
    kinds = {"new": (3600.0, "csv"), "asked": (0.0, "csv"), "request": (0.0, "csv"), "unmatched": (3600.0, "txt")}
    found: dict[str, object] = {"files": files, "pairs": pairs}
    for kind, (stable_for, suffix) in kinds.items():
        with TemporaryDirectory(prefix="arrival-tick-") as folder, dg.DagsterInstance.local_temp(folder) as instance:
            bench = Bench(Path(folder) / "project", files, instance, stable_for, suffix)
            found[kind] = compared(bench, kind, pairs)
    return {**found, "target": 2}


def _median(values: Iterable[float]) -> float:
    return round(statistics.median(values), 3)


def main() -> int:
    """Reads the arguments, measures, prints and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "arrival_tick.json")
    given = parser.parse_args()
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
    warnings.simplefilter("ignore")
    result = measure(given.files, given.pairs)
    text = json.dumps(result, indent=2)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
