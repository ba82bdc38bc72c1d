"""How often things are made: the periods of cron expressions."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import cache

from croniter import croniter

__all__ = ["period_of"]

_TICKS = 100
_FROM = datetime(2024, 1, 1, tzinfo=timezone.utc)


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
