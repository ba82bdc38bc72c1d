"""Lineage over rows: random deliveries, runs by hand, failures, cancellations, retries, restarts and partitions.

The rows are in DuckDB: a load inserts what was delivered, a task reads its upstreams when its command runs. Whatever
happens, when nothing is asked for any more, every table has the rows that its upstreams have, no row was appended
twice, no run that was started read nothing new, and every reason was true.

STARLAKE_MODEL_EXAMPLES=200 runs more of it, STARLAKE_MODEL_SEED=random other examples each time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

import dagster as dg
import duckdb
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from starlake_dagster_assets import StarlakeTranslator
from starlake_dagster_assets.automation.policies.model import AllOf, Job, Trigger, Triggers, UpstreamCondition
from starlake_dagster_assets.dagster_assets.steps.step_updates import is_automatic
from starlake_dagster_assets.project.model.project import WriteStrategy
from starlake_dagster_assets.testing import FakeRunner, Script, loaded_lines
from tests.automation.definitions.lineage_sensors.conftest import World, any_of, key_of
from tests.dagster_assets.conftest import make_source, make_table, make_task

EXAMPLES = int(os.environ.get("STARLAKE_MODEL_EXAMPLES", "3"))
STEPS = int(os.environ.get("STARLAKE_MODEL_STEPS", "12"))
PICK = st.integers(0, 26)
DAYS = ("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04")
READS = {
    "kpi.x": ("sales.a", "sales.b"),
    "kpi.y": ("kpi.x",),
    "kpi.z": ("kpi.x", "kpi.y", "sales.b"),
    "mart.w": ("kpi.y", "kpi.z", "sales.a"),
    "kpi.q": ("sales.p",),
    "mart.r": ("kpi.q", "kpi.x"),
    "mart.t": ("kpi.q", "sales.p"),
    "mart.h": ("sales.d",),
}
WATCHES = {
    **{task: any_of(*ups) for task, ups in READS.items()},
    "mart.w": AllOf((any_of("kpi.y", "kpi.z"), any_of("kpi.z", "sales.a"))),
}
PARTITIONED = ("sales.p", "kpi.q", "mart.t")
SPANS = {"mart.t": {"2024-01-01": DAYS[:2], "2024-01-03": DAYS[2:]}}
"""Days of each partition of the tasks whose partitions have several; the keys are those of their first day."""
APPENDED = "mart.h"
TABLES = ("sales.a", "sales.b")
HOMES = (
    {
        "kpi": ("kpi.x", "kpi.z"),
        "kpi2": ("kpi.y",),
        "mart": ("mart.w", "mart.r"),
        "q": ("kpi.q",),
        "h": ("mart.h",),
        "t": ("mart.t",),
    },
    {"all": ("kpi.x", "kpi.y", "kpi.z", "mart.w"), "daily": ("kpi.q", "mart.t"), "rest": ("mart.r", "mart.h")},
)
"""Jobs before and after a restart."""
CONDITIONS = {
    "lineage": (),
    "condition": tuple(READS),
    "both": ("kpi.y", "mart.w", "kpi.q"),
    "others": ("mart.t", "kpi.x", "mart.h"),
}
_HAS_READ = re.compile(r"(\S+) was last materialized at [^;]*?, which (\S+?)(?: \[(\S+)\])? has read")
_NEVER = re.compile(r"(\S+) was never materialized[;.]")
_IN_PROGRESS = re.compile(r"run (\S+) \(\w+ since [^)]*\)")
_ENDED = re.compile(r"Run (\S+) of \S+(?: \[\S+\])? (failed|was canceled|succeeded|is in progress)")
INTERVAL = "select * from sales.d where day >= '{{ sl_start_date }}' and day < '{{ sl_end_date }}'"


def _task(name: str) -> Any:
    domain, _, stem = name.partition(".")
    strategy = {APPENDED: "APPEND", "kpi.q": "OVERWRITE_BY_PARTITION", "mart.t": "OVERWRITE_BY_PARTITION"}.get(
        name, "OVERWRITE"
    )
    more = {"sql": INTERVAL} if name == APPENDED else {}
    return make_task(stem, READS[name], domain, write_strategy=WriteStrategy(type=strategy), **more)


SOURCE = make_source([make_table(name) for name in "abdp"], [_task(name) for name in READS])


def _days(task: str, partition: str) -> tuple[str, ...]:
    """The days of a partition."""
    return SPANS.get(task, {}).get(partition, (partition,))


class Daily(StarlakeTranslator):
    """Two nodes with partitions of a day, one with partitions of two days."""

    def get_partitions_def(self, node):
        if node.id in SPANS:
            every = "0 0 1-31/2 * *"
            return dg.TimeWindowPartitionsDefinition(DAYS[0], "%Y-%m-%d", end="2024-01-05", cron_schedule=every)
        is_daily = node.id in PARTITIONED
        return dg.DailyPartitionsDefinition(DAYS[0], end_date="2024-01-05") if is_daily else None


class Warehouse:
    """The rows of each table in DuckDB, and what each command of a task has read."""

    def __init__(self) -> None:
        self.database = duckdb.connect()
        for name in ("sales.a", "sales.b", "sales.p", "sales.d", *READS):
            self.database.execute(f"create schema if not exists {name.partition('.')[0]}")
            self.database.execute(f"create table {name} (id integer, day varchar)")
        self.incoming: dict[str, list[int]] = {name: [] for name in TABLES}
        self.versions: dict[tuple[str, str], int] = {}
        self.read: dict[tuple[str, str], dict[tuple[str, str], int]] = {}
        self.broken: set[str] = set()
        self.interrupted: set[str] = set()
        self.idle: list[str] = []
        self.by_hand = False
        self.was_hurt = False

    def rows(self, table: str) -> list[Any]:
        """Ids and days, sorted."""
        return self.database.execute(f"select id, day from {table} order by all").fetchall()

    def insert(self, table: str, number: int, day: str = "") -> None:
        """A row."""
        self.database.execute(f"insert into {table} values (?, ?)", [number, day])

    def updated(self, node: str, partition: str = "") -> None:
        """The node has another content."""
        self.versions[node, partition] = self.versions.get((node, partition), 0) + 1

    def script(self, command: Any) -> Script | None:
        """What a command does."""
        if command.name == "load":
            tables = command.argv[command.argv.index("--tables") + 1].split(",")
            return Script([line for table in tables for line in self._load(table)])
        if command.name != "transform":
            return None
        task = command.argv[command.argv.index("--name") + 1]
        if task in self.interrupted:
            self.interrupted.discard(task)
            self.was_hurt = True
            return Script([], error=DagsterExecutionInterruptedError())
        if task in self.broken:
            self.was_hurt = True
            return Script(["26/01/01 ERROR Main: broken"], exit_code=1)
        given = command.argv[command.argv.index("--options") + 1] if "--options" in command.argv else ""
        self._transform(task, dict(part.split("=", 1) for part in given.split(",") if part))
        return None

    def _transform(self, task: str, options: dict[str, str]) -> None:
        partition = options.get("sl_partition_key", "") if task in PARTITIONED else ""
        first, last = (options.get(f"sl_{end}_date", "")[:10] for end in ("start", "end"))
        is_range = task in PARTITIONED and not partition and first
        before, is_idle = len(self.rows(task)), not self.by_hand
        keys = list(SPANS.get(task, DAYS))
        for part in [key for key in keys if first <= key < last] if is_range else [partition]:
            read = {one: version for one, version in self.versions.items() if self._is_read(task, part, one)}
            is_idle &= read == self.read.get((task, part))
            self.read[task, part] = read
            self.updated(task, part)
        if task == APPENDED:
            start, end = options.get("sl_start_date", ""), options.get("sl_end_date", "9999")
            query = "insert into mart.h select * from sales.d where day >= ? and day < ?"
            self.database.execute(query, [start[:10], end[:10]])
            is_idle = len(self.rows(task)) == before
        else:
            ups = " union ".join(f"select id, day from {up}" for up in READS[task])
            days = ", ".join(f"'{day}'" for day in _days(task, partition))
            where = f"where day in ({days})" if partition else ""
            self.database.execute(f"delete from {task} {where}")
            self.database.execute(f"insert into {task} select * from ({ups}) {where}")
        if is_idle:
            self.idle.append(f"{task} {partition}")

    @staticmethod
    def _is_read(task: str, partition: str, one: tuple[str, str]) -> bool:
        return one[0] in READS[task] and (not partition or one[1] in _days(task, partition))

    def _load(self, table: str) -> Iterable[str]:
        name = f"sales.{table}"
        files, self.incoming[name] = self.incoming.get(name, []), []
        for number in files:
            self.insert(name, number)
        if files:
            self.updated(name)
        return loaded_lines("sales", table) if files else ()

    def expected(self, task: str) -> list[Any]:
        """The rows that a task must have, by what its upstreams have."""
        rows = [row for up in READS[task] for row in self.rows(up)]
        return sorted(rows if task == APPENDED else set(rows))


class Lineage(RuleBasedStateMachine):
    """Deliveries, runs and evaluations in any order."""

    kind = "lineage"

    @initialize(split=st.sampled_from(("project", "group")))
    def start(self, split: Any = "project") -> None:
        self.split = split
        self.instance = dg.DagsterInstance.ephemeral()
        self.warehouse = Warehouse()
        self.delivered, self.days, self.restarts = 0, list(range(1, 28)), 0
        self.queued: list[dg.DagsterRun] = []
        self.late: set[tuple[int, str]] = set()
        self.lost = False
        """Whether a run has failed or was canceled, which is not repeated for the same update."""
        self._define()

    def _define(self) -> None:
        jobs = HOMES[self.restarts % 2]
        home = {node: job for job, nodes in jobs.items() for node in nodes}
        owners = {node: "condition" if node in CONDITIONS[self.kind] else "lineage" for node in READS}
        watches = {node: UpstreamCondition(one, all_history=node in PARTITIONED) for node, one in WATCHES.items()}
        triggers = Triggers(
            {node: Trigger(node, owners[node], home[node], upstream_condition=watches[node]) for node in READS},
            {job: Job(job, nodes) for job, nodes in jobs.items()},
            status="RUNNING",
        )
        runner = FakeRunner(self.warehouse.script)
        self.world = World(
            self.instance, SOURCE, triggers, runner=runner, translator=Daily(), heard=self._heard, split=self.split
        )

    def teardown(self) -> None:
        if hasattr(self, "instance"):
            self.instance.dispose()

    def _number(self) -> int:
        self.delivered += 1
        return self.delivered

    # ---------------------------------------------------------------------------------------------------- deliveries

    @rule(table=st.sampled_from(TABLES), load=st.booleans())
    def a_file_arrives(self, table: str, load: bool) -> None:
        self.warehouse.incoming[table].append(self._number())
        if load:
            self.world.by_hand(table)

    @rule(day=st.sampled_from(DAYS))
    def a_partition_is_loaded(self, day: str) -> None:
        self.warehouse.insert("sales.p", self._number(), day)
        self.warehouse.updated("sales.p", day)
        self.world.made("sales.p", partition=day)

    @precondition(lambda self: self.days)
    @rule(pick=PICK)
    def a_day_is_loaded(self, pick: int = 0) -> None:
        """Once each, in any order."""
        day = self.days.pop(pick % len(self.days))
        self.warehouse.insert("sales.d", self._number(), f"2024-01-{day:02}")
        self.warehouse.updated("sales.d")
        interval = f"2024-01-{day:02}T00:00:00+00:00/2024-01-{day + 1:02}T00:00:00+00:00"
        self.world.made("sales.d", metadata={"starlake/data_interval": interval})

    @precondition(lambda self: len(self.days) < 27)
    @rule(pick=PICK)
    def a_day_gets_another_file(self, pick: int = 0) -> None:
        """Once it was appended, its row is missing, which a failed run says."""
        loaded = sorted(set(range(1, 28)) - set(self.days))
        day = loaded[pick % len(loaded)]
        self.late.add((self._number(), f"2024-01-{day:02}"))
        self.warehouse.insert("sales.d", self.delivered, f"2024-01-{day:02}")
        self.warehouse.updated("sales.d")
        interval = f"2024-01-{day:02}T00:00:00+00:00/2024-01-{day + 1:02}T00:00:00+00:00"
        self.world.made("sales.d", metadata={"starlake/data_interval": interval})

    @precondition(lambda self: len(self.days) > 3)
    @rule()
    def days_are_loaded_after_an_outage(self) -> None:
        """In one load, whose interval covers them all."""
        first = max((day for day in range(1, 26) if {day, day + 1, day + 2} <= set(self.days)), default=0)
        if first:
            for day in range(first, first + 3):
                self.days.remove(day)
                self.warehouse.insert("sales.d", self._number(), f"2024-01-{day:02}")
            self.warehouse.updated("sales.d")
            interval = f"2024-01-{first:02}T00:00:00+00:00/2024-01-{first + 3:02}T00:00:00+00:00"
            self.world.made("sales.d", metadata={"starlake/data_interval": interval})

    # ------------------------------------------------------------------------------------------------------- by hand

    @rule(names=st.sets(st.sampled_from((*TABLES, "kpi.x", "kpi.y", "kpi.z", "mart.w", "mart.r")), min_size=1))
    def a_person_materializes(self, names: set[str]) -> None:
        self._by_hand(*sorted(names))

    @rule(day=st.sampled_from(DAYS))
    def a_person_backfills(self, day: str) -> None:
        self._by_hand("kpi.q", partition=day)

    @rule(days=st.sampled_from(sorted(SPANS["mart.t"])))
    def a_person_backfills_two_days(self, days: str) -> None:
        self._by_hand("mart.t", partition=days)

    @rule(pick=PICK)
    def a_person_appends_a_day(self, pick: int = 0) -> None:
        days = sorted(set(self.warehouse.expected(APPENDED)) - set(self.warehouse.rows(APPENDED)))
        if days:
            number = int(days[pick % len(days)][1][-2:])
            ends = {"start": number, "end": number + 1}
            tags = {f"starlake/data_interval_{end}": f"2024-01-{day:02}T00:00:00+00:00" for end, day in ends.items()}
            self._by_hand(APPENDED, tags=tags)

    def _by_hand(self, *names: str, **more: Any) -> None:
        self.warehouse.by_hand = True
        self.lost |= not self.world.by_hand(*names, **more).success
        self.warehouse.by_hand = False

    # ------------------------------------------------------------------------------------------------ runs and ticks

    @rule()
    def the_sensors_are_evaluated(self) -> None:
        self.world.daemon()
        self._note_failures()

    @rule()
    def runs_are_requested_and_wait_in_the_queue(self) -> None:
        runs = [self.world.queue(name, request) for name, request in self.world.requests()]
        self.queued += [run for run in runs if run is not None]

    @precondition(lambda self: self.queued)
    @rule(pick=PICK)
    def a_run_leaves_the_queue(self, pick: int = 0) -> None:
        self._execute(self.queued.pop(pick % len(self.queued)))
        self._note_failures()

    @precondition(lambda self: self.queued)
    @rule(pick=PICK)
    def a_run_in_the_queue_is_canceled(self, pick: int = 0) -> None:
        run = self.queued.pop(pick % len(self.queued))
        self.instance.report_run_canceled(run)
        self.lost = True

    @rule(task=st.sampled_from(sorted(set(READS) - set(PARTITIONED))), end=st.sampled_from(["FAILURE", "CANCELED"]))
    def a_run_ends_before_it_starts(self, task: str, end: str) -> None:
        self.world.ends(self.world.in_progress(task), f"PIPELINE_{end}")
        self.lost = True

    @rule(task=st.sampled_from(sorted(READS)))
    def a_task_breaks(self, task: str) -> None:
        self.warehouse.broken.add(task)

    @rule(task=st.sampled_from(sorted(READS)))
    def a_run_will_be_interrupted(self, task: str) -> None:
        self.warehouse.interrupted.add(task)

    @precondition(lambda self: self.warehouse.broken)
    @rule()
    def all_is_repaired(self) -> None:
        self.warehouse.broken.clear()

    @rule()
    def the_newest_run_is_retried(self) -> None:
        """As the daemon does with a run that has failed: what it has materialized is not repeated."""
        records = self.instance.get_run_records(limit=1)
        if records and records[0].dagster_run.status is dg.DagsterRunStatus.FAILURE:
            run = records[0].dagster_run
            root = run.root_run_id or run.run_id
            tags = {**run.tags, "dagster/parent_run_id": run.run_id, "dagster/root_run_id": root}
            tags |= {"dagster/retry_number": "1", "dagster/is_asset_resume_retry": "true"}
            job = run.job_name
            if self.world.repository.has_job(job):
                chosen = run.asset_selection
                more = {"parent_run_id": run.run_id, "root_run_id": root}
                self.queued.append(self.world.create(job, chosen, tags, **more))

    def _execute(self, run: dg.DagsterRun) -> None:
        """A retry of a run by hand is one by hand: it may read nothing new."""
        self.warehouse.by_hand = not is_automatic(run)
        self.world.execute(run)
        self.warehouse.by_hand = False

    @rule()
    def the_code_location_is_restarted(self) -> None:
        """Other jobs, other sensors, and no cursor."""
        for run in self.queued:
            self.instance.report_run_canceled(run)
            self.lost = True
        self.queued.clear()
        self.restarts += 1
        self._define()

    def _note_failures(self) -> None:
        """Notes tasks that failed, and those whose step was skipped since another task of the run failed."""
        self.lost |= self.warehouse.was_hurt
        self.warehouse.was_hurt = False
        for run in self.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]), limit=3):
            kind = dg.DagsterEventType.ASSET_MATERIALIZATION
            records = self.instance.get_records_for_run(run.run_id, of_type=kind).records
            made = {record.event_log_entry.dagster_event.asset_key for record in records}
            self.lost |= bool((run.asset_selection or set()) - made - {key_of(APPENDED)})

    # ------------------------------------------------------------------------------------------------------ invariants

    def _heard(self, reason: str) -> None:
        """Every reason is true."""
        for up, target, partition in _HAS_READ.findall(reason):
            read = self.warehouse.read.get((target, partition), {})
            for one, number in self.warehouse.versions.items():
                if one[0] == up and (not partition or one[1] in _days(target, partition)):
                    assert read.get(one) == number, reason
        for node in _NEVER.findall(reason):
            assert not any(one[0] == node for one in self.warehouse.versions), reason
        for run in _IN_PROGRESS.findall(reason):
            assert not self.instance.get_run_by_id(run).is_finished, reason
        for run, state in _ENDED.findall(reason):
            status = self.instance.get_run_by_id(run).status.value
            said = {"FAILURE": "failed", "CANCELED": "was canceled", "SUCCESS": "succeeded"}
            assert said.get(status, "is in progress") == state, reason

    @rule()
    def it_rests(self) -> None:
        """Nothing is asked for any more; where no run was lost, that is all that there is to do."""
        while self.queued:
            self._execute(self.queued.pop(0))
        self.world.quiet()
        self._note_failures()
        self._check(self.lost)

    @rule()
    def it_becomes_quiet(self) -> None:
        """What is broken is repaired, everything is updated again, and nothing is asked for any more."""
        self.warehouse.broken.clear()
        self.warehouse.interrupted.clear()
        while self.queued:
            self._execute(self.queued.pop(0))
        for table in TABLES:
            self.warehouse.incoming[table].append(self._number())
            self.world.by_hand(table)
        for day in DAYS:
            self.a_partition_is_loaded(day)
        if self.days:
            day = self.days.pop(0)
            self.warehouse.insert("sales.d", self._number(), f"2024-01-{day:02}")
            self.warehouse.updated("sales.d")
            interval = f"2024-01-{day:02}T00:00:00+00:00/2024-01-{day + 1:02}T00:00:00+00:00"
            self.world.made("sales.d", metadata={"starlake/data_interval": interval})
        self.world.quiet()
        self.lost = self.warehouse.was_hurt = False
        self._check(lost=not self.days)

    def _check(self, lost: bool) -> None:
        appended = self.warehouse.rows(APPENDED)
        assert len(appended) == len(set(appended)), "a row was appended twice"
        assert self.warehouse.idle == [], "a run that was started read nothing new"
        if not lost:
            found = {task: self.warehouse.rows(task) for task in READS}
            expected = {task: self.warehouse.expected(task) for task in READS}
            missing = set(expected[APPENDED]) - set(found[APPENDED])
            if missing:
                assert missing <= self.late
                (run,) = self.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]), limit=1)
                assert run is not None, "a failed run says that rows are missing"
                found[APPENDED] = expected[APPENDED]
            assert found == expected


def run(kind: str, examples: int = EXAMPLES) -> None:
    machine = type(f"Lineage_{kind}", (Lineage,), {"kind": kind})
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=checks,
            phases=[Phase.generate, *([Phase.shrink] if "STARLAKE_MODEL_SHRINK" in os.environ else [])],
            derandomize=os.environ.get("STARLAKE_MODEL_SEED") != "random",
            database=None,
        ),
    )


@pytest.mark.parametrize("kind", sorted(CONDITIONS))
def test_when_it_is_quiet_every_table_has_the_rows_of_its_upstreams(kind):
    run(kind)


def test_a_retry_does_not_repeat_what_another_run_has_appended():
    machine = Lineage()
    machine.start()
    machine.a_day_is_loaded()
    machine.a_task_breaks(APPENDED)
    machine.the_sensors_are_evaluated()
    machine.all_is_repaired()
    machine.the_newest_run_is_retried()
    machine.a_person_appends_a_day()
    machine.a_run_leaves_the_queue()
    machine.it_rests()
    assert machine.warehouse.rows(APPENDED) == machine.warehouse.expected(APPENDED)
    machine.teardown()


def test_a_load_after_an_outage_of_which_a_person_has_appended_a_day_is_appended_as_a_whole():
    machine = Lineage()
    machine.start()
    machine.days_are_loaded_after_an_outage()
    machine.a_person_appends_a_day(pick=2)
    machine.the_code_location_is_restarted()
    machine.it_rests()
    assert machine.warehouse.rows(APPENDED) == machine.warehouse.expected(APPENDED)
    machine.teardown()


def test_a_queued_run_does_not_repeat_a_partition_for_another_partition_of_its_upstream():
    """The days of `mart.t` that the queued run is for were materialized by hand; `kpi.q` got another day since."""
    machine = Lineage()
    machine.start()
    machine.it_becomes_quiet()
    machine.a_partition_is_loaded(day="2024-01-01")
    machine.the_sensors_are_evaluated()
    machine.runs_are_requested_and_wait_in_the_queue()
    assert machine.queued
    machine.a_person_backfills_two_days(days="2024-01-01")
    machine.a_partition_is_loaded(day="2024-01-04")
    machine.a_person_backfills(day="2024-01-04")
    machine.it_rests()
    machine.teardown()


def test_a_retry_of_a_run_by_hand_may_read_nothing_new():
    machine = type("Lineage_condition", (Lineage,), {"kind": "condition"})()
    machine.start()
    machine.it_becomes_quiet()
    machine.a_run_ends_before_it_starts(end="FAILURE", task="mart.w")
    machine.the_newest_run_is_retried()
    machine.a_run_leaves_the_queue()
    machine.it_becomes_quiet()
    machine.teardown()
