"""Whether clocks tick at the same moment."""

from __future__ import annotations

import pytest

from starlake_dagster_assets.triggers.frequency import meet
from starlake_dagster_assets.triggers.model import Clock


@pytest.mark.parametrize(
    ("one", "other", "met"),
    [
        (Clock("0 5 * * *"), Clock("0 5 * * *"), True),
        (Clock("0 0 * * *"), Clock("0 * * * *"), True),
        (Clock("0 0 * * *"), Clock("30 * * * *"), False),
        (Clock("0 6 * * 1"), Clock("0 6 * * *"), True),
        (Clock("0 6 * * *"), Clock("0 5 * * *", "Etc/GMT+1"), True),
        (Clock("0 6 * * *", "Europe/Paris"), Clock("0 6 * * *"), False),
    ],
    ids=lambda value: value.cron if isinstance(value, Clock) else str(value),
)
def test_clocks_meet(one, other, met):
    assert meet(one, other) is met is meet(other, one)
