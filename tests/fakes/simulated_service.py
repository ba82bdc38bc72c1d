"""A service in memory, with a clock of its own: thousands of executions in seconds, with every fault by chance.

It does what services document: answers that are lost after their effect, throttling, refusals, outages, executions that
are not visible at once, log lines that are late, lost or out of order, a program that ends between two tables.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from threading import Event

from starlake_dagster_assets.commands.model import AuditRow, ExpectationRow, Line
from starlake_dagster_assets.execution.backends.remote.protocol import ErrorClass, Status, Submission
from starlake_dagster_assets.execution.warehouse.reader import WarehouseReader

__all__ = ["Faults", "Killed", "SimulatedReader", "SimulatedService", "SimulatedTime"]


class Killed(BaseException):
    """The worker is gone: nothing of it is run any more."""


class SimulatedTime:
    """A clock that pauses move on. A worker that is to be killed is killed in a pause."""

    def __init__(self) -> None:
        self.now = 0.0
        self.kill_at: float | None = None
        self.cancel_at: float | None = None
        self.dead = False

    def read(self) -> float:
        return self.now

    def pause(self, event: Event, seconds: float) -> bool:
        self.alive()
        self.now += max(seconds, 0.001)
        if self.kill_at is not None and self.now >= self.kill_at:
            self.kill_at, self.dead = None, True
        if self.cancel_at is not None and self.now >= self.cancel_at:
            self.cancel_at = None
            raise KeyboardInterrupt
        self.alive()
        return event.is_set()

    def alive(self) -> None:
        if self.dead:
            raise Killed


@dataclass
class Faults:
    """Chances of what goes wrong.

    Attributes:
        lost_answer: RunJob takes effect, and its answer is lost.
        refused: A call is refused for now, before its effect.
        denied: A poll is denied.
        outage: Begin and end of a time without any answer.
        invisible: Seconds until an execution can be seen.
        lag: Longest delay of a line in seconds.
        loss: A line never comes.
        log_errors: A read of the log fails.
        crash: The program ends before its end.
        fails: A table fails.
    """

    lost_answer: float = 0.0
    refused: float = 0.0
    denied: float = 0.0
    outage: tuple[float, float] = (0.0, 0.0)
    invisible: float = 0.0
    lag: float = 0.0
    loss: float = 0.0
    log_errors: float = 0.0
    crash: float = 0.0
    fails: float = 0.0


class _Error(Exception):
    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass
class _Execution:
    """One execution: what it does and when."""

    name: str
    key: str
    begin: float
    end: float
    code: int
    lands: list[tuple[float, str]]
    lines: list[tuple[float, str]] = field(default_factory=list)
    """When a line can be read, and its text, in the order of the program."""
    cancelled: bool = False


class SimulatedService:
    """The service and the warehouse behind it.

    Args:
        random: Decides on everything.
        time: The clock.
        faults: What goes wrong.
        files: Tables that have a file.
    """

    name = "simulated"

    def __init__(self, random: Random, time: SimulatedTime, faults: Faults, files: Sequence[str]) -> None:
        self.random, self.time, self.faults = random, time, faults
        self.files = set(files)
        self.executions: dict[str, _Execution] = {}
        self.broken: list[str] = []
        """Rules that were broken."""

    # ------------------------------------------------------------------------------------------- what happened

    def landed(self) -> dict[str, str]:
        """Tables whose rows are there, with the job id that wrote them."""
        return {
            table: one.key
            for one in self.executions.values()
            for moment, table in one.lands
            if moment <= min(self.time.now, one.end)
        }

    def running(self) -> list[str]:
        """Executions that have not ended."""
        return [one.name for one in self.executions.values() if one.end > self.time.now]

    # ------------------------------------------------------------------------------------------------- service

    def submit(self, submission: Submission) -> str:
        self._call()
        if self.random.random() < self.faults.refused:
            raise _Error("retry")
        submission.confirm()
        if running := self.running():
            self.broken.append(f"{submission.key} was started while {running} ran")
        execution = self._execution(submission)
        self.executions[execution.name] = execution
        if self.random.random() < self.faults.lost_answer:
            raise _Error("ambiguous")
        return execution.name

    def find(self, submission: Submission) -> str | None:
        self._call()
        found = [one for one in self.executions.values() if one.key == submission.key]
        return found[0].name if found and self._visible(found[0]) else None

    def status(self, execution: str) -> Status:
        self._call()
        if self.random.random() < self.faults.denied:
            raise _Error("denied")
        one = self.executions[execution]
        if not self._visible(one):
            return Status("lost")
        if one.end > self.time.now:
            return Status("running")
        if one.cancelled:
            return Status("cancelled", None, "cancelled")
        return Status("succeeded", 0) if one.code == 0 else Status("failed", one.code, f"exit {one.code}")

    def logs(self, execution: str, cursor: str | None) -> tuple[Sequence[Line], str | None]:
        self._call()
        if self.random.random() < self.faults.log_errors:
            raise _Error(self.random.choice(["retry", "ambiguous", "denied"]))
        one = self.executions[execution]
        seen = set(json.loads(cursor)) if cursor else set()
        there = [index for index, (moment, _) in enumerate(one.lines) if moment <= self.time.now]
        fresh = sorted((index for index in there if index not in seen), key=lambda index: one.lines[index][0])
        if cursor is None:
            fresh.sort()
        return [Line(one.lines[index][1]) for index in fresh], json.dumps(there)

    def cancel(self, execution: str) -> None:
        self._call()
        one = self.executions[execution]
        if self._visible(one) and one.end > self.time.now:
            one.end, one.cancelled = self.time.now, True
            one.lines = [(moment, text) for moment, text in one.lines if moment <= self.time.now]

    def classify_error(self, error: Exception) -> ErrorClass:
        kind = getattr(error, "kind", "fatal")
        return ErrorClass(kind, f"{kind} error")

    def refresh(self) -> None:
        self.time.alive()

    def close(self) -> None:
        return

    # ------------------------------------------------------------------------------------------------- details

    def _call(self) -> None:
        self.time.alive()
        begin, end = self.faults.outage
        if begin <= self.time.now < end:
            raise _Error("ambiguous")

    def _visible(self, one: _Execution) -> bool:
        return self.time.now - one.begin >= self.faults.invisible

    def _execution(self, submission: Submission) -> _Execution:
        random, argv = self.random, submission.command.argv
        name = f"execution-{len(self.executions) + 1}"
        moment = self.time.now + random.uniform(1, 20)
        lands: list[tuple[float, str]] = []
        texts: list[tuple[float, str]] = []
        failed: list[str] = []
        crashed = False
        if argv[0] == "load":
            values = dict(pairwise(argv))
            for table in values["--tables"].split(","):
                if table not in self.files:
                    continue
                if random.random() < self.faults.crash:
                    crashed = True
                    break
                texts.append(
                    (moment, f"INFO IngestionWorkflow: Ingest resolved file : {table}.csv as table sales.{table}")
                )
                moment += random.uniform(1, 20)
                self.files.discard(table)  # it is in ingesting, and no later load takes it up
                if random.random() < self.faults.fails:
                    failed.append(table)
                    texts.append((moment, f"ERROR IngestionWorkflow: {table} is not readable"))
                    continue
                lands.append((moment, table))
                counts = "input: 3, accepted: 3, rejected:0"
                summary = f"files: [gs://b/{table}.csv], domain: sales, schema: {table}, {counts}"
                texts.append((moment, f"INFO IngestionAudit$: ingestion-summary -> {summary}"))
        code = 137 if crashed else 1 if failed else 0
        if not crashed:
            if argv[0] == "load":
                end = "Some tables failed to be loaded" if failed else "All tables loaded successfully"
                texts.append((moment, f"INFO IngestionWorkflow: {end}"))
            end = "Starlake failed to execute command with args" if failed else "INFO Main: Successfully"
            texts.append((moment, f"{end} {' '.join(argv)}"))
        lines = [
            (when + random.uniform(0, self.faults.lag), f"{text}")
            for when, text in texts
            if random.random() >= self.faults.loss
        ]
        return _Execution(name, submission.key, self.time.now, moment + 0.5, code, lands, lines)


class SimulatedReader(WarehouseReader):
    """Reads the audit of the simulated warehouse.

    Args:
        service: The service.
    """

    supports_concurrent_reads = True

    def __init__(self, service: SimulatedService) -> None:
        self._service = service

    def audit(self, job_id: str) -> Sequence[AuditRow]:
        return [
            AuditRow(job_id, f"gs://b/{table}.csv", "sales", table, True, 3, 3, 0, 1000, "", step)
            for table, key in self._service.landed().items()
            if key == job_id
            for step in ("LOAD", "TRANSFORM")
        ]

    def expectations(self, job_id: str) -> Sequence[ExpectationRow]:
        return ()

    def columns(self, schema: str, table: str) -> Sequence[tuple[str, str]]:
        return ()

    def row_count(self, schema: str, table: str) -> int | None:
        return 3 if table in self._service.landed() else None
