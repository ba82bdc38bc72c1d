"""Data interval of a load: all ticks of the schedule whose files it takes, including missed ticks."""

from collections.abc import Callable
from datetime import datetime

from starlake_dagster_assets.automation.policies.data_intervals import Interval
from starlake_dagster_assets.automation.policies.model import CronSchedule
from starlake_dagster_assets.dagster_assets.specs.partitions import cron_partitions

__all__ = ["interval_of_load"]

_MOST_TICKS = 1000


def interval_of_load(
    window: Interval,
    clock: CronSchedule | None,
    covered: datetime | None,
    last: datetime,
    directory: Callable[[datetime], str],
) -> tuple[datetime | None, datetime]:
    """Returns the interval of the files that a load takes; its start is None if their oldest tick is unknown.

    A load takes all files in the directory of its tick. If the directory does not name the date, it also has files of
    ticks without a load, and of ticks since the run was requested.

    Args:
        window: Interval of the run.
        clock: Schedule of the table; None if it has none.
        covered: End of the interval that earlier loads have covered, at which that of this load begins; None if it is
            unknown.
        last: The newest tick that has passed.
        directory: Returns the directory of the files of a tick.
    """
    start, end = window
    here = directory(end)
    if last.timestamp() > end.timestamp() and directory(last) == here:
        end = last
    if covered is not None and window[1].timestamp() <= covered.timestamp():
        return start, end
    for _ in range(_MOST_TICKS):
        if covered is not None and start.timestamp() <= covered.timestamp():
            return covered.astimezone(start.tzinfo), end
        if directory(start) != here:
            return start, end
        before = cron_partitions(clock).get_prev_partition_window(start, respect_bounds=False) if clock else None
        if before is None:
            break
        start = before.start
    return covered, end
