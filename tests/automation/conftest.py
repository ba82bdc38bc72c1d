"""Projects with DAG configurations, made of models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeAutomation, build_definitions
from starlake_dagster_assets.automation.policies.build import build_triggers
from starlake_dagster_assets.automation.policies.model import Trigger, Triggers
from starlake_dagster_assets.project.model.project import DagConfig, Location, Metadata, Table, Task
from starlake_dagster_assets.testing import FakeRunner, fake_starlake
from tests.dagster_assets.conftest import Source, make_source, make_table, make_task

__all__ = ["Place", "dag", "made", "project", "table", "task", "trigger"]

CRONS = {"hourly": "0 * * * *", "daily": "0 0 * * *", "weekly": "0 0 * * 1", "monthly": "0 0 1 * *"}


def table(name: str, schedule: str | None = None, *, dag: str | None = None, **changes: Any) -> Table:
    metadata = Metadata(directory="/in/sales", schedule=schedule, dag_ref=dag, freshness=changes.pop("freshness", None))
    cron = CRONS.get(schedule or "", schedule)
    return make_table(name, **{"metadata": metadata, "cron": cron, **changes})


def task(name: str, reads: Sequence[str] = (), schedule: str | None = None, *, dag: str | None = None, **changes: Any):
    given: dict[str, Any] = {"schedule": schedule, "cron": CRONS.get(schedule or "", schedule), "dag_ref": dag}
    return make_task(name, reads, **{**given, **changes})


def dag(name: str, filename: str = "{{domain}}.py", *, comment: str | None = None, **options: str) -> DagConfig:
    location = Location(file=f"metadata/dags/{name}.sl.yml", line=2)
    template = "load/dagster__scheduled_table__shell.py.j2"
    return DagConfig(
        name=name, template=template, filename=filename, comment=comment, options=options, location=location
    )


def project(
    tables: Sequence[Table] = (), tasks: Sequence[Task] = (), dags: Sequence[DagConfig] = (), **application: Any
) -> Source:
    source = make_source(tables, tasks, **application)
    source.model = source.model.model_copy(update={"dags": {one.name: one for one in dags}})
    return source


def made(source: Source, **automation: Any) -> Triggers:
    return build_triggers(source, StarlakeAutomation.from_options(automation))


def trigger(source: Source, node: str, **automation: Any) -> Trigger:
    return made(source, **automation).triggers[node]


@dataclass
class Place:
    """A project as `build_definitions` gives it, on an instance; ticks and runs happen when they are asked for."""

    instance: dg.DagsterInstance
    source: Source
    automation: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    runner: FakeRunner = field(default_factory=FakeRunner)
    cursors: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        chosen = StarlakeAutomation.from_options(self.automation)
        starlake = fake_starlake(self.runner)
        self.defs = build_definitions(self.source, starlake=starlake, automation=chosen, **self.options)
        self.repository = self.defs.get_repository_def()

    @property
    def sensors(self) -> list[str]:
        return sorted(sensor.name for sensor in self.repository.sensor_defs)

    @property
    def jobs(self) -> list[str]:
        return sorted(job.name for job in self.repository.get_all_jobs() if not job.name.startswith("__"))

    def made(self, *keys: str) -> None:
        for key in keys:
            self.instance.report_runless_asset_event(dg.AssetMaterialization(dg.AssetKey(key.split("."))))

    def tick(self, name: str) -> list[dg.RunRequest] | str:
        """One tick of a sensor: what it asks for, else why not."""
        sensor = self.repository.get_sensor_def(name)
        context = dg.build_sensor_context(
            self.instance, self.cursors.get(name), repository_def=self.repository, sensor_name=name
        )
        result = sensor.evaluate_tick(context)
        self.cursors[name] = result.cursor
        return list(result.run_requests or ()) or (result.skip_message or "")

    def run(self, job: str, tags: Mapping[str, str] | None = None, keys: Any = None) -> list[str]:
        """Runs a job; what was materialized."""
        result = self.repository.get_job(job).execute_in_process(
            instance=self.instance, tags=dict(tags or {}), asset_selection=keys
        )
        return [
            event.asset_key.to_user_string().replace("/", ".") for event in result.get_asset_materialization_events()
        ]


@pytest.fixture
def instance() -> Iterable[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def locate(instance):
    def build(source: Source, **automation: Any) -> Place:
        return Place(instance, source, automation)

    return build
