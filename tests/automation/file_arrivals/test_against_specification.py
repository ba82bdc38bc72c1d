"""Arrival sensors against a plain specification: thousands of steps of files, looks, crashes and runs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from starlake_dagster_assets.automation.definitions import arrival_tick
from starlake_dagster_assets.automation.policies.model import PreLoad
from tests.automation.file_arrivals.conftest import Clocked, World, sales_in, tables, waiting

STABLE = 30
NAMES = st.sampled_from([f"{table}_{number}.csv" for table in ("orders", "items", "customers") for number in (1, 2)])
ENDS = st.sampled_from([dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED])


class Arrivals(RuleBasedStateMachine):
    """The specification is in `expected`: what is stable, was not requested, and is of no table that a run loads."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        root = Path(self.folder.name)
        self.incoming = root / "datasets" / "incoming" / "sales"
        self.incoming.mkdir(parents=True)
        self.source = sales_in(str(self.incoming), str(root))
        self.clock = Clocked()
        self.real, arrival_tick.time = arrival_tick.time, self.clock  # type: ignore[assignment]
        self.world = World(dg.DagsterInstance.ephemeral(), self.clock, self.source, self._triggers())
        self.files: dict[str, int] = {}
        self.writes = 0
        self.looked: dict[str, tuple[frozenset, float]] = {}
        self.asked: list[tuple[str, frozenset]] = []
        self.runs: list[dg.DagsterRun] = []
        self.sets_of: dict[str, list[tuple[str, frozenset]]] = {}

    def teardown(self) -> None:
        arrival_tick.time = self.real
        self.folder.cleanup()

    @staticmethod
    def _triggers():
        return waiting(PreLoad("imported", stable_for=STABLE))

    # ---------------------------------------------------------------------------------------------- specification

    def sets(self) -> dict[str, frozenset]:
        found: dict[str, set] = {}
        for name, version in self.files.items():
            found.setdefault(name.partition("_")[0], set()).add((name, version))
        return {table: frozenset(members) for table, members in found.items()}

    def expected(self) -> list[str]:
        """The tables that a look asks for now; the look itself is remembered."""
        now, before = self.clock.now, self.looked
        self.looked = {
            table: before[table] if table in before and before[table][0] == members else (members, now)
            for table, members in self.sets().items()
        }
        held = {table for run in self.runs for table, _ in self.sets_of[run.run_id]}
        return sorted(
            table
            for table, (members, since) in self.looked.items()
            if now - since >= STABLE and (table, members) not in self.asked and table not in held
        )

    # ------------------------------------------------------------------------------------------------------ rules

    @initialize()
    def a_first_look(self) -> None:
        self.looks()

    @rule(names=st.lists(NAMES, min_size=1, max_size=3), late=NAMES, recorded=st.booleans())
    def a_delivery_settles(self, names: list[str], late: str, recorded: bool) -> None:
        """Files come, are looked at, and are left alone for as long as it takes but for one."""
        for name in names:
            self.is_written(name)
        self.looks()
        self.clock.wait(STABLE)
        if not recorded:
            self.is_written(late)
        self.looks()

    @rule(name=NAMES)
    def is_written(self, name: str) -> None:
        self.writes += 1
        self.files[name] = self.writes
        (self.incoming / name).write_text("x" * self.writes)

    @precondition(lambda self: self.files)
    @rule(data=st.data())
    def is_deleted(self, data) -> None:
        self.takes([data.draw(st.sampled_from(sorted(self.files)))])

    @rule(seconds=st.sampled_from([1, STABLE - 1, STABLE, 3600]))
    def time_goes_by(self, seconds: int) -> None:
        self.clock.wait(seconds)

    @rule(recorded=st.booleans(), accepted=st.sampled_from([True, True, True, False]))
    def looks(self, recorded: bool = True, accepted: bool = True) -> None:
        """A tick; the daemon may die before the run is accepted, or before the cursor is recorded."""
        before, expected = self.looked, self.expected()
        found = self.world.tick(forget=not recorded)
        assert (tables(found[0]) if isinstance(found, list) else []) == expected, found
        if expected and accepted:
            run = self.world.accept(found[0])
            assert run is not None, "a run key was used twice"
            self.runs.append(run)
            self.sets_of[run.run_id] = [(table, self.sets()[table]) for table in expected]
            self.asked += self.sets_of[run.run_id]
        if not recorded:
            self.looked = before

    @rule()
    def looks_at_the_same_time(self) -> None:
        """Two daemons: the second one has the cursor of before."""
        expected = self.expected()
        first, second = self.world.tick(forget=True), self.world.tick()
        assert isinstance(first, list) is isinstance(second, list) is bool(expected)
        if not expected:
            return
        run = self.world.accept(first[0])
        assert run is not None
        assert self.world.accept(second[0]) is None
        self.runs.append(run)
        self.sets_of[run.run_id] = [(table, self.sets()[table]) for table in expected]
        self.asked += self.sets_of[run.run_id]

    @rule(lost=st.sampled_from([True, False, False]))
    def the_code_is_loaded_anew(self, lost: bool) -> None:
        """With the cursor, or without it."""
        cursors = {} if lost else self.world.cursors
        self.looked = {} if lost else self.looked
        self.world = World(self.world.instance, self.clock, self.source, self._triggers())
        self.world.cursors = cursors

    @precondition(lambda self: self.runs)
    @rule(status=ENDS, data=st.data())
    def a_run_ends(self, status: dg.DagsterRunStatus, data) -> None:
        """One that succeeds has taken all files of its tables, also those that came later; another one any of them."""
        run = self.runs.pop(data.draw(st.integers(0, len(self.runs) - 1)))
        mine = {table for table, _ in self.sets_of[run.run_id]}
        there = sorted(name for name in self.files if name.partition("_")[0] in mine)
        if status is dg.DagsterRunStatus.SUCCESS or not there:
            self.takes(there)
        else:
            self.takes(data.draw(st.lists(st.sampled_from(there), unique=True)))
        self.world.ended(run, status)

    @precondition(lambda self: not self.runs and self.sets_of)
    @rule(data=st.data())
    def a_run_is_deleted(self, data) -> None:
        run = data.draw(st.sampled_from([*self.sets_of]))  # in order: the ids are random
        self.world.instance.delete_run(run)
        for one in self.sets_of.pop(run):
            self.asked.remove(one)

    def takes(self, names: list[str]) -> None:
        for name in names:
            del self.files[name]
            (self.incoming / name).unlink()

    @invariant()
    def no_set_was_asked_for_twice(self) -> None:
        assert len(self.asked) == len(set(self.asked))


TestArrivals = pytest.mark.slow(Arrivals.TestCase)
TestArrivals.settings = settings(
    max_examples=60,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
