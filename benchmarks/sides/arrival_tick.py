"""The tick of an arrival sensor over a directory of many files, and one listing of it with sizes and times.

Ticks while all files are new, while all belong to a run that failed (`asked`), while none matches a pattern, and the
tick that asks for the run (`request`). With `catchup`, the files lie in the directories of 30 earlier days, which were
loaded, and the listing is that of all of them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg

from benchmarks.measure import Meter
from starlake_dagster_assets import StarlakeProject, build_definitions
from starlake_dagster_assets.automation import build_arrival_sensors
from starlake_dagster_assets.automation.policies.data_intervals import interval_text
from starlake_dagster_assets.automation.policies.model import CronSchedule, Job, PreLoad, Trigger, Triggers
from starlake_dagster_assets.dagster_assets.dagster_runs import DATA_INTERVAL

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
DAYS = 30
"""Earlier days with files, as many as a tick evaluates."""


def project(root: Path, files: int, suffix: str, days: Sequence[date] = ()) -> Path:
    """Writes a project of four tables, and their files, in a directory per day if there are days."""
    folder = root / "metadata" / "load" / "sales"
    folder.mkdir(parents=True)
    (root / "metadata" / "application.sl.yml").write_text(APPLICATION)
    (folder / "_config.sl.yml").write_text(DOMAIN)
    for name in TABLES:
        (folder / f"{name}.sl.yml").write_text(TABLE % {"name": name})
    incoming = root / "datasets" / "incoming" / "sales"
    places = [incoming / day.isoformat() for day in days] or [incoming]
    for place in places:
        place.mkdir(parents=True)
    for number in range(files):
        name = f"{TABLES[number % len(TABLES)]}_{number:06}.{suffix}"
        (places[number % len(places)] / name).write_text("id\n1\n")
    return incoming


class Bench:
    """A sensor over a directory, and its ticks."""

    def __init__(
        self,
        root: Path,
        files: int,
        instance: dg.DagsterInstance,
        stable_for: float,
        suffix: str,
        days: Sequence[date] = (),
    ) -> None:
        self.incoming = project(root, files, suffix, days)
        self.instance = instance
        source = StarlakeProject(root, cache_dir=root / "cache")
        nodes = tuple(f"sales.{name}" for name in TABLES)
        pre_load = PreLoad("imported", stable_for=stable_for)
        given = {node: Trigger(node, "arrival", "load", preload=pre_load) for node in nodes}
        if days:
            start = datetime.combine(days[0], time(), timezone.utc)
            pre_load = replace(pre_load, incoming_path=f"{self.incoming.parent}/{{domain}}/{{YYYY-MM-DD}}")
            daily = CronSchedule("0 0 * * *", start=start, catchup=True)
            given = {node: Trigger(node, "schedule", "load", preload=pre_load, cron_schedule=daily) for node in nodes}
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

    def report_loads(self, days: Sequence[date]) -> None:
        """Reports a load of every table for the window of each day."""
        for day in days:
            end = datetime.combine(day, time(), timezone.utc)
            metadata = {DATA_INTERVAL: interval_text((end - timedelta(days=1), end))}
            for name in TABLES:
                event = dg.AssetMaterialization(["sales", name], metadata=metadata)
                self.instance.report_runless_asset_event(event)


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
    _catchup_rounds(meter, files)


def _catchup_rounds(meter: Meter, files: int) -> None:
    today = datetime.now(timezone.utc).date()
    days = [today - timedelta(days=number) for number in range(DAYS, 0, -1)]
    with TemporaryDirectory() as folder, dg.DagsterInstance.local_temp(folder) as instance:
        bench = Bench(Path(folder) / "project", files, instance, 0.0, "csv", days)
        bench.report_loads(days)
        cursor = bench.tick(None).cursor
        for number in range(ROUNDS + 1):
            with meter("listing catchup") if number else nullcontext():
                for place in bench.incoming.iterdir():
                    listing(place)
            with meter("catchup") if number else nullcontext():
                data = bench.tick(cursor)
        assert not data.run_requests and "has a load already" in (data.skip_message or "")
