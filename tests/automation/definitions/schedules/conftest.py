from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeTranslator, build_definitions
from starlake_dagster_assets.automation.definitions.schedules import build_schedules
from starlake_dagster_assets.automation.policies.model import CronSchedule, Job, Partitions, Trigger, Triggers
from starlake_dagster_assets.testing import FakeRunner, Script, fake_starlake, loaded_lines
from tests.dagster_assets.conftest import Make, Source

PARIS = "Europe/Paris"


def scheduled(
    jobs: Mapping[str, tuple[Sequence[str], CronSchedule]], partitions: Partitions = "none", **job: Any
) -> Triggers:
    """Triggers by hand: job name to what it makes and when."""
    triggers = {
        node: Trigger(node, "schedule", name, cron_schedule=clock, partitions=partitions)
        for name, (nodes, clock) in jobs.items()
        for node in nodes
    }
    return Triggers(triggers, {name: Job(name, tuple(nodes), **job) for name, (nodes, _) in jobs.items()})


def merged(*parts: Triggers) -> Triggers:
    found = Triggers({}, {})
    for part in parts:
        found = replace(found, triggers={**found.triggers, **part.triggers}, jobs={**found.jobs, **part.jobs})
    return found


class World:
    """Definitions with schedules, on an instance."""

    def __init__(self, instance: dg.DagsterInstance, source: Source, triggers: Triggers, **options: Any) -> None:
        self.instance = instance
        self.source = source
        self.runner = options.pop("runner", None) or FakeRunner(
            {"load": Script([line for name in ("orders", "customers") for line in loaded_lines("sales", name)])}
        )
        translator = options.pop("translator", StarlakeTranslator()).bound_to(source, triggers)
        made = build_definitions(
            source, starlake=fake_starlake(self.runner), translator=translator, automation=triggers
        )
        schedules = build_schedules(source, triggers, translator=translator, **options)
        self.schedules = {schedule.name: schedule for schedule in schedules}
        self.defs = dg.Definitions(assets=made.assets, schedules=schedules, resources=made.resources)
        self.repository = self.defs.get_repository_def()

    def tick(self, moment: datetime, name: str | None = None) -> list[dg.RunRequest] | str:
        """The run requests of a tick, else the skip reason."""
        schedule = self.schedules[name or next(iter(self.schedules))]
        context: Any = dg.build_schedule_context(scheduled_execution_time=moment, repository_def=self.repository)
        context._instance_ref, context._instance = "in memory", self.instance  # pyright: ignore
        data = schedule.evaluate_tick(context)
        return list(data.run_requests or []) or data.skip_message or ""

    def run(self, request: dg.RunRequest, name: str | None = None) -> dg.ExecuteInProcessResult:
        schedule = self.schedules[name or next(iter(self.schedules))]
        of_tick = {"dagster/run_key": request.run_key or "", "dagster/schedule_name": schedule.name}
        return self.repository.get_job(schedule.job_name).execute_in_process(
            instance=self.instance,
            tags={**request.tags, **of_tick},
            partition_key=request.partition_key,
            asset_selection=request.asset_selection,
            raise_on_error=False,
        )

    def options(self) -> list[dict[str, str]]:
        """`--options` of each transform so far."""
        said = [command.argv for command in self.runner.commands if command.name == "transform"]
        return [options_of(argv) for argv in said]


def options_of(argv: Sequence[str]) -> dict[str, str]:
    if "--options" not in argv:
        return {}
    return dict(pair.split("=", 1) for pair in argv[argv.index("--options") + 1].split(","))


@pytest.fixture
def make() -> Make:
    return Make()


@pytest.fixture
def sales(make: Make) -> Source:
    """Two tables of one domain, two tasks of one table each, one of both tasks; in Paris."""
    return make.source(
        [make.table("orders"), make.table("customers")],
        [
            make.task("revenue", ["sales.orders"]),
            make.task("people", ["sales.customers"]),
            make.task("summary", ["kpi.revenue", "kpi.people"]),
        ],
        timezone=PARIS,
    )


@pytest.fixture
def instance() -> Iterable[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def world(instance, sales):
    def build(triggers: Triggers, source: Source | None = None, **options: Any) -> World:
        return World(options.pop("instance", instance), source or sales, triggers, **options)

    return build
