"""The policy of a lineage sensor as an `AutomationCondition`, for those who prefer Dagster's declarative automation."""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from starlake_dagster_assets._arguments import ProjectLike, project_of
from starlake_dagster_assets._compat import quiet
from starlake_dagster_assets.assets.names import group_name
from starlake_dagster_assets.assets.translator import StarlakeTranslator, bound_translator
from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.triggers.model import AllOf, Condition, Triggers, Upstream, Watch

__all__ = ["automation_conditions", "build_condition_sensors", "condition_of"]

MOST_KEYS = 500
"""Assets that one sensor evaluates: more would not fit into the time of a tick, nor into Dagster's own limit."""


def automation_conditions(
    project: ProjectLike, triggers: Triggers, *, translator: StarlakeTranslator | None = None
) -> Mapping[str, dg.AutomationCondition[Any]]:
    """The conditions of the nodes whose owner is `condition`, by node id.

    Args:
        project: The project, or the path of its directory.
        triggers: Of the project.
        translator: What the assets look like.

    Raises:
        ProjectError: Names each node whose policy cannot be said as a condition, and what of it.
    """
    project = project_of(project, "automation_conditions")
    bound = bound_translator(translator, project, "automation_conditions", triggers)
    found: dict[str, dg.AutomationCondition[Any]] = {}
    problems: list[str] = []
    for node, trigger in sorted(triggers.triggers.items()):
        if trigger.owner != "condition" or trigger.watch is None:
            continue
        if said := _unsaid(trigger.watch):
            problems.append(f"{node}: {', '.join(said)} cannot be said as a condition; let a lineage sensor make it.")
        else:
            found[node] = condition_of(trigger.watch, _Keys(bound))
    if problems:
        raise ProjectError(problems)
    return found


def condition_of(watch: Watch, keys: Mapping[str, dg.AssetKey]) -> dg.AutomationCondition[Any]:
    """A watch as a condition: its upstreams were made since the node was last requested, and no run is on its way.

    Args:
        watch: Without data cycle, freshness and minimum interval.
        keys: Asset key by node.
    """
    condition: Any = dg.AutomationCondition
    with quiet():
        moved = _said(watch.condition, watch.optional | watch.slower, keys)
        for node in sorted(watch.present):
            moved = moved & ~condition.asset_matches(keys[node], condition.missing())
        told = moved & ~condition.in_progress() & ~condition.any_deps_in_progress()
        return told.with_label("its upstreams have moved since it was last requested")


def build_condition_sensors(
    project: ProjectLike,
    triggers: Triggers,
    *,
    translator: StarlakeTranslator | None = None,
    status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds: int = 30,
    tags: Mapping[str, str] | None = None,
) -> list[dg.SensorDefinition]:
    """The sensors that evaluate the conditions: one a domain, and one for each 500 assets of it.

    Args:
        project: The project, or the path of its directory.
        triggers: Those with the owner `condition` are taken.
        translator: What the assets look like.
        status: Whether the sensors are on from the start.
        minimum_interval_seconds: Seconds between two ticks.
        tags: Of every run.
    """
    project = project_of(project, "build_condition_sensors")
    bound = bound_translator(translator, project, "build_condition_sensors", triggers)
    domains: dict[str, list[dg.AssetKey]] = {}
    for node, trigger in sorted(triggers.triggers.items()):
        if trigger.owner == "condition":
            known = project.graph.nodes[node]
            domains.setdefault(group_name(known.domain), []).append(bound.spec(known).key)
    make: Any = dg.AutomationConditionSensorDefinition
    found: list[dg.SensorDefinition] = []
    with quiet():
        for domain, keys in sorted(domains.items()):
            for number, part in enumerate(_parts(keys), 1):
                found.append(
                    make(
                        f"{triggers.prefix}{domain}_conditions" + (f"_{number}" if number > 1 else ""),
                        target=dg.AssetSelection.assets(*part),
                        default_status=status,
                        minimum_interval_seconds=minimum_interval_seconds,
                        run_tags=dict(tags or {}),
                    )
                )
    return found


class _Keys(dict[str, dg.AssetKey]):
    """Asset keys by node id, asked for one by one."""

    def __init__(self, translator: StarlakeTranslator) -> None:
        super().__init__()
        self._translator = translator

    def __missing__(self, node: str) -> dg.AssetKey:
        return self._translator.spec(self._translator.graph.nodes[node]).key


def _said(condition: Condition, patient: frozenset[str], keys: Mapping[str, dg.AssetKey]) -> Any:
    if isinstance(condition, Upstream):
        known: Any = dg.AutomationCondition
        updated = known.asset_matches(keys[condition.node], known.newly_updated())
        return updated.since(known.newly_requested()).with_label(f"{condition.node} was made since the last request")
    needed = [part for part in condition.parts if not _is_patient(part, patient)]
    # What is not waited for can only be left out of `all`; where nothing else is there, one of them is enough.
    every = isinstance(condition, AllOf) and bool(needed)
    texts = [_said(part, patient, keys) for part in (needed if every else condition.parts)]
    whole = texts[0]
    for one in texts[1:]:
        whole = whole & one if every else whole | one
    return whole


def _is_patient(condition: Condition, patient: frozenset[str]) -> bool:
    if isinstance(condition, Upstream):
        return condition.node in patient
    return all(_is_patient(part, patient) for part in condition.parts)


def _unsaid(watch: Watch) -> list[str]:
    said = {
        f"data_cycle `{watch.data_cycle}`": watch.data_cycle is not None,
        f"a freshness of {', '.join(sorted(watch.freshness))}": bool(watch.freshness),
        f"min_timedelta_between_runs of {watch.min_interval:g} s": watch.min_interval > 0,
    }
    return [text for text, there in said.items() if there]


def _parts(keys: list[dg.AssetKey]) -> Iterable[list[dg.AssetKey]]:
    return (keys[start : start + MOST_KEYS] for start in range(0, len(keys), MOST_KEYS))
