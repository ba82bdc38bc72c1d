"""The decision of one look; `test_model` has a specification of whole histories."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import hypothesis.strategies as st
import pytest
from hypothesis import given

from starlake_dagster_assets.triggers.evaluate import (
    Fire,
    Memory,
    Seen,
    Wait,
    cycle_of,
    evaluate,
    recovered,
    requested,
    settled,
)
from starlake_dagster_assets.triggers.model import Watch
from tests.lineage_sensors.conftest import all_of, any_of


def seen(**ids: int) -> dict[str, Seen]:
    return {node: Seen(number, 1_000 + number) for node, number in ids.items()}


def test_a_run_in_progress_is_not_said_to_have_failed():
    asked = Memory(requested={"a": 1}, key="s:1:x", at=1_500)
    verdict = evaluate("s", Watch(any_of("a")), seen(a=1), asked, 2_000, busy="run1")
    assert verdict == Wait("The run of this wave (run1) is in progress: it answers a.")
    verdict = evaluate("s", Watch(any_of("a")), seen(a=2), asked, 2_000, busy="run1")
    assert isinstance(verdict, Wait) and verdict.due and "(run1) is still in progress" in verdict.reason


def test_what_a_failed_run_used_counts_also_when_a_later_tick_was_lost():
    failed = Memory(requested={"a": 1, "b": 2}, key="s:2:x", at=1_500)
    memory = recovered(failed, seen(a=1, b=3), "s:3:y", 3, 1_600, 1_003)
    assert memory.consumed == {} and memory.requested == {"a": 1, "b": 3}
    assert isinstance(evaluate("s", Watch(all_of("a", "b")), seen(a=1, b=4), memory, 2_000), Fire)


def test_a_slower_upstream_does_not_hold_and_an_optional_one_is_not_waited_for():
    watch = Watch(all_of("daily", "monthly", "maybe"), slower=frozenset({"monthly"}), optional=frozenset({"maybe"}))
    wave = evaluate("s", watch, seen(daily=5), Memory(), 2_000)
    assert isinstance(wave, Fire) and dict(wave.ids) == {"daily": 5}
    after = settled(requested(Memory(), wave, 2_000))
    later = evaluate("s", watch, seen(daily=5, monthly=6, maybe=7), after, 2_000)
    assert isinstance(later, Wait) and "Waits for daily" in later.reason
    wave = evaluate("s", watch, seen(daily=8, monthly=6, maybe=7), after, 2_000)
    assert isinstance(wave, Fire) and dict(wave.ids) == {"daily": 8, "monthly": 6, "maybe": 7}


def test_told_otherwise_the_monthly_table_is_waited_for():
    assert isinstance(evaluate("s", Watch(all_of("daily", "monthly")), seen(daily=5), Memory(), 2_000), Wait)


def test_what_is_older_than_its_freshness_counts_no_more():
    watch = Watch(all_of("a", "b"), freshness={"a": 60})
    assert isinstance(evaluate("s", watch, seen(a=1, b=2), Memory(), 1_050), Fire)
    late = evaluate("s", watch, seen(a=1, b=2), Memory(), 1_100)
    assert isinstance(late, Wait) and "which counts for 1 min only" in late.reason and "Waits for a." in late.reason


DAY = datetime(2024, 5, 2, tzinfo=timezone.utc).timestamp()


@pytest.mark.parametrize(("hour_of_b", "fires"), [(2, True), (23.99, True), (24, False), (-1, False)])
def test_upstreams_of_a_data_cycle_are_made_in_one_cycle(hour_of_b, fires):
    watch = Watch(all_of("a", "b"), data_cycle="0 0 * * *")
    found = {"a": Seen(1, DAY + 3_600), "b": Seen(2, DAY + hour_of_b * 3_600)}
    verdict = evaluate("s", watch, found, Memory(), DAY + 90_000)
    assert isinstance(verdict, Fire) is fires
    if isinstance(verdict, Fire):
        assert verdict.window == (datetime(2024, 5, 2, tzinfo=timezone.utc), datetime(2024, 5, 3, tzinfo=timezone.utc))
    else:
        assert "for another cycle" in verdict.reason and "in the cycle from 2024-05-0" in verdict.reason


def test_cycles_are_those_of_the_time_zone_over_a_change_of_the_clock():
    start, end = cycle_of("0 0 * * *", datetime(2024, 3, 31, 12, tzinfo=timezone.utc).timestamp(), "Europe/Paris")
    assert (end.timestamp() - start.timestamp()) == 23 * 3_600


def test_the_interval_goes_on_where_the_run_before_ended():
    watch = Watch(any_of("a"))
    first = evaluate("s", watch, seen(a=1), Memory(), 2_000)
    assert isinstance(first, Fire) and [one.timestamp() for one in first.window] == [1_001, 1_001]
    second = evaluate("s", watch, seen(a=9), settled(requested(Memory(), first, 2_000)), 3_000)
    assert isinstance(second, Fire) and [one.timestamp() for one in second.window] == [1_001, 1_009]


def test_the_interval_is_that_of_the_upstreams_partitions():
    hours = [datetime(2024, 5, 2, hour, tzinfo=timezone.utc) for hour in range(4)]
    found = {"a": Seen(1, DAY, window=(hours[0], hours[1])), "b": Seen(2, DAY, window=(hours[2], hours[3]))}
    verdict = evaluate("s", Watch(all_of("a", "b")), found, Memory(), DAY)
    assert isinstance(verdict, Fire) and verdict.window == (hours[0], hours[3])


def test_a_memory_outlives_renames_and_removals_and_does_not_grow():
    memory = Memory(consumed={"a": 1, "b": 2}, requested={"b": 3}, key="s:3:x", at=5.5, until=6)
    text = memory.dump()
    assert Memory.load(text, ["a", "b"]) == memory
    assert Memory.load(text, ["b", "new"]) == replace(memory, consumed={"b": 2})
    assert len(Memory.load(text, ["b"]).dump()) < len(text)
    for broken in (None, "", "{}", "[]", "null", "[99,{},{},0,0,0]", '{"AssetKey([\'a\'])": ["p", 1, {}]}', "not json"):
        assert Memory.load(broken, ["a"]) == Memory()


def test_a_cursor_of_a_thousand_nodes_is_small():
    memory = Memory(consumed={f"some_domain.some_table_{number}": 10_000_000 + number for number in range(1_000)})
    assert len(memory.dump()) < 30_000


@given(st.dictionaries(st.text(min_size=1, max_size=9), st.integers(1, 10**9), max_size=9))
def test_any_memory_comes_back(ids):
    assert Memory.load(Memory(consumed=ids).dump(), ids).consumed == ids


def test_long_lists_of_names_are_cut():
    names = [f"t{number:03}" for number in range(500)]
    verdict = evaluate("s", Watch(all_of(*names)), {}, Memory(), 0)
    assert isinstance(verdict, Wait) and len(verdict.reason) < 500 and "492 more" in verdict.reason
