"""Runs one Starlake command for an op, an asset or the body of a step."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import uuid4

import dagster as dg

from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.commands.model import AuditRow, Command, CommandFailed, Event, Line, TableFailed
from starlake_dagster_assets.commands.redaction import redact, secrets_of
from starlake_dagster_assets.dagster_assets.steps.command_log import line_listener
from starlake_dagster_assets.errors import CommandError
from starlake_dagster_assets.execution.backends.protocol import Runner, StepAttempt
from starlake_dagster_assets.execution.command_executor import CommandExecutor
from starlake_dagster_assets.execution.outcome import RunSettings

__all__ = ["StarlakeCommandResult", "build_command", "failure_of", "run_command"]

_ERROR = re.compile(r"(?:^|[\s\[])(?:ERROR|FATAL)\b|^Error: |^Exception in thread")
_LONGEST = 2000


@dataclass(frozen=True)
class StarlakeCommandResult:
    """Result of one Starlake command.

    Attributes:
        argv: The command and its arguments, redacted.
        exit_code: Exit code of the program; None if it did not start, was cancelled, or its end is unknown.
        job_id: `SL_JOB_ID`, the job id of its rows in the audit tables.
        seconds: Its duration.
        lines: Its output, redacted.
        events: Loaded and failed tables that the output names.
        audit_rows: Its rows of `audit.audit`; None if the environment cannot read the warehouse.
        error: The first error of the program; empty when it succeeded.
    """

    argv: tuple[str, ...]
    exit_code: int | None
    job_id: str
    seconds: float
    lines: tuple[str, ...] = field(repr=False)
    events: tuple[Event, ...] = field(repr=False)
    audit_rows: tuple[AuditRow, ...] | None = field(repr=False)
    error: str = ""

    @property
    def success(self) -> bool:
        """Whether the program returned 0 and reported no failure."""
        return not self.error


def build_command(args: Sequence[str], project: ProjectSource, attempt: StepAttempt) -> Command:
    """Builds a command from a list of arguments.

    Args:
        args: The name of the command, then its arguments.
        project: The project, whose secrets are redacted.
        attempt: The step that runs the command, if any.

    Raises:
        CommandError: When `args` is not a list of texts, or is empty.
    """
    texts = cast("Sequence[object]", args)
    if isinstance(args, str) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise CommandError(
            f"starlake.command: {args!r} is not a list of texts. Pass the command and each argument as one item, such "
            'as ["transform", "--name", "kpi.revenue"].'
        )
    prefix = f"{attempt.run_id}-{attempt.step}-{attempt.number}-" if attempt.run_id else ""
    job_id = f"{prefix}command-{uuid4().hex[:8]}"
    return Command(cast("Any", args[0]), tuple(args[1:]), {"SL_JOB_ID": job_id}, secrets_of(project.model), job_id)


def run_command(command: Command, runner: Runner, log: Any) -> StarlakeCommandResult:
    """Runs a command to its end; an interruption cancels it.

    Args:
        command: The command.
        runner: Runner of the command. A warehouse that it keeps locked between commands is released afterwards.
        log: The log of a Dagster context.

    Returns:
        The result.
    """
    lines: list[str] = []
    listen = line_listener(log)

    def take(line: Line) -> None:
        lines.append(line.text)
        listen(line)

    secrets = command.secrets | runner.capabilities.secrets
    executor = CommandExecutor(runner, RunSettings(job_prefix=command.job_id, secrets=secrets, on_line=take))
    try:
        ending = executor.complete(command)
        output = tuple(lines)
        if executor.is_warehouse_locked:
            executor.release()
        job_id = executor.job_id or command.job_id
        rows = executor.audit(job_id)
    finally:
        executor.close()
    result = ending.result
    exit_code = result.exit_code if result is not None else None
    return StarlakeCommandResult(
        argv=tuple(redact(text, secrets) for text in command.argv),
        exit_code=exit_code,
        job_id=job_id,
        seconds=result.seconds if result is not None else 0.0,
        lines=output,
        events=tuple(ending.events),
        audit_rows=None if rows is None else tuple(rows),
        error=_first_error(exit_code, output, ending.events)[:_LONGEST],
    )


def failure_of(result: StarlakeCommandResult) -> dg.Failure:
    """Returns the exception for a command that failed."""
    typed = shlex.join(("starlake", *result.argv))[:_LONGEST]
    metadata = {"starlake/command": typed, "starlake/job_id": result.job_id, "starlake/error": result.error}
    code = "it did not run to its end" if result.exit_code is None else f"exit code {result.exit_code}"
    return dg.Failure(f"`{typed}` failed ({code}): {result.error}", metadata=metadata)


def _first_error(exit_code: int | None, lines: Sequence[str], events: Sequence[Event]) -> str:
    """Returns the first error that the program reported; empty for a success."""
    failures = [event.error for event in events if isinstance(event, (TableFailed, CommandFailed))]
    if exit_code == 0 and not failures:
        return ""
    reported = next((text for text in lines if _ERROR.search(text)), "")
    return reported or next((text for text in failures if text), "") or f"exit code {exit_code}"
