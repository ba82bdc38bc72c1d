"""What a runner needs to take part in the suite: a `Subject` in `SUBJECTS` of a file `subject_*.py` beside this one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest

from starlake_dagster_assets.commands import build
from starlake_dagster_assets.commands.model import Command
from starlake_dagster_assets.conformance.stand_in_program import is_alive
from starlake_dagster_assets.execution.backends.protocol import Execution, Runner, StepAttempt
from tests.fakes.script import Scripted

__all__ = ["SECRET", "Deed", "Ledger", "Running", "ScriptedRunning", "Subject", "write_project"]

Deed = Literal["success", "part_failure", "all_failed", "no_file", "hang", "fails_later", "tells_secret"]
SECRET = "n0body-may-see-this"
_APPLICATION = f"""version: 1
application:
  connectionRef: duckdb
  connections:
    duckdb:
      type: jdbc
      options:
        url: "jdbc:duckdb:{{{{SL_ROOT}}}}/datasets/duckdb.db"
    crm: {{type: jdbc, options: {{url: "jdbc:postgresql://crm/x", user: sl, password: {SECRET}}}}}
"""
_TABLE = """version: 1
table:
  name: %(name)s
  pattern: "%(name)s.*\\\\.csv"
  metadata: {format: DSV, withHeader: true, separator: ","}
  attributes: [{name: id, type: int}]
"""


def write_project(root: Path) -> Path:
    """A project of two tables, with a password in its connections."""
    files = {"application.sl.yml": _APPLICATION, "load/sales/_config.sl.yml": "version: 1\nload:\n  name: sales\n"}
    files |= {f"load/sales/{name}.sl.yml": _TABLE % {"name": name} for name in ("orders", "customers")}
    for name, text in files.items():
        path = root / "metadata" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


class Ledger:
    """Executions that outlive a worker."""

    def __init__(self) -> None:
        self.open: dict[str, Execution] = {}

    def record(self, execution: Execution) -> None:
        self.open[execution.job_id] = execution

    def ended(self, execution: Execution, state: str) -> None:
        self.open.pop(execution.job_id, None)

    def unfinished(self, environment: str) -> list[Execution]:
        return [*self.open.values()]


class Running(Protocol):
    """An environment that is there for one test."""

    def prepare(self, deed: Deed, job_id: str = "job-1") -> Command:
        """Arranges what a command will find, and gives the command."""
        ...

    root: Path
    """Of the project."""
    faults: dict[str, Callable[[], None]]
    """What can be arranged: `outage`, `recovery`; of remote ones more."""

    def runner(self, attempt: StepAttempt | None = None, timeout: float | None = None) -> Runner:
        """A runner, as a worker that has just started makes it."""
        ...

    def processes(self) -> int:
        """How many executions there were."""
        ...

    def arguments(self) -> list[tuple[str, ...]]:
        """The argument lists of the programs that were started."""
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
        remote: Whether it drives a service: throttling, lost answers and take-over are then tried.
    """

    name: str
    open: Callable[[Path, pytest.MonkeyPatch], Any]
    remote: bool = False


_TABLES: dict[str, dict[str, dict[str, Any]]] = {
    "success": {"sales.orders": {"do": "load", "rows": 3}, "sales.customers": {"do": "load", "rows": 2}},
    "part_failure": {"sales.orders": {"do": "load", "rows": 3}, "sales.customers": {"do": "fail"}},
    "all_failed": {"sales.orders": {"do": "fail"}, "sales.customers": {"do": "fail"}},
    "no_file": {"sales.orders": {"do": "nothing"}, "sales.customers": {"do": "nothing"}},
    "hang": {"sales.orders": {"do": "hang"}},
    "tells_secret": {
        "sales.orders": {"do": "fail", "error": f"java.lang.X: {SECRET} is wrong"},
        "sales.customers": {"do": "load"},
    },
    "fails_later": {"sales.orders": {"do": "load", "seconds": 1.5}, "sales.customers": {"do": "load"}},
}


class ScriptedRunning:
    """An environment whose program is the scripted `starlake`.

    Args:
        work: Where its files are.
        make: From (attempt, timeout) to a runner.
    """

    def __init__(
        self, work: Path, make: Callable[[StepAttempt, float | None], Runner], **faults: Callable[[], None]
    ) -> None:
        self.scripted = Scripted(work / "scripted")
        self.root = write_project(work / "project")
        self._make = make
        self.faults = faults

    def prepare(self, deed: Deed, job_id: str = "job-1") -> Command:
        noise = [f"26/01/01 00:00:00 WARN Main: {SECRET}"] if deed == "tells_secret" else []
        self.scripted.tell(noise=noise).tables(_TABLES[deed])
        return build.load("sales", ["orders", "customers"], job_id=job_id)

    root: Path
    """Of the project."""
    faults: dict[str, Callable[[], None]]
    """What can be arranged: `outage`, `recovery`; of remote ones more."""

    def runner(self, attempt: StepAttempt | None = None, timeout: float | None = None) -> Runner:
        return self._make(attempt or StepAttempt("run-1", "step"), timeout)

    def processes(self) -> int:
        return len(self.scripted.calls())

    def arguments(self) -> list[tuple[str, ...]]:
        return [call.argv for call in self.scripted.calls()]

    def alive(self) -> bool:
        until = time.monotonic() + 20  # a process that is ending is seen a little longer
        while left := any(is_alive(call.pid) for call in self.scripted.calls()):
            if time.monotonic() > until:
                break
            time.sleep(0.01)
        return left
