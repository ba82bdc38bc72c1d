"""Lineage sensors: a transform runs once its upstreams have moved, once for each wave, and says what it waits for."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import dagster as dg

from starlake_dagster_assets._compat import quiet
from starlake_dagster_assets.assets.names import group_name
from starlake_dagster_assets.assets.translator import StarlakeTranslator
from starlake_dagster_assets.automation.job_assets import asset_key, unowned_upstreams
from starlake_dagster_assets.automation.lineage_partitions import partitioned_tick
from starlake_dagster_assets.automation.waves import (
    INTERVAL_END,
    INTERVAL_START,
    TRIGGER,
    UPSTREAMS,
    WAVE,
    coming,
    newest,
    standing,
)
from starlake_dagster_assets.command.source import ProjectSource
from starlake_dagster_assets.graph.plan import topological
from starlake_dagster_assets.triggers.evaluate import Fire, Memory, Wait, evaluate, requested, watched
from starlake_dagster_assets.triggers.model import Trigger, Triggers, Watch

__all__ = ["Group", "build_lineage_sensors", "lineage_groups"]

_TAG_LENGTH = 500


@dataclass(frozen=True)
class Group:
    """Nodes that are made together because they watch the same upstreams by the same policy.

    Attributes:
        name: Of the sensor.
        job: Name of the job.
        watch: What is watched.
        nodes: Ids of what a run makes, in topological order.
        whole: Whether that is all that the job makes.
    """

    name: str
    job: str
    watch: Watch
    nodes: tuple[str, ...]
    whole: bool


def build_lineage_sensors(
    project: ProjectSource,
    triggers: Triggers,
    *,
    translator: StarlakeTranslator | None = None,
    status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds: int = 30,
    settle: float = 600,
    tick_seconds: float = 40,
    timezone: str = "UTC",
    jobs: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
) -> list[dg.SensorDefinition]:
    """One sensor for each set of nodes that watch the same upstreams by the same policy.

    Args:
        project: The project.
        triggers: Those with the owner `lineage` are taken.
        translator: What the assets look like.
        status: Whether the sensors are on from the start.
        minimum_interval_seconds: Seconds between two ticks.
        settle: Seconds for which a wave is held back while a run that made a part of it is still to make more of what
            is watched; 0 = never.
        tick_seconds: Seconds after which a tick ends; the next one goes on where it stopped.
        timezone: Of data cycles, an IANA name.
        jobs: Jobs that are defined already, by name; the others are made here.
        tags: Of every run.

    Returns:
        The sensors, by name.

    Examples:
        ::

            sensors = build_lineage_sensors(project, build_triggers(project, StarlakeAutomation()))
    """
    bound = (translator or StarlakeTranslator()).bound_to(project)
    known = dict(jobs or {})
    found: list[dg.SensorDefinition] = []
    for group in lineage_groups(project, triggers):
        if group.job not in known:
            made = triggers.jobs[group.job].nodes if group.job in triggers.jobs else group.nodes
            keys = [asset_key(bound, node) for node in made]
            define = cast("Any", dg).define_asset_job
            known[group.job] = define(group.job, selection=dg.AssetSelection.assets(*keys))
        options = _Options(settle, tick_seconds, timezone, dict(tags or {}))
        found.append(_sensor(bound, group, known[group.job], options, status, minimum_interval_seconds))
    return found


def lineage_groups(project: ProjectSource, triggers: Triggers) -> list[Group]:
    """What the lineage sensors make, by name.

    Nodes of a job that nobody else owns (`run_dependencies_first`) are made with those that need them.
    """
    by_watch: dict[str, dict[str, list[Trigger]]] = {}
    for trigger in sorted(triggers.triggers.values(), key=lambda one: one.node):
        if trigger.owner == "lineage" and trigger.watch is not None and watched(trigger.watch.condition):
            by_watch.setdefault(trigger.job, {}).setdefault(_policy(trigger.watch), []).append(trigger)
    groups: list[Group] = []
    for job, policies in sorted(by_watch.items()):
        made = triggers.jobs[job].nodes if job in triggers.jobs else ()
        for members in policies.values():
            nodes = {one.node for one in members}
            nodes |= unowned_upstreams(project, triggers, nodes, made)
            name = job if len(policies) == 1 else f"{job}_{members[0].node}"
            watch = members[0].watch
            assert watch is not None
            order = tuple(node for node in topological(project.graph, nodes) if node in nodes)
            groups.append(Group(f"{group_name(name)}_lineage", job, watch, order, not made or nodes == set(made)))
    return groups


@dataclass(frozen=True)
class _Options:
    settle: float
    tick_seconds: float
    timezone: str
    tags: Mapping[str, str]


def _sensor(
    translator: StarlakeTranslator,
    group: Group,
    job: Any,
    options: _Options,
    status: dg.DefaultSensorStatus,
    minimum_interval_seconds: int,
) -> dg.SensorDefinition:
    keys = {node: asset_key(translator, node) for node in watched(group.watch.condition)}
    targets = [asset_key(translator, node) for node in group.nodes]
    parts = {node: _partitions(translator, node) for node in (*keys, *group.nodes)}
    partitioned = [node for node in group.nodes if parts[node] is not None]

    # Superseded in favour of conditions, "except where a specific job must be targeted", which is the case here.
    decorate = cast("Any", dg).multi_asset_sensor  # its type is partly unknown to pyright
    with quiet():

        @decorate(
            monitored_assets=list(keys.values()),
            name=group.name,
            job=job,
            minimum_interval_seconds=minimum_interval_seconds,
            default_status=status,
            description=_described(group),
            metadata={"starlake/watched": ", ".join(keys)[:_TAG_LENGTH], "starlake/makes": ", ".join(group.nodes)},
        )
        def sensor(context: dg.MultiAssetSensorEvaluationContext) -> Any:
            memory = Memory.load(context.cursor, keys)
            if partitioned:
                target = partitioned[0]
                requests, memory, reason = partitioned_tick(
                    context,
                    group.name,
                    group.watch,
                    memory,
                    keys=keys,
                    partitions={node: parts[node] for node in keys},
                    target=(asset_key(translator, target), parts[target]),
                    deadline=time.monotonic() + options.tick_seconds,
                )
                runs = [_request(one, options, None if group.whole else targets) for one in requests]
            else:
                verdict, memory, by = _decide(context, group, memory, keys, parts, options)
                reason = verdict.reason
                made = {TRIGGER: group.name, UPSTREAMS: by}
                runs = [_wave(verdict, made, options, group, targets)] if isinstance(verdict, Fire) else []
            # A SensorResult cannot carry the cursor of a multi-asset sensor (dagster #17317): it is set by hand.
            context.update_cursor(memory.dump())
            return runs or dg.SkipReason(reason)

    return sensor


def _decide(
    context: Any,
    group: Group,
    memory: Memory,
    keys: Mapping[str, dg.AssetKey],
    parts: Mapping[str, Any],
    options: _Options,
) -> tuple[Fire | Wait, Memory, str]:
    """One look at the upstreams: the verdict, what is remembered of it, and the runs that made the wave."""
    now = time.time()
    seen = newest(context.instance, keys, {node: part for node, part in parts.items() if part is not None})

    def look(held: Mapping[str, str] | None = None) -> Fire | Wait:
        return evaluate(group.name, group.watch, seen, memory, now, coming=held, timezone=options.timezone)

    verdict = look()
    if memory.requested or isinstance(verdict, Fire):
        memory, busy = standing(context, group.name, memory, seen)
        verdict = look()
        if isinstance(verdict, Fire) and busy:
            verdict = Wait(f"{verdict.reason}; the run of the wave before ({busy}) is still in progress.", due=True)
    if isinstance(verdict, Fire):
        verdict = look(coming(context.instance, keys, seen, verdict.ids, now, options.settle))
    if not isinstance(verdict, Fire):
        return verdict, memory, ""
    by = ", ".join(f"{node} (run {seen[node].run or 'outside'})" for node in verdict.ids)
    return verdict, requested(memory, verdict, now), by


def _wave(
    verdict: Fire, made: Mapping[str, str], options: _Options, group: Group, targets: Sequence[dg.AssetKey]
) -> dg.RunRequest:
    start, end = verdict.window
    tags = {
        **options.tags,
        **{key: value[:_TAG_LENGTH] for key, value in made.items()},
        WAVE: verdict.key,
        INTERVAL_START: start.isoformat(),
        INTERVAL_END: end.isoformat(),
    }
    return dg.RunRequest(run_key=verdict.key, tags=tags, asset_selection=None if group.whole else list(targets))


def _request(one: dg.RunRequest, options: _Options, targets: Sequence[dg.AssetKey] | None) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=one.run_key,
        partition_key=one.partition_key,
        tags={**options.tags, **one.tags},
        asset_selection=None if targets is None else list(targets),
    )


def _policy(watch: Watch) -> str:
    """The policy as text: equal for equal policies, whatever the order of their sets."""
    return repr(
        (
            watch.condition,
            sorted(watch.optional),
            sorted(watch.slower),
            sorted(watch.freshness.items()),
            sorted(watch.present),
            watch.data_cycle,
            watch.beyond,
            watch.min_interval,
        )
    )


def _partitions(translator: StarlakeTranslator, node: str) -> Any:
    known = translator.graph.nodes.get(node)
    return translator.spec(known).partitions_def if known is not None else None


def _described(group: Group) -> str:
    nodes = ", ".join(watched(group.watch.condition))
    return f"Makes {', '.join(group.nodes)} once its upstreams have moved ({nodes})."[:_TAG_LENGTH]
