"""How often things are made: the periods of cron expressions."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import cache
from zoneinfo import ZoneInfo

from croniter import croniter

from starlake_dagster_assets.triggers.model import Clock

__all__ = ["meet", "period_of"]

_TICKS = 100
_MEETINGS = 7
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


@cache
def meet(one: Clock, other: Clock) -> bool:
    """Whether two clocks tick at the same moment again and again, as a daily and an hourly one do at midnight."""
    rare, frequent = sorted((one, other), key=lambda clock: (period_of(clock.cron), clock.cron), reverse=True)
    ticks = croniter(rare.cron, _FROM.astimezone(ZoneInfo(rare.timezone)))
    zone = ZoneInfo(frequent.timezone)
    return any(croniter.match(frequent.cron, ticks.get_next(datetime).astimezone(zone)) for _ in range(_MEETINGS))
