"""Windows after the ticks of a schedule, in which files are expected; Dagster's own code computes the ticks."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

from starlake_dagster_assets.automation.file_arrivals.arrival_evaluation import ArrivalWindow
from starlake_dagster_assets.automation.policies.model import CronSchedule
from starlake_dagster_assets.dagster_assets.specs.partitions import cron_partitions, in_timezone

__all__ = ["missed_windows", "newest_window"]

_ONE, _OTHER = datetime(2001, 2, 3, 4, 5, 6), datetime(1999, 11, 12, 13, 14, 15)
"""Two moments without a common date part: a path that is the same for both contains no date."""


def newest_window(clock: CronSchedule, patience: float, now: float, since: float) -> ArrivalWindow | None:
    """Returns the window of the newest tick, open or closed; None before the first tick.

    Args:
        clock: The schedule.
        patience: Seconds for which files are expected (`ack_wait_timeout`); until the next tick at most.
        now: Current time, in seconds since 1970.
        since: Time of the first tick of the sensor.
    """
    moment = datetime.fromtimestamp(now, ZoneInfo(clock.timezone))
    if clock.end is not None:
        moment = min(moment, in_timezone(clock.end, clock.timezone))
    found = cron_partitions(clock).get_prev_partition_window(moment, respect_bounds=False)
    if found is None or (clock.start is not None and found.end < in_timezone(clock.start, clock.timezone)):
        return None
    window = _window(clock, patience, found.end)
    return replace(window, was_scanned_before_end=since <= window.end)


def missed_windows(
    clock: CronSchedule, patience: float, newest: ArrivalWindow, path: Callable[[datetime], str], since: float
) -> list[ArrivalWindow]:
    """Returns the earlier windows whose files have a path of their own, oldest first; empty without `catchup`.

    Of windows with the same path, the newest counts.

    Args:
        clock: The schedule; windows begin at its start, or else at the first tick of the sensor.
        patience: Seconds for which files are expected.
        newest: Result of `newest_window`.
        path: Returns the path of the files for the window of a tick.
        since: Time of the first tick of the sensor.
    """
    if not clock.catchup or path(_ONE) == path(_OTHER):
        return []
    first = in_timezone(clock.start, clock.timezone).timestamp() if clock.start is not None else since
    ticks = [*_ticks(clock, first, newest.start), newest.interval[1]]
    kept = (tick for tick, following in pairwise(ticks) if path(tick) != path(following))
    return [replace(_window(clock, patience, tick), is_missed=True) for tick in kept]


def _ticks(clock: CronSchedule, first: float, before: float) -> Iterator[datetime]:
    """Yields the ticks from one moment, included, to another, excluded."""
    windows = cron_partitions(clock)
    at = datetime.fromtimestamp(first, ZoneInfo(clock.timezone))
    while (found := windows.get_next_partition_window(at, respect_bounds=False)) and found.start.timestamp() < before:
        yield found.start
        at = found.end


def _window(clock: CronSchedule, patience: float, tick: datetime) -> ArrivalWindow:
    windows = cron_partitions(clock)
    before = windows.get_prev_partition_window(tick, respect_bounds=False)
    after = windows.get_next_partition_window(tick, respect_bounds=False)
    assert before is not None and after is not None  # there is always another tick
    following = after.end.timestamp()
    start = tick.timestamp()
    return ArrivalWindow(start, min(start + patience, following), following, (before.start, tick))
