"""Lineage sensors: a transform runs once its upstreams have moved, once for each wave, and says what it waits for."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import dagster as dg

from starlake_dagster_assets._arguments import ProjectLike, project_of
from starlake_dagster_assets._compat import quiet
from starlake_dagster_assets.assets.names import group_name
from starlake_dagster_assets.assets.translator import StarlakeTranslator
from starlake_dagster_assets.automation.job_assets import asset_key, unowned_upstreams
from starlake_dagster_assets.automation.jobs import build_jobs, cut
from starlake_dagster_assets.automation.lineage_partitions import partitioned_tick
from starlake_dagster_assets.automation.waves import (
    TRIGGER,
    UPSTREAMS,
    WAVE,
    carried_options,
    coming,
    newest,
    standing,
)
from starlake_dagster_assets.command.source import ProjectSource
from starlake_dagster_assets.graph.plan import topological
from starlake_dagster_assets.triggers.evaluate import Fire, Memory, Seen, Wait, evaluate, requested, watched
from starlake_dagster_assets.triggers.model import Trigger, Triggers, Watch

__all__ = ["Group", "build_lineage_sensors", "lineage_groups"]

_TAG_LENGTH = 500
_MOST_REASONS = 8


@dataclass(frozen=True)
class Group:
    """Nodes that are made together because they watch the same upstreams by the same policy.

    Attributes:
        name: Unique; in the tag `starlake/trigger` of the runs.
        sensor: Name of the sensor: one a job.
        job: Name of the job.
        watch: What is watched.
        nodes: Ids of what a run makes, in topological order.
        whole: Whether that is all that the job makes.
    """

    name: str
    sensor: str
    job: str
    watch: Watch
    nodes: tuple[str, ...]
    whole: bool

    @property
    def policy(self) -> str:
        """Of the watch, short: by it a sensor remembers what it used, whatever else the job makes."""
        return hashlib.sha256(_policy(self.watch).encode()).hexdigest()[:12]


def build_lineage_sensors(
    project: ProjectLike,
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
    """One sensor a job. It asks for one run for each set of nodes that watch the same upstreams by the same policy.

    Args:
        project: The project, or the path of its directory.
        triggers: Those with the owner `lineage` are taken.
        translator: What the assets look like.
        status: Whether the sensors are on from the start.
        minimum_interval_seconds: Seconds between two ticks.
        settle: Seconds for which a wave is held back while a run that made a part of it is still to make more of what
            is watched; 0 = never.
        tick_seconds: Seconds after which a tick ends; the next one goes on where it stopped.
        timezone: Of data cycles, an IANA name.
        jobs: The jobs of the triggers by name (`build_jobs`); made here by default.
        tags: Of every run.

    Returns:
        The sensors, by name.

    Examples:
        ::

            sensors = build_lineage_sensors(project, build_triggers(project, StarlakeAutomation()))
    """
    project = project_of(project, "build_lineage_sensors")
    bound, triggers = cut(project, triggers, translator)
    known = build_jobs(project, triggers, translator=bound) if jobs is None else jobs
    options = _Options(settle, tick_seconds, timezone, dict(tags or {}))
    by_job: dict[str, list[Group]] = {}
    for group in lineage_groups(project, triggers):
        by_job.setdefault(group.job, []).append(group)
    return [
        _sensor(bound, groups, known[job], options, status, minimum_interval_seconds) for job, groups in by_job.items()
    ]


def lineage_groups(project: ProjectSource, triggers: Triggers) -> list[Group]:
    """What the lineage sensors make, by job, upstream first.

    Nodes of a job that nobody else owns (`run_dependencies_first`) are made with those that need them.
    """
    by_watch: dict[str, dict[str, list[Trigger]]] = {}
    for trigger in sorted(triggers.triggers.values(), key=lambda one: one.node):
        if trigger.owner == "lineage" and trigger.watch is not None and watched(trigger.watch.condition):
            by_watch.setdefault(trigger.job, {}).setdefault(_policy(trigger.watch), []).append(trigger)
    groups: list[Group] = []
    place = {node: number for number, node in enumerate(topological(project.graph, ()))}
    for job, policies in sorted(by_watch.items()):
        made = set(triggers.jobs[job].nodes)
        for members in policies.values():
            nodes = {one.node for one in members}
            nodes |= unowned_upstreams(project, triggers, nodes, made)
            name = job if len(policies) == 1 else f"{job}_{members[0].node}"
            watch = members[0].watch
            assert watch is not None
            order = tuple(sorted(nodes, key=lambda node: place.get(node, -1)))
            own, sensor = f"{group_name(name)}_lineage", f"{group_name(job)}_lineage"
            groups.append(Group(own, sensor, job, watch, order, nodes == made))
    return sorted(groups, key=lambda group: (group.job, place.get(group.nodes[0], -1)))


@dataclass(frozen=True)
class _Options:
    settle: float
    tick_seconds: float
    timezone: str
    tags: Mapping[str, str]


def _sensor(
    translator: StarlakeTranslator,
    groups: Sequence[Group],
    job: Any,
    options: _Options,
    status: dg.DefaultSensorStatus,
    minimum_interval_seconds: int,
) -> dg.SensorDefinition:
    nodes = dict.fromkeys(node for group in groups for node in watched(group.watch.condition))
    keys = {node: asset_key(translator, node) for node in nodes}
    makes = ", ".join(node for group in groups for node in group.nodes)

    # Superseded in favour of conditions, "except where a specific job must be targeted", which is the case here.
    decorate = cast("Any", dg).multi_asset_sensor  # its type is partly unknown to pyright
    with quiet():

        @decorate(
            monitored_assets=list(keys.values()),
            name=groups[0].sensor,
            job=job,
            minimum_interval_seconds=minimum_interval_seconds,
            default_status=status,
            description=f"Makes {makes} once its upstreams have moved ({', '.join(keys)})."[:_TAG_LENGTH],
            metadata={"starlake/watched": ", ".join(keys)[:_TAG_LENGTH], "starlake/makes": makes[:_TAG_LENGTH]},
        )
        def sensor(context: dg.MultiAssetSensorEvaluationContext) -> Any:
            tick = _Tick(context, translator, keys, options)
            asked = [request for group in groups for request in tick.look(group)]
            # A SensorResult cannot carry the cursor of a multi-asset sensor (dagster #17317): it is set by hand.
            context.update_cursor(json.dumps(tick.kept, separators=(",", ":")))
            return asked or dg.SkipReason(tick.reason)

    return sensor


class _Tick:
    """One look at all that a sensor watches; `kept` is what is remembered of each policy."""

    def __init__(
        self, context: Any, translator: StarlakeTranslator, keys: Mapping[str, dg.AssetKey], options: _Options
    ) -> None:
        self._context, self._translator, self._keys, self._options = context, translator, keys, options
        self._now, self._deadline = time.time(), time.monotonic() + options.tick_seconds
        self._memories = _memories(context.cursor)
        self._coming: dict[str, str] = {}
        self._reasons: list[str] = []
        self.kept: dict[str, str] = {}

    @property
    def reason(self) -> str:
        """Why nothing is asked for."""
        more = len(self._reasons) - _MOST_REASONS
        shown = self._reasons[:_MOST_REASONS] + ([f"{more} more wait as well."] if more > 0 else [])
        return "\n".join(shown)

    def look(self, group: Group) -> list[dg.RunRequest]:
        """The runs that a group needs."""
        keys = {node: self._keys[node] for node in watched(group.watch.condition)}
        memory = Memory.load(self._memories.get(group.policy), keys)
        targets = [asset_key(self._translator, node) for node in group.nodes]
        partitions = {node: self._partitions(node) for node in group.nodes}
        partitioned = [node for node in group.nodes if partitions[node] is not None]
        if partitioned:
            target = partitioned[0]
            requests, memory, reason = partitioned_tick(
                self._context,
                group.name,
                group.watch,
                memory,
                keys=keys,
                partitions={node: self._partitions(node) for node in keys},
                target=(asset_key(self._translator, target), partitions[target]),
                deadline=self._deadline,
            )
            runs = [_request(one, self._options, None if group.whole else targets) for one in requests]
        else:
            verdict, memory, by = self._decide(group, memory, keys)
            reason = verdict.reason
            made = {TRIGGER: group.name, UPSTREAMS: by}
            if isinstance(verdict, Fire):
                carried = carried_options(self._context.instance, (self._seen[node].run for node in verdict.ids))
                runs = [_wave(verdict, made, self._options, group, targets, carried)]
            else:
                runs = []
        self.kept[group.policy] = memory.dump()
        self._reasons.append(reason if group.name == group.sensor else f"{', '.join(group.nodes)}: {reason}")
        return runs

    @cached_property
    def _seen(self) -> Mapping[str, Seen]:
        """The newest materializations: asked for once, whatever the number of groups."""
        parts = {node: part for node in self._keys if (part := self._partitions(node)) is not None}
        return newest(self._context.instance, self._keys, parts)

    def _partitions(self, node: str) -> Any:
        """What a node is partitioned by; of an asset of others, as far as this code location defines it."""
        known = self._translator.graph.nodes.get(node)
        if known is not None:
            return self._translator.spec(known).partitions_def
        key = asset_key(self._translator, node)
        assets = self._context.assets_defs_by_key.get(key)
        return assets.specs_by_key[key].partitions_def if assets is not None else None

    def _decide(self, group: Group, memory: Memory, keys: Mapping[str, dg.AssetKey]) -> tuple[Fire | Wait, Memory, str]:
        """One look at the upstreams: the verdict, what is remembered of it, and the runs that made the wave."""
        context, options = self._context, self._options
        seen = {node: self._seen[node] for node in keys if node in self._seen}

        def look(held: Mapping[str, str] | None = None) -> Fire | Wait:
            policy, now, zone = group.watch, self._now, options.timezone
            return evaluate(group.name, policy, seen, memory, now, coming=held, busy=busy, timezone=zone)

        busy = ""
        verdict = look()
        # Without a key: the first wave, a changed policy, or a lost cursor.
        if memory.requested or (seen and not memory.key) or isinstance(verdict, Fire):
            memory, busy = standing(context, group.name, memory, seen)
            verdict = look()
        if isinstance(verdict, Fire):
            others = {node: run for node, run in self._coming.items() if node in keys}
            held = coming(context.instance, keys, seen, verdict.ids, self._now, options.settle)
            verdict = look({**others, **held})
        by = ""
        if isinstance(verdict, Fire):
            by = ", ".join(f"{node} (run {seen[node].run or 'outside'})" for node in verdict.ids)
            busy, memory = verdict.key, requested(memory, verdict, self._now)
        if busy and self._now - memory.at < options.settle:
            self._coming.update(dict.fromkeys(group.nodes, busy))
        return verdict, memory, by


def _memories(cursor: str | None) -> Mapping[str, str]:
    """What is remembered of each policy; a text of something else remembers nothing."""
    try:
        found = json.loads(cursor or "")
    except ValueError:
        return {}
    return cast("dict[str, str]", found) if isinstance(found, dict) else {}


def _wave(
    verdict: Fire,
    made: Mapping[str, str],
    options: _Options,
    group: Group,
    targets: Sequence[dg.AssetKey],
    carried: Mapping[str, str],
) -> dg.RunRequest:
    tags = {
        **options.tags,
        **carried,
        **{key: value[:_TAG_LENGTH] for key, value in made.items()},
        WAVE: verdict.key,
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
