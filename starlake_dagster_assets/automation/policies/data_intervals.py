"""Data interval of a run that consumes updates of upstreams: the union of the intervals that these updates declare."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TypeAlias

from starlake_dagster_assets.automation.policies.cron_ticks import cycle_of

__all__ = [
    "Interval",
    "covers",
    "extend_to_previous_end",
    "find_oldest_contiguous_intervals",
    "interval_text",
    "open_interval_text",
    "overlap",
    "parse_interval",
    "parse_open_interval",
    "subtract_intervals",
    "union_of_intervals",
]

Interval: TypeAlias = tuple[datetime, datetime]
"""Start, included, and end, excluded; both with a time zone."""

_TICK = timedelta(microseconds=1)


def union_of_intervals(
    declared: Iterable[Interval | None], now: datetime, *, cycle: str | None = None, timezone: str = "UTC"
) -> Interval | None:
    """Returns the interval from the first start to the last end of some updates.

    Args:
        declared: Interval of each update: of its partition or of the run that wrote it; None if there is none.
        now: The current time: an interval that ends later belongs to a window that is still open.
        cycle: `data_cycle`, a cron: the interval is then that of the closed cycles that contain the updates.
        timezone: Time zone of `cycle`, an IANA name.

    Returns:
        None if one of the updates has no interval or that of an open window, and if there is no update: the SQL
        then computes everything.
    """
    intervals = list(declared)
    known = [one for one in intervals if one is not None]
    if not known or len(known) < len(intervals):
        return None
    start = min((one[0] for one in known), key=datetime.timestamp)
    end = max((one[1] for one in known), key=datetime.timestamp)
    if cycle is not None:
        start = cycle_of(cycle, start.timestamp(), timezone)[0]
        last = cycle_of(cycle, (end - _TICK).timestamp(), timezone)
        end = last[1] if last[1] <= now else last[0]
    return (start, end) if start < end <= now else None


def find_oldest_contiguous_intervals(declared: Iterable[Interval | None]) -> list[Interval | None]:
    """Returns the oldest contiguous intervals; all of them if one is unknown (None)."""
    intervals = list(declared)
    known = sorted((interval for interval in intervals if interval is not None), key=lambda one: one[0].timestamp())
    if not known or len(known) < len(intervals):
        return intervals
    found, end = [known[0]], known[0][1].timestamp()
    for interval in known[1:]:
        if interval[0].timestamp() > end:
            break
        found.append(interval)
        end = max(end, interval[1].timestamp())
    return [*found]


def extend_to_previous_end(window: Interval, last: datetime, *, appends: bool) -> Interval:
    """Returns the interval of a tick, which begins where the last interval ended if the ticks are no longer the same.

    Args:
        window: Interval from the previous tick to this tick.
        last: End of the last interval. One between the two ticks before leaves a gap.
        appends: Whether rows of the last interval must not be written again.
    """
    start, end, at = (moment.timestamp() for moment in (*window, last))
    is_gap, is_begun = start - (end - start) < at < start, start < at < end
    return (last.astimezone(window[0].tzinfo), window[1]) if is_gap or (is_begun and appends) else window


def covers(intervals: Iterable[Interval], declared: Interval | None, now: datetime) -> bool:
    """Whether runs that cover some intervals have read an update, by the interval that the update declares.

    Args:
        intervals: Intervals of the runs.
        declared: Interval of the update; None if it has none.
        now: Time of the last run; nothing after it is covered.
    """
    if declared is None:
        return False
    reached, is_begun = declared[0].timestamp(), False
    for start, end in sorted((one[0].timestamp(), one[1].timestamp()) for one in intervals):
        if start <= reached <= end:
            reached, is_begun = end, True
    return is_begun and min(declared[1].timestamp(), now.timestamp()) <= reached


def subtract_intervals(interval: Interval, parts: Iterable[Interval]) -> list[Interval]:
    """Returns the rest of an interval without given parts, oldest first."""
    found, start = list[Interval](), interval[0]
    for part in sorted(parts, key=lambda one: one[0].timestamp()):
        if overlap((start, interval[1]), part):
            if start.timestamp() < part[0].timestamp():
                found.append((start, part[0]))
            start = part[1]
    return [*found, (start, interval[1])] if start.timestamp() < interval[1].timestamp() else found


def overlap(one: Interval, other: Interval) -> bool:
    """Whether two intervals have a moment in common."""
    return one[0].timestamp() < other[1].timestamp() and other[0].timestamp() < one[1].timestamp()


def interval_text(interval: Interval) -> str:
    """Renders an interval as ISO 8601 does: `<start>/<end>`."""
    return "/".join(moment.isoformat() for moment in interval)


def open_interval_text(end: datetime) -> str:
    """Renders an interval whose start is unknown as ISO 8601-2 does: `../<end>`."""
    return f"../{end.isoformat()}"


def parse_open_interval(text: str) -> datetime | None:
    """Parses the end of an interval that `open_interval_text` has rendered; None for other texts."""
    start, _, end = text.partition("/")
    found = parse_interval(f"{end}/{end}") if start == ".." else None
    return None if found is None else found[1]


def parse_interval(text: str) -> Interval | None:
    """Parses an interval as `interval_text` renders it, or with `Z` as offset; None for other texts."""
    start, sign, end = text.replace("Z", "+00:00").partition("/")  # Python 3.10 does not parse `Z`
    try:
        found = (datetime.fromisoformat(start), datetime.fromisoformat(end)) if sign else None
    except ValueError:
        return None
    return None if found is None or any(moment.tzinfo is None for moment in found) else found
