"""What a Dagster instance knows of a wave: newest materializations, the run of the wave before, runs in progress."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any

import dagster as dg

from starlake_dagster_assets.triggers.evaluate import Memory, Seen, recovered, settled
from starlake_dagster_assets.triggers.run_options import CONFLICT, merged_options, tag_of

__all__ = [
    "INTERVAL_END",
    "INTERVAL_START",
    "TRIGGER",
    "UPSTREAMS",
    "WAVE",
    "carried_options",
    "coming",
    "is_over",
    "location_of",
    "newest",
    "of_this_location",
    "planned",
    "standing",
    "time_window",
]

# None of these is hidden in the UI (`.dagster/…`): runs that *Test sensor* launches have the tags that are shown only.
TRIGGER = "starlake/trigger"
"""Run tag: the sensor that asked for the run."""
WAVE = "starlake/wave"
"""Run tag: the run key of the wave."""
UPSTREAMS = "starlake/upstreams"
"""Run tag: what was made anew, and by which runs."""
INTERVAL_START = "starlake/data_interval_start"
"""Run tag: start of the data interval, ISO 8601."""
INTERVAL_END = "starlake/data_interval_end"
"""Run tag: end of the data interval, ISO 8601."""

_OVER = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_BUSY = [status for status in dg.DagsterRunStatus if status not in _OVER]
_RUNS = 50
_PLANNED = 5000


def newest(
    instance: dg.DagsterInstance, keys: Mapping[str, dg.AssetKey], partitions: Mapping[str, Any]
) -> dict[str, Seen]:
    """The newest materialization of each node, in one call whatever their number.

    Args:
        instance: The instance.
        keys: Asset key by node.
        partitions: Partitions definition by node, of those that have one.
    """
    nodes = {key: node for node, key in keys.items()}
    found: dict[str, Seen] = {}
    for record in instance.get_asset_records(list(nodes)):
        entry = record.asset_entry
        last: Any = entry.last_materialization_record
        if last is None:
            continue
        node = nodes[entry.asset_key]
        window = time_window(partitions.get(node), last.partition_key)
        found[node] = Seen(last.storage_id, last.timestamp, last.run_id or "", window)
    return found


def time_window(partitions: Any, key: str | None) -> tuple[datetime, datetime] | None:
    """The window of a time partition; None for another partition, or one that is no longer defined."""
    if key is None or not isinstance(partitions, dg.TimeWindowPartitionsDefinition):
        return None
    try:
        window = partitions.time_window_for_partition_key(key)
    except (ValueError, dg.DagsterInvalidInvocationError):  # made when the partitions were others
        return None
    return window.start, window.end


def standing(context: Any, name: str, memory: Memory, seen: Mapping[str, Seen]) -> tuple[Memory, str]:
    """What became of the wave before.

    Args:
        context: Of the tick.
        name: Of the trigger.
        memory: Of the tick before.
        seen: The newest materializations.

    Returns:
        The memory: the wave is consumed once a run of it has succeeded, or when it has no run any more; and the id of
        the run of it that is in progress, else "".
    """
    filters = dg.RunsFilter(tags={TRIGGER: name})
    runs = [
        record
        for record in context.instance.get_run_records(filters, limit=_RUNS, order_by="id")
        if of_this_location(record.dagster_run, context)
    ]
    asked = [record for record in runs if _horizon(record) is not None]
    if asked:
        last = max(reversed(asked), key=lambda record: _horizon(record) or 0)  # not its retries
        horizon, key = _horizon(last) or 0, last.dagster_run.tags[WAVE]
        if horizon > max([0, *memory.consumed.values(), *memory.requested.values()]) and key != memory.key:
            done = [_horizon(one) or 0 for one in asked if one.dagster_run.status is dg.DagsterRunStatus.SUCCESS]
            at = last.create_timestamp.timestamp()
            memory = recovered(memory, seen, key, horizon, at, _until(last), max([0, *done]))
    mine = [record.dagster_run for record in runs if record.dagster_run.tags.get(WAVE) == memory.key]
    if memory.requested and not mine:
        more = context.instance.get_run_records(dg.RunsFilter(tags={WAVE: memory.key}), limit=_RUNS)
        mine = [record.dagster_run for record in more]
    states = {run.status for run in mine}
    if not mine or dg.DagsterRunStatus.SUCCESS in states:
        return settled(memory), ""
    return memory, next((run.run_id for run in mine if not is_over(run)), "")


def coming(
    instance: dg.DagsterInstance,
    keys: Mapping[str, dg.AssetKey],
    seen: Mapping[str, Seen],
    wave: Iterable[str],
    now: float,
    settle: float,
) -> dict[str, str]:
    """Watched nodes that a run which made a part of the wave is still to make, with the id of the run.

    Args:
        instance: The instance.
        keys: Asset key by watched node.
        seen: The newest materializations.
        wave: The nodes of the wave.
        now: Seconds since 1970.
        settle: Seconds after the first part that a run made for which its other parts are waited for.
    """
    since: dict[str, float] = {}
    for node in wave:
        if run := seen[node].run:
            since[run] = min(seen[node].time, since.get(run, now))
    young = [run for run, moment in since.items() if now - moment < settle]
    if not young:
        return {}
    found: dict[str, str] = {}
    for record in instance.get_run_records(dg.RunsFilter(run_ids=young, statuses=_BUSY)):
        run = record.dagster_run
        makes = planned(instance, run)
        left = (
            node for node, key in keys.items() if key in makes and (node not in seen or seen[node].run != run.run_id)
        )
        found.update(dict.fromkeys(left, run.run_id))
    return found


def carried_options(instance: dg.DagsterInstance, runs: Iterable[str]) -> dict[str, str]:
    """The tags by which a run of a wave gets the options of the runs that made its upstreams.

    Args:
        instance: The instance.
        runs: Ids of those runs; empty ones are of materializations that were reported from outside.
    """
    ids = sorted({run for run in runs if run})
    records = instance.get_run_records(dg.RunsFilter(run_ids=ids)) if ids else ()
    options, conflict = merged_options({one.dagster_run.run_id: one.dagster_run.tags for one in records})
    return {CONFLICT: conflict} if conflict else tag_of(options)


def planned(instance: dg.DagsterInstance, run: dg.DagsterRun) -> AbstractSet[dg.AssetKey]:
    """What a run is to make."""
    if run.asset_selection:
        return run.asset_selection
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    records = instance.get_records_for_run(run.run_id, of_type=kind, limit=_PLANNED).records
    events = [record.event_log_entry.dagster_event for record in records]
    return {event.asset_key for event in events if event is not None and event.asset_key is not None}


def is_over(run: dg.DagsterRun) -> bool:
    """Whether a run has ended, in whatever way."""
    return run.status in _OVER


def of_this_location(run: Any, context: Any) -> bool:
    """Whether a run is of the code location of the sensor; another one may have a sensor of the same name."""
    where, mine = location_of(run), getattr(context, "code_location_origin", None)
    return where is None or mine is None or where == mine.location_name


def location_of(run: Any) -> str | None:
    """The name of the code location of a run; None for a run that was made in the process of its job."""
    origin = getattr(run, "remote_job_origin", None) or getattr(run, "external_job_origin", None)
    return None if origin is None else origin.repository_origin.code_location_origin.location_name


def _horizon(record: Any) -> int | None:
    """The greatest storage id of the wave of a run, as its key says."""
    parts = record.dagster_run.tags.get(WAVE, "").rsplit(":", 2)
    return int(parts[1]) if len(parts) == 3 and parts[1].isdigit() else None


def _until(record: Any) -> float:
    end = record.dagster_run.tags.get(INTERVAL_END)
    return datetime.fromisoformat(end).timestamp() if end else 0
