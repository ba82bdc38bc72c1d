"""The tick of an arrival sensor over a directory of many files, and one listing of it with sizes and times.

Ticks while all files are new, while all belong to a run that failed (`asked`), while none matches a pattern, and the
tick that asks for the run (`request`).
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg

from benchmarks.measure import Meter
from starlake_dagster_assets import StarlakeProject, build_definitions
from starlake_dagster_assets.automation import build_arrival_sensors
from starlake_dagster_assets.automation.policies.model import Job, PreLoad, Trigger, Triggers

ROUNDS = 6
KINDS = {"new": (3600.0, "csv"), "asked": (0.0, "csv"), "request": (0.0, "csv"), "unmatched": (3600.0, "txt")}
"""Seconds that files must be stable, and their suffix."""

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


def rounds(meter: Meter, _work: Path, files: int) -> None:
    """Alternates listings and ticks, kind by kind."""
    for kind, (stable_for, suffix) in KINDS.items():
        with TemporaryDirectory() as folder, dg.DagsterInstance.local_temp(folder) as instance:
            bench = Bench(Path(folder) / "project", files, instance, stable_for, suffix)
            first = bench.tick(None)
            if kind == "asked":
                (request,) = first.run_requests
                job = bench.repository.get_job("load")
                instance.create_run_for_job(job, tags=request.tags, status=dg.DagsterRunStatus.FAILURE)
            cursor = None if kind == "request" else first.cursor
            listing(bench.incoming)
            bench.tick(cursor)
            for _ in range(ROUNDS):
                with meter(f"listing {kind}"):
                    listing(bench.incoming)
                with meter(kind):
                    bench.tick(cursor)
            meter.notes[f"{kind}: cursor_bytes"] = len(first.cursor or "")
