"""How often things are made: periods of cron expressions, and durations in words."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from functools import cache

from croniter import croniter

__all__ = ["period_of", "seconds_of"]

_TICKS = 100
_FROM = datetime(2024, 1, 1, tzinfo=timezone.utc)
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*")
_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
    **dict.fromkeys(("w", "week", "weeks"), 604800.0),
}


@cache
def period_of(cron: str) -> float:
    """The mean seconds between two ticks, counted over the same ticks whenever it is asked.

    Examples:
        >>> period_of("0 0 * * *"), period_of("0 * * * *") < period_of("0 0 1 * *")
        (86400.0, True)
    """
    ticks = croniter(cron, _FROM)
    first = ticks.get_next(datetime)
    last = first
    for _ in range(_TICKS):
        last = ticks.get_next(datetime)
    return (last - first).total_seconds() / _TICKS


def seconds_of(duration: str | None) -> float | None:
    """A duration of a `freshness` in seconds; None for none, and for a text that is none.

    Examples:
        >>> seconds_of("3 days"), seconds_of("90 min"), seconds_of("1 day 2h"), seconds_of("soon")
        (259200.0, 5400.0, 93600.0, None)
    """
    text = (duration or "").strip().lower()
    parts = list(_DURATION.finditer(text))
    if not parts or "".join(part[0] for part in parts) != text or any(part[2] not in _UNITS for part in parts):
        return None
    return sum(float(part[1]) * _UNITS[part[2]] for part in parts)
