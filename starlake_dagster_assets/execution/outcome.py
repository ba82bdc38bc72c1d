"""Result of a run per table and task, for Dagster steps and the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Literal

from starlake_dagster_assets.commands.model import Line
from starlake_dagster_assets.commands.partitions import PartitionInfo
from starlake_dagster_assets.execution.evidence import Evidence
from starlake_dagster_assets.execution.expectation_checks import CheckResult
from starlake_dagster_assets.graph.model import Node

__all__ = [
    "FailedCommand",
    "FinalOutcome",
    "NotReady",
    "Outcome",
    "PreviousLoad",
    "ResultPolicies",
    "RunSettings",
    "TaskOptions",
]

TaskOptions = (
    Mapping[str, str] | Callable[[Node], Mapping[str, str]] | Callable[[Node, PartitionInfo | None], Mapping[str, str]]
)
"""Variables of transforms (`--options`): the same for all, or a function of the node or of the node and partition."""

_EMPTY: Mapping[str, str] = MappingProxyType({})


def _ignore(line: Line) -> None:
    """Ignores a line."""


def _no_overrides(node: Node) -> tuple[str, ...]:
    return ()


def _plain_spark(node: Node) -> Mapping[str, str]:
    """Returns no Spark properties."""
    return _EMPTY


@dataclass(frozen=True)
class NotReady:
    """Reason for which a table is not loaded now.

    Attributes:
        reason: One sentence.
        failed: Whether that is a failure, because it is unknown whether the files exist.
    """

    reason: str
    failed: bool = False


def _no_environment(node: Node) -> Mapping[str, str]:
    """Returns no variables."""
    return _EMPTY


_NONE_NOT_READY: Mapping[str, NotReady] = MappingProxyType({})


def _no_jobs(node: Node) -> tuple[str, ...]:
    return ()


def _all_ready(nodes: Sequence[Node]) -> Mapping[str, NotReady]:
    """Returns an empty mapping: all tables are ready."""
    return _NONE_NOT_READY


@dataclass(frozen=True)
class Outcome:
    """Result of one table or task.

    Attributes:
        node: The table or task.
        status: `materialized`; `failed`; `nothing` (no file was there); `skipped` (something it reads failed);
            `unknown` (no evidence).
        reason: Why, for all but `materialized`.
        files: The files loaded.
        input: Rows read; None if unknown, as for a task.
        accepted: Rows accepted.
        rejected: Rows rejected.
        rejection_messages: A few of the messages of rejected rows.
        seconds: Duration in seconds.
        job_id: Job id of its audit rows.
        checks: Results of its expectations.
        is_final: False while its command still runs: a `FinalOutcome` follows.
        command: The command as typed.
        exit_code: Exit code of the command; None if it has not ended, was cancelled or lost.
        evidence: Evidence of the status.
        warnings: Problems of a table that was materialized.
        landed: Rows of other files that are in a table whose load failed.
    """

    node: Node
    status: Literal["materialized", "failed", "nothing", "skipped", "unknown"]
    reason: str = ""
    files: tuple[str, ...] = ()
    input: int | None = None
    accepted: int | None = None
    rejected: int | None = None
    rejection_messages: tuple[str, ...] = ()
    seconds: float = 0.0
    job_id: str = ""
    checks: tuple[CheckResult, ...] = ()
    is_final: bool = True
    command: str = ""
    exit_code: int | None = None
    evidence: Evidence = Evidence.NONE
    warnings: tuple[str, ...] = ()
    landed: int = 0


@dataclass(frozen=True)
class FailedCommand:
    """A command that failed although none of its tables did.

    Attributes:
        nodes: Its tables.
        reason: Exit code and first error.
        command: The command as typed.
        exit_code: None if it was lost.
    """

    nodes: tuple[Node, ...]
    reason: str
    command: str = ""
    exit_code: int | None = None


@dataclass(frozen=True)
class PreviousLoad:
    """A load of a table by a previous attempt that did not end well.

    Attributes:
        files: Files that it took.
        unknown: Its result is unknown.
    """

    files: tuple[str, ...] = ()
    unknown: bool = False


@dataclass(frozen=True)
class FinalOutcome:
    """Outcome with its checks, after the command of an outcome that was reported early has ended."""

    outcome: Outcome


@dataclass(frozen=True)
class ResultPolicies:
    """Handling of results that are neither a success nor the failure of a table.

    Attributes:
        unknown_result: A table or task without evidence of its result: `fail` the step, or `warn`. It is not
            materialized in either case.
        failed_command: A load that failed although none of its tables did: `fail` the step once its tables are
            materialized, or `warn`.
    """

    unknown_result: Literal["fail", "warn"] = "fail"
    failed_command: Literal["fail", "warn"] = "fail"


@dataclass(frozen=True)
class RunSettings:
    """Settings of a run.

    Attributes:
        job_prefix: Job ids are `<prefix>-<n>`; unique for the run.
        options: Variables of transforms (`--options`).
        scheduled_date: `--scheduledDate` of every load and transform; None = the end of its data interval.
        window: Start and end of the data interval of the run, for the transforms' `sl_…` variables: as the clocks of
            its own time zone show them, so that `cast(… as date)` is the day that people there mean.
        intervals: Data intervals of transforms by node id, if they differ from that of the run.
        partition: The partitions that the run is for; their keys are variables of the transforms.
        environment: Environment variables of the transform of a node.
        invalid_tasks: By node id, why a task is not run now; it fails with that reason.
        secrets: Values that are redacted.
        again: An earlier attempt of the same run did not end well.
        previous_loads: By node id, loads of previous attempts that did not end well.
        policies: What to do about unknown results and failed commands.
        previous_jobs: Prefixes of the job ids of previous attempts of the same run.
        unreported_jobs: Returns the prefixes of the job ids of runs that ended without a result for a table, since its
            last result: its rows may be in the warehouse.
        report_after_command: Report a load only once its command has ended, so that the warehouse can be read.
        truncate: Empty the tables of APPEND transforms before they are written (`--truncate true`).
        on_line: Called with every line, redacted.
        spark: Spark properties of a node; tables that share them are loaded together.
        overrides: Settings of the execution environment for a node; tables that share them are loaded together.
        not_ready: Called before the tables of a domain are loaded: by node id, why a table is not loaded now.
    """

    job_prefix: str
    options: Mapping[str, str] | Callable[[Node], Mapping[str, str]] = field(default_factory=lambda: _EMPTY)
    scheduled_date: datetime | None = None
    window: tuple[datetime, datetime] | None = None
    intervals: Mapping[str, tuple[datetime, datetime]] = field(default_factory=lambda: MappingProxyType({}))
    partition: PartitionInfo | None = None
    environment: Callable[[Node], Mapping[str, str]] = _no_environment
    invalid_tasks: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    again: bool = False
    previous_loads: Mapping[str, PreviousLoad] = field(default_factory=lambda: MappingProxyType({}))
    policies: ResultPolicies = ResultPolicies()
    previous_jobs: tuple[str, ...] = ()
    unreported_jobs: Callable[[Node], tuple[str, ...]] = _no_jobs
    report_after_command: bool = False
    truncate: bool = False
    on_line: Callable[[Line], None] = _ignore
    spark: Callable[[Node], Mapping[str, str]] = _plain_spark
    overrides: Callable[[Node], tuple[str, ...]] = _no_overrides
    not_ready: Callable[[Sequence[Node]], Mapping[str, NotReady]] = _all_ready

    def task_options(self, node: Node) -> Mapping[str, str]:
        """Returns the options of a transform: the user's, and those of the data interval, if any."""
        given = self.options(node) if callable(self.options) else self.options
        given = {**(self.partition.variables() if self.partition is not None else {}), **given}
        interval = self.interval(node)
        if interval is None:
            return given
        start, end = (moment.strftime("%Y-%m-%dT%H:%M:%S") for moment in interval)
        window = {
            "sl_start_date": start,
            "sl_end_date": end,
            "sl_data_interval_start": start,
            "sl_data_interval_end": end,
        }
        return {**window, **given}

    def interval(self, node: Node) -> tuple[datetime, datetime] | None:
        """Returns the data interval of a table or task; None if it has none."""
        return self.intervals.get(node.id) or self.window

    def scheduled(self, node: Node) -> datetime | None:
        """Returns the time of `--scheduledDate`: as configured, else the end of the data interval."""
        interval = self.interval(node)
        return self.scheduled_date or (interval[1] if interval is not None else None)
