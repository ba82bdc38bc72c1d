"""The window that a tick of a schedule opens for its files (`ack_wait_timeout`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from croniter import croniter

from starlake_dagster_assets.triggers.model import Clock

__all__ = ["Window", "window_at"]


@dataclass(frozen=True)
class Window:
    """The time after a tick of a schedule in which its files may still come.

    Attributes:
        start: The tick.
        end: When it closes, seconds since 1970.
        interval: The data interval of its run: from the tick before to the tick.
    """

    start: float
    end: float
    interval: tuple[datetime, datetime]


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
    end = min(tick.timestamp() + patience, croniter(clock.cron, tick).get_next(datetime).timestamp())
    return Window(tick.timestamp(), end, (croniter(clock.cron, tick).get_prev(datetime), tick))


def _last(clock: Clock) -> float | None:
    return None if clock.end is None else _aware(clock.end, ZoneInfo(clock.timezone)).timestamp()


def _aware(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)
