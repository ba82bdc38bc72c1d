from __future__ import annotations

import pytest

from starlake_dagster_assets.project.resolve.schedules import PRESETS, cron_of


@pytest.mark.parametrize(
    ("text", "cron"),
    [
        ("daily", "0 0 * * *"),
        ("Hourly", "0 * * * *"),
        ("0  3 * * *", "0 3 * * *"),
        ("*/15 8-18/2 1,15 JAN-MAR mon-fri", "*/15 8-18/2 1,15 JAN-MAR mon-fri"),
        ("0 0 L * 5#3", "0 0 L * 5#3"),
        ("0 0 5 * * *", "0 5 * * *"),
        ("00 15 10 ? * 2-6", "15 10 * * 1-5"),
        ("0 0 12 ? * MON,WED *", "0 12 * * MON,WED"),
        ("0 0 0 ? * 6#3", "0 0 * * 5#3"),
        ("0 0 0 1/5 * ?", "0 0 1/5 * *"),
        ("0 0 5 * * 1", "0 5 * * 1"),
        ("0 2 29 2 *", "0 2 29 2 *"),
        ("0 2 30,31 2,3 *", "0 2 30,31 2,3 *"),
        ("0 2 30 2-3 *", "0 2 30 2-3 *"),
        ("0 2 31 NOV-FEB *", "0 2 31 NOV-FEB *"),
        ("0 2 30 2 1", "0 2 30 2 1"),
        ("", None),
        (None, None),
        ("None", None),
    ],
)
def test_cron(text, cron):
    assert cron_of(text, PRESETS) == cron


@pytest.mark.parametrize(
    "text",
    [
        "dayly",
        "@daily",
        "0 24 * * *",
        "60 0 * * *",
        "0 0 * *",
        "0 0 0 * *",
        "a b c d e",
        "*/0 * * * *",
        "0 0 * 13 *",
        "30 0 5 * * *",
        "*/5 * * * * *",
        "0 0 5 * * * 2027",
        "0 2 30 2 *",
        "0 2 30-31 FEB *",
        "0 2 31 4,6,SEP,11 *",
    ],
)
def test_what_is_none(text):
    with pytest.raises(ValueError, match=text.replace("*", r"\*")):
        cron_of(text, PRESETS)
