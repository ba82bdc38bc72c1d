"""Time partitions of tables and tasks: by the cron of a schedule, or by the partition column of a sink."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import dagster as dg

from starlake_dagster_assets.automation.policies.cron_ticks import cron_windows
from starlake_dagster_assets.automation.policies.model import CronSchedule, Trigger, Triggers
from starlake_dagster_assets.automation.policies.partition_support import partition_column, partition_column_type
from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.project.model.project import TypeDef

__all__ = [
    "PARTITIONS_START",
    "cron_partitions",
    "in_timezone",
    "node_partitions",
    "partitioned_by_rows",
    "partitions_read",
    "time_window",
    "validate_cron_schedules",
    "window_before",
    "windows_between",
]

PARTITIONS_START = datetime(2025, 1, 1)
"""Start of partitions if no `start_date` is set, in the time zone of the schedule: the same after every reload."""

_SINK_CRONS = {"hourly": "0 * * * *", "daily": "0 0 * * *", "monthly": "0 0 1 * *"}
_TAG = "partition="
_TICK = timedelta(microseconds=1)
_Windows = dg.TimeWindowPartitionsDefinition


def node_partitions(project: ProjectSource, triggers: Triggers) -> Mapping[str, dg.TimeWindowPartitionsDefinition]:
    """Returns the partitions of the nodes whose trigger requires them, by node id.

    `cron` partitions nodes that have a cron schedule, by its ticks. `sink` partitions nodes whose first
    `sink.partition` column is a date or a timestamp, by day. The tag `partition=hourly`, `daily` or `monthly` takes
    precedence over the type of the column.

    Args:
        project: The project.
        triggers: Triggers of the project.

    Raises:
        ProjectError: Names each node whose cron or time zone Dagster does not know, or whose tag names an unknown
            kind of partition.
    """
    found: dict[str, dg.TimeWindowPartitionsDefinition] = {}
    problems: list[str] = []
    for node, trigger in sorted(triggers.triggers.items()):
        windows = _tried(project.graph.nodes[node], lambda one=trigger: _of(project, one), problems)
        if windows is not None:
            found[node] = windows
    if problems:
        raise ProjectError(problems)
    return found


def validate_cron_schedules(project: ProjectSource, triggers: Triggers) -> None:
    """Validates the cron schedules of all triggers.

    Raises:
        ProjectError: Names each node whose cron or time zone Dagster does not know, with its file and line.
    """
    problems: list[str] = []
    for node, trigger in sorted(triggers.triggers.items()):
        if (clock := trigger.cron_schedule) is not None:
            _tried(project.graph.nodes[node], lambda one=clock: cron_partitions(one), problems)
    if problems:
        raise ProjectError(problems)


@lru_cache(maxsize=1024)
def cron_partitions(clock: CronSchedule, *, with_open: bool = False) -> dg.TimeWindowPartitionsDefinition:
    """Returns the data intervals of a cron schedule as partitions: one from each tick to the next.

    For the hour that occurs twice at the end of daylight saving time, the key of the second one contains its offset.

    Args:
        clock: The cron schedule; its partitions start at `PARTITIONS_START` if it has no start.
        with_open: Whether the window that has not closed yet is a partition as well: rows of today may arrive today.

    Raises:
        ValueError: When Dagster does not know the cron or the time zone.
    """
    windows = _windows(clock, clock.start or PARTITIONS_START, None, with_open)
    if clock.end is None:
        return windows
    after = windows.get_next_partition_window(in_timezone(clock.end, clock.timezone) + _TICK, respect_bounds=False)
    assert after is not None  # there is always another tick
    return _windows(clock, clock.start or PARTITIONS_START, after.start, with_open)


def partitioned_by_rows(node: Node, definition: dg.PartitionsDefinition[Any] | None, trigger: Trigger) -> bool:
    """Whether the rows of a load determine its partitions, instead of the tick of its schedule.

    They do if `sink.partition` names a column, unless the partitions are those of the cron (`partitions=cron`).
    """
    if node.table is None or not isinstance(definition, dg.TimeWindowPartitionsDefinition):
        return False
    if trigger.partitions == "sink":
        return True
    of_cron = trigger.partitions == "cron" and trigger.cron_schedule is not None
    if of_cron and trigger.cron_schedule is not None and definition == cron_partitions(trigger.cron_schedule):
        return False
    return bool(partition_column(node))


def partitions_read(
    instance: dg.DagsterInstance, graph: Any, key: dg.AssetKey, partition: str, up: dg.AssetKey
) -> Collection[str]:
    """Returns the partitions of an upstream that a partition of an asset reads, according to Dagster's mapping.

    Args:
        instance: Instance that stores the dynamic partitions.
        graph: The asset graph.
        key: The asset.
        partition: Partition key of the asset.
        up: The upstream, which is partitioned.
    """
    own, known = (graph.get(one).partitions_def for one in (key, up))
    found = graph.get_partition_mapping(key, up).get_upstream_mapped_partitions_result_for_partitions(
        own.empty_subset().with_partition_keys([partition]), own, known, dynamic_partitions_store=instance
    )
    return frozenset(found.partitions_subset.get_partition_keys())


def time_window(partitions: Any, key: str | None) -> tuple[datetime, datetime] | None:
    """Returns the window of a time partition; None for other partitions and for one that is no longer defined."""
    if key is None or not isinstance(partitions, _Windows):
        return None
    try:
        window = partitions.time_window_for_partition_key(key)
    except (ValueError, dg.DagsterInvalidInvocationError):  # of former partitions
        return None
    return window.start, window.end


def window_before(windows: dg.TimeWindowPartitionsDefinition, moment: datetime) -> tuple[datetime, datetime] | None:
    """Returns the last window within the bounds of the partitions that has closed at a moment; None if none has."""
    found = windows.get_prev_partition_window(moment, respect_bounds=False)
    if found is None or found.start.timestamp() < windows.start.timestamp():
        return None
    if windows.end is not None and found.end.timestamp() > windows.end.timestamp():
        return None
    return found.start, found.end


def windows_between(
    windows: dg.TimeWindowPartitionsDefinition,
    after: datetime | None,
    until: datetime,
    most: int,
    missing: Callable[[tuple[datetime, datetime]], list[dg.AssetKey]],
) -> list[tuple[tuple[datetime, datetime], list[dg.AssetKey]]]:
    """Returns the windows that closed between two moments, oldest first, with the assets for which each is missing.

    Args:
        windows: Partitions of a cron schedule.
        after: The first moment; None for the start of the partitions.
        until: The last moment.
        most: Maximum number of windows; the oldest are returned.
        missing: Returns the assets for which a window must be requested; a window without any is left out.
    """
    found: list[tuple[tuple[datetime, datetime], list[dg.AssetKey]]] = []
    at = windows.start if after is None or after < windows.start else after
    while len(found) < most:
        window = windows.get_next_partition_window(at, respect_bounds=False)
        if window is None or window.end > until or (windows.end is not None and window.end > windows.end):
            break
        if assets := missing((window.start, window.end)):
            found.append(((window.start, window.end), assets))
        at = window.end
    return found


def _windows(
    clock: CronSchedule, start: datetime, end: datetime | None, with_open: bool
) -> dg.TimeWindowPartitionsDefinition:
    bounds: dict[str, Any] = {} if end is None else {"end": end}
    first = in_timezone(start, clock.timezone)
    return cron_windows(clock.cron, clock.timezone, first, end_offset=int(with_open), **bounds)


def in_timezone(moment: datetime, timezone: str) -> datetime:
    """Converts a moment to a time zone; a moment without an offset is read as a time in this zone.

    Args:
        moment: With or without an offset.
        timezone: IANA name.

    Raises:
        ValueError: When there is no such time zone.
    """
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"`{timezone}` is not a time zone; expected a name such as Europe/Paris.") from error
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment.astimezone(zone)


def _tried(node: Node, make: Callable[[], _Windows | None], problems: list[str]) -> _Windows | None:
    try:
        return make()
    except ValueError as error:
        problems.append(f"{node.location}: {node.id}: {error}")
        return None


def _of(project: ProjectSource, trigger: Trigger) -> _Windows | None:
    if trigger.partitions == "cron":
        return cron_partitions(trigger.cron_schedule) if trigger.cron_schedule else None
    grain = _grain(project.graph.nodes[trigger.node], project.model.types) if trigger.partitions == "sink" else None
    if grain is None:
        return None
    mine = trigger.cron_schedule or trigger.bounds or CronSchedule("", project.model.application.timezone)
    return cron_partitions(replace(mine, cron=_SINK_CRONS[grain]), with_open=True)


def _grain(node: Node, types: Mapping[str, TypeDef]) -> str | None:
    """Returns the length of a sink's partitions: `hourly`, `daily` or `monthly`; None if they are not of time."""
    for tag in node.tags:
        if tag.lower().startswith(_TAG):
            grain = tag.lower().removeprefix(_TAG)
            if grain not in _SINK_CRONS:
                raise ValueError(f"the tag `{tag}` names no time unit: expected {', '.join(_SINK_CRONS)}.")
            return grain
    return "daily" if partition_column_type(node, types).startswith(("date", "timestamp")) else None
