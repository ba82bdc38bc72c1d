"""Protocol of every execution environment: start a command, read its lines, wait, cancel."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Protocol, runtime_checkable

from starlake_dagster_assets.commands.model import Command, CommandExit, Event, Line
from starlake_dagster_assets.execution.warehouse.reader import WarehouseReader
from starlake_dagster_assets.project.model.project import Table

__all__ = [
    "AdoptingRunner",
    "CloseableRunner",
    "Execution",
    "ExecutionLog",
    "FileReader",
    "ReportingHandle",
    "ReturnedFile",
    "RunHandle",
    "Runner",
    "RunnerCapabilities",
    "StepAttempt",
    "WarehouseLockingRunner",
    "WarehouseSharingRunner",
    "job_id_of",
]


class RunHandle(Protocol):
    """A command that was started."""

    def lines(self) -> Iterator[Line]:
        """Yields the lines of the command as they arrive; ends when the command has ended or was cancelled."""
        ...

    def wait(self) -> CommandExit:
        """Waits until the command has ended, and returns its exit; drops unread lines."""
        ...

    def cancel(self) -> None:
        """Ends the command and everything that it started, and waits for their end; idempotent."""
        ...


@runtime_checkable
class ReportingHandle(Protocol):
    """A command of an engine in this process, which reports events as objects; optional.

    Its lines are for people only: results come from the events.
    """

    def outputs(self) -> Iterator[Line | Event]:
        """Yields the lines and events of the command as they arrive; ends when it has ended or was cancelled."""
        ...


def job_id_of(handle: RunHandle, command: Command) -> str:
    """Returns the job id in the audit rows: that of the execution that a handle adopted, else that of the command."""
    return str(getattr(handle, "job_id", "") or command.job_id)


@dataclass(frozen=True)
class ReturnedFile:
    """Result of moving a file of a load back to `stage`.

    Attributes:
        name: Name in `stage`, changed if a newer file has the old name; empty if the file stays in `ingesting`.
        reason: Reason why the file stays in `ingesting`.
    """

    name: str = ""
    reason: str = ""


class FileReader(Protocol):
    """Protocol of the reader that lists the files of loads in the areas of `SL_DATASETS`: the capability `files`."""

    failure: str
    """Reason why the files cannot be listed; empty if they can."""

    def list_files(self, area: Literal["incoming", "stage", "ingesting"], domain: str) -> Mapping[str, str] | None:
        """Returns the marks of the files of a domain by name; None if they cannot be listed.

        `incoming` is the directory that `stage` takes the files of the domain from.
        A mark begins with the size in bytes and a NUL character. It changes whenever the file is written.
        """
        ...

    def archived(self, domain: str, names: Collection[str]) -> Mapping[str, str] | None:
        """Returns the marks of the given files that are in `archive`; None if that cannot be read."""
        ...

    def put_back(self, table: Table, names: Collection[str]) -> Mapping[str, ReturnedFile]:
        """Moves files of a table from `ingesting` to `stage`, for the next load. No file there is overwritten.

        Returns:
            What became of each file that was in `ingesting`, by its name there.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class RunnerCapabilities:
    """Optional capabilities of a runner; by default, a runner has none of them.

    Attributes:
        runs_program: Whether commands are run by the Starlake program, instead of an engine in this process.
        has_lossless_log: Whether no line of a command can be lost before it is read.
        reports_tables_early: Whether results are yielded as tables are loaded, and facts of the warehouse once the
            command has ended; otherwise both are yielded at its end.
        counts_partitions: Whether loads count the rows of each partition that they write (`audit.partitions`).
        replaces_partitions: Whether transforms delete and insert a partition in one transaction
            (`partition_write=replace`).
        uses_spark: Whether the Spark properties of a command have an effect.
        overrides_of: Returns the environment's settings of a table from its tags; None if it has none per table.
        files: Lists the files of loads in the areas of `SL_DATASETS`; None if this process does not see them.
        argv_bytes: Bytes that the names in one command may take; None if the environment sets no limit of its own.
        secrets: Secret values that commands know and that are never shown.
    """

    runs_program: bool = False
    has_lossless_log: bool = False
    reports_tables_early: bool = False
    counts_partitions: bool = False
    replaces_partitions: bool = False
    uses_spark: bool = False
    overrides_of: Callable[[Sequence[str]], tuple[str, ...]] | None = None
    files: FileReader | None = None
    argv_bytes: int | None = None
    secrets: frozenset[str] = field(default=frozenset(), repr=False)


class Runner(Protocol):
    """An execution environment."""

    @property
    def capabilities(self) -> RunnerCapabilities:
        """Optional capabilities, which may depend on the options of the runner."""
        ...

    def start(self, command: Command) -> RunHandle:
        """Starts a command; raises `RunnerError` if the command cannot be started."""
        ...

    def warehouse_reader(self) -> WarehouseReader | None:
        """Returns the reader of the project's warehouse, or None if the environment has none."""
        ...


@runtime_checkable
class CloseableRunner(Protocol):
    """A runner that keeps a resource between commands, such as a warm JVM or a cluster; optional."""

    def close(self) -> None:
        """Releases the resources that are kept between commands, at the end of the step; idempotent.

        Raises:
            RunnerError: Names what could not be released. The results of the step stand.
        """
        ...


@runtime_checkable
class WarehouseSharingRunner(CloseableRunner, Protocol):
    """A runner that can keep the warehouse open between commands and shares it with its reader; optional."""

    def keep_open(self) -> None:
        """Keeps the warehouse open until `close`, for a caller that calls `close`; idempotent."""
        ...


@runtime_checkable
class WarehouseLockingRunner(Protocol):
    """A runner that can keep the warehouse to itself between commands, as a warm JVM does with a DuckDB file."""

    @property
    def is_locking_warehouse(self) -> bool:
        """Whether no other process can read the warehouse now."""
        ...

    def release(self) -> None:
        """Releases the warehouse for other processes."""
        ...


@runtime_checkable
class AdoptingRunner(Protocol):
    """A runner whose commands outlive the process that started them; optional."""

    def unfinished(self) -> Sequence[Command]:
        """Returns the commands of earlier attempts of the step whose results were not reported, oldest first.

        `start` of one of them follows it again instead of submitting it.
        """
        ...


# --------------------------------------------------------------------------------------- who requests a command


@dataclass(frozen=True)
class Execution:
    """Execution of a command in a remote environment.

    Attributes:
        environment: `dataproc`, `cloud_run`, `fargate`, …
        id: Its id in the environment; "" while it is being submitted.
        argv: The command.
        job_id: `SL_JOB_ID` of the command, and its idempotency key.
        url: URL of the execution's page, for people.
    """

    environment: str
    id: str
    argv: tuple[str, ...]
    job_id: str
    url: str = ""


class ExecutionLog(Protocol):
    """Record of remote executions that outlives the process that started them."""

    def record(self, execution: Execution) -> None:
        """Records an execution: before it is submitted, and again as soon as it has an id."""
        ...

    def ended(self, execution: Execution, state: str) -> None:
        """Records that the results of an execution were reported, so that no later attempt adopts it."""
        ...

    def unfinished(self, environment: str) -> Sequence[Execution]:
        """Returns the executions of earlier attempts of this step whose end was not recorded, oldest first."""
        ...


class _NoExecutionLog:
    """Execution log that records nothing: outside Dagster, no later attempt reads it."""

    def record(self, execution: Execution) -> None:
        """Ignores the execution."""

    def ended(self, execution: Execution, state: str) -> None:
        """Ignores the execution."""

    def unfinished(self, environment: str) -> Sequence[Execution]:
        """Returns no executions."""
        return ()


@dataclass(frozen=True)
class StepAttempt:
    """Attempt of a step of a run, with which a remote environment labels its executions.

    Attributes:
        run_id: Id of the run.
        step: Name of the step.
        number: 0 for the first attempt.
        labels: Other properties of the run, such as the code location and the partition.
        execution_log: Log in which executions are recorded.
        other_steps_ended: Whether no other step of the run is running or still to be started.
    """

    run_id: str = ""
    step: str = ""
    number: int = 0
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    execution_log: ExecutionLog = field(default_factory=_NoExecutionLog, repr=False)
    other_steps_ended: Callable[[], bool] = field(default=lambda: True, repr=False)

    @property
    def is_recorded(self) -> bool:
        """Whether executions are recorded, so that a later attempt finds those whose results are not reported."""
        return not isinstance(self.execution_log, _NoExecutionLog)
