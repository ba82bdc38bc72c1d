from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.events import AssetMaterializationPlannedData, StepMaterializationData
from dagster._core.execution.api import execute_run

from starlake_dagster_assets import StarlakeSteps, StarlakeTranslator, build_definitions
from starlake_dagster_assets.automation.definitions.conditions import build_condition_sensors
from starlake_dagster_assets.automation.definitions.lineage_sensors import build_lineage_sensors
from starlake_dagster_assets.automation.policies.model import (
    AllOf,
    AnyOf,
    Condition,
    Job,
    Trigger,
    Triggers,
    Upstream,
    UpstreamCondition,
)
from starlake_dagster_assets.testing import FakeRunner, Script, fake_starlake, loaded_lines
from tests.dagster_assets.conftest import Make, Source, make_source, make_table, make_task

__all__ = ["World", "all_of", "any_of", "watching"]

LOAD = [line for name in "abc" for line in loaded_lines("sales", name)]


def all_of(*names: str) -> Condition:
    return AllOf(tuple(Upstream(name) for name in names))


def any_of(*names: str) -> Condition:
    return AnyOf(tuple(Upstream(name) for name in names))


def watching(jobs: Mapping[str, tuple[Sequence[str], UpstreamCondition]], owner: str = "lineage") -> Triggers:
    """Triggers by hand: job name to what it makes and what is watched."""
    triggers = {
        node: Trigger(node, owner, job, upstream_condition=watch)
        for job, (nodes, watch) in jobs.items()
        for node in nodes
    }
    return Triggers(triggers, {job: Job(job, tuple(nodes)) for job, (nodes, _) in jobs.items()})


def key_of(node: str) -> dg.AssetKey:
    return dg.AssetKey(node.split("/" if "/" in node else "."))


@dataclass
class World:
    """Definitions with lineage sensors or conditions, an instance, and a daemon that one can stop at any point.

    Attributes:
        asked: The sensor (or `conditions`) and the request of each run that was started.
    """

    instance: dg.DagsterInstance
    source: Source
    triggers: Triggers
    options: dict[str, Any] = field(default_factory=dict)
    translator: StarlakeTranslator | None = None
    extra: Sequence[Any] = ()
    split: Literal["project", "group"] = "project"
    runner: Any = None
    asked: list[tuple[str, dg.RunRequest]] = field(default_factory=list)
    cursor: Any = None
    reason: str = ""
    heard: Callable[[str], None] = lambda reason: None

    def __post_init__(self) -> None:
        self.runner = self.runner or FakeRunner({"load": Script(LOAD)})
        made = build_definitions(
            self.source,
            starlake=fake_starlake(self.runner),
            translator=self.translator,
            extra_assets=self.extra,
            steps=StarlakeSteps(self.split),
            automation=self.triggers,
        )
        sensors = build_lineage_sensors(self.source, self.triggers, translator=self.translator, **self.options)
        self.sensors = {sensor.name: sensor for sensor in sensors}
        sensors += build_condition_sensors(self.source, self.triggers, translator=self.translator)
        executor = dg.in_process_executor
        self.defs = dg.Definitions(assets=made.assets, sensors=sensors, resources=made.resources, executor=executor)
        self.repository = self.defs.get_repository_def()

    def made(self, *keys: str, partition: str | None = None, **more: Any) -> None:
        for key in keys:
            self.instance.report_runless_asset_event(dg.AssetMaterialization(key_of(key), partition=partition, **more))

    def tick(self, name: str | None = None) -> list[dg.RunRequest] | str:
        """One tick of a sensor: the run requests, else the skip reason."""
        name = name or next(iter(self.sensors))
        context = dg.build_sensor_context(instance=self.instance, repository_def=self.repository, sensor_name=name)
        data = self.sensors[name].evaluate_tick(context)
        return list(data.run_requests) if data.run_requests else data.skip_message or ""

    def run(self, name: str, request: dg.RunRequest) -> dg.DagsterRun | None:
        """What the daemon does with a request: nothing for a run key that it knows."""
        queued = self.queue(name, request)
        return self.execute(queued) if queued is not None else None

    def queue(self, name: str, request: dg.RunRequest) -> dg.DagsterRun | None:
        """Creates the run of a request, to be executed later; None for a run key that is known."""
        tags = {**request.tags, "dagster/run_key": request.run_key or "", "dagster/sensor_name": name}
        known = dg.RunsFilter(tags={key: tags[key] for key in ("dagster/run_key", "dagster/sensor_name")})
        if request.run_key and self.instance.get_runs(known, limit=1):
            return None
        self.asked.append((name, request))
        if request.partition_key is not None:
            tags["dagster/partition"] = request.partition_key
        job = self.sensors[name].job_name if name in self.sensors else "__ASSET_JOB"
        by_condition = {"dagster/from_automation_condition": "true"} if name not in self.sensors else {}
        return self.create(job, request.asset_selection, {**tags, **by_condition})

    def create(
        self, job: str, selection: Iterable[dg.AssetKey] | None, tags: Mapping[str, str], **more: Any
    ) -> dg.DagsterRun:
        """A run that waits in the queue."""
        chosen = frozenset(selection) if selection is not None else None
        return self.instance.create_run_for_job(self._job(job, chosen), tags=tags, asset_selection=chosen, **more)

    def _job(self, name: str, selection: frozenset[dg.AssetKey] | None) -> Any:
        job = self.repository.get_job(name)
        return job if selection is None else job.get_subset(asset_selection=set(selection))

    def execute(self, run: dg.DagsterRun) -> dg.DagsterRun:
        """What the run worker does with a run from the queue."""
        job = InMemoryJob(self._job(run.job_name, run.asset_selection))
        execute_run(job, self.instance.get_run_by_id(run.run_id), self.instance)
        return self.instance.get_run_by_id(run.run_id)

    def requests(self) -> list[tuple[str, dg.RunRequest]]:
        """What all sensors, or all conditions, ask for now."""
        found = [("conditions", request) for request in self._conditions()]
        for name in self.sensors:
            asked = self.tick(name)
            if isinstance(asked, str):
                self.reason = asked
                self.heard(asked)
            else:
                found += [(name, request) for request in asked]
        return found

    def _conditions(self) -> list[dg.RunRequest]:
        """One evaluation of all conditions: a run of each partition, and one of all that has none."""
        nodes = [node for node, one in self.triggers.triggers.items() if one.triggered_by == "condition"]
        if not nodes:
            return []
        selection = dg.AssetSelection.assets(*map(key_of, nodes))
        found = dg.evaluate_automation_conditions(self.defs, self.instance, selection, cursor=self.cursor)
        self.cursor = found.cursor
        by_partition: dict[str | None, list[dg.AssetKey]] = {}
        for node in nodes:
            for partition in sorted(found.get_requested_partitions(key_of(node)), key=str):
                by_partition.setdefault(partition, []).append(key_of(node))
        return [dg.RunRequest(partition_key=one, asset_selection=keys) for one, keys in by_partition.items()]

    def daemon(self) -> list[set[str]]:
        """One evaluation, and the runs that it asks for; returns what each of them was asked to make."""
        asked = self.requests()
        for name, request in asked:
            self.run(name, request)
        return [{"/".join(key.path) for key in request.asset_selection or ()} for _, request in asked]

    def quiet(self) -> int:
        """Evaluates until nothing is asked for; returns the number of runs."""
        before = len(self.asked)
        for _ in range(12):
            if not self.daemon():
                return len(self.asked) - before
        raise AssertionError("it never ends")

    def by_hand(self, *keys: str, partition: str | None = None, **more: Any) -> dg.ExecuteInProcessResult:
        """A run that a person starts."""
        job = self.repository.get_job("__ASSET_JOB")
        selection = [key_of(key) for key in keys]
        given: dict[str, Any] = {"asset_selection": selection, "partition_key": partition, "raise_on_error": False}
        return job.execute_in_process(instance=self.instance, **{**given, **more})

    def in_progress(self, *keys: str, partition: str | None = None) -> str:
        """The id of a run of some assets that has started and not ended."""
        job = self.repository.get_job("__ASSET_JOB")
        tags = {"dagster/partition": partition} if partition else {}
        run = self.instance.create_run_for_job(
            job, status=dg.DagsterRunStatus.STARTED, asset_selection=frozenset(map(key_of, keys)), tags=tags
        )
        return run.run_id

    def plans(self, run: str, key: str, partition: str) -> None:
        """A run is to materialize another partition."""
        planned = AssetMaterializationPlannedData(key_of(key), partition)
        event = dg.DagsterEvent("ASSET_MATERIALIZATION_PLANNED", "load", event_specific_data=planned)
        self.instance.report_dagster_event(event, run)

    def in_run(
        self, run: str, key: str, partition: str | None = None, *, read: Mapping[str, int] | None = None
    ) -> None:
        """What a run in progress materializes, having read the events of these numbers."""
        tags = {f"dagster/input_event_pointer/{up}": str(number) for up, number in (read or {}).items()}
        made = StepMaterializationData(dg.AssetMaterialization(key_of(key), partition=partition, tags=tags))
        event = dg.DagsterEvent("ASSET_MATERIALIZATION", "load", event_specific_data=made)
        self.instance.report_dagster_event(event, run)

    def ends(self, run: str, kind: str = "PIPELINE_SUCCESS") -> None:
        """The end of a run in progress."""
        self.instance.report_dagster_event(dg.DagsterEvent(kind, "load"), run)

    def count(self, key: str) -> int:
        return len(self.instance.fetch_materializations(dg.AssetKey(key.split(".")), limit=1000).records)


@pytest.fixture
def instance() -> Iterable[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def sales() -> Source:
    """Three tables; tasks that read them and each other."""
    return make_source(
        [make_table("a"), make_table("b"), make_table("c")],
        [
            make_task("x", ["sales.a", "sales.b", "sales.c"]),
            make_task("y", ["kpi.x", "sales.c"]),
            make_task("z", ["kpi.y", "kpi.x"]),
        ],
    )


@pytest.fixture
def make() -> Make:
    return Make()


@pytest.fixture
def world(instance, sales):
    def build(triggers: Triggers, source: Source | None = None, **more: Any) -> World:
        return World(instance, source or sales, triggers, **more)

    return build
