"""Runs of a Dagster instance: tags, planned assets, code location."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Any

import dagster as dg

from starlake_dagster_assets.automation.policies.data_intervals import Interval, parse_interval, parse_open_interval
from starlake_dagster_assets.errors import CommandError

__all__ = [
    "DATA_INTERVAL",
    "INTERVAL_END",
    "INTERVAL_START",
    "IN_PROGRESS",
    "OLDEST_ROW",
    "PARTITIONED_BY",
    "REQUESTED_AT",
    "SCHEDULE",
    "SENSOR",
    "TRIGGER",
    "UPSTREAMS",
    "declared_interval",
    "interval_tags",
    "is_of_this_location",
    "is_over",
    "location_of",
    "oldest_row",
    "planned_assets",
    "read_interval_tags",
    "recorded_end",
    "recorded_interval",
]

# None of these is hidden in the UI (`.dagster/…`): runs that *Test sensor* launches have the tags that are shown only.
TRIGGER = "starlake/trigger"
"""Run tag: name of the sensor that requested the run."""
UPSTREAMS = "starlake/upstreams"
"""Run tag: updates that the tasks of the run had not read, with the runs that materialized them."""
INTERVAL_START = "starlake/data_interval_start"
"""Run tag: start of the data interval, ISO 8601."""
INTERVAL_END = "starlake/data_interval_end"
"""Run tag: end of the data interval, ISO 8601."""
REQUESTED_AT = ".dagster/starlake_requested_at"
"""Run tag: time of the tick that requested the run for an earlier interval (`catchup`), ISO 8601."""

SCHEDULE = "dagster/schedule_name"
"""Run tag of Dagster: the schedule that requested the run."""
SENSOR = "dagster/sensor_name"
"""Run tag of Dagster: the sensor that requested the run."""

DATA_INTERVAL = "starlake/data_interval"
"""Metadata of a materialization: the data interval that it covers, `<start>/<end>` in ISO 8601; `../<end>` for a load
whose oldest rows may be of any time."""

OLDEST_ROW = "starlake/oldest_row"
"""Metadata of a materialization: time of its oldest row, ISO 8601, if the row is older than its data interval."""

PARTITIONED_BY = "starlake/partitioned_by"
"""Metadata of a materialization: `rows` if its rows determined its partition, instead of the interval of its run."""

_OVER = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
IN_PROGRESS = [status for status in dg.DagsterRunStatus if status not in _OVER]
"""Statuses of runs that have not ended."""
_PLANNED = 5000


def interval_tags(interval: tuple[datetime, datetime]) -> dict[str, str]:
    """Returns a data interval as the run tags `starlake/data_interval_start` and `starlake/data_interval_end`."""
    return {INTERVAL_START: interval[0].isoformat(), INTERVAL_END: interval[1].isoformat()}


def declared_interval(tags: Mapping[str, str]) -> Interval | None:
    """Reads the data interval from the tags of a run; None if they have none."""
    return parse_interval(f"{tags.get(INTERVAL_START, '')}/{tags.get(INTERVAL_END, '')}")


def read_interval_tags(tags: Mapping[str, str], now: datetime) -> Interval | None:
    """Reads the data interval of a run that is about to start from its tags; None if it has none.

    Raises:
        CommandError: If one of the two tags is missing or is not a time with an offset, if the interval is empty, or if
            it ends in the future although no schedule or sensor has started the run.
    """
    given = {name: tags[name] for name in (INTERVAL_START, INTERVAL_END) if name in tags}
    if not given:
        return None
    text = " and ".join(f"{name}={value}" for name, value in given.items())
    interval = declared_interval(tags)
    if interval is None:
        reason = "a data interval has both tags, each an ISO time with its offset, such as 2026-01-31T00:00:00+01:00"
    elif interval[0].timestamp() >= interval[1].timestamp():
        reason = "the data interval is empty, because it does not end after its start"
    elif interval[1] > now and not any(name in tags for name in (SCHEDULE, SENSOR)):
        reason = "the data interval ends in the future, so rows that are still to come would count as read"
    else:
        return interval
    raise CommandError(f"run tags {text}: {reason}. Nothing was run. Next: start the run again with other tags.")


def recorded_interval(metadata: Mapping[str, Any]) -> Interval | None:
    """Reads the data interval from the metadata of a materialization; None if it has none."""
    return parse_interval(_text(metadata, DATA_INTERVAL))


def oldest_row(metadata: Mapping[str, Any]) -> datetime | None:
    """Reads the time of the oldest row from the metadata of a materialization; None if it is not recorded."""
    text = _text(metadata, OLDEST_ROW)
    return datetime.fromisoformat(text) if text else None


def recorded_end(metadata: Mapping[str, Any]) -> datetime | None:
    """Reads the end of a data interval without a start from the metadata of a materialization; else None."""
    return parse_open_interval(_text(metadata, DATA_INTERVAL))


def _text(metadata: Mapping[str, Any], name: str) -> str:
    value = metadata.get(name)
    return value.text or "" if isinstance(value, dg.TextMetadataValue) else ""


def planned_assets(instance: dg.DagsterInstance, run: dg.DagsterRun) -> AbstractSet[dg.AssetKey]:
    """Returns the assets that a run is planned to materialize."""
    if run.asset_selection:
        return run.asset_selection
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    records = instance.get_records_for_run(run.run_id, of_type=kind, limit=_PLANNED).records
    events = [record.event_log_entry.dagster_event for record in records]
    return {event.asset_key for event in events if event is not None and event.asset_key is not None}


def is_over(run: dg.DagsterRun) -> bool:
    """Whether a run has succeeded, has failed or was canceled."""
    return run.status in _OVER


def is_of_this_location(run: Any, context: Any) -> bool:
    """Whether a run is of the code location of a sensor; other locations may have a sensor of the same name."""
    where, mine = location_of(run), getattr(context, "code_location_origin", None)
    return where is None or mine is None or where == mine.location_name


def location_of(run: Any) -> str | None:
    """Returns the name of the code location of a run; None for a run that was created in the process of its job."""
    origin = getattr(run, "remote_job_origin", None) or getattr(run, "external_job_origin", None)
    return None if origin is None else origin.repository_origin.code_location_origin.location_name
