"""Lineage over rows: random deliveries, runs by hand, failures and cancellations, by sensors and by conditions.

The warehouse is a dictionary: a load appends the rows that were delivered, a task reads those of its upstreams when its
command runs. Whatever happens, when nothing is asked for any more, every table has the rows that its upstreams have.
STARLAKE_MODEL_EXAMPLES=200 runs more of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import dagster as dg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from starlake_dagster_assets.testing import FakeRunner, Script, loaded_lines
from starlake_dagster_assets.triggers.model import Job, Trigger, Triggers, Watch
from tests.assets.conftest import make_source, make_table, make_task
from tests.lineage_sensors.conftest import World, any_of

EXAMPLES = int(os.environ.get("STARLAKE_MODEL_EXAMPLES", "2"))
READS = {
    "kpi.x": ("sales.a", "sales.b"),
    "kpi.y": ("kpi.x",),
    "kpi.z": ("kpi.x", "kpi.y", "sales.b"),
    "mart.w": ("kpi.y", "kpi.z", "sales.a"),
}
JOBS = {"kpi": ("kpi.x", "kpi.z"), "kpi2": ("kpi.y",), "mart": ("mart.w",)}
TABLES = ("sales.a", "sales.b")
SOURCE = make_source(
    [make_table("a"), make_table("b")],
    [make_task(name.rpartition(".")[2], reads, name.partition(".")[0]) for name, reads in READS.items()],
)


class Warehouse:
    """The rows of each table, and what each command of a task has read."""

    def __init__(self) -> None:
        self.incoming: dict[str, list[int]] = {name: [] for name in TABLES}
        self.rows: dict[str, list[int]] = {name: [] for name in (*TABLES, *READS)}
        self.versions = dict.fromkeys(self.rows, 0)
        self.read: dict[str, dict[str, int]] = {}
        self.broken: set[str] = set()
        self.idle: list[str] = []
        self.by_hand = False

    def script(self, command: Any) -> Script | None:
        """What a command does."""
        if command.name == "load":
            tables = command.argv[command.argv.index("--tables") + 1].split(",")
            return Script([line for table in tables for line in self._load(table)])
        if command.name != "transform":
            return None
        task = command.argv[command.argv.index("--name") + 1]
        if task in self.broken:
            return Script(["26/01/01 ERROR Main: broken"], exit_code=1)
        read = {up: self.versions[up] for up in READS[task]}
        if read == self.read.get(task) and not self.by_hand:
            self.idle.append(task)
        self.read[task], self.versions[task] = read, self.versions[task] + 1
        self.rows[task] = sorted({row for up in READS[task] for row in self.rows[up]})
        return None

    def _load(self, table: str) -> Iterable[str]:
        name = f"sales.{table}"
        files, self.incoming[name] = self.incoming[name], []
        self.rows[name] += files
        self.versions[name] += bool(files)
        return loaded_lines("sales", table) if files else ()


class Lineage(RuleBasedStateMachine):
    """Deliveries, runs and evaluations in any order."""

    kind = "lineage"

    @initialize()
    def start(self) -> None:
        self.context = dg.instance_for_test()
        instance = self.context.__enter__()
        self.warehouse = Warehouse()
        home = {node: job for job, nodes in JOBS.items() for node in nodes}
        triggers = Triggers(
            {node: Trigger(node, self.kind, home[node], watch=Watch(any_of(*ups))) for node, ups in READS.items()},
            {job: Job(job, nodes) for job, nodes in JOBS.items()},
        )
        self.world = World(instance, SOURCE, triggers, runner=FakeRunner(self.warehouse.script))
        self.delivered = 0

    def teardown(self) -> None:
        if hasattr(self, "context"):
            self.context.__exit__(None, None, None)

    @rule(table=st.sampled_from(TABLES), load=st.booleans())
    def a_file_arrives(self, table: str, load: bool) -> None:
        self.delivered += 1
        self.warehouse.incoming[table].append(self.delivered)
        if load:
            self.world.by_hand(table)

    @rule(names=st.sets(st.sampled_from((*TABLES, *READS)), min_size=1))
    def a_person_materializes(self, names: set[str]) -> None:
        self.warehouse.by_hand = True
        self.world.by_hand(*sorted(names))
        self.warehouse.by_hand = False

    @rule()
    def the_sensors_are_evaluated(self) -> None:
        self.world.daemon()

    @rule(task=st.sampled_from(sorted(READS)))
    def a_task_breaks(self, task: str) -> None:
        self.warehouse.broken.add(task)

    @precondition(lambda self: self.warehouse.broken)
    @rule()
    def all_is_repaired(self) -> None:
        self.warehouse.broken.clear()

    @rule(task=st.sampled_from(sorted(READS)), end=st.sampled_from(["PIPELINE_FAILURE", "PIPELINE_CANCELED"]))
    def a_run_ends_before_it_starts(self, task: str, end: str) -> None:
        self.world.ends(self.world.in_progress(task), end)

    @rule()
    def it_becomes_quiet(self) -> None:
        """Deliveries are loaded, what is broken is repaired and updated again, and nothing is asked for any more."""
        self.warehouse.broken.clear()
        self.delivered += 1
        for table in TABLES:
            self.warehouse.incoming[table].append(self.delivered)
            self.world.by_hand(table)
        self.world.quiet()
        everything = list(range(1, self.delivered + 1))
        assert sorted({*self.warehouse.rows["sales.a"], *self.warehouse.rows["sales.b"]}) == everything
        found = {task: self.warehouse.rows[task] for task in READS}
        assert found == dict.fromkeys(READS, everything)
        assert self.warehouse.idle == [], "a run that was started read nothing new"
        assert len(set(self.warehouse.rows["sales.a"])) == len(self.warehouse.rows["sales.a"])


@pytest.mark.parametrize("kind", ["lineage", "condition"])
def test_when_it_is_quiet_every_table_has_the_rows_of_its_upstreams(kind):
    machine = type(f"Lineage_{kind}", (Lineage,), {"kind": kind})
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=8, deadline=None, suppress_health_check=checks, derandomize=True
        ),
    )
