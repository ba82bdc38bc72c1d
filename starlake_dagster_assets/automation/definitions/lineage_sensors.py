"""Lineage sensors: each starts the due tasks of one job, or reports the upstreams that the tasks wait for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import dagster as dg

from starlake_dagster_assets._arguments import ProjectLike, project_of
from starlake_dagster_assets._compat import suppress_dagster_warnings
from starlake_dagster_assets._deprecated import renamed_arguments
from starlake_dagster_assets.automation.definitions.job_assets import asset_key, untriggered_upstreams
from starlake_dagster_assets.automation.definitions.jobs import build_jobs, split_jobs
from starlake_dagster_assets.automation.definitions.lineage_facts import EventLogFacts
from starlake_dagster_assets.automation.definitions.lineage_runs import JobPlan, PlannedRun
from starlake_dagster_assets.automation.definitions.sensor_states import SensorStates
from starlake_dagster_assets.automation.policies.lineage_evaluation import Evaluator, condition_nodes
from starlake_dagster_assets.automation.policies.model import Triggers
from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.dagster_assets.dagster_runs import TRIGGER, is_over
from starlake_dagster_assets.dagster_assets.specs.names import group_name
from starlake_dagster_assets.dagster_assets.specs.translator import StarlakeTranslator
from starlake_dagster_assets.graph.acyclic_groups import sort_topologically

__all__ = ["LineageScope", "build_lineage_sensors", "lineage_scopes"]

_RUN_KEY = "dagster/run_key"
_TEXT_LENGTH = 500


@dataclass(frozen=True)
class LineageScope:
    """The tasks of one job that lineage starts, with the nodes that decide whether a task is due.

    Attributes:
        sensor: Name of the sensor.
        job: Name of the job.
        nodes: Ids of the tasks, upstream first.
        watched: Ids of the nodes that they watch.
        before: Ids of other nodes that lineage starts and that they wait for, upstream first.
        keys: Asset keys of these nodes, and of the nodes that those in `before` watch, by node id.
    """

    sensor: str
    job: str
    nodes: tuple[str, ...]
    watched: tuple[str, ...]
    before: tuple[str, ...]
    keys: Mapping[str, dg.AssetKey]


def build_lineage_sensors(
    project: ProjectLike,
    triggers: Triggers,
    *,
    translator: StarlakeTranslator | None = None,
    status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds: int = 30,
    timezone: str = "UTC",
    jobs: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    **deprecated: Any,
) -> list[dg.SensorDefinition]:
    """Builds one sensor per job; a sensor starts all tasks of its job that are due in one run.

    A task is due when its upstreams have materializations that its own newest materialization has not read, as the
    event log records it. The sensors keep no state.

    Args:
        project: The project, or the path of its directory.
        triggers: Only triggers of kind `lineage` are used.
        translator: Defines keys and metadata of the assets.
        status: Whether the sensors are on from the start.
        minimum_interval_seconds: Seconds between two ticks.
        timezone: Time zone of data cycles, an IANA name.
        jobs: The jobs of the triggers by name (`build_jobs`); built here by default.
        tags: Tags of every run.
        deprecated: `settle` and `tick_seconds`, which have no effect any more.

    Returns:
        The sensors, by name.

    Examples:
        ::

            sensors = build_lineage_sensors(project, build_triggers(project, StarlakeAutomation()))
    """
    instead = "nothing: a run in progress is waited for until it ends"
    renamed_arguments("build_lineage_sensors", deprecated, {"settle": instead, "tick_seconds": instead})
    project = project_of(project, "build_lineage_sensors")
    bound, triggers = split_jobs(project, triggers, translator)
    known = build_jobs(project, triggers, translator=bound) if jobs is None else jobs
    found: list[dg.SensorDefinition] = []
    for scope in lineage_scopes(project, triggers, bound):

        def select(nodes: Sequence[str], scope: LineageScope = scope) -> list[dg.AssetKey]:
            first = untriggered_upstreams(project, triggers, nodes, triggers.jobs[scope.job].nodes)
            return [asset_key(bound, node) for node in (*sorted(first - set(nodes)), *nodes)]

        tick = _Tick(scope, triggers, timezone, select, dict(tags or {}))
        found.append(_sensor(tick, known[scope.job], status, minimum_interval_seconds))
    return found


def lineage_scopes(
    project: ProjectSource, triggers: Triggers, translator: StarlakeTranslator, triggered_by: str = "lineage"
) -> list[LineageScope]:
    """Returns the tasks that lineage starts, grouped by job.

    Args:
        project: The project.
        triggers: Triggers of the project.
        translator: Translator that is bound to the project.
        triggered_by: Kind of the triggers that are included.
    """
    place = {node: number for number, node in enumerate(sort_topologically(project.graph, ()))}

    def ordered(nodes: set[str]) -> tuple[str, ...]:
        return tuple(sorted(nodes, key=lambda node: (place.get(node, -1), node)))

    watches = {
        node: condition_nodes(one.upstream_condition.condition)
        for node, one in triggers.triggers.items()
        if one.upstream_condition is not None and one.is_lineage
    }
    by_job: dict[str, set[str]] = {}
    for node in watches:
        if triggers.triggers[node].triggered_by == triggered_by:
            by_job.setdefault(triggers.triggers[node].job, set()).add(node)
    scopes: list[LineageScope] = []
    for job, nodes in sorted(by_job.items()):
        reached, stack = set(nodes), list(nodes)
        while stack:
            for up in watches.get(stack.pop(), ()):
                if up not in reached:
                    reached.add(up)
                    stack.append(up)
        before = ordered({node for node in reached - nodes if node in watches})
        ups = ordered({up for node in nodes for up in watches[node]})
        keys = {node: asset_key(translator, node) for node in ordered(reached)}
        scopes.append(LineageScope(f"{group_name(job)}_lineage", job, ordered(nodes), ups, before, keys))
    return scopes


@dataclass(frozen=True)
class _Tick:
    """Evaluation of the tasks of one job."""

    scope: LineageScope
    triggers: Triggers
    timezone: str
    select: Callable[[Sequence[str]], list[dg.AssetKey]]
    tags: Mapping[str, str]

    def __call__(self, context: Any) -> list[dg.RunRequest] | dg.SkipReason:
        """Returns the runs that are due, or the reason why there are none."""
        instance = context.instance
        plan = self._plan(context)
        runs = plan.runs()
        keys = [_unused_key(instance, run.key) for run in runs]
        if keys != [run.key for run in runs]:
            plan = self._plan(context)  # if a run has ended while the event log was read, its results count now
            runs = plan.runs()
            keys = [_unused_key(instance, run.key) for run in runs]
        for run in runs:
            context.log.info(run.reason)
        if runs and plan.reason:
            context.log.info(plan.reason)
        requests = [self._request(run, key) for run, key in zip(runs, keys, strict=True)]
        return requests or dg.SkipReason(plan.reason)

    def _plan(self, context: Any) -> JobPlan:
        instance, repository, keys = context.instance, context.repository_def, self.scope.keys
        origin = context.code_location_origin
        location = origin.location_name if origin is not None else None
        sensor = self.scope.sensor
        states = SensorStates(instance, self.triggers, keys, repository=repository, location=location, ticking=sensor)
        facts = EventLogFacts(instance, repository.asset_graph, self.triggers, keys, states.stopped)
        return JobPlan(
            facts, Evaluator(self.triggers.triggers, facts, self.timezone), self.scope.nodes, self.scope.before
        )

    def _request(self, run: PlannedRun, key: str) -> dg.RunRequest:
        return dg.RunRequest(
            run_key=key,
            partition_key=run.partition_key,
            tags={**self.tags, TRIGGER: self.scope.sensor, **run.tags},
            asset_selection=self.select(run.nodes),
        )


def _unused_key(instance: dg.DagsterInstance, key: str) -> str:
    """Returns a run key, extended if its run has ended: Dagster starts no second run with the same key."""
    while (runs := instance.get_runs(dg.RunsFilter(tags={_RUN_KEY: key}), limit=1)) and is_over(runs[0]):
        key = f"{key}:{runs[0].run_id}"  # the asset was wiped
    return key


def _sensor(
    tick: _Tick, job: Any, status: dg.DefaultSensorStatus, minimum_interval_seconds: int
) -> dg.SensorDefinition:
    scope = tick.scope
    makes, ups = ", ".join(scope.nodes), ", ".join(scope.watched)
    # Superseded in favour of conditions, "except where a specific job must be targeted", which is the case here.
    decorate = cast("Any", dg).multi_asset_sensor  # its type is partly unknown to pyright
    with suppress_dagster_warnings():

        @decorate(
            monitored_assets=[scope.keys[node] for node in scope.watched],
            name=scope.sensor,
            job=job,
            minimum_interval_seconds=minimum_interval_seconds,
            default_status=status,
            description=f"Materializes {makes} once its upstreams have moved ({ups})."[:_TEXT_LENGTH],
            metadata={"starlake/watched": ups[:_TEXT_LENGTH], "starlake/makes": makes[:_TEXT_LENGTH]},
        )
        def sensor(context: dg.MultiAssetSensorEvaluationContext) -> Any:
            context.update_cursor("")  # Dagster requires it; no state is stored
            return tick(context)

    return sensor
