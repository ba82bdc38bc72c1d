"""Lineage as `AutomationCondition`: the evaluation of the lineage sensors, run by Dagster's condition sensors.

Tasks of a project have the condition, and assets of your own that read them can have it (`upstreams_updated`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from types import MappingProxyType
from typing import Any
from weakref import ref

import dagster as dg
from dagster._core.definitions.events import AssetKeyPartitionKey

from starlake_dagster_assets._arguments import ProjectLike, project_of
from starlake_dagster_assets._compat import suppress_dagster_warnings
from starlake_dagster_assets.automation.definitions.job_assets import asset_key
from starlake_dagster_assets.automation.definitions.lineage_facts import EventLogFacts
from starlake_dagster_assets.automation.definitions.lineage_runs import JobPlan
from starlake_dagster_assets.automation.definitions.run_queue_tags import job_tags
from starlake_dagster_assets.automation.definitions.sensor_states import SensorStates
from starlake_dagster_assets.automation.policies.lineage_evaluation import Evaluator, condition_nodes
from starlake_dagster_assets.automation.policies.model import AnyOf, Trigger, Triggers, Upstream, UpstreamCondition
from starlake_dagster_assets.automation.policies.upstream_updates import LineageTarget
from starlake_dagster_assets.dagster_assets.specs.names import group_name
from starlake_dagster_assets.dagster_assets.specs.translator import StarlakeTranslator, bound_translator

__all__ = [
    "ConditionScope",
    "UpstreamsUpdated",
    "automation_conditions",
    "build_condition_sensors",
    "upstreams_updated",
    "with_bound_conditions",
]

_NO_KEYS: Mapping[str, dg.AssetKey] = MappingProxyType({})
MOST_KEYS = 500
"""Maximum number of assets per sensor: Dagster's limit for sensors with custom conditions."""


class ConditionScope:
    """Facts of the event log that the conditions of a project share during one evaluation.

    Args:
        translator: Translator that is bound to the project.
        triggers: Triggers of the project, and of other assets with the condition.
        others: Keys of assets that are not in the project, by their ids in `triggers`.
    """

    def __init__(
        self, translator: StarlakeTranslator, triggers: Triggers, others: Mapping[str, dg.AssetKey] = _NO_KEYS
    ) -> None:
        self._translator, self._triggers, self._others = translator, triggers, others
        self._last: tuple[Any, EventLogFacts, Evaluator] | None = None

    def of(self, node: str) -> dg.AutomationCondition[Any] | None:
        """Returns the condition of a node; None if the node has another trigger."""
        trigger = self._triggers.triggers.get(node)
        is_condition = (
            trigger is not None and trigger.triggered_by == "condition" and trigger.upstream_condition is not None
        )
        return UpstreamsUpdated(self, node) if is_condition else None

    def due(self, node: str, context: Any) -> list[LineageTarget]:
        """Returns the due targets of a node: some of its partitions, or the whole node.

        Args:
            node: Id of the node.
            context: Context of the evaluation of the condition.
        """
        facts, evaluator = self._at(context.asset_graph_view)
        requested = {
            target
            for up in facts.upstreams(node)
            if (subset := context.request_subsets_by_key.get(self.keys[up])) is not None
            for target in _targets(up, subset)
        }
        return JobPlan(facts, evaluator, [node], requested=requested).evaluate(node)

    @cached_property
    def keys(self) -> Mapping[str, dg.AssetKey]:
        """Asset keys of the nodes that lineage starts, and of the nodes that they watch, by node id."""
        nodes: dict[str, None] = {}
        for node, trigger in self._triggers.triggers.items():
            if trigger.upstream_condition is not None:
                nodes.update(dict.fromkeys([node, *condition_nodes(trigger.upstream_condition.condition)]))
        return {node: self._others.get(node) or asset_key(self._translator, node) for node in nodes}

    def _at(self, view: Any) -> tuple[EventLogFacts, Evaluator]:
        """Returns the facts and the evaluator that all conditions share during one evaluation."""
        if self._last is None or self._last[0]() is not view:
            states = SensorStates(view.instance, self._triggers, self.keys)
            facts = EventLogFacts(view.instance, view.asset_graph, self._triggers, self.keys, states.stopped)
            self._last = ref(view), facts, Evaluator(self._triggers.triggers, facts, self._translator.timezone)
        return self._last[1:]


class UpstreamsUpdated(dg.AutomationCondition[dg.AssetKey]):
    """Condition that upstreams of a table or task have updates that it has not read, see `build_lineage_sensors`.

    Args:
        scope: The facts that the conditions of the project share.
        node: Id of the table or task.
    """

    def __init__(self, scope: ConditionScope, node: str) -> None:
        self._scope, self._node = scope, node

    @property
    def description(self) -> str:
        """Label of the condition in the UI."""
        return f"the upstreams of {self._node} have updates that it has not read"

    def evaluate(self, context: Any) -> Any:
        """Returns the subset of the asset that is due."""
        due = self._scope.due(self._node, context)
        partitions = {AssetKeyPartitionKey(context.key, one.partition) for one in due if one.partition is not None}
        if partitions:
            found = context.asset_graph_view.get_asset_subset_from_asset_partitions(context.key, partitions)
        else:
            found = context.candidate_subset if due else context.get_empty_subset()
        return dg.AutomationResult(context, found)


def automation_conditions(
    project: ProjectLike, triggers: Triggers, *, translator: StarlakeTranslator | None = None
) -> Mapping[str, dg.AutomationCondition[Any]]:
    """Returns the conditions of the nodes whose trigger is `condition`, by node id.

    Sensors that evaluate them need `use_user_code_server=True`, as those of `build_condition_sensors` have.

    Args:
        project: The project, or the path of its directory.
        triggers: Triggers of the project.
        translator: Defines keys and metadata of the assets.
    """
    project = project_of(project, "automation_conditions")
    bound = bound_translator(translator, project, "automation_conditions", triggers)
    scope = ConditionScope(bound, triggers)
    return {node: one for node in sorted(triggers.triggers) if (one := scope.of(node)) is not None}


def build_condition_sensors(
    project: ProjectLike,
    triggers: Triggers,
    *,
    translator: StarlakeTranslator | None = None,
    status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds: int = 30,
    tags: Mapping[str, str] | None = None,
) -> list[dg.SensorDefinition]:
    """Builds the sensors that evaluate the conditions: one per domain or DAG file, and per 500 assets of it.

    Args:
        project: The project, or the path of its directory.
        triggers: Only triggers of kind `condition` are used.
        translator: Defines keys and metadata of the assets.
        status: Whether the sensors are on from the start.
        minimum_interval_seconds: Seconds between two ticks.
        tags: Tags of every run, in addition to those of the job (`tags`, `priority_weight` and `max_active_runs`).
    """
    project = project_of(project, "build_condition_sensors")
    bound = bound_translator(translator, project, "build_condition_sensors", triggers)
    found: list[dg.SensorDefinition] = []
    make: Any = dg.AutomationConditionSensorDefinition
    by_name: dict[str, list[Trigger]] = {}
    for _, trigger in sorted(triggers.triggers.items()):
        if trigger.triggered_by == "condition" and trigger.upstream_condition is not None:
            domain = project.graph.nodes[trigger.node].domain
            has_dag = triggers.jobs[trigger.job].dag is not None
            name = group_name(trigger.job) if has_dag else f"{triggers.prefix}{group_name(domain)}"
            by_name.setdefault(f"{name.removesuffix('_conditions')}_conditions", []).append(trigger)
    with suppress_dagster_warnings():
        for name, members in sorted(by_name.items()):
            run_tags = {**job_tags(triggers.jobs[members[0].job]), **(tags or {})}
            for number, part in enumerate(_parts(members), 1):
                keys = [bound.spec(project.graph.nodes[one.node]).key for one in part]
                found.append(
                    make(
                        f"{name}_{number}" if number > 1 else name,
                        target=dg.AssetSelection.assets(*keys),
                        default_status=status,
                        minimum_interval_seconds=minimum_interval_seconds,
                        run_tags=run_tags,
                        use_user_code_server=True,
                    )
                )
    return found


def upstreams_updated() -> dg.AutomationCondition[Any]:
    """Returns a condition that materializes an asset of your own when an upstream has an update that it has not read.

    It waits while a table or task that it reads is being materialized, or is due itself. An update that arrives during
    a run of the asset starts the next one. `AutomationCondition.eager()` counts such an update as read.

    The asset is one of the `extra_assets` of `build_definitions`, which adds the sensor.

    Examples:
        ::

            @dg.asset(deps=[dg.AssetKey(["kpi", "revenue"])], automation_condition=upstreams_updated())
            def report() -> None: ...

            defs = build_definitions(project, extra_assets=[report])
    """
    return _UpstreamsUpdated()


class _UpstreamsUpdated(dg.AutomationCondition[dg.AssetKey]):
    """Placeholder that `build_definitions` replaces with `UpstreamsUpdated`."""

    @property
    def description(self) -> str:
        """Label of the condition in the UI."""
        return "the upstreams have updates that the asset has not read"

    def evaluate(self, context: Any) -> Any:
        """Raises an error, because the condition is not bound to a project."""
        raise dg.DagsterInvalidDefinitionError(
            f"{context.key.to_user_string()} has the condition upstreams_updated(), which is not bound to a project. "
            "Pass the asset as one of `extra_assets` to build_definitions."
        )


def with_bound_conditions(
    translator: StarlakeTranslator, triggers: Triggers, assets: Iterable[Any]
) -> tuple[list[Any], list[dg.SensorDefinition]]:
    """Binds the conditions `upstreams_updated()` of assets that are not in the project.

    Args:
        translator: Translator that is bound to the project.
        triggers: Triggers of the project.
        assets: The `extra_assets` of `build_definitions`.

    Returns:
        The assets, and the sensor that evaluates the conditions; no sensor if no asset has the condition.
    """
    assets = list(assets)
    nodes = {spec.key: node for node, spec in translator.specs().items()}
    specs: list[Any] = [spec for asset in assets if isinstance(asset, dg.AssetsDefinition) for spec in asset.specs]
    reads: dict[dg.AssetKey, list[dg.AssetKey]] = {
        spec.key: [dep.asset_key for dep in spec.deps if dep.asset_key != spec.key]
        for spec in specs
        if isinstance(spec.automation_condition, _UpstreamsUpdated)
    }
    if not reads:
        return assets, []
    others = {key.to_user_string(): key for ups in (reads, *reads.values()) for key in ups if key not in nodes}
    ids = {**nodes, **{key: name for name, key in others.items()}}
    triggered = triggers.triggers.keys()
    watches = {
        ids[key]: UpstreamCondition(
            AnyOf(tuple(Upstream(ids[up]) for up in ups)), must_exist=frozenset(ids[up] for up in ups) & triggered
        )
        for key, ups in reads.items()
    }
    own = {name: Trigger(name, "condition", "", upstream_condition=watch) for name, watch in watches.items()}
    scope = ConditionScope(translator, replace(triggers, triggers={**triggers.triggers, **own}), others)

    def bound(spec: Any) -> dg.AssetSpec:
        if spec.key not in reads:
            return spec
        return spec.replace_attributes(automation_condition=UpstreamsUpdated(scope, ids[spec.key]))

    make: Any = dg.AutomationConditionSensorDefinition
    with suppress_dagster_warnings():
        sensor = make(
            f"{triggers.prefix}own_assets_conditions",
            target=dg.AssetSelection.assets(*reads),
            default_status=dg.DefaultSensorStatus(triggers.status),
            use_user_code_server=True,
        )
    return [one.map_asset_specs(bound) if isinstance(one, dg.AssetsDefinition) else one for one in assets], [sensor]


def _targets(node: str, subset: Any) -> Iterable[LineageTarget]:
    if subset.is_empty:
        return []
    return [LineageTarget(node, one.partition_key) for one in subset.expensively_compute_asset_partitions()]


def _parts(members: list[Trigger]) -> Iterable[list[Trigger]]:
    return (members[start : start + MOST_KEYS] for start in range(0, len(members), MOST_KEYS))
