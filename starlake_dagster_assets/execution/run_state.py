"""State of one run: its executor, its job ids, and the nodes whose dependents cannot run."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.commands.model import Command
from starlake_dagster_assets.execution.backends.protocol import Runner
from starlake_dagster_assets.execution.command_executor import CommandExecutor
from starlake_dagster_assets.execution.evidence import TableResult
from starlake_dagster_assets.execution.expectation_checks import CheckResult, NamedExpectation, named_expectations
from starlake_dagster_assets.execution.expectation_results import ExpectationResults, blocking_failures
from starlake_dagster_assets.execution.outcome import FailedCommand, FinalOutcome, Outcome, RunSettings
from starlake_dagster_assets.graph.model import Node

__all__ = ["CommandRun", "RunState"]


@dataclass(frozen=True)
class CommandRun:
    """A command as typed, the job id of its audit rows, its duration for one node, and its exit code."""

    command: str
    job_id: str
    seconds: float
    exit_code: int | None


class RunState:
    """State that the loads and transforms of one run share.

    Args:
        source: The project.
        runner: Runs the commands.
        settings: Settings of the run.
    """

    def __init__(self, source: ProjectSource, runner: Runner, settings: RunSettings) -> None:
        self.source = source
        self.settings = settings
        self.executor = CommandExecutor(runner, settings, audited=source.model.application.audit.active)
        self.unusable: dict[str, str] = {}
        """Reason why the nodes that read a node are not run, by node id."""
        self._expectations = ExpectationResults(self.executor, source.model.application)
        self._count = 0

    def job_id(self) -> str:
        """Returns the job id of the next command."""
        self._count += 1
        return f"{self.settings.job_prefix}-{self._count}"

    def warn_of_files(self) -> None:
        """Logs once why the files of loads cannot be listed."""
        reader = self.executor.files
        if reader is not None and reader.failure:
            self.executor.warn(f"the files of loads cannot be listed: {reader.failure}")

    def warn_of_expectations(self) -> None:
        """Logs once which expectations have no result."""
        self._expectations.warn()

    def execution(self, command: Command, seconds: float) -> CommandRun:
        """Returns the last command as typed, with its job id, duration and exit code."""
        typed = self.executor.redact(shlex.join(("starlake", *command.argv)))
        job_id = self.executor.job_id or command.job_id
        return CommandRun(typed, job_id, seconds, self.executor.ending.exit_code)

    def expectations(self, node: Node) -> Sequence[NamedExpectation]:
        """Returns the expectations of a table or task."""
        return named_expectations(node, self.source.model.application)

    def blocks(self, node: Node) -> bool:
        """Whether a table or task has an expectation that blocks it on failure."""
        return any(one.blocking for one in self.expectations(node))

    def noted(
        self, items: Iterator[Outcome | FinalOutcome | FailedCommand]
    ) -> Generator[Outcome | FinalOutcome | FailedCommand, None, None]:
        """Yields the items, and records the nodes whose downstream nodes are not run."""
        why = {"failed": "failed", "skipped": "was not run"}
        if self.settings.policies.unknown_result == "fail":
            why["unknown"] = "has an unknown result"
        for item in items:
            if isinstance(item, Outcome) and item.status in why:
                self.unusable[item.node.id] = why[item.status]
            yield item

    def outcome(self, node: Node, verdict: TableResult, ran: CommandRun, *, is_final: bool) -> Outcome:
        """Returns the outcome of a table or task, with the results of its expectations.

        Args:
            node: The table or task.
            verdict: Its result.
            ran: Its command.
            is_final: Whether the warehouse can be read now.
        """
        named, job_id = self.expectations(node), verdict.job_id or ran.job_id
        status = "materialized" if verdict.status == "loaded" else verdict.status
        outcome = Outcome(
            node,
            status,
            _without_name(node, self.executor.redact(verdict.reason)),
            files=verdict.files,
            input=verdict.input,
            accepted=verdict.accepted,
            rejected=verdict.rejected,
            seconds=ran.seconds,
            job_id=job_id,
            is_final=is_final,
            command=ran.command,
            exit_code=ran.exit_code,
            evidence=verdict.evidence,
            warnings=verdict.warnings,
            landed=verdict.landed,
        )
        if not is_final or status == "unknown":
            return replace(outcome, is_final=True) if status == "unknown" else outcome
        if status == "nothing":
            return self.with_current_checks(outcome, named)
        if status == "failed":
            return replace(outcome, checks=self._expectations.of_failed(node, named, job_id))
        checks = self._expectations.of(node, named, job_id, ended=verdict.archived or ran.exit_code == 0)
        rejection_messages = self._rejection_messages(node, outcome)
        broken = blocking_failures(checks)
        if not broken:
            return replace(outcome, checks=checks, rejection_messages=rejection_messages)
        status, reason = _status_of_broken(checks), self.executor.redact(broken)
        return replace(outcome, status=status, reason=reason, checks=checks, rejection_messages=rejection_messages)

    def with_current_checks(self, outcome: Outcome, named: Sequence[NamedExpectation]) -> Outcome:
        """Adds expectations, evaluated on the current state of the table, to an outcome `nothing`."""
        checks = self.executor.evaluate_now(outcome.node, named) if named else None
        if checks is None:
            return outcome
        if broken := blocking_failures(checks):
            reason = self.executor.redact(f"{outcome.reason}; {broken}")
            return replace(outcome, status=_status_of_broken(checks), reason=reason, checks=checks)
        return replace(outcome, checks=checks)

    def _rejection_messages(self, node: Node, outcome: Outcome) -> tuple[str, ...]:
        if not outcome.rejected or node.table is None:
            return ()
        return self.executor.rejection_messages(outcome.job_id, node.table)


def _status_of_broken(checks: Sequence[CheckResult]) -> Literal["failed", "unknown"]:
    """Returns the status of a node whose blocking expectations are broken: "unknown" if none is known to fail."""
    failed = any(check.expectation.blocking and not (check.passed or check.unknown) for check in checks)
    return "failed" if failed else "unknown"


def _without_name(node: Node, reason: str) -> str:
    """Removes the node's name from the start of a reason, because messages contain the name already."""
    for name in (node.raw, node.id):
        reason = reason.removeprefix(f"{name}: ") if name else reason
    return reason
