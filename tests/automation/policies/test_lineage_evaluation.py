"""The evaluation of lineage, over facts as tables: no Dagster, no event log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

import pytest

from starlake_dagster_assets.automation.policies.cron_ticks import cycle_of
from starlake_dagster_assets.automation.policies.lineage_evaluation import Evaluator, RunNeeded, Skip
from starlake_dagster_assets.automation.policies.model import (
    AllOf,
    AnyOf,
    Condition,
    Trigger,
    Upstream,
    UpstreamCondition,
)
from starlake_dagster_assets.automation.policies.upstream_updates import LineageTarget, TargetRun, UpstreamUpdate


def all_of(*names: str) -> Condition:
    return AllOf(tuple(map(Upstream, names)))


def any_of(*names: str) -> Condition:
    return AnyOf(tuple(map(Upstream, names)))


@dataclass
class World:
    """LineageFacts: each event has the next number, which is also its time.

    Attributes:
        made: The newest materialization of each node; `read` is the number up to which it has read its upstreams.
        attempts: The newest run of each node.
        busy: Nodes that a run in progress is still to materialize.
        stopped: Nodes whose sensor is stopped.
    """

    watches: Mapping[str, UpstreamCondition]
    made: dict[str, UpstreamUpdate] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)
    attempts: dict[str, TargetRun] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)
    stopped: set[str] = field(default_factory=set)
    repeatable: set[str] = field(default_factory=set)
    now: float = 1_000_000

    def updates(self, target: LineageTarget) -> Mapping[str, UpstreamUpdate]:
        return self.made

    def is_consumed(self, target: LineageTarget, node: str, update: UpstreamUpdate) -> bool:
        return target.node in self.made and update.id <= self.read.get(target.node, 0)

    def attempt(self, target: LineageTarget) -> TargetRun | None:
        return self.attempts.get(target.node)

    def can_repeat(self, target: LineageTarget, attempt: TargetRun) -> bool:
        return attempt.run in self.repeatable

    def running(self, target: LineageTarget) -> str:
        return f"run of {target.node}" if target.node in self.busy else ""

    def exists(self, node: str) -> bool:
        return node in self.made

    def last_run(self, node: str) -> float:
        return float(self.attempts[node].id) if node in self.attempts else 0

    def upstream(self, target: LineageTarget, node: str) -> Sequence[LineageTarget]:
        return [LineageTarget(node)]

    def stopped_sensor(self, node: str) -> str | None:
        return f"{node}_lineage" if node in self.stopped else None

    def look(self, node: str = "x", together: Sequence[str] = ()) -> RunNeeded | Skip:
        triggers = {
            name: Trigger(name, "lineage", "job", upstream_condition=watch) for name, watch in self.watches.items()
        }
        return Evaluator(triggers, self).evaluate(LineageTarget(node), {LineageTarget(one) for one in together})


def updates(**ids: int) -> dict[str, UpstreamUpdate]:
    return {name: UpstreamUpdate(number, number, f"run{number}") for name, number in ids.items()}


ABC = UpstreamCondition(all_of("a", "b"))
ANY = UpstreamCondition(any_of("a", "b"))
PATIENT = UpstreamCondition(all_of("daily", "monthly"), slower=frozenset({"monthly"}))


@pytest.mark.parametrize(
    ("watch", "made", "read", "due"),
    [
        (ABC, {}, 0, None),
        (ABC, {"a": 1}, 0, None),
        (ABC, {"a": 1, "b": 2}, 0, {"a", "b"}),
        (ABC, {"a": 1, "b": 2, "x": 3}, 2, None),
        (ABC, {"a": 4, "b": 2, "x": 3}, 2, None),
        (ABC, {"a": 4, "b": 5, "x": 3}, 2, {"a", "b"}),
        (ABC, {"a": 2, "b": 1, "x": 3}, 1, None),  # `a` came while the run of `x` was at work
        (ANY, {"a": 2, "b": 1, "x": 3}, 1, {"a"}),
        (ANY, {"a": 1}, 0, {"a"}),
        (UpstreamCondition(any_of("a", "b"), must_exist=frozenset("ab")), {"a": 1}, 0, None),
        (UpstreamCondition(any_of("a", "b"), must_exist=frozenset("a")), {"a": 1}, 0, {"a"}),
        (PATIENT, {"daily": 5}, 0, {"daily"}),
        (PATIENT, {"daily": 5, "monthly": 7, "x": 6}, 5, None),
        (PATIENT, {"daily": 8, "monthly": 7, "x": 6}, 5, {"daily", "monthly"}),
        (
            UpstreamCondition(AllOf((Upstream("a"), AnyOf((Upstream("b"), Upstream("c")))))),
            {"a": 1, "c": 2},
            0,
            {"a", "c"},
        ),
        (UpstreamCondition(AllOf((Upstream("a"), AnyOf((Upstream("b"), Upstream("c")))))), {"b": 1, "c": 2}, 0, None),
    ],
)
def test_a_target_is_due_when_its_condition_holds_for_what_it_has_not_read(watch, made, read, due):
    found = World({"x": watch}, updates(**made), {"x": read}).look()
    assert (set(found.updates) if isinstance(found, RunNeeded) else None) == due, found.reason


@pytest.mark.parametrize(
    ("attempt", "says"),
    [
        (None, None),
        (TargetRun(1, "r", "failed"), None),  # before the update
        (TargetRun(9, "r", "failed"), "Run r of x failed after the update of a. It is not started again"),
        (TargetRun(9, "r", "canceled"), "Run r of x was canceled after the update of a"),
        (TargetRun(9, "r", "succeeded"), "Run r of x succeeded and materialized nothing after the update of a"),
        (TargetRun(9, "r", "in progress"), "Run r of x is in progress and reads the update of a."),
        (TargetRun(3, "run5", "failed"), "Run run5 of x failed after the update of a"),  # it made `a` itself
        (TargetRun(3, "run5", "succeeded"), None),
    ],
)
def test_an_update_that_has_its_run_is_left_to_it(attempt, says):
    world = World({"x": ANY}, updates(a=5), attempts={"x": attempt} if attempt else {})
    found = world.look()
    assert isinstance(found, RunNeeded) if says is None else says in found.reason


@pytest.mark.parametrize(("state", "due"), [("failed", True), ("canceled", False), ("succeeded", False)])
def test_a_failed_run_that_did_not_begin_the_target_is_repeated(state, due):
    world = World({"x": ANY}, updates(a=5), attempts={"x": TargetRun(9, "r", state)}, repeatable={"r"})
    found = world.look()
    assert isinstance(found, RunNeeded) is due
    if isinstance(found, RunNeeded):
        assert found.reason.endswith("; run r failed before it began x") and found.attempt == 9


CHAIN = {
    "m": UpstreamCondition(any_of("a")),
    "n": UpstreamCondition(any_of("m")),
    "x": UpstreamCondition(any_of("a", "n")),
}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, "a at 1970-01-01 00:00:05 UTC; waits for n: it will be due once m is materialized."),
        ({"busy": {"n"}}, "waits for n: run of n will still materialize it"),
        ({"busy": {"m"}, "stopped": {"m"}}, "waits for n"),  # a run of a stopped sensor was started by hand
        ({"stopped": {"n"}}, None),
        ({"stopped": {"m"}}, None),
        ({"attempts": {"m": TargetRun(7, "r", "failed")}}, None),
        ({"busy": {"x"}}, "waits for n"),
    ],
)
def test_what_is_about_to_be_materialized_is_waited_for(change, says):
    """`x` reads `a` and, by `m` and `n`, `a` once more."""
    world = World(CHAIN, updates(a=5, m=2, n=3, x=4), {"m": 1, "n": 2, "x": 3}, **change)
    found = world.look()
    if says is None:
        assert isinstance(found, RunNeeded), found.reason
    else:
        assert isinstance(found, Skip) and found.has_updates and says in found.reason, found.reason


def test_a_stopped_sensor_is_named_in_the_reason():
    world = World(CHAIN, updates(a=5, m=2, n=3, x=4), {"m": 1, "n": 2, "x": 3}, stopped={"n"})
    assert "(n is due too and not waited for: its sensor n_lineage is stopped)" in world.look().reason


def test_one_run_at_a_time_and_the_minimum_interval():
    world = World({"x": ANY}, updates(a=5, x=4), busy={"x"})
    assert "run of x is materializing x and began before that" in world.look().reason
    world = World(
        {"x": UpstreamCondition(any_of("a"), min_interval=60)},
        updates(a=50),
        attempts={"x": TargetRun(40, "r", "failed")},
    )
    world.now = 60
    assert "the next one may be in 40 s (minimum interval 1 min)" in world.look().reason
    world.now = 100
    assert isinstance(world.look(), RunNeeded)


def test_a_chain_of_one_run_is_due_together():
    world = World(CHAIN, updates(a=5, m=2, n=3, x=4), {"m": 1, "n": 2, "x": 3})
    assert isinstance(world.look("n"), Skip)
    found = world.look("n", ["m"])
    assert isinstance(found, RunNeeded) and found.joined == {"m"} and not found.updates
    found = world.look("x", ["m", "n"])
    assert isinstance(found, RunNeeded) and set(found.updates) == {"a"} and "n in the same run" in found.reason
    assert isinstance(World({"x": ABC}, updates(a=1, b=2, x=3), {"x": 2}).look("x", ["a"]), Skip), "all of them"


def test_expressions_in_a_circle_end():
    world = World({"x": UpstreamCondition(any_of("y", "a")), "y": UpstreamCondition(any_of("x", "a"))}, updates(a=1))
    assert "waits for y" in world.look().reason


DAY = datetime(2024, 5, 2, tzinfo=timezone.utc).timestamp()


@pytest.mark.parametrize(("hour_of_b", "due"), [(2, True), (23.99, True), (24, False), (-1, False)])
def test_upstreams_of_a_data_cycle_are_made_in_one_cycle(hour_of_b, due):
    watch = UpstreamCondition(all_of("a", "b"), data_cycle="0 0 * * *")
    world = World({"x": watch}, {"a": UpstreamUpdate(1, DAY + 3_600), "b": UpstreamUpdate(2, DAY + hour_of_b * 3_600)})
    found = world.look()
    assert isinstance(found, RunNeeded) is due
    assert due or ("for another cycle" in found.reason and "in the cycle from 2024-05-0" in found.reason)


@pytest.mark.parametrize(("beyond", "due"), [(True, True), (False, False)])
def test_freshness_widens_a_cycle(beyond, due):
    watch = UpstreamCondition(
        all_of("a", "b"), data_cycle="0 0 * * *", freshness={"b": 7_200}, beyond_data_cycle=beyond
    )
    world = World({"x": watch}, {"a": UpstreamUpdate(1, DAY + 3_600), "b": UpstreamUpdate(2, DAY - 3_600)})
    assert isinstance(world.look(), RunNeeded) is due


@pytest.mark.parametrize(("gate", "due"), [(False, True), (True, False)])
def test_freshness_is_a_gate_by_option_only(gate, due):
    world = World(
        {"x": UpstreamCondition(any_of("a"), freshness={"a": 60}, require_fresh_upstreams=gate)},
        updates(a=1),
        now=1_000,
    )
    found = world.look()
    assert isinstance(found, RunNeeded) is due
    assert due or "which counts for 1 min only" in found.reason


def test_what_belongs_to_another_partition_makes_no_run_due_alone():
    world = World({"x": ANY}, {"a": UpstreamUpdate(1, 1, indirect=True)})
    assert "for another partition" in world.look().reason
    world.made["b"] = UpstreamUpdate(2, 2)
    found = world.look()
    assert isinstance(found, RunNeeded) and set(found.updates) == {"a", "b"}


def test_cycles_are_those_of_the_time_zone_over_a_change_of_the_clock():
    start, end = cycle_of("0 0 * * *", datetime(2024, 3, 31, 12, tzinfo=timezone.utc).timestamp(), "Europe/Paris")
    assert (end.timestamp() - start.timestamp()) == 23 * 3_600


def test_long_lists_of_names_are_cut():
    names = [f"t{number:03}" for number in range(500)]
    found = World({"x": UpstreamCondition(all_of(*names))}, updates(t000=1)).look()
    assert isinstance(found, Skip) and len(found.reason) < 700 and "491 more" in found.reason


def test_a_chain_of_a_thousand_tasks_is_evaluated_upstream_first():
    watches = {f"t{number}": UpstreamCondition(any_of(f"t{number - 1}")) for number in range(1, 1_000)}
    world = World(watches, updates(t0=1))
    triggers = {name: Trigger(name, "lineage", "job", upstream_condition=watch) for name, watch in watches.items()}
    evaluator = Evaluator(triggers, world)
    assert all(evaluator.pending(LineageTarget(f"t{number}")) for number in range(1, 1_000))


def test_an_upstream_of_the_same_run_that_was_never_materialized_is_named():
    found = World({"m": UpstreamCondition(any_of("a")), "x": UpstreamCondition(all_of("m", "b"))}, updates(a=1)).look(
        "x", together=["m"]
    )
    assert isinstance(found, Skip) and "Waits for b. Seen: m in the same run." in found.reason


def test_an_update_of_an_earlier_cycle_that_is_read_along_is_named():
    watch = UpstreamCondition(any_of("a", "b"), data_cycle="0 0 * * *")
    days = [datetime(2024, 5, one, 12, tzinfo=timezone.utc).timestamp() for one in (2, 3)]
    made = {
        name: UpstreamUpdate(number, at, f"run{number}")
        for number, (name, at) in enumerate(zip("ab", days, strict=True))
    }
    found = World({"x": watch}, made).look()
    assert isinstance(found, RunNeeded) and set(found.updates) == {"a", "b"}
    assert (
        found.reason.startswith("b at 2024-05-03") and "(and a at 2024-05-02 12:00:00 UTC, of another" in found.reason
    )
