"""What every execution environment offers: start a command, read its lines, wait, cancel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from starlake_dagster_assets.command.model import AuditRow, Command, ExpectationRow, Line, RunResult

__all__ = ["RunHandle", "Runner", "Witness"]


class RunHandle(Protocol):
    """One command that was started."""

    def lines(self) -> Iterator[Line]:
        """Its lines as they come; ends when the command has ended or was cancelled."""
        ...

    def wait(self) -> RunResult:
        """Blocks until the command has ended. Lines not read are dropped."""
        ...

    def cancel(self) -> None:
        """Ends the command and everything it started; idempotent, returns when nothing of it is left."""
        ...


class Witness(Protocol):
    """Reads the audit tables of the warehouse: the second witness of what a command did."""

    def audit(self, job_id: str) -> Sequence[AuditRow]:
        """The rows of `audit.audit` with that JOBID."""
        ...

    def expectations(self, job_id: str) -> Sequence[ExpectationRow]:
        """The rows of `audit.expectations` with that JOBID."""
        ...

    def columns(self, schema: str, table: str) -> Sequence[tuple[str, str]]:
        """Name and warehouse type of each column of a table or view; empty when it does not exist."""
        ...

    def row_count(self, schema: str, table: str) -> int | None:
        """The number of rows of a table or view; None when it does not exist."""
        ...


class Runner(Protocol):
    """An execution environment."""

    def start(self, command: Command) -> RunHandle:
        """Starts a command; raises `RunnerError` when it cannot be started at all."""
        ...

    def witness(self) -> Witness | None:
        """The reader of the audit tables, or None where the environment has none."""
        ...
