"""Periods, cycles and common ticks of cron expressions, from the ticks that Dagster computes."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from starlake_dagster_assets.automation.policies.model import CronSchedule

if TYPE_CHECKING:
    from dagster import TimeWindowPartitionsDefinition

__all__ = ["cron_windows", "cycle_of", "period_of", "tick_together"]

_TICKS = 100
_MEETINGS = 7
_FROM = datetime(2024, 1, 1, tzinfo=timezone.utc)


@cache
def period_of(cron: str) -> float:
    """Returns the mean number of seconds between two ticks, always over the same 100 ticks.

    Args:
        cron: A cron expression of five fields.

    Raises:
        ValueError: When Dagster does not accept the cron.

    Examples:
        >>> period_of("0 0 * * *"), period_of("0 * * * *") < period_of("0 0 1 * *")
        (86400.0, True)
    """
    first = last = cycle_of(cron, _FROM.timestamp())[1]
    for _ in range(_TICKS):
        last = _next_tick(cron, "UTC", last)
    return (last - first).total_seconds() / _TICKS


@cache
def tick_together(one: CronSchedule, other: CronSchedule) -> bool:
    """Whether two schedules regularly tick at the same moment, as a daily and an hourly one do at midnight."""
    rare, frequent = sorted((one, other), key=lambda clock: (period_of(clock.cron), clock.cron), reverse=True)
    tick = _FROM
    for _ in range(_MEETINGS):
        tick = _next_tick(rare.cron, rare.timezone, tick)
        if cycle_of(frequent.cron, tick.timestamp(), frequent.timezone)[0].timestamp() == tick.timestamp():
            return True
    return False


def cycle_of(cron: str, moment: float, timezone: str = "UTC") -> tuple[datetime, datetime]:
    """Returns the cycle of a cron expression that contains an instant: from a tick, included, to the next, excluded.

    Args:
        cron: A cron expression of five fields.
        moment: The instant, in seconds since 1970.
        timezone: Time zone of the cron, an IANA name.

    Raises:
        ValueError: When Dagster does not accept the cron.
    """
    before = _windows(cron, timezone).get_prev_partition_window(
        datetime.fromtimestamp(moment, ZoneInfo(timezone)), respect_bounds=False
    )
    assert before is not None  # there is always another tick
    return before.end, _next_tick(cron, timezone, before.end)


def cron_windows(cron: str, timezone: str, start: datetime, **more: Any) -> TimeWindowPartitionsDefinition:
    """Returns the intervals from each tick of a cron expression to the next one, as partitions of Dagster.

    Keys are days (`2025-03-10`) if the cron ticks at most once per day, else days and minutes (`2025-03-10-14:00`).

    Args:
        cron: A cron expression of five fields.
        timezone: Time zone of the cron, an IANA name.
        start: Start of the first interval, with a time zone.
        more: Other arguments of `TimeWindowPartitionsDefinition`.

    Raises:
        ValueError: When Dagster does not accept the cron.
    """
    import dagster as dg  # a project without crons is read without it

    minute, hour, *_ = cron.split()
    keys = "%Y-%m-%d" if minute.isdigit() and hour.isdigit() else "%Y-%m-%d-%H:%M"
    try:
        return dg.TimeWindowPartitionsDefinition(start=start, fmt=keys, timezone=timezone, cron_schedule=cron, **more)
    except dg.DagsterInvalidDefinitionError as error:
        raise ValueError(
            f"Dagster does not know the schedule `{cron}`: it takes five fields of numbers and names with "
            "`*` `,` `-` `/`, `L` for the last day of the month and `1#2` for the second Monday."
        ) from error


def _next_tick(cron: str, timezone: str, tick: datetime) -> datetime:
    """Returns the tick after another one; for a moment that is no tick, the second tick after it."""
    after = _windows(cron, timezone).get_next_partition_window(tick, respect_bounds=False)
    assert after is not None  # there is always another tick
    return after.end


@cache
def _windows(cron: str, timezone: str) -> TimeWindowPartitionsDefinition:
    return cron_windows(cron, timezone, _FROM.astimezone(ZoneInfo(timezone)))
