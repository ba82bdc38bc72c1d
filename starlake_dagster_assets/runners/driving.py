"""The one loop that drives remote executions: submit once, follow, cancel, take over."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from threading import Event
from types import MappingProxyType

from starlake_dagster_assets.command.build import with_options
from starlake_dagster_assets.command.model import Command, Line, RunResult
from starlake_dagster_assets.command.source import redact
from starlake_dagster_assets.errors import CommandError, RunnerError
from starlake_dagster_assets.runners.calls import Calls, Clock
from starlake_dagster_assets.runners.protocol import Attempt, Execution
from starlake_dagster_assets.runners.remote import Environment, Policy, Status, Submission, refuse_secrets
from starlake_dagster_assets.warehouse.reader import WarehouseReader

__all__ = ["RemoteHandle", "RemoteRunner"]

_GROWTH = 1.3


@dataclass(frozen=True)
class RemoteRunner:
    """Runs commands in a remote environment.

    Attributes:
        environment: The service.
        attempt: Who asks.
        policy: How executions are watched.
        reader: Reads the warehouse; None where nothing can.
        options: Variables of every command, below its own `--options`.
        clock: Time.
    """

    environment: Environment
    attempt: Attempt = field(default_factory=Attempt)
    policy: Policy = field(default_factory=Policy)
    reader: WarehouseReader | None = None
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    clock: Clock = field(default_factory=Clock)

    @property
    def argv_bytes(self) -> int | None:
        """Bytes that one list of names may take; None where the environment sets no limit of its own."""
        return getattr(self.environment, "argv_bytes", None)

    @property
    def uses_spark(self) -> bool:
        """Whether the Spark properties of a command mean anything there."""
        return bool(getattr(self.environment, "uses_spark", False))

    def start(self, command: Command) -> RemoteHandle:
        """Takes over the execution that an earlier attempt left, or submits the command.

        Raises:
            RunnerError: When the environment refuses it, or an option holds a secret that could be read there.
            UnreachableError: When the environment does not answer; nothing is cancelled.
        """
        try:
            whole = with_options(command, self.options)
        except CommandError as error:
            raise RunnerError(str(error)) from error
        refuse_secrets(whole, self.environment.name)
        return RemoteHandle(self, whole)

    def warehouse_reader(self) -> WarehouseReader | None:
        """Returns the reader of the warehouse."""
        return self.reader

    def close(self) -> None:
        """The step is over."""
        self.environment.close()


class RemoteHandle:
    """One execution; see `runners.protocol.RunHandle`.

    Args:
        runner: Whose.
        command: What is run.
    """

    def __init__(self, runner: RemoteRunner, command: Command) -> None:
        self._runner = runner
        self._policy = runner.policy
        self._command = command
        self._calls = Calls(runner.environment, runner.policy, runner.clock)
        self._began = runner.clock.now()
        self._stop = Event()
        self._result: RunResult | None = None
        self._opening: list[Line] = []
        self._execution = self._adopted() or self._submitted()

    @property
    def job_id(self) -> str:
        """The job id under which it runs: an earlier attempt's where it was taken over."""
        return self._execution.job_id

    # ------------------------------------------------------------------------------------------------- start

    def _adopted(self) -> Execution | None:
        environment, ledger = self._runner.environment, self._runner.attempt.ledger
        known = ledger.find(environment.name, self._command.argv)
        if known is None:
            return None
        found = known.id or self._calls.read(lambda: environment.find(self._submission(known.job_id)))
        status = self._calls.read(lambda: environment.status(found)) if found else Status("lost")
        if not found or (status.over and status.state != "succeeded"):
            ledger.ended(known, status.state)
            return None
        self._opening.append(self._line("INFO", f"taking over {found} ({status.state}) {status.url}".rstrip()))
        return replace(known, id=found)

    def _submitted(self) -> Execution:
        runner, command = self._runner, self._command
        intent = Execution(runner.environment.name, "", command.argv, command.job_id)
        runner.attempt.ledger.record(intent)
        submission = self._submission(command.job_id)
        try:
            found = self._calls.submit(submission)
            execution = replace(intent, id=found, url=self._url(found))
            runner.attempt.ledger.record(execution)
        except RunnerError:
            raise
        except BaseException:
            self._abandon(submission)
            raise
        self._opening.append(self._line("INFO", f"started {found} {execution.url}".rstrip()))
        return execution

    def _submission(self, key: str) -> Submission:
        attempt = self._runner.attempt
        labels = {**attempt.labels, "run_id": attempt.run_id, "step": attempt.step}
        said = {name: value for name, value in labels.items() if value}
        return Submission(self._command, key, said, self._policy.timeout)

    def _url(self, found: str) -> str:
        url = getattr(self._runner.environment, "url", None)
        return str(url(found)) if callable(url) else ""

    def _abandon(self, submission: Submission) -> None:
        """The submission was interrupted: what it started, if anything, is ended."""
        environment = self._runner.environment
        found = self._calls.read(lambda: environment.find(submission))
        if found is not None:
            self._calls.read(lambda: environment.cancel(found))

    # ------------------------------------------------------------------------------------------------ follow

    def lines(self) -> Iterator[Line]:
        """Its lines as they come; ends when it is over.

        Raises:
            UnreachableError: When the environment does not answer any more; the execution goes on.
        """
        if self._result is not None:
            return
        yield from self._opening
        self._opening = []
        follower = _Follower(self._runner.environment, self._execution.id, self._calls, self._command.secrets)
        status, delay = Status("pending"), self._policy.poll
        while not self._stop.is_set():
            status = self._status()
            fresh = False
            for line in follower.fresh():
                fresh = True
                yield line
            if status.over:
                break
            if self._late():
                yield self._line("ERROR", f"not over after {self._policy.timeout:g} seconds: it is cancelled")
                status = self._ended_by_us()
                break
            delay = (
                self._policy.poll if fresh else min(delay * _GROWTH, max(self._policy.poll, self._policy.longest_poll))
            )
            self._runner.clock.pause(self._stop, delay * random.uniform(0.8, 1.0))
        if self._stop.is_set():
            return
        yield from follower.rest(self._policy, self._runner.clock, self._stop)
        if status.state != "succeeded" and status.reason:
            yield self._line("ERROR", status.reason)
        self._finish(status, cancelled=False)

    def wait(self) -> RunResult:
        """Blocks until it is over. Lines not read are dropped.

        Raises:
            UnreachableError: When the environment does not answer any more.
        """
        for _ in self.lines():
            pass
        assert self._result is not None
        return self._result

    def cancel(self) -> None:
        """Ends the execution and waits until it is over; idempotent.

        Raises:
            UnreachableError: When the environment does not answer: the execution may go on.
        """
        if self._result is not None:
            return
        self._stop.set()
        self._finish(self._ended_by_us(), cancelled=True)

    # ----------------------------------------------------------------------------------------------- details

    def _status(self) -> Status:
        return self._calls.read(lambda: self._runner.environment.status(self._execution.id))

    def _late(self) -> bool:
        timeout = self._policy.timeout
        return timeout is not None and self._runner.clock.now() - self._began > timeout

    def _ended_by_us(self) -> Status:
        environment, clock = self._runner.environment, self._runner.clock
        self._calls.read(lambda: environment.cancel(self._execution.id))
        until = clock.now() + self._policy.cancelling
        while not (status := self._status()).over and clock.now() < until:
            clock.pause(Event(), min(1.0, self._policy.poll))
        if not status.over:
            return Status("lost", None, f"{self._execution.id} was told to stop and goes on", status.url)
        return Status("cancelled", None, status.reason, status.url) if status.state == "cancelled" else status

    def _finish(self, status: Status, *, cancelled: bool) -> None:
        gone = cancelled or status.state == "cancelled"
        code = 0 if status.state == "succeeded" else status.exit_code
        if code == 0 and status.state != "succeeded":
            code = None
        self._result = RunResult(None if gone else code, self._runner.clock.now() - self._began, gone)
        self._runner.attempt.ledger.ended(self._execution, status.state)

    def _line(self, level: str, text: str) -> Line:
        return Line(redact(f"{level} {self._runner.environment.name}: {text}", self._command.secrets))


class _Follower:
    """The lines of one execution. Lines that cannot be read fail nothing: that is said once."""

    def __init__(self, environment: Environment, execution: str, calls: Calls, secrets: frozenset[str]) -> None:
        self._environment = environment
        self._execution = execution
        self._calls = calls
        self._secrets = secrets
        self._cursor: str | None = None
        self._silent = False

    def fresh(self) -> Iterator[Line]:
        """The lines since the last look."""
        if self._silent:
            return
        try:
            lines, self._cursor = self._environment.logs(self._execution, self._cursor)
        except Exception as error:
            if self._environment.verdict(error).kind != "fatal" and not isinstance(error, RunnerError):
                return  # the next look may work
            self._silent = True
            told = str(error) if isinstance(error, RunnerError) else self._environment.verdict(error).text
            text = f"WARN {self._environment.name}: the lines of {self._execution} cannot be read: {told}"
            yield Line(redact(text, self._secrets))
            return
        yield from lines

    def rest(self, policy: Policy, clock: Clock, stop: Event) -> Iterator[Line]:
        """The lines that come after the end: until a look finds nothing new, twice, or the time is up."""
        until, quiet = clock.now() + policy.settle, 0
        while not self._silent and quiet < 2 and clock.now() < until and not stop.is_set():
            found = list(self.fresh())
            quiet = 0 if found else quiet + 1
            yield from found
            if quiet < 2:
                clock.pause(stop, min(policy.poll, policy.settle / 4))
