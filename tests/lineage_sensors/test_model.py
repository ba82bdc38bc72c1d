"""Lineage sensors against a plain specification: thousands of steps of events, ticks, lost cursors and runs.

The real tick, over an instance that is two lists: what was made, and the runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import dagster as dg
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from starlake_dagster_assets.automation import lineage
from starlake_dagster_assets.triggers.expression import parse_expression
from starlake_dagster_assets.triggers.model import Watch
from tests.arrivals.conftest import Clocked

SETTLE = 600
NAMES = ("orders", "items", "customers", "rates")
NEVER_MADE = "budget"
ENDS = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
TREES = st.recursive(
    st.sampled_from(NAMES),
    lambda inner: st.tuples(st.sampled_from("&|"), st.lists(inner, min_size=2, max_size=3)),
    max_leaves=5,
)
SOME = st.sets(st.sampled_from(NAMES), max_size=2)
Tree = Any
"""A name, or a sign and its parts."""


@dataclass(frozen=True)
class Event:
    number: int
    name: str
    time: float
    run: str


@dataclass
class Run:
    """As Dagster records it; `horizon`: of a wave, the newest event that it answers."""

    run_id: str
    created: float
    status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED
    tags: dict[str, str] = field(default_factory=dict)
    asset_selection: frozenset[dg.AssetKey] = frozenset()
    horizon: int = 0

    @property
    def is_over(self) -> bool:
        return self.status in ENDS


@dataclass
class Instance:
    """What a tick asks of a Dagster instance."""

    events: list[Event] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)

    def newest(self) -> dict[str, Event]:
        return {event.name: event for event in self.events}

    def get_asset_records(self, keys: Iterable[dg.AssetKey]) -> list[Any]:
        newest = self.newest()
        found = [(key, newest.get(key.to_user_string())) for key in keys]
        return [
            SimpleNamespace(
                asset_entry=SimpleNamespace(asset_key=key, last_materialization_record=event and record(event))
            )
            for key, event in found
        ]

    def get_run_records(self, filters: dg.RunsFilter, limit: int | None = None, order_by: str = "") -> list[Any]:
        found = [
            SimpleNamespace(dagster_run=run, create_timestamp=SimpleNamespace(timestamp=lambda run=run: run.created))
            for run in reversed(self.runs)
            if set(filters.tags.items()) <= set(run.tags.items())
            and (not filters.run_ids or run.run_id in filters.run_ids)
            and (not filters.statuses or run.status in filters.statuses)
        ]
        return found[:limit]


def record(event: Event) -> Any:
    return SimpleNamespace(storage_id=event.number, timestamp=event.time, run_id=event.run, partition_key=None)


def text_of(tree: Tree) -> str:
    return tree if isinstance(tree, str) else "(" + f" {tree[0]} ".join(map(text_of, tree[1])) + ")"


def names_of(tree: Tree) -> set[str]:
    return {tree} if isinstance(tree, str) else set().union(*map(names_of, tree[1]))


def without(tree: Tree, names: set[str]) -> Tree:
    """A tree with some names cut out; None when nothing is left."""
    if isinstance(tree, str):
        return None if tree in names else tree
    parts = [left for part in tree[1] if (left := without(part, names)) is not None]
    return (tree[0], parts) if parts else None


def holds(tree: Tree, moved: set[str]) -> bool:
    if isinstance(tree, str):
        return tree in moved
    return (all if tree[0] == "&" else any)(holds(part, moved) for part in tree[1])


def lacking(tree: Tree, moved: set[str]) -> set[str]:
    if holds(tree, moved):
        return set()
    return {tree} if isinstance(tree, str) else set().union(*(lacking(part, moved) for part in tree[1]))


class Lineage(RuleBasedStateMachine):
    """The specification is `expected`.

    An upstream has moved when its newest event is newer than all that the runs which succeeded have answered, and
    fresh. Once the upstreams that have moved make the condition true, a run is due: not before the interval has passed,
    nor while a run is in progress, nor for what the run asked for last (which failed) has answered already.
    """

    @initialize(tree=TREES, patient=SOME, present=SOME, gap=st.sampled_from([0, 0, 50]), fresh=st.booleans())
    def start(self, tree: Tree, patient: set[str], present: set[str], gap: int, fresh: bool) -> None:
        self.instance, self.clock, self.cursor = Instance(), Clocked(), ""
        self.real, lineage.time = lineage.time, SimpleNamespace(time=self.clock.time, monotonic=lambda: 0.0)
        self.gap, self.patient, self.present = gap, patient, present
        self.limits = {"orders": 90.0} if fresh else {}
        self.is_watched(tree)

    def teardown(self) -> None:
        if hasattr(self, "real"):
            lineage.time = self.real

    # ---------------------------------------------------------------------------------------------- specification

    @property
    def waves(self) -> list[Run]:
        """The runs that the sensor asked for, and their retries."""
        return [run for run in self.instance.runs if run.horizon]

    def moved(self) -> set[str]:
        answered = max([0, *(run.horizon for run in self.waves if run.status is dg.DagsterRunStatus.SUCCESS)])
        return {
            name
            for name, event in self.instance.newest().items()
            if name in names_of(self.tree)
            and event.number > answered
            and self.clock.now - event.time <= self.limits.get(name, float("inf"))
        }

    def held(self) -> set[str]:
        """Watched names that a run in progress, which made something new lately, is still to make."""
        newest = self.instance.newest()
        answered = max([0, *(run.horizon for run in self.waves if run.status is dg.DagsterRunStatus.SUCCESS)])
        found: set[str] = set()
        for run in self.instance.runs:
            mine = [newest[name] for name in names_of(self.tree) & newest.keys() if newest[name].run == run.run_id]
            new = [event.time for event in mine if event.number > answered]
            if new and not run.is_over and self.clock.now - min(new) < SETTLE:
                planned = {key.to_user_string() for key in run.asset_selection} & names_of(self.tree)
                found |= planned - {event.name for event in mine}
        return found

    def expected(self) -> tuple[str, set[str]] | None:
        """None when a run is due; else what the reason says, and the upstreams that it names."""
        moved, newest = self.moved(), self.instance.newest()
        needed = without(self.tree, self.patient - moved)
        if needed is None or not holds(needed, moved):
            return "Waits for", lacking(needed or self.tree, moved)
        if missing := self.present & names_of(self.tree) - newest.keys():
            return "never made so far", missing
        last = self.waves[-1] if self.waves else None
        if last and all(newest[name].number <= last.horizon for name in moved):
            return ("did not succeed" if last.is_over else "in progress"), moved
        if last and self.clock.now - self.asked_at < self.gap:
            return "minimum interval", moved
        if last and not last.is_over:
            return "in progress", moved
        if held := self.held():
            return "will still make", held
        return None

    # ------------------------------------------------------------------------------------------------------ rules

    def is_watched(self, tree: Tree) -> None:
        self.tree = tree
        names = names_of(tree)
        self.watch = Watch(
            parse_expression(text_of(tree), {name: name for name in (*NAMES, NEVER_MADE)}),
            optional=frozenset(sorted(self.patient & names)[:1]),
            slower=frozenset(sorted(self.patient & names)[1:]),
            present=frozenset(self.present & names),
            freshness={name: limit for name, limit in self.limits.items() if name in names},
            min_interval=self.gap,
        )

    @rule(names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=4))
    def are_made_from_outside(self, names: list[str]) -> None:
        for name in names:
            self.is_made(name, "")

    def is_made(self, name: str, run: str) -> None:
        self.instance.events.append(Event(len(self.instance.events) + 1, name, self.clock.now, run))

    @rule(names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True), is_over=st.booleans())
    def a_run_makes_upstreams(self, names: list[str], is_over: bool) -> None:
        """All of them; or the first one, so far."""
        run = Run(f"load{len(self.instance.runs)}", self.clock.now)
        run.asset_selection = frozenset(dg.AssetKey(name) for name in names)
        self.instance.runs.insert(0, run)
        for name in names if is_over else names[:1]:
            self.is_made(name, run.run_id)
        run.status = dg.DagsterRunStatus.SUCCESS if is_over else dg.DagsterRunStatus.STARTED

    @precondition(lambda self: any(not run.horizon and not run.is_over for run in self.instance.runs))
    @rule(status=st.sampled_from(ENDS))
    def that_run_ends(self, status: dg.DagsterRunStatus) -> None:
        run = next(run for run in self.instance.runs if not run.horizon and not run.is_over)
        made = {event.name for event in self.instance.events if event.run == run.run_id}
        if status is dg.DagsterRunStatus.SUCCESS:
            for name in sorted({key.to_user_string() for key in run.asset_selection} - made):
                self.is_made(name, run.run_id)
        run.status = status

    @rule(seconds=st.sampled_from([1, 30, 60, SETTLE]))
    def time_goes_by(self, seconds: int) -> None:
        self.clock.wait(seconds)

    @rule(name=st.sampled_from((*NAMES, NEVER_MADE)), sure=st.sampled_from([True, False, False]))
    def an_upstream_is_added_or_removed(self, name: str, sure: bool) -> None:
        if sure and name in names_of(self.tree):
            self.is_watched(without(self.tree, {name}) or self.tree)
        elif sure:
            self.is_watched(("&", [self.tree, name]))

    @rule(data=st.data(), recorded=st.booleans(), status=st.sampled_from(ENDS))
    def a_wave_goes_by(self, data: Any, recorded: bool, status: dg.DagsterRunStatus) -> None:
        """Some of what is watched is made, there is a tick, and the run that it asks for ends."""
        names = sorted(names_of(self.tree))
        self.are_made_from_outside(data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True)))
        self.ticks(recorded)
        if self.waves and not self.waves[-1].is_over:
            self.the_run_of_the_wave_ends(status)

    @rule(recorded=st.booleans(), accepted=st.booleans())
    def ticks_and_is_cut_off(self, recorded: bool, accepted: bool) -> None:
        """The daemon dies before the cursor is recorded; or before the run is accepted, which comes before that."""
        self.ticks(recorded and accepted, accepted)

    @rule()
    def ticks(self, recorded: bool = True, accepted: bool = True) -> None:
        expected = self.expected()
        requests, reason, cursor = self.looks()
        assert self.looks() == (requests, reason, cursor), "a replay says something else"
        if expected is None:
            assert len(requests) == 1, reason
        else:
            says, names = expected
            assert requests == [] and says in reason, (expected, reason)
            assert names <= named(reason) or self.is_unknown(cursor), (expected, reason)
            awaited = named(reason.partition(". ")[0])
            assert says != "Waits for" or awaited == names or self.is_unknown(cursor), (expected, reason)
        if requests and accepted:
            self.is_accepted(requests[0])
        if recorded and (accepted or not requests):
            self.cursor = cursor

    def is_unknown(self, cursor: str) -> bool:
        """A wave is remembered, not the last one: that is looked up once the condition holds again."""
        return "report:" in cursor and self.waves[-1].tags[lineage.WAVE] not in cursor

    def looks(self) -> tuple[list[dg.RunRequest], str, str]:
        """The requests of a tick, its reason, its cursor."""
        names = sorted(names_of(self.tree))
        context: Any = SimpleNamespace(instance=self.instance, cursor=self.cursor, assets_defs_by_key={})
        keys = {name: dg.AssetKey(name) for name in names}
        translator: Any = SimpleNamespace(graph=SimpleNamespace(nodes={}))
        tick = lineage._Tick(context, translator, keys, lineage._Options(SETTLE, 40, "UTC", {}))
        found = tick.look(lineage.Group("report", "report", "report", self.watch, ("report",), True))
        return found, tick.reason, json.dumps(tick.kept)

    def is_accepted(self, request: dg.RunRequest) -> None:
        horizon = max(event.number for event in self.instance.events if event.name in names_of(self.tree))
        self.asked_at = self.clock.now
        self.instance.runs.append(
            Run(f"wave{len(self.instance.runs)}", self.clock.now, tags=dict(request.tags), horizon=horizon)
        )

    @precondition(lambda self: self.waves and not self.waves[-1].is_over)
    @rule(status=st.sampled_from(ENDS))
    def the_run_of_the_wave_ends(self, status: dg.DagsterRunStatus) -> None:
        self.waves[-1].status = status

    @precondition(lambda self: self.waves and self.waves[-1].is_over)
    @rule()
    def it_is_tried_again(self) -> None:
        last = self.waves[-1]
        if last.status is not dg.DagsterRunStatus.SUCCESS:
            self.instance.runs.append(
                Run(f"wave{len(self.instance.runs)}", self.clock.now, tags=last.tags, horizon=last.horizon)
            )

    # ------------------------------------------------------------------------------------------------- invariants

    @invariant()
    def a_wave_is_asked_for_once_and_runs_alone(self) -> None:
        keys = [(run.tags[lineage.WAVE], run.horizon) for run in self.waves]
        assert len({key for key, _ in keys}) == len(set(keys)) == len({horizon for _, horizon in keys})
        assert sum(not run.is_over for run in self.waves) <= 1


def named(text: str) -> set[str]:
    return set(re.findall("|".join((*NAMES, NEVER_MADE)), text))


Lineage.TestCase.settings = settings(max_examples=120, stateful_step_count=50, deadline=None)
TestLineage = Lineage.TestCase
