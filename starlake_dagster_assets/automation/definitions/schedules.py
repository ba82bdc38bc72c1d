"""Schedules: one per cron of a job, in its time zone; each run has the data interval of its tick."""

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, cast
from zoneinfo import ZoneInfo

import dagster as dg

from starlake_dagster_assets._arguments import ProjectLike, project_of
from starlake_dagster_assets.automation.definitions.covered_intervals import CoveredIntervals
from starlake_dagster_assets.automation.definitions.job_assets import asset_key, untriggered_upstreams
from starlake_dagster_assets.automation.definitions.jobs import build_jobs, split_jobs
from starlake_dagster_assets.automation.policies.cron_ticks import tick_together
from starlake_dagster_assets.automation.policies.model import CronSchedule, Trigger, Triggers
from starlake_dagster_assets.automation.policies.skip_reasons import listed
from starlake_dagster_assets.dagster_assets.dagster_runs import REQUESTED_AT, interval_tags
from starlake_dagster_assets.dagster_assets.specs.names import group_name
from starlake_dagster_assets.dagster_assets.specs.partitions import (
    cron_partitions,
    validate_cron_schedules,
    window_before,
    windows_between,
)
from starlake_dagster_assets.dagster_assets.specs.translator import StarlakeTranslator
from starlake_dagster_assets.graph.acyclic_groups import sort_topologically

__all__ = [
    "ScheduleGroup",
    "build_schedules",
    "schedule_groups",
    "tick_requests",
]

_MOST = 100
"""Maximum number of intervals that one tick requests; the next tick continues after them."""
_TEXT = 500
_Window = tuple[datetime, datetime]


@dataclass(frozen=True)
class ScheduleGroup:
    """Nodes of a job that one schedule materializes together.

    Attributes:
        name: Name of the schedule.
        job: Name of the job.
        cron_schedule: The cron expression and its settings.
        nodes: Ids of the nodes of a run, in topological order.
        partitions: Partitions definition of the nodes; None = unpartitioned.
        is_whole_job: Whether these are all nodes of the job.
        concurrent: Tables that the nodes read and that other runs may write at the same time, without waiting.
    """

    name: str
    job: str
    cron_schedule: CronSchedule
    nodes: tuple[str, ...]
    partitions: dg.PartitionsDefinition[Any] | None
    is_whole_job: bool
    concurrent: tuple[str, ...] = ()


def build_schedules(
    project: ProjectLike,
    triggers: Triggers,
    *,
    translator: StarlakeTranslator | None = None,
    status: dg.DefaultScheduleStatus = dg.DefaultScheduleStatus.STOPPED,
    jobs: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
) -> list[dg.ScheduleDefinition]:
    """Builds one schedule per cron of a job.

    A tick requests one run: of the partition whose window has just closed, or of unpartitioned assets, with the data
    interval since the previous tick in its tags. If the windows of the partitions are not those of the cron, as with a
    sink, a tick requests each partition that has closed since the previous tick. Ticks outside `start_date` and
    `end_date` are skipped with that reason. With `catchup`, a tick also requests the intervals that have no run yet.

    Args:
        project: The project, or the path of its directory.
        triggers: Only triggers of kind `schedule` that wait for no files are used.
        translator: Defines keys and metadata of the assets.
        status: Whether the schedules are on from the start.
        jobs: The jobs of the triggers by name (`build_jobs`); built here by default.
        tags: Tags of every run.

    Returns:
        The schedules, by name.

    Raises:
        ProjectError: Names each node whose cron or time zone Dagster does not know, with its file and line.

    Examples:
        ::

            schedules = build_schedules(project, build_triggers(project, StarlakeAutomation()))
    """
    project = project_of(project, "build_schedules")
    validate_cron_schedules(project, triggers)
    bound, triggers = split_jobs(project, triggers, translator)
    known = build_jobs(project, triggers, translator=bound) if jobs is None else jobs
    groups = schedule_groups(bound, triggers)
    return [_schedule(bound, group, known[group.job], status, dict(tags or {})) for group in groups]


def schedule_groups(translator: StarlakeTranslator, triggers: Triggers) -> list[ScheduleGroup]:
    """Returns the groups of nodes that the schedules materialize, by name.

    Args:
        translator: Translator that is bound to the project.
        triggers: Triggers of the project, with at most one partitions definition per job (`split_by_partitions`).
    """
    by_job: dict[str, dict[CronSchedule, list[Trigger]]] = {}
    for trigger in sorted(triggers.triggers.values(), key=lambda one: one.node):
        waits = trigger.preload is not None and trigger.preload.strategy != "none"
        if trigger.triggered_by == "schedule" and trigger.cron_schedule is not None and not waits:
            by_job.setdefault(trigger.job, {}).setdefault(trigger.cron_schedule, []).append(trigger)
    groups: list[ScheduleGroup] = []
    place = {node: number for number, node in enumerate(sort_topologically(translator.graph, ()))}
    for job, clocks in sorted(by_job.items()):
        made = set(triggers.jobs[job].nodes)
        for label, (clock, members) in zip(_labels(translator, list(clocks)), clocks.items(), strict=True):
            nodes = {one.node for one in members}
            nodes |= untriggered_upstreams(translator.source, triggers, nodes, made)
            order = tuple(sorted(nodes, key=place.__getitem__))
            name = group_name(f"{job}_{label}_schedule" if label else f"{job}_schedule")
            concurrent = _concurrent(translator, triggers, nodes, clock)
            groups.append(ScheduleGroup(name, job, clock, order, _grid(translator, nodes), nodes == made, concurrent))
    return sorted(groups, key=lambda group: group.name)


def _concurrent(
    translator: StarlakeTranslator, triggers: Triggers, nodes: Collection[str], clock: CronSchedule
) -> tuple[str, ...]:
    ups = {up for node in nodes for up in translator.graph.upstream[node]} - set(nodes)
    clocks = {up: one.cron_schedule for up in ups if (one := triggers.triggers.get(up)) is not None}
    return tuple(sorted(up for up, other in clocks.items() if other is not None and tick_together(clock, other)))


def _grid(translator: StarlakeTranslator, nodes: Iterable[str]) -> dg.PartitionsDefinition[Any] | None:
    """Returns the partitions definition that the partitioned nodes of a job share; None if there are none."""
    specs = (translator.spec(translator.graph.nodes[node]) for node in sorted(nodes))
    return next((spec.partitions_def for spec in specs if spec.partitions_def is not None), None)


def _labels(translator: StarlakeTranslator, clocks: Sequence[CronSchedule]) -> list[str]:
    """Returns a label for each schedule of a job, independent of the other labels; "" if the job has one schedule."""
    if len(clocks) == 1:
        return [""]
    presets = {cron: name for name, cron in translator.project.application.schedule_presets.items()}
    labels = [
        presets.get(clock.cron) or re.sub(r"\W+", "_", clock.cron.replace("*", "x").replace("/", "by"))
        for clock in clocks
    ]
    return [
        label if labels.count(label) == 1 else f"{label}_{hashlib.sha256(repr(clock).encode()).hexdigest()[:6]}"
        for label, clock in zip(labels, clocks, strict=True)
    ]


def _schedule(
    translator: StarlakeTranslator,
    group: ScheduleGroup,
    job: Any,
    status: dg.DefaultScheduleStatus,
    tags: Mapping[str, str],
) -> dg.ScheduleDefinition:
    keys = [asset_key(translator, node) for node in group.nodes]

    def tick(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        yield from tick_requests(context, group, keys, tags)

    nodes = ", ".join(group.nodes)
    description = f"Materializes {listed(group.nodes)} at {group.cron_schedule.cron} ({group.cron_schedule.timezone})."
    if group.concurrent:
        description += (
            f" {listed(group.concurrent)} may be materialized at the same time by other runs; the schedule does not "
            "wait for them. To run them first, choose a later cron, no cron, or run_dependencies_first (for the same "
            "cron)."
        )
    return dg.ScheduleDefinition(
        name=group.name,
        job=job,
        cron_schedule=group.cron_schedule.cron,
        execution_timezone=group.cron_schedule.timezone,
        execution_fn=cast("Any", tick),
        default_status=status,
        description=description,
        metadata={"starlake/makes": nodes[:_TEXT]},
    )


def tick_requests(
    context: dg.ScheduleEvaluationContext,
    group: ScheduleGroup,
    keys: Sequence[dg.AssetKey],
    tags: Mapping[str, str],
    config: Any = None,
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Yields the runs that a tick requests, each with the data interval of its window, or the reason to skip.

    Args:
        context: Evaluation context of the tick.
        group: The nodes that a run materializes.
        keys: Asset keys of the nodes.
        tags: Tags of each run.
        config: Run configuration of each run.
    """
    moment = context.scheduled_execution_time
    windows = due_windows(context, group, keys, moment)
    if not windows:
        yield dg.SkipReason(nothing_due(group.cron_schedule, moment))
    for (start, end), missing in windows:
        interval = interval_tags((start, end))
        if end.timestamp() < windows[-1][0][1].timestamp():
            interval[REQUESTED_AT] = windows[-1][0][1].isoformat()
        key = end.astimezone(timezone.utc).isoformat()
        for partition in partitions_in(context, group.partitions, (start, end)):
            yield dg.RunRequest(
                run_key=key if partition is None else f"{key} {partition}",
                partition_key=partition,
                run_config=config,
                tags={**tags, **interval},
                asset_selection=None if group.is_whole_job and missing == list(keys) else missing,
            )


def due_windows(
    context: dg.ScheduleEvaluationContext, group: ScheduleGroup, keys: Sequence[dg.AssetKey], moment: datetime
) -> list[tuple[_Window, list[dg.AssetKey]]]:
    """Returns the windows that closed since the previous tick, oldest first, each with the assets to materialize.

    With `catchup`, these are all windows for which an asset has neither a run nor a materialization, from the start
    date or else the first window that has one.
    """
    ticks = cron_partitions(group.cron_schedule)
    windows = group.partitions if isinstance(group.partitions, dg.TimeWindowPartitionsDefinition) else ticks
    last = window_before(ticks, moment)
    if last is None:
        return []
    if group.cron_schedule.catchup:
        covered = CoveredIntervals(context.instance, keys, group.partitions)
        first = covered.first() if group.cron_schedule.start is None else None
        if first is not None or group.cron_schedule.start is not None:
            since = None if first is None else datetime.fromtimestamp(first, ZoneInfo(group.cron_schedule.timezone))
            return windows_between(windows, since, last[1], _MOST, covered.missing)
    before = window_before(windows, last[0])
    return windows_between(windows, before[1] if before else last[0], last[1], _MOST, lambda _: list(keys))


def _multi_keys(
    context: dg.ScheduleEvaluationContext, partitions: dg.MultiPartitionsDefinition, window: _Window
) -> Sequence[str]:
    keys = cast("Any", partitions).get_partition_keys(dynamic_partitions_store=context.instance)
    for dimension in partitions.partitions_defs:
        times = dimension.partitions_def
        if isinstance(times, dg.TimeWindowPartitionsDefinition):
            closed = window_before(times, window[1])
            wanted = times.get_partition_keys_in_time_window(dg.TimeWindow(*closed)) if closed is not None else ()
            keys = [key for key in keys if key.keys_by_dimension[dimension.name] in wanted]
    return keys


def partitions_in(
    context: dg.ScheduleEvaluationContext, partitions: dg.PartitionsDefinition[Any] | None, window: _Window
) -> Sequence[str | None]:
    """Returns the partition of a window, per key of other dimensions; all partitions if they are not time windows."""
    if partitions is None:
        return [None]
    if isinstance(partitions, dg.TimeWindowPartitionsDefinition):
        return partitions.get_partition_keys_in_time_window(dg.TimeWindow(*window))
    if isinstance(partitions, dg.StaticPartitionsDefinition):
        return partitions.get_partition_keys()
    if isinstance(partitions, dg.MultiPartitionsDefinition):
        return _multi_keys(context, partitions, window)
    return partitions.get_partition_keys(dynamic_partitions_store=context.instance)


def nothing_due(clock: CronSchedule, moment: datetime) -> str:
    """Returns the skip reason of a tick that requests no run."""
    at = moment.astimezone(ZoneInfo(clock.timezone)).isoformat()
    if window_before(cron_partitions(clock), moment):
        if clock.catchup:
            return f"Nothing to materialize at {at}: each interval that has ended has a run or a materialization."
        return f"Nothing to materialize at {at}: no partition has closed since the tick before."
    bounds = [
        f"{name} is {bound.isoformat()}"
        for name, bound in (("start_date", clock.start), ("end_date", clock.end))
        if bound is not None
    ]
    return f"Nothing to materialize at {at}: its data interval is outside of the dates; {', '.join(bounds)}."
