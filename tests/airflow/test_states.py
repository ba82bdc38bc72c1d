"""The same history in Airflow and in Dagster gives each task and asset the same state: the table in docs/airflow.md."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run

from starlake_dagster_assets import (
    JobSettings,
    LineageSettings,
    PreLoadSettings,
    StarlakeAutomation,
    StarlakeProject,
    StarlakeShell,
    build_definitions,
    export_airflow,
)
from starlake_dagster_assets.dagster_assets.dagster_runs import INTERVAL_END, INTERVAL_START
from tests.airflow.scheduler import Run, Scheduler, skips
from tests.fakes.script import Scripted

pytestmark = pytest.mark.filterwarnings("ignore:.* (is|are) experimental")  # on the oldest Dagster
TICKS = [datetime(2025, 3, day, 5, tzinfo=timezone.utc) for day in (8, 9, 10)]
ORDERS, SUMS = dg.AssetKey(["sales", "orders"]), dg.AssetKey(["kpi", "sums"])
LOAD, TRANSFORM = "starlake_load_sales_cron_0_5_x_x_x", "starlake_transform_kpi"


@dataclass
class History:
    """What happens to the project.

    Attributes:
        name: As in the table of the documentation.
        start: `cron`, `files` or `manual`: what starts the load.
        reads: The tables that the transform reads, all of which must have an update.
        days: Per start, the files that come before it.
        does: What the program does with them, per process; the last one also later.
        ticks: Numbers of the ticks of the starts.
        loads: The states of the loads that are expected.
        sums: Those of the transform that follows, in the runs that there are.
    """

    name: str
    start: str = "cron"
    days: list[list[str]] = field(default_factory=lambda: [["orders-1.csv"]])
    does: list[str] = field(default_factory=lambda: ["load"])
    ticks: list[int] = field(default_factory=lambda: [2])
    loads: list[str] = field(default_factory=lambda: ["success"])
    sums: list[str] = field(default_factory=lambda: ["success"])
    task: str = "ok"
    reads: tuple[str, ...] = ("orders",)


BOTH = ["success", "success"]
HISTORIES = [
    History("cron"),
    History("file-triggered", start="files"),
    History("manual with conf", start="manual"),
    History(
        "backfill", ticks=[0, 1], days=[["orders-1.csv"], ["orders-2.csv"]], loads=["success"] * 2, sums=["success"] * 2
    ),
    History("retry", does=["fail", "load"]),
    History("retry after a part", days=[["orders-1.csv", "orders-2.csv"]], does=["part", "load"]),
    History("failed load", does=["fail"], loads=["failed"], sums=[]),
    History("refused file", does=["refuse"], loads=["failed"], sums=[]),
    History("no file", days=[[]], loads=["skipped"], sums=[]),
    History("late file", days=[[], ["orders-1.csv"]], ticks=[1, 2], loads=["skipped", "success"]),
    History("missed tick", days=[["orders-1.csv"], ["orders-2.csv"]], ticks=[0, 2], loads=BOTH, sums=BOTH),
    History("failed transform", task="fail", sums=["failed"]),
    History(
        "several upstreams under all",
        days=[["orders-1.csv"], ["items-1.csv"]],
        ticks=[1, 2],
        loads=["success", "skipped"],
        reads=("orders", "items"),
    ),
]


class Shop:
    """A project of tables and a task that reads them, and the program that runs it."""

    def __init__(self, work: Path, history: History) -> None:
        self.root, self.history = work / "shop", history
        self.dags = work / "dags"
        schedule = {"schedule": "0 5 * * *"} if history.start != "files" else {}
        files = {
            "application.sl.yml": {
                "application": {"connectionRef": "main", "connections": {"main": {"type": "spark"}}}
            },
            "load/sales/_config.sl.yml": {
                "load": {"name": "sales", "metadata": {"directory": "{{SL_ROOT}}/datasets/incoming/sales"}}
            },
        }
        for name in history.reads:
            files[f"load/sales/{name}.sl.yml"] = {
                "table": {
                    "name": name,
                    "pattern": f"{name}-.*.csv",
                    "metadata": schedule,
                    "attributes": [{"name": "id", "type": "long"}],
                }
            }
        for name, content in files.items():
            path = self.root / "metadata" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"version": 1, **content}))
        sql = self.root / "metadata" / "transform" / "kpi" / "sums.sql"
        sql.parent.mkdir(parents=True)
        sql.write_text(f"select count(*) as n from {', '.join(f'sales.{name}' for name in history.reads)}")
        strategy = PreLoadSettings(strategy="imported" if history.start == "files" else "none", stable_for=0)
        self.automation = StarlakeAutomation(
            pre_load=strategy,
            lineage=LineageSettings(strategy="all" if len(history.reads) > 1 else "any"),
            jobs=JobSettings(retries=1, retry_delay=0.001),
        )
        self.project = StarlakeProject(self.root, cache_dir=work / "cache")
        self.scripted = Scripted(work / "scripted").tasks({"kpi.sums": {"do": history.task}})
        self._plan(work)

    def _plan(self, work: Path) -> None:
        """The n-th load does the n-th thing."""
        last = len(self.history.does) - 1
        for number, do in enumerate(self.history.does):
            told = {
                **self.scripted.told,
                "tables": {f"sales.{name}": {"do": do, "move": True} for name in self.history.reads},
            }
            (work / f"script_{number}.json").write_text(json.dumps(told))
        self.program = work / "starlake"
        self.program.write_text(
            "#!/bin/bash\n"
            f"n=$(cat {work}/n 2>/dev/null || echo 0)\n"
            f"export SCRIPTED_STARLAKE={work}/script_$((n < {last} ? n : {last})).json\n"
            f'[ "$1" != load ] || echo $((n + 1)) > {work}/n\n'
            f'exec {self.scripted.path} "$@"\n'
        )
        self.program.chmod(0o755)

    def deliver(self, names: list[str]) -> None:
        folder = self.root / "datasets" / "incoming" / "sales"
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / name).write_text("id\n1\n")

    def windows(self) -> list[str]:
        """The windows of the transforms that ran."""
        found = [re.findall(r"sl_(?:start|end)_date=([^,]*)", " ".join(call.argv)) for call in self.calls]
        return [" ".join(one) for one in found]

    @property
    def calls(self) -> list[Any]:
        return self.scripted.calls("transform")


def interval(tick: int) -> tuple[datetime, datetime]:
    return TICKS[tick].replace(day=TICKS[tick].day - 1), TICKS[tick]


def in_airflow(shop: Shop) -> tuple[list[str], list[str], list[str]]:
    """States of loads and transforms, and the windows of transforms."""
    export_airflow(shop.project, shop.dags, automation=shop.automation)
    variables = {"starlake_path": str(shop.program), "starlake_root": str(shop.root)}
    environ = {**shop.scripted.environ, "AIRFLOW_HOME": str(shop.root.parent)}
    there = Scheduler(shop.dags, environ, variables)
    (load,) = [name for name in there.dags if "_load_" in name]
    runs: list[Run] = []
    sums: list[str] = []
    for files, tick in zip(shop.history.days, shop.history.ticks, strict=True):
        shop.deliver(files)
        start, end = interval(tick)
        conf = {"sl_start_date": start.isoformat(), "sl_end_date": end.isoformat()}
        manual = shop.history.start == "manual"
        given: dict[str, Any] = {"conf": conf, "kind": "manual"} if manual else {"interval": (start, end)}
        if shop.history.start == "files":
            given = {}
        runs.append(there.run(load, **given))
        states = [one.states["kpi_sums_task"] for one in there.cascade(runs[-1]).values()]
        sums += [state for state in states if state != "skipped"]
    states = [run.states["load_sales_orders"] for run in runs]
    assert all((state == "success") is ("sales_orders" in run.events) for run, state in zip(runs, states, strict=True))
    return states, sums, shop.windows()


def in_dagster(shop: Shop) -> tuple[list[str], list[str], list[str]]:
    """The same of runs of Dagster, which its schedules and sensors ask for."""
    starlake = StarlakeShell(starlake=str(shop.program), env=dict(shop.scripted.environ))
    made = build_definitions(shop.project, starlake=starlake, automation=shop.automation)
    parts = {
        name: getattr(made, name) for name in ("assets", "asset_checks", "jobs", "schedules", "sensors", "resources")
    }
    repository = dg.Definitions(**parts, executor=dg.in_process_executor).get_repository_def()
    loads: list[str] = []
    sums: list[str] = []
    with dg.DagsterInstance.ephemeral() as instance:

        def executed(request: dg.RunRequest, job_name: str) -> dict[dg.AssetKey, str]:
            chosen = frozenset(request.asset_selection) if request.asset_selection else None
            job: Any = repository.get_job(job_name)
            job = job.get_subset(asset_selection=set(chosen)) if chosen else job
            run = instance.create_run_for_job(job, tags=request.tags, asset_selection=chosen)
            execute_run(InMemoryJob(job), run, instance)
            ended = instance.get_run_by_id(run.run_id)
            events = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
            keys = {event.dagster_event.asset_key for event in events}
            otherwise = "failed" if ended.status is dg.DagsterRunStatus.FAILURE else "skipped"
            wanted = chosen or job.asset_layer.executable_asset_keys
            return {key: "success" if key in keys else otherwise for key in wanted}

        def asked(sensor: dg.SensorDefinition) -> list[dg.RunRequest]:
            given = {"instance": instance, "repository_def": repository, "sensor_name": sensor.name}
            return list(sensor.evaluate_tick(dg.build_sensor_context(**given)).run_requests or ())

        sensors = {name: repository.get_sensor_def(name) for name in (one.name for one in repository.sensor_defs)}
        for files, tick in zip(shop.history.days, shop.history.ticks, strict=True):
            shop.deliver(files)
            if shop.history.start == "files":
                first = [(one, name) for name in sensors for one in asked(sensors[name]) if "lineage" not in name]
                first = [(one, sensors[name].job_name) for one, name in first]
            elif shop.history.start == "manual":
                start, end = interval(tick)
                tags = {INTERVAL_START: start.isoformat(), INTERVAL_END: end.isoformat()}
                first = [(dg.RunRequest(asset_selection=[ORDERS], tags=tags), "__ASSET_JOB")]
            else:
                (schedule,) = repository.schedule_defs
                at = dg.build_schedule_context(
                    instance=instance, repository_def=repository, scheduled_execution_time=TICKS[tick]
                )
                requests = schedule.evaluate_tick(at).run_requests or ()
                first = [(one, schedule.job_name) for one in requests]
            loads += [executed(request, job).get(ORDERS, "") for request, job in first]
            for name, sensor in sensors.items():
                mine = [one for one in asked(sensor) if SUMS in (one.asset_selection or [SUMS])]
                sums += [executed(request, sensors[name].job_name)[SUMS] for request in mine]
    return loads, sums, shop.windows()


@pytest.mark.parametrize("history", HISTORIES, ids=[one.name for one in HISTORIES])
def test_states_are_the_same_in_airflow_and_in_dagster(tmp_path, history, monkeypatch):
    skips(monkeypatch)
    found = in_airflow(Shop(tmp_path / "airflow", history))
    assert found[:2] == (history.loads, history.sums)
    assert in_dagster(Shop(tmp_path / "dagster", history)) == found
