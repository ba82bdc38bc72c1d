from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeTranslator, build_starlake_assets
from starlake_dagster_assets.automation.definitions import arrival_tick
from starlake_dagster_assets.automation.definitions.arrival_sensors import build_arrival_sensors
from starlake_dagster_assets.automation.policies.model import CronSchedule, Job, PreLoad, Trigger, Triggers
from starlake_dagster_assets.project.model.project import Domain, Metadata
from starlake_dagster_assets.testing import FakeRunner, fake_starlake
from tests.dagster_assets.conftest import Source, make_source, make_table

__all__ = ["Clocked", "World", "sales_in", "waiting"]

TABLES = ("orders", "customers", "items")


def sales_in(incoming: str, root: str = "/project", ack: str | None = None, names: Sequence[str] = TABLES) -> Source:
    """The tables of domain sales, whose files come to a directory; the stage area lies beside it."""
    tables = [make_table(name, pattern=rf"{name}_.*\.csv", metadata=Metadata(ack=ack)) for name in names]
    source = make_source(tables, datasets=f"{root}/datasets")
    domains = tuple(
        Domain(**{**domain.model_dump(), "incoming": incoming, "tables": domain.tables, "location": domain.location})
        for domain in source.model.domains
    )
    source.model = source.model.model_copy(update={"domains": domains, "root": root})
    return source


def waiting(
    pre_load: PreLoad, clock: CronSchedule | None = None, names: Sequence[str] = TABLES, job: str = "load"
) -> Triggers:
    """Triggers by hand: the tables of one job wait for their files."""
    nodes = tuple(f"sales.{name}" for name in names)
    owner: Any = "arrival" if clock is None else "schedule"
    found = {node: Trigger(node, owner, job, preload=pre_load, cron_schedule=clock) for node in nodes}
    return Triggers(found, {job: Job(job, nodes)})


@dataclass
class Clocked:
    """A clock that stands still until it is told to go on."""

    now: float = 1_700_000_000.0

    def time(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class World:
    """Definitions with arrival sensors, an instance, and a daemon of one thread that one can stop at any point."""

    instance: dg.DagsterInstance
    clock: Clocked
    source: Source
    triggers: Triggers
    runner: Any = None
    translator: StarlakeTranslator | None = None
    options: dict[str, Any] = field(default_factory=dict)
    assets: dict[str, Any] = field(default_factory=dict)
    cursors: dict[str, str | None] = field(default_factory=dict)
    asked: list[dg.RunRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.runner = self.runner or FakeRunner()
        bound = (self.translator or StarlakeTranslator()).bound_to(self.source, self.triggers)
        assets = build_starlake_assets(self.source, translator=bound, **self.assets)
        resources = {"starlake": fake_starlake(self.runner)}
        sensors = build_arrival_sensors(self.source, self.triggers, translator=bound, **self.options)
        self.sensors = {sensor.name: sensor for sensor in sensors}
        self.defs = dg.Definitions(assets=assets, sensors=sensors, resources=resources)
        self.repository = self.defs.get_repository_def()

    def tick(self, name: str | None = None, *, forget: bool = False) -> list[dg.RunRequest] | str:
        """One tick: the run requests, else the skip reason. `forget`: what it remembered is lost."""
        name = name or next(iter(self.sensors))
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursors.get(name),
            repository_def=self.repository,
            sensor_name=name,
        )
        result = self.sensors[name].evaluate_tick(context)
        if not forget:
            self.cursors[name] = result.cursor
        if not result.run_requests:
            return result.skip_message or ""
        return list(result.run_requests)

    def accept(self, request: dg.RunRequest, name: str | None = None) -> dg.DagsterRun | None:
        """What the daemon does with a request: a run that is not started yet; nothing for a run key that it knows."""
        name = name or next(iter(self.sensors))
        tags = {**request.tags, "dagster/run_key": request.run_key or "", "dagster/sensor_name": name}
        known = dg.RunsFilter(tags={key: tags[key] for key in ("dagster/run_key", "dagster/sensor_name")})
        if self.instance.get_runs(known, limit=1):
            return None
        self.asked.append(request)
        job = self.repository.get_job(self.sensors[name].job_name)
        return self.instance.create_run_for_job(
            job.get_subset(asset_selection=set(request.asset_selection or ())),
            tags=tags,
            asset_selection=frozenset(request.asset_selection or ()),
            status=dg.DagsterRunStatus.STARTED,
        )

    def ended(self, run: dg.DagsterRun, status: dg.DagsterRunStatus = dg.DagsterRunStatus.SUCCESS) -> None:
        """A run that ends without having been executed: what it did to the files is up to the test."""
        self.instance.report_dagster_event(
            dg.DagsterEvent(
                event_type_value={
                    dg.DagsterRunStatus.SUCCESS: "PIPELINE_SUCCESS",
                    dg.DagsterRunStatus.FAILURE: "PIPELINE_FAILURE",
                    dg.DagsterRunStatus.CANCELED: "PIPELINE_CANCELED",
                }[status],
                job_name=run.job_name,
            ),
            run.run_id,
        )

    def execute(self, request: dg.RunRequest, name: str | None = None, **tags: str) -> dg.ExecuteInProcessResult:
        """Runs a request to its end."""
        name = name or next(iter(self.sensors))
        job = self.repository.get_job(self.sensors[name].job_name)
        self.asked.append(request)
        return job.execute_in_process(
            instance=self.instance,
            tags={**request.tags, "dagster/run_key": request.run_key or "", "dagster/sensor_name": name, **tags},
            asset_selection=request.asset_selection,
            raise_on_error=False,
        )

    def settled(self, name: str | None = None, wait: float = 30) -> list[dg.RunRequest] | str:
        """Two looks, far enough from each other: what the second one gives."""
        self.tick(name)
        self.clock.wait(wait)
        return self.tick(name)


def tables(request: dg.RunRequest) -> list[str]:
    return sorted(key.path[-1] for key in request.asset_selection or ())


@pytest.fixture
def instance() -> Iterable[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clocked:
    found = Clocked()
    monkeypatch.setattr(arrival_tick, "time", found)
    return found


@pytest.fixture
def incoming(tmp_path: Path) -> Path:
    found = tmp_path / "datasets" / "incoming" / "sales"
    found.mkdir(parents=True)
    return found


@pytest.fixture
def world(instance, clock, tmp_path, incoming):
    def build(
        pre_load: PreLoad | None = None,
        *,
        ack: str | None = None,
        cron: CronSchedule | None = None,
        triggers: Triggers | None = None,
        source: Source | None = None,
        **more: Any,
    ) -> World:
        source = source or sales_in(str(incoming), str(tmp_path), ack)
        triggers = triggers or waiting(pre_load or PreLoad("imported"), cron)
        return World(instance, clock, source, triggers, **more)

    return build
