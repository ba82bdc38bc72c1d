"""Rows against verdicts, over thousands of executions with faults by chance: see `tests.fakes.simulated_service`."""

import random as pauses
from collections import Counter
from random import Random
from typing import Any

import pytest

from starlake_dagster_assets.errors import UnreachableError
from starlake_dagster_assets.execution import outcome as outcomes
from starlake_dagster_assets.execution.backends.protocol import StepAttempt
from starlake_dagster_assets.execution.backends.remote.calls import TimeSource
from starlake_dagster_assets.execution.backends.remote.protocol import Policy
from starlake_dagster_assets.execution.backends.remote.runner import RemoteRunner
from starlake_dagster_assets.execution.outcome import Outcome, RunSettings
from starlake_dagster_assets.execution.run_selection import execute_selection
from starlake_dagster_assets.starlake_project import StarlakeProject
from tests.conformance.subject import Ledger, write_project
from tests.fakes.simulated_service import Faults, Killed, SimulatedReader, SimulatedService, SimulatedTime

TABLES = ("orders", "customers")
ATTEMPTS = 4
HAS_EVIDENCE = hasattr(outcomes, "PreviousLoad")
"""Whether results name their evidence: only then is a table without a line unknown."""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    directory = tmp_path_factory.mktemp("simulated")
    return StarlakeProject(write_project(directory / "project"), cache_dir=directory / "cache")


def chance(random: Random, most: float) -> float:
    return random.choice([0.0, random.uniform(0, most)])


def some_faults(random: Random) -> Faults:
    begin = random.uniform(0, 60)
    return Faults(
        lost_answer=chance(random, 0.5),
        refused=chance(random, 0.5),
        denied=chance(random, 0.3),
        outage=random.choice([(0.0, 0.0), (begin, begin + random.uniform(0, 900))]),
        invisible=random.choice([0.0, random.uniform(0, 30)]),
        lag=random.choice([0.0, random.uniform(0, 90)]),
        loss=chance(random, 0.2),
        log_errors=chance(random, 0.5),
        crash=chance(random, 0.2),
        fails=chance(random, 0.3),
    )


class Run:
    """One run of a step of two tables, with its retries.

    Args:
        project: The project.
        seed: Decides on everything.
    """

    def __init__(self, project: StarlakeProject, seed: int) -> None:
        self.random = Random(seed)
        pauses.seed(seed)
        self.project = project
        self.time = SimulatedTime()
        files = [table for table in TABLES if self.random.random() < 0.8]
        self.service = SimulatedService(self.random, self.time, some_faults(self.random), files)
        self.reader = SimulatedReader(self.service) if self.random.random() < 0.5 else None
        self.ledger = Ledger()
        self.reported: dict[str, str] = {}
        self.ended_badly: list[Outcome] = []
        self.green = self.cancelled = False
        self.wrong: list[str] = []

    def play(self) -> None:
        for number in range(ATTEMPTS):
            ends = self.time.now + self.random.uniform(0, 120)
            self.time.kill_at = ends if self.random.random() < 0.3 else None
            self.time.cancel_at = ends if self.time.kill_at is None and self.random.random() < 0.1 else None
            try:
                self.attempt(number)
            finally:
                self.time.kill_at = self.time.cancel_at = None
            if self.green or self.cancelled:
                break
        self._judge()

    def attempt(self, number: int) -> None:
        self.time.dead = False
        try:
            self._attempt(number)
        except (Killed, UnreachableError):
            pass
        except KeyboardInterrupt:
            self.cancelled = True

    def _attempt(self, number: int) -> None:
        policy = Policy(poll=5, outage=600, starting=300, grace=60, settle=60, longest_pause=10)
        clock = TimeSource(self.time.read, self.time.pause)
        runner = RemoteRunner(
            self.service,
            StepAttempt("run", "step", number, execution_log=self.ledger),
            policy,
            self.reader,
            clock=clock,
        )
        wanted = [f"sales.{table}" for table in TABLES if self.reported.get(table) != "materialized"]
        settings = RunSettings(
            job_prefix=f"job-{number}", again=number > 0, report_after_command=False, **self._previous_attempts(number)
        )
        failed = False
        for item in execute_selection(self.project, wanted, runner, settings):
            outcome = item if isinstance(item, Outcome) else getattr(item, "outcome", None)
            if outcome is None:  # a command that failed although none of its tables did
                failed = True
                continue
            table = outcome.node.id.partition(".")[2]
            self.time.alive()
            self.reported[table] = outcome.status
            if outcome.status in ("failed", "unknown"):
                self.ended_badly.append(outcome)
            if outcome.status == "materialized" and table not in self.service.landed():
                self.wrong.append(f"{table} is materialized without rows")
            failed = failed or outcome.status not in ("materialized", "nothing")
        self.green = not failed

    def _previous_attempts(self, number: int) -> dict[str, Any]:
        """What the event log knows of the attempts before."""
        if not HAS_EVIDENCE:
            return {}
        taken: dict[str, Any] = {}
        for one in self.ended_badly:
            before = taken.get(one.node.id, outcomes.PreviousLoad())
            unknown = before.unknown or one.status == "unknown"
            taken[one.node.id] = outcomes.PreviousLoad((*before.files, *one.files), unknown)
        return {"previous_loads": taken, "previous_jobs": tuple(f"job-{one}" for one in range(number))}

    def _judge(self) -> None:
        self.wrong += self.service.broken
        if self.green and HAS_EVIDENCE:
            landed = self.service.landed()
            self.wrong += [
                f"{table} is {self.reported.get(table)} with rows"
                for table in landed
                if self.reported.get(table) != "materialized"
            ]
        if self.green and (running := self.service.running()):
            self.wrong.append(f"green while {running} run")
        if self.cancelled and (running := self.service.running()) and not self._out_of_reach():
            self.wrong.append(f"cancelled while {running} run")

    def _out_of_reach(self) -> bool:
        begin, end = self.service.faults.outage
        return begin <= self.time.now < end + 300


def played(project: StarlakeProject, seeds: range) -> tuple[Counter[str], list[str]]:
    statuses: Counter[str] = Counter()
    wrong: list[str] = []
    for seed in seeds:
        run = Run(project, seed)
        run.play()
        statuses.update(run.reported.values())
        statuses["executions"] += len(run.service.executions)
        wrong += [f"seed {seed}: {text}" for text in run.wrong]
    return statuses, wrong


@pytest.mark.parametrize("part", range(4))
def test_rows_and_verdicts_agree(project, part):
    statuses, wrong = played(project, range(part * 100, part * 100 + 100))
    assert not wrong
    assert statuses["executions"] > 100
