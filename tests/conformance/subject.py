"""What a runner needs to take part in the suite: a `Subject` in `SUBJECTS` of a file `subject_*.py` beside this one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest

from starlake_dagster_assets.command import build
from starlake_dagster_assets.command.model import Command
from starlake_dagster_assets.runners.protocol import Attempt, Execution, Runner
from tests.fakes.script import Scripted, alive

__all__ = ["Deed", "Ledger", "Running", "ScriptedRunning", "Subject"]

Deed = Literal["success", "part_failure", "all_failed", "no_file", "hang", "fails_later"]


class Ledger:
    """Executions that outlive a worker."""

    def __init__(self) -> None:
        self.open: dict[str, Execution] = {}

    def record(self, execution: Execution) -> None:
        self.open[execution.job_id] = execution

    def ended(self, execution: Execution, state: str) -> None:
        self.open.pop(execution.job_id, None)

    def find(self, environment: str, argv: Any) -> Execution | None:
        return next((one for one in self.open.values() if one.argv == tuple(argv)), None)


class Running(Protocol):
    """An environment that is there for one test."""

    def prepare(self, deed: Deed, job_id: str = "job-1") -> Command:
        """Arranges what a command will find, and gives the command."""
        ...

    def runner(self, attempt: Attempt | None = None, timeout: float | None = None) -> Runner:
        """A runner, as a worker that has just started makes it."""
        ...

    def processes(self) -> int:
        """How many executions there were."""
        ...

    def alive(self) -> bool:
        """Whether anything that was started still runs."""
        ...


@dataclass(frozen=True)
class Subject:
    """A runner that takes part.

    Attributes:
        name: In the names of the tests.
        open: From a directory to the environment.
        times_out: Whether it has a timeout.
        remote: Whether it drives a service: outages, lost answers and take-over are then tried; `outage` and
            `lost_answer` of what `open` gives arrange them.
    """

    name: str
    open: Callable[[Path, pytest.MonkeyPatch], Any]
    times_out: bool = True
    remote: bool = False


_TABLES: dict[str, dict[str, dict[str, Any]]] = {
    "success": {"sales.orders": {"do": "load", "rows": 3}, "sales.customers": {"do": "load", "rows": 2}},
    "part_failure": {"sales.orders": {"do": "load", "rows": 3}, "sales.customers": {"do": "fail"}},
    "all_failed": {"sales.orders": {"do": "fail"}, "sales.customers": {"do": "fail"}},
    "no_file": {"sales.orders": {"do": "nothing"}, "sales.customers": {"do": "nothing"}},
    "hang": {"sales.orders": {"do": "hang"}},
    "fails_later": {"sales.orders": {"do": "load", "seconds": 1.5}, "sales.customers": {"do": "load"}},
}


class ScriptedRunning:
    """An environment whose program is the scripted `starlake`.

    Args:
        work: Where its files are.
        make: From (attempt, timeout) to a runner.
    """

    def __init__(
        self, work: Path, make: Callable[[Attempt, float | None], Runner], **faults: Callable[[], None]
    ) -> None:
        self.scripted = Scripted(work / "scripted")
        self._make = make
        self.faults = faults

    def prepare(self, deed: Deed, job_id: str = "job-1") -> Command:
        self.scripted.tables(_TABLES[deed])
        return build.load("sales", ["orders", "customers"], job_id=job_id)

    def runner(self, attempt: Attempt | None = None, timeout: float | None = None) -> Runner:
        return self._make(attempt or Attempt("run-1", "step"), timeout)

    def processes(self) -> int:
        return len(self.scripted.calls())

    def alive(self) -> bool:
        until = time.monotonic() + 2  # a process that is ending is seen a little longer
        while left := any(alive(call.pid) for call in self.scripted.calls()):
            if time.monotonic() > until:
                break
            time.sleep(0.01)
        return left
