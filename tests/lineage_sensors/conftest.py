from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeTranslator, build_definitions
from starlake_dagster_assets.automation.lineage import build_lineage_sensors, lineage_groups
from starlake_dagster_assets.testing import FakeRunner, Script, fake_starlake, loaded_lines
from starlake_dagster_assets.triggers.evaluate import watched
from starlake_dagster_assets.triggers.model import AllOf, AnyOf, Condition, Job, Trigger, Triggers, Upstream, Watch
from tests.assets.conftest import Make, Source, make_source, make_table, make_task

__all__ = ["World", "all_of", "any_of", "watching"]

LOAD = [line for name in "abc" for line in loaded_lines("sales", name)]


def all_of(*names: str) -> Condition:
    return AllOf(tuple(Upstream(name) for name in names))


def any_of(*names: str) -> Condition:
    return AnyOf(tuple(Upstream(name) for name in names))


def watching(jobs: Mapping[str, tuple[Sequence[str], Watch]]) -> Triggers:
    """Triggers by hand: job name to what it makes and what is watched."""
    triggers = {
        node: Trigger(node, "lineage", job, watch=watch) for job, (nodes, watch) in jobs.items() for node in nodes
    }
    return Triggers(triggers, {job: Job(job, tuple(nodes)) for job, (nodes, _) in jobs.items()})


def key_of(node: str) -> dg.AssetKey:
    return dg.AssetKey(node.split("/" if "/" in node else "."))


@dataclass
class World:
    """Definitions with lineage sensors, an instance, and a daemon of one thread that one can stop at any point."""

    instance: dg.DagsterInstance
    source: Source
    triggers: Triggers
    options: dict[str, Any] = field(default_factory=dict)
    translator: StarlakeTranslator | None = None
    extra: Sequence[Any] = ()
    runner: Any = None
    cursors: dict[str, str | None] = field(default_factory=dict)
    asked: list[tuple[str, dg.RunRequest]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.runner = self.runner or FakeRunner({"load": Script(LOAD)})
        made = build_definitions(
            self.source,
            starlake=fake_starlake(self.runner),
            translator=self.translator,
            extra_assets=self.extra,
        )
        self.sensors = {
            sensor.name: sensor
            for sensor in build_lineage_sensors(self.source, self.triggers, translator=self.translator, **self.options)
        }
        self.monitored: dict[str, list[dg.AssetKey]] = {}
        for group in lineage_groups(self.source, self.triggers):
            keys = [key_of(node) for node in watched(group.watch.condition)]
            known = self.monitored.setdefault(group.sensor, [])
            known += [key for key in keys if key not in known]
        self.defs = dg.Definitions(assets=made.assets, sensors=list(self.sensors.values()), resources=made.resources)
        self.repository = self.defs.get_repository_def()

    def made(self, *keys: str, partition: str | None = None) -> None:
        for key in keys:
            self.instance.report_runless_asset_event(dg.AssetMaterialization(key_of(key), partition=partition))

    def tick(self, name: str | None = None, *, forget: bool = False) -> list[dg.RunRequest] | str:
        """One tick: the run requests that have a new run key, else the skip reason. `forget`: the cursor is lost."""
        name = name or next(iter(self.sensors))
        sensor = self.sensors[name]
        context = dg.build_multi_asset_sensor_context(
            monitored_assets=self.monitored[name],
            repository_def=self.repository,
            instance=self.instance,
            cursor=self.cursors.get(name),
        )
        result = sensor(context)
        if not forget:
            self.cursors[name] = context.cursor
        if isinstance(result, dg.SkipReason):
            return result.skip_message or ""
        return list(result)

    def run(self, name: str, request: dg.RunRequest) -> dg.DagsterRun | None:
        """What the daemon does with a request: nothing for a run key that it knows."""
        tags = {**request.tags, "dagster/run_key": request.run_key, "dagster/sensor_name": name}
        known = dg.RunsFilter(tags={key: tags[key] for key in ("dagster/run_key", "dagster/sensor_name")})
        if self.instance.get_runs(known, limit=1):
            return None
        self.asked.append((name, request))
        job = self.repository.get_job(self.sensors[name].job_name)
        result = job.execute_in_process(
            instance=self.instance,
            tags=tags,
            raise_on_error=False,
            partition_key=request.partition_key,
            asset_selection=request.asset_selection,
        )
        return result.dagster_run

    def daemon(self) -> None:
        """Ticks every sensor once and runs what it asks for."""
        for name in self.sensors:
            asked = self.tick(name)
            if not isinstance(asked, str):
                for request in asked:
                    self.run(name, request)

    def count(self, key: str) -> int:
        return len(self.instance.fetch_materializations(dg.AssetKey(key.split(".")), limit=1000).records)


@pytest.fixture
def instance() -> Iterable[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def sales() -> Source:
    """Three tables; one task of all three, one of that task."""
    return make_source(
        [make_table("a"), make_table("b"), make_table("c")],
        [make_task("x", ["sales.a", "sales.b", "sales.c"]), make_task("y", ["kpi.x"]), make_task("z", ["kpi.y"])],
    )


@pytest.fixture
def make() -> Make:
    return Make()


@pytest.fixture
def world(instance, sales):
    def build(triggers: Triggers, source: Source | None = None, **more: Any) -> World:
        return World(instance, source or sales, triggers, **more)

    return build
