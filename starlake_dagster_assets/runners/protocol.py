"""What every execution environment offers: start a command, read its lines, wait, cancel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from starlake_dagster_assets.command.model import AuditRow, Command, ExpectationRow, Line, RunResult
from starlake_dagster_assets.project.model import Expectation

__all__ = ["ExpectationWitness", "LoadWitness", "RejectionWitness", "RunHandle", "Runner", "Witness", "is_live"]


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


@runtime_checkable
class RejectionWitness(Protocol):
    """A witness that can also show refused rows; optional."""

    def rejected(self, job_id: str, domain: str, table: str, limit: int) -> Sequence[str]:
        """At most `limit` texts (ERROR) of `audit.rejected` with that JOBID, DOMAIN and SCHEMA."""
        ...


@runtime_checkable
class LoadWitness(Protocol):
    """A witness that finds the newest load of a table; optional."""

    def last_load(self, domain: str, table: str) -> Sequence[AuditRow]:
        """The LOAD rows of `audit.audit` of the newest JOBID with that DOMAIN and SCHEMA; none when there was none."""
        ...


@runtime_checkable
class ExpectationWitness(Protocol):
    """A witness that can evaluate expectations on a table as it is, without making it; optional."""

    def evaluate(self, schema: str, table: str, expectations: Sequence[Expectation]) -> Sequence[ExpectationRow] | None:
        """One row an expectation; None when the table does not exist."""
        ...


def is_live(witness: Witness | None) -> bool:
    """Whether a witness can be read while a command still runs: it says so with a true attribute `live`."""
    return bool(getattr(witness, "live", False))


class Runner(Protocol):
    """An execution environment."""

    def start(self, command: Command) -> RunHandle:
        """Starts a command; raises `RunnerError` when it cannot be started at all."""
        ...

    def witness(self) -> Witness | None:
        """The reader of the audit tables, or None where the environment has none."""
        ...
