"""The data interval of a run is the union of the intervals that the updates declare, and of nothing else."""

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from starlake_dagster_assets.automation.policies.data_intervals import (
    covers,
    extend_to_previous_end,
    interval_text,
    open_interval_text,
    parse_interval,
    parse_open_interval,
    subtract_intervals,
    union_of_intervals,
)
from starlake_dagster_assets.automation.policies.model import CronSchedule
from starlake_dagster_assets.dagster_assets.dagster_runs import OLDEST_ROW, interval_tags
from starlake_dagster_assets.dagster_assets.steps.consumption import Update
from starlake_dagster_assets.dagster_assets.steps.load_intervals import interval_of_load
from starlake_dagster_assets.dagster_assets.steps.update_intervals import interval_of_update
from starlake_dagster_assets.project.model.project import WriteStrategy
from tests.automation.conftest import made, project, table, task

NOW = datetime(2026, 12, 3, 5, 0, 20, tzinfo=timezone.utc)
MOMENTS = st.integers(-400, 400).map(lambda hours: NOW + timedelta(hours=hours))
INTERVALS = st.tuples(MOMENTS, st.integers(1, 100)).map(lambda one: (one[0], one[0] + timedelta(hours=one[1])))


def day(number: int, hour: int = 0) -> datetime:
    return datetime(2026, 12, number, hour, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("declared", "cycle", "expected"),
    [
        pytest.param([], None, None, id="no-update"),
        pytest.param([(day(1), day(2))], None, (day(1), day(2)), id="one"),
        pytest.param([(day(2), day(3)), (day(1), day(2))], None, (day(1), day(3)), id="union"),
        pytest.param([(day(1), day(2)), None], None, None, id="one-without"),
        pytest.param([(day(3), day(4))], None, None, id="open-window"),
        pytest.param([(day(4), day(5))], None, None, id="of-the-future"),
        pytest.param([(day(1, 5), day(2, 5))], "0 5 * * *", (day(1, 5), day(2, 5)), id="cycle-of-the-tick"),
        pytest.param([(day(2, 7), day(2, 9))], "0 5 * * *", (day(2, 5), day(3, 5)), id="cycle-around"),
        pytest.param([(day(2, 7), day(3, 5)), (day(3, 5), NOW)], "0 5 * * *", (day(2, 5), day(3, 5)), id="closed-only"),
        pytest.param([(day(3, 5), NOW)], "0 5 * * *", None, id="no-closed-cycle"),
    ],
)
def test_the_interval_is_the_union_of_what_is_declared(declared, cycle, expected):
    assert union_of_intervals(declared, NOW, cycle=cycle) == expected


@given(st.lists(INTERVALS, max_size=5), st.sampled_from([None, "0 5 * * *", "0 * * * *", "0 0 * * 1"]))
def test_an_interval_is_never_empty_and_never_ends_after_now(declared, cycle):
    found = union_of_intervals(declared, NOW, cycle=cycle, timezone="Europe/Paris")
    if found is None:
        return
    assert found[0] < found[1] <= NOW
    for start, end in declared:  # every update that has ended is inside of it, unless its cycle is open
        if cycle is None and end <= NOW:
            assert found[0] <= start and end <= found[1]


def test_an_interval_is_read_as_it_was_written():
    paris = ZoneInfo("Europe/Paris")
    night = datetime(2025, 10, 26, 0, tzinfo=paris), datetime(2025, 10, 27, 0, tzinfo=paris)
    assert parse_interval(interval_text(night)) == night
    assert parse_open_interval(open_interval_text(night[1])) == night[1]
    for text in ("", interval_text(night), "../", "../2025-10-26"):
        assert parse_open_interval(text) is None
    for text in ("", open_interval_text(night[1]), "2025-10-26T00:00:00", "2025-10-26/2025-10-27", "a/b"):
        assert parse_interval(text) is None


INCREMENTAL = "select * from sales.a where day >= '{{ sl_start_date }}'"


@pytest.mark.parametrize(
    ("schedule", "strategy", "sql", "settings", "warned"),
    [
        pytest.param(None, "APPEND", INCREMENTAL, {}, "updates of sales.a declare none", id="never"),
        pytest.param("daily", "APPEND", INCREMENTAL, {}, "", id="of-a-schedule"),
        pytest.param(None, "OVERWRITE", INCREMENTAL, {}, "", id="overwrites"),
        pytest.param(None, "APPEND", "select * from sales.a", {}, "", id="without-interval"),
        pytest.param(None, "APPEND", INCREMENTAL, {"interval": "since_last_run"}, "", id="processing-time"),
        pytest.param(None, "APPEND", INCREMENTAL, {"triggering": "none"}, "", id="by-hand"),
    ],
)
def test_a_task_that_appends_and_can_never_get_an_interval_is_told(schedule, strategy, sql, settings, warned):
    one = task("x", ["sales.a"], sql=sql, write_strategy=WriteStrategy(type=strategy))
    warnings = "".join(made(project([table("a", schedule)], [one]), **settings).warnings)
    assert ("kpi.x appends the rows of an interval (`sl_start_date`)" in warnings) is bool(warned)
    assert warned in warnings


def at(day, hour=5):
    return datetime(2025, 3, day, hour, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("covered", "last", "path", "expected"),
    [
        (None, 10, "/in", (None, 10)),
        (None, 10, "/in/%d", (9, 10)),
        (None, 10, "/in/%m", (0, 10)),
        (9, 10, "/in", (9, 10)),
        (7, 10, "/in", (7, 10)),
        (10, 10, "/in", (9, 10)),
        (7, 12, "/in", (7, 12)),
        (7, 12, "/in/%d", (9, 10)),
        (7, 12, "/in/%m", (7, 12)),
        (-8, 10, "/in/%m", (0, 10)),
        (9.5, 10, "/in", (9.5, 10)),
        (7.5, 10, "/in", (7.5, 10)),
    ],
    ids=[
        "first",
        "first, directory per day",
        "first, per month",
        "next",
        "outage",
        "again",
        "late",
        "directory per day",
        "per month",
        "month before",
        "earlier cron",
        "later cron",
    ],
)
def test_a_load_covers_the_ticks_whose_files_it_takes(covered, last, path, expected):
    """Days of March; 0 is the last of February."""
    first = at(1)
    when = None if covered is None else first + timedelta(days=covered - 1)
    found = interval_of_load(
        (at(9), at(10)), CronSchedule("0 5 * * *"), when, at(last), lambda moment: f"{moment:{path}}"
    )
    assert found == tuple(day if day is None else first + timedelta(days=day - 1) for day in expected)


def test_a_load_without_a_schedule_covers_what_no_earlier_one_has_covered():
    assert interval_of_load((at(9), at(10)), None, at(7), at(10), lambda _: "/in") == (at(7), at(10))
    assert interval_of_load((at(9), at(10)), None, None, at(10), lambda _: "/in") == (None, at(10))


def _update(*, recorded="", by="", partition=None, **metadata):
    metadata |= {"starlake/data_interval": recorded} if recorded else {}
    metadata |= {"starlake/partitioned_by": by} if by else {}
    return Update(7, NOW.timestamp(), "run", partition, dg.AssetMaterialization("a", metadata=metadata).metadata)


@pytest.mark.parametrize(
    ("update", "tags", "rows", "ticks"),
    [
        (_update(), None, None, None),
        (_update(), 9, 9, 9),
        (_update(partition="2025-03-08"), 9, 8, 8),
        (_update(partition="of-no-time"), 9, None, None),
        (_update(recorded=interval_text((at(7), at(8)))), 9, 7, 7),
        (_update(recorded=interval_text((at(7), at(8))), partition="2025-03-08"), 9, 7, 7),
        (_update(recorded=open_interval_text(at(8))), 9, None, 9),
        (_update(recorded=open_interval_text(at(8)), partition="2025-03-08"), 9, None, 8),
        (_update(recorded=interval_text((at(7), at(8))), **{OLDEST_ROW: at(5).isoformat()}), 9, (5, 8), 7),
        (_update(by="rows"), 9, None, 9),
        (_update(by="rows", partition="2025-03-08"), 9, 8, 9),
        (_update(by="rows", partition="2025-03-08", recorded=interval_text((at(7), at(8)))), 9, 8, 7),
        (_update(by="rows", partition="2025-03-08"), None, 8, None),
    ],
)
def test_one_rule_says_which_interval_an_update_declares(update, tags, rows, ticks):
    """Days of March. Metadata, then the partition, then the run; rows that decided about the partition come first."""
    given = None if tags is None else interval_tags((at(tags), at(tags + 1)))
    days = dg.DailyPartitionsDefinition("2025-03-01", hour_offset=5, timezone="UTC")
    for of, expected in (("rows", rows), ("ticks", ticks)):
        first, last = expected if isinstance(expected, tuple) else (expected, expected and expected + 1)
        assert interval_of_update(update, days, given, of=of) == (first and (at(first), at(last)))


@pytest.mark.parametrize("appends", [True, False])
@pytest.mark.parametrize(
    ("last", "start"),
    [(9, 9), (8, 9), (8.5, 8.5), (7.5, 9), (9.5, 9.5), (10, 9), (11, 9)],
    ids=["next", "missed", "gap", "long ago", "begun", "again", "later"],
)
def test_an_interval_begins_where_the_last_one_of_another_cron_has_ended(last, start, appends):
    found = extend_to_previous_end((at(9), at(10)), at(1) + timedelta(days=last - 1), appends=appends)
    expected = 9 if start > 9 and not appends else start
    assert found == (at(1) + timedelta(days=expected - 1), at(10))


@pytest.mark.parametrize(
    ("parts", "left"),
    [
        ([], [(1, 5)]),
        ([(1, 5)], []),
        ([(2, 3)], [(1, 2), (3, 5)]),
        ([(4, 7), (0, 2)], [(2, 4)]),
        ([(0, 1), (5, 6)], [(1, 5)]),
        ([(1, 4), (2, 3), (4, 5)], []),
    ],
)
def test_what_remains_of_an_interval_is_what_is_not_covered(parts, left):
    found = subtract_intervals((at(1), at(5)), [_days(*part) for part in parts])
    assert found == [_days(*part) for part in left]
    assert covers([_days(*part) for part in parts], (at(1), at(5)), at(9)) is (not left)
    assert not covers([_days(*part) for part in parts], None, at(9))


def _days(first, last):
    return at(1) + timedelta(days=first - 1), at(1) + timedelta(days=last - 1)
