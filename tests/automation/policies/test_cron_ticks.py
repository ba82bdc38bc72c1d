"""Cron expressions: cycles, periods, and clocks that tick at the same moment."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from starlake_dagster_assets.automation.policies.cron_ticks import cycle_of, period_of, tick_together
from starlake_dagster_assets.automation.policies.model import CronSchedule


@pytest.mark.parametrize(
    ("one", "other", "met"),
    [
        (CronSchedule("0 5 * * *"), CronSchedule("0 5 * * *"), True),
        (CronSchedule("0 0 * * *"), CronSchedule("0 * * * *"), True),
        (CronSchedule("0 0 * * *"), CronSchedule("30 * * * *"), False),
        (CronSchedule("0 6 * * 1"), CronSchedule("0 6 * * *"), True),
        (CronSchedule("0 6 * * *"), CronSchedule("0 5 * * *", "Etc/GMT+1"), True),
        (CronSchedule("0 6 * * *", "Europe/Paris"), CronSchedule("0 6 * * *"), False),
    ],
    ids=lambda value: value.cron if isinstance(value, CronSchedule) else str(value),
)
def test_clocks_meet(one, other, met):
    assert tick_together(one, other) is met is tick_together(other, one)


@pytest.mark.parametrize(("cron", "cycles"), [("0 0 * * *", 1), ("0 * * * *", 25), ("30 2 * * *", 2)])
def test_cycles_follow_each_other_through_the_night_that_has_an_hour_twice(cron, cycles):
    start, end = (datetime(2025, 10, day, tzinfo=ZoneInfo("Europe/Paris")).timestamp() for day in (26, 27))
    moments, found = [start + 600 * number for number in range(round((end - start) / 600))], []
    for moment in moments:
        cycle = cycle_of(cron, moment, "Europe/Paris")
        assert cycle[0].timestamp() <= moment < cycle[1].timestamp()
        if not found or found[-1] != cycle:
            assert not found or found[-1][1] == cycle[0]
            found.append(cycle)
    assert len(found) == cycles


def test_a_cron_that_dagster_refuses_is_named():
    with pytest.raises(ValueError, match=r"Dagster does not know the schedule `0 0 15W \* \*`"):
        period_of("0 0 15W * *")
