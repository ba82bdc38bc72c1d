"""The window that a tick of a schedule opens for its files (`ack_wait_timeout`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import croniter

from starlake_dagster_assets.triggers.model import Clock

__all__ = ["Window", "window_at", "window_due"]

_ONE, _OTHER = datetime(2001, 2, 3, 4, 5, 6), datetime(1999, 11, 12, 13, 14, 15)
"""Moments that have no part in common: a place that is the same at both names no date."""


@dataclass(frozen=True)
class Window:
    """The time after a tick of a schedule in which its files may still come.

    Attributes:
        start: The tick.
        end: When it closes, seconds since 1970.
        interval: The data interval of its run: from the tick before to the tick.
        missed: Whether a newer tick has come since: it is over, and looked at again (`catchup`).
    """

    start: float
    end: float
    interval: tuple[datetime, datetime]
    missed: bool = False


def window_at(clock: Clock, patience: float, now: float) -> Window | None:
    """The window of the newest tick.

    Args:
        clock: The schedule.
        patience: Seconds for which it is open (`ack_wait_timeout`); it ends at the next tick at the latest.
        now: Seconds since 1970.

    Returns:
        The window, whether it is still open or not; None before the first tick.
    """
    zone = ZoneInfo(clock.timezone)
    last = _last(clock)
    # get_prev is exclusive: a second later, the tick of this very second counts
    moment = datetime.fromtimestamp(min(now + 1, last + 1 if last is not None else now + 1), zone)
    tick = croniter(clock.cron, moment).get_prev(datetime)
    if clock.start is not None and tick < _aware(clock.start, zone):
        return None
    return _window(clock, patience, tick)


def window_due(
    clock: Clock, patience: float, now: float, place: Callable[[datetime], str], *, last: float, done: bool
) -> Window | None:
    """The window to look at: with `catchup` the oldest one that was missed, else that of the newest tick.

    Windows that look at the same place cannot be told apart: the newest of them counts. So where the place names no
    date, nothing is missed: what came meanwhile belongs to the newest window.

    Args:
        clock: The schedule.
        patience: Seconds for which a window is open (`ack_wait_timeout`).
        now: Seconds since 1970.
        place: Where the files of the window of a tick are waited for.
        last: The tick whose window was looked at last; 0 = none, `start_date` counts then.
        done: Whether that window has nothing more to do.

    Returns:
        The window; None before the first tick.
    """
    newest = window_at(clock, patience, now)
    if newest is None or not clock.catchup or place(_ONE) == place(_OTHER):
        return newest
    zone = ZoneInfo(clock.timezone)
    if last:
        tick = datetime.fromtimestamp(last, zone)
        tick = _after(clock, tick) if done else tick
    elif clock.start is not None:
        tick = _after(clock, _aware(clock.start, zone) - timedelta(seconds=1))
    else:
        return newest
    while tick.timestamp() < newest.start:
        following = _after(clock, tick)
        if place(tick) != place(following):
            return replace(_window(clock, patience, tick), missed=True)
        tick = following
    return newest


def _window(clock: Clock, patience: float, tick: datetime) -> Window:
    end = min(tick.timestamp() + patience, _after(clock, tick).timestamp())
    return Window(tick.timestamp(), end, (croniter(clock.cron, tick).get_prev(datetime), tick))


def _after(clock: Clock, tick: datetime) -> datetime:
    return croniter(clock.cron, tick).get_next(datetime)


def _last(clock: Clock) -> float | None:
    return None if clock.end is None else _aware(clock.end, ZoneInfo(clock.timezone)).timestamp()


def _aware(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)
