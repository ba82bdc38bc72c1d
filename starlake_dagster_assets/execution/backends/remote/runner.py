"""Runs commands in a remote environment: each is submitted once, or adopted from an earlier attempt."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from starlake_dagster_assets.commands.build import with_options
from starlake_dagster_assets.commands.model import Command
from starlake_dagster_assets.errors import CommandError, RunnerError
from starlake_dagster_assets.execution.backends.protocol import Execution, FileReader, RunnerCapabilities, StepAttempt
from starlake_dagster_assets.execution.backends.remote.calls import TimeSource
from starlake_dagster_assets.execution.backends.remote.handle import RemoteHandle
from starlake_dagster_assets.execution.backends.remote.protocol import Environment, Policy, validate_no_secret_options
from starlake_dagster_assets.execution.backends.remote.response_validation import classify_error
from starlake_dagster_assets.execution.warehouse.reader import WarehouseReader

__all__ = ["RemoteHandle", "RemoteRunner"]


@dataclass
class _State:
    """State of a runner between commands."""

    handles: list[RemoteHandle] = field(default_factory=list[RemoteHandle])
    previous_executions: dict[str, Execution] | None = None
    """Executions of earlier attempts by job id; None before the execution log was read."""
    over: set[str] = field(default_factory=set[str])
    """Job ids of the previous executions that are known to have ended."""
    unreleased: list[str] = field(default_factory=list[str])
    """Reasons why executions that have ended could not be released."""


@dataclass(frozen=True)
class RemoteRunner:
    """Runner of commands in a remote environment.

    Attributes:
        environment: The service.
        attempt: The attempt that requests the commands.
        policy: Intervals and deadlines for the polling of executions.
        reader: Reader of the warehouse; None if there is none.
        options: Variables of every command; its own `--options` take precedence.
        clock: Source of the time.
        files: Lists the files of loads; None if this process does not see them.
    """

    environment: Environment
    attempt: StepAttempt = field(default_factory=StepAttempt)
    policy: Policy = field(default_factory=Policy)
    reader: WarehouseReader | None = None
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    clock: TimeSource = field(default_factory=TimeSource)
    files: FileReader | None = None
    _state: _State = field(default_factory=_State, init=False, repr=False, compare=False)

    @property
    def capabilities(self) -> RunnerCapabilities:
        """Capabilities of every remote environment, with the optional members of this one."""
        return RunnerCapabilities(
            runs_program=True,
            reports_tables_early=True,
            uses_spark=bool(getattr(self.environment, "uses_spark", False)),
            overrides_of=getattr(self.environment, "overrides_of", None),
            files=self.files,
            argv_bytes=getattr(self.environment, "argv_bytes", None),
        )

    def unfinished(self) -> Sequence[Command]:
        """Returns the commands of earlier attempts of the step whose results were not reported, oldest first.

        `start` of one of them follows its execution again instead of submitting it.
        """
        return [Command(_name(one), one.argv[1:], job_id=one.job_id) for one in self._previous_executions().values()]

    def start(self, command: Command) -> RemoteHandle:
        """Follows the execution of the command that an earlier attempt started, or submits the command.

        A command is submitted when no execution of an earlier attempt runs any more.

        Raises:
            RunnerError: When the environment refuses it, or an option holds a secret that could be read there.
            UnreachableError: When the environment does not answer; nothing is cancelled.
        """
        self._reported()
        handle = self._handle(command)
        self._state.handles.append(handle)
        return handle

    def _handle(self, command: Command) -> RemoteHandle:
        earlier = self._previous_executions()
        if command.job_id in earlier:
            return RemoteHandle(self, command).adopt(earlier.pop(command.job_id))
        try:
            whole = with_options(command, self.options)
        except CommandError as error:
            raise RunnerError(str(error)) from error
        validate_no_secret_options(whole, self.environment.name)
        same = [one for one in earlier.values() if one.argv == whole.argv]
        if same and (adopted := RemoteHandle(self, whole).adopt_if_useful(earlier.pop(same[-1].job_id))):
            return adopted
        handle = RemoteHandle(self, whole)
        for job_id, one in earlier.items():
            if job_id not in self._state.over:
                handle.wait_for(RemoteHandle(self, whole), one)
                self._state.over.add(job_id)
        return handle.submit()

    def _previous_executions(self) -> dict[str, Execution]:
        """Returns the executions of earlier attempts that were not reported, by job id; oldest first."""
        if self._state.previous_executions is None:
            found = self.attempt.execution_log.unfinished(self.environment.name)
            self._state.previous_executions = {one.job_id: one for one in found}
        return self._state.previous_executions

    def _reported(self) -> None:
        self._state.unreleased += [problem for handle in self._state.handles if (problem := handle.reported())]
        self._state.handles[:] = [handle for handle in self._state.handles if not handle.over]

    def warehouse_reader(self) -> WarehouseReader | None:
        """Returns the reader of the warehouse."""
        return self.reader

    def close(self) -> None:
        """Cancels the executions that still run, and closes the environment.

        Raises:
            RunnerError: Names what could not be cancelled or released.
        """
        name = self.environment.name
        problems = [*filter(None, map(_abandon, self._state.handles))]
        if sys.exc_info()[0] is None:  # else a retry reports again what this attempt may not have reported
            self._reported()
        try:
            self.environment.close()
        except Exception as error:
            text = str(error) if isinstance(error, RunnerError) else classify_error(self.environment, error).text
            problems.append(
                f"{name}: close failed: {text} The results of the step stand. Next: release in the service what the "
                "environment holds between commands."
            )
        if problems := [*problems, *self._state.unreleased]:
            raise RunnerError("\n".join(problems))


def _abandon(handle: RemoteHandle) -> str:
    """Abandons an execution; returns why it may still run, "" if it does not."""
    try:
        handle.abandon()
    except RunnerError as error:
        return str(error)
    return ""


def _name(execution: Execution) -> Any:
    return execution.argv[0]
