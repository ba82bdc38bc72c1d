"""An execution in a remote environment: submitted or adopted, followed and cancelled."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from threading import Event
from typing import Any, Protocol

from starlake_dagster_assets.commands.model import Command, CommandExit, Line
from starlake_dagster_assets.commands.redaction import redact
from starlake_dagster_assets.errors import RunnerError, UnreachableError
from starlake_dagster_assets.execution.backends.protocol import Execution, StepAttempt
from starlake_dagster_assets.execution.backends.remote.calls import Calls, TimeSource
from starlake_dagster_assets.execution.backends.remote.log_following import LogFollower
from starlake_dagster_assets.execution.backends.remote.polling import StatusPoll
from starlake_dagster_assets.execution.backends.remote.protocol import Environment, Policy, Status, Submission
from starlake_dagster_assets.execution.backends.remote.response_validation import find_execution
from starlake_dagster_assets.execution.backends.remote.threaded_call import PendingCall

__all__ = ["HandleRunner", "RemoteHandle"]

_GROWTH = 1.3


class HandleRunner(Protocol):
    """Protocol of the attributes of a runner that its handles use."""

    @property
    def environment(self) -> Environment:
        """The service."""
        ...

    @property
    def attempt(self) -> StepAttempt:
        """The attempt that requests the commands."""
        ...

    @property
    def policy(self) -> Policy:
        """Intervals and deadlines for the polling of executions."""
        ...

    @property
    def clock(self) -> TimeSource:
        """Source of the time."""
        ...


class RemoteHandle:
    """Handle of an execution; see `RunHandle`. It has no id before `submit` or `adopt` is called.

    Args:
        runner: The runner that created it.
        command: The command.
    """

    def __init__(self, runner: HandleRunner, command: Command) -> None:
        self._runner = runner
        self._policy = runner.policy
        self._command = command
        self._opening: list[Line] = []
        self._calls = Calls(runner.environment, runner.policy, runner.clock, self._warn)
        self._began = runner.clock.now()
        self._stop = Event()
        self._result: CommandExit | None = None
        self._lost_sight = False
        self._execution = Execution(runner.environment.name, "", command.argv, command.job_id)
        self.log_problem = ""
        """Reason why the log may lack lines; "" if the log is complete or the execution has not ended."""

    @property
    def job_id(self) -> str:
        """The job id of the execution; if it was adopted, that of the earlier attempt."""
        return self._execution.job_id

    @property
    def over(self) -> bool:
        """Whether the execution is known to have ended."""
        return self._result is not None

    # ------------------------------------------------------------------------------------------------- start

    def adopt(self, known: Execution) -> RemoteHandle:
        """Follows an execution that an earlier attempt submitted, or may have submitted.

        Returns:
            Itself. An execution that never started has a result without exit code.

        Raises:
            RunnerError: When its state cannot be read.
        """
        self._execution = known
        found = known.id or self._find(self._submission(known.job_id, known.argv))
        if not found:
            self._finish(Status("lost", None, "it was never started", started=False))
            return self
        self._execution = replace(known, id=found, url=known.url or self._url(found))
        text = f"adopting {found} of an earlier attempt {self._execution.url}"
        self._opening.append(self._line("INFO", text.rstrip()))
        return self

    def adopt_if_useful(self, known: Execution) -> RemoteHandle | None:
        """Adopts an earlier execution of the same command; returns None if it did not start or did not succeed."""
        self.adopt(known)
        status = None if self._result is not None else self.known_status()
        if status is None or (status.over and status.state != "succeeded"):
            self._runner.attempt.execution_log.ended(self._execution, "failed" if status is None else status.state)
            return None
        return self

    def submit(self) -> RemoteHandle:
        """Submits the command.

        Interrupted, it waits for the answer of the service and cancels what was started.

        Returns:
            Itself.

        Raises:
            RunnerError: When the environment refuses it.
            UnreachableError: When the environment does not answer.
        """
        execution_log = self._runner.attempt.execution_log
        execution_log.record(self._execution)
        submission = self._submission(self._command.job_id, self._command.argv)
        pending = PendingCall(lambda: self._calls.submit(submission))
        try:
            found = pending.result()
            self._execution = replace(self._execution, id=found, url=self._url(found))
            execution_log.record(self._execution)
        except RunnerError:
            raise
        except BaseException:
            self._calls.stop.set()
            self._withdraw(pending, submission)
            raise
        self._opening.append(self._line("INFO", f"started {found} {self._execution.url}".rstrip()))
        return self

    def _withdraw(self, pending: PendingCall, submission: Submission) -> None:
        """Cancels what an interrupted submission started, if anything."""
        found = self._execution.id or pending.outcome(self._policy.cancelling)
        if not found and pending.sent:
            found = self._find(submission)
        if found:
            self._execution = replace(self._execution, id=found)
            self.cancel()

    def _find(self, submission: Submission) -> str:
        """Returns the execution of a submission; "" if the service does not list one within the grace time."""
        environment, clock = self._runner.environment, self._runner.clock
        calls = Calls(environment, self._policy, clock, self._warn)
        until, pause = clock.now() + self._policy.grace, min(1.0, self._policy.poll)
        while True:
            if found := calls.read(lambda: find_execution(environment, submission)):
                return found
            if clock.now() >= until:
                return ""
            clock.pause(self._stop, pause)
            pause = min(pause * 2, 15)

    def _submission(self, key: str, argv: Sequence[str]) -> Submission:
        attempt = self._runner.attempt
        labels = {**attempt.labels, "run_id": attempt.run_id, "step": attempt.step}
        labels = {name: value for name, value in labels.items() if value}
        command = replace(self._command, name=_name(argv), args=tuple(argv[1:]))
        return Submission(command, key, labels, self._policy.timeout, lambda: not self._calls.stop.is_set())

    def _url(self, found: str) -> str:
        url = getattr(self._runner.environment, "url", None)
        return str(url(found)) if callable(url) else ""

    # ------------------------------------------------------------------------------------------------ follow

    def lines(self) -> Iterator[Line]:
        """Yields the lines of the execution as they arrive; ends when the execution has ended.

        Raises:
            UnreachableError: When its state cannot be read for longer than an outage may take; it goes on.
        """
        yield from self._opened()
        if self._result is not None:
            return
        runner = self._runner
        follower = LogFollower(
            runner.environment, self._execution.id, self._policy, runner.clock, self._command.secrets
        )
        poll, delay = self._poll(), self._policy.poll
        status: Status | None = None
        while not self._stop.is_set():
            try:
                status = poll.read_status()
            except UnreachableError:
                self._lost_sight = True
                yield from follower.fresh()
                raise
            yield from (self._line(level, text) for level, text in poll.notes())
            fresh = False
            for line in follower.fresh():
                fresh = True
                yield line
            if status is not None and status.over:
                break
            if self._late():
                yield self._line("ERROR", f"not over after {self._policy.timeout:g} seconds: it is cancelled")
                status = self._ended_by_us()
                break
            longest = max(self._policy.poll, self._policy.longest_poll)
            delay = self._policy.poll if fresh else min(delay * _GROWTH, longest)
            runner.clock.pause(self._stop, delay * random.uniform(0.8, 1.0))
        if self._stop.is_set() or status is None:
            return
        yield from (
            follower.read_remaining_lines(self._stop) if status.started else follower.read_startup_failure_lines()
        )
        self.log_problem = follower.problem if status.started else ""
        if status.state != "succeeded" and (reason := self._reason(status)):
            yield self._line("ERROR", reason)
        self._finish(status)

    def wait(self) -> CommandExit:
        """Waits until the execution has ended, and returns its exit; drops unread lines.

        Raises:
            UnreachableError: When its state cannot be read for longer than an outage may take.
        """
        for _ in self.lines():
            pass
        assert self._result is not None
        return self._result

    def wait_for(self, other: RemoteHandle, known: Execution) -> None:
        """Waits until the execution of another command, which an earlier attempt started, has ended.

        The caller reads its results. An interruption cancels it.

        Raises:
            UnreachableError: When its state cannot be read for longer than an outage may take.
        """
        other.adopt(known)
        self._opening.append(self._line("INFO", f"waiting for {known.id or known.job_id} of an earlier attempt"))
        if other.over:
            return
        try:
            other.known_status(over=True)
        except UnreachableError:
            raise
        except BaseException:
            other.cancel()
            raise

    def cancel(self) -> None:
        """Cancels the execution and waits until it has ended; idempotent.

        Raises:
            UnreachableError: When the environment does not answer: the execution may go on.
        """
        if self._result is not None:
            return
        self._stop.set()
        status = self._ended_by_us()
        self._finish(status, cancelled=True)

    def abandon(self) -> None:
        """Cancels the execution unless it has ended or its state can no longer be read.

        Raises:
            UnreachableError: When its end was not seen.
        """
        if self._result is None and not self._lost_sight and self._execution.id:
            self.cancel()

    def reported(self) -> str:
        """Records that the results of the execution were reported, and releases what it still holds.

        Returns:
            Why it could not be released; "" if it was.
        """
        if self._result is None:
            return ""
        environment = self._runner.environment
        self._runner.attempt.execution_log.ended(self._execution, "over")
        release = getattr(environment, "release", None)
        if not callable(release) or not self._execution.id:
            return ""
        try:
            Calls(environment, self._policy, self._runner.clock).read(
                lambda: release(self._execution.id), self._policy.longest_pause
            )
        except RunnerError as error:
            return (
                f"{environment.name}: {self._execution.id} has ended, and could not be released: {error} Its results "
                "stand. Next: delete it in the service."
            )
        return ""

    # ----------------------------------------------------------------------------------------------- details

    def _opened(self) -> Iterator[Line]:
        opening, self._opening = self._opening, []
        yield from opening

    def _poll(self) -> StatusPoll:
        runner = self._runner
        return StatusPoll(
            runner.environment,
            self._execution.id,
            self._policy,
            runner.clock,
            self._execution.url,
            is_recorded=runner.attempt.is_recorded,
        )

    def known_status(self, *, over: bool = False) -> Status:
        """Waits until the status can be read, or with `over` until the execution has ended, and returns the status.

        Raises:
            UnreachableError: When it cannot be read for longer than an outage may take.
        """
        poll, clock, pause = self._poll(), self._runner.clock, self._policy.poll
        while True:
            status = poll.read_status()
            self._opening.extend(self._line(level, text) for level, text in poll.notes())
            if status is not None and (status.over or not over):
                return status
            clock.pause(self._stop, pause)
            pause = min(pause * _GROWTH, max(self._policy.poll, self._policy.longest_poll))

    def _late(self) -> bool:
        timeout = self._policy.timeout
        return timeout is not None and self._runner.clock.now() - self._began > timeout

    def _ended_by_us(self) -> Status:
        environment, clock, poll = self._runner.environment, self._runner.clock, self._poll()
        calls = Calls(environment, self._policy, clock)
        until, status, again, problem = clock.now() + self._policy.cancelling, None, True, ""
        while True:
            if again:
                try:
                    calls.read(lambda: environment.cancel(self._execution.id), self._policy.cancelling)
                except RunnerError as error:
                    problem = str(error)
            status = poll.read_status()
            if problem or (status is not None and status.over) or clock.now() >= until:
                break
            again = poll.missing  # the cancellation did not find it either
            clock.pause(Event(), min(1.0, self._policy.poll))
        if status is None or not status.over:
            self._lost_sight = True
            raise UnreachableError(self._not_cancelled(status, problem))
        return Status("cancelled", None, status.reason, status.url) if status.state == "cancelled" else status

    def _not_cancelled(self, status: Status | None, problem: str) -> str:
        """Returns the message for an execution whose end was not seen after it was cancelled."""
        name, state = self._runner.environment.name, "unknown" if status is None else status.state
        found = f"could not be cancelled ({problem})" if problem else "was cancelled, and its end was not seen"
        return (
            f"{name}: {self._execution.id} {found}. Its state is {state}: it may go on and write to the warehouse. "
            f"Next: end it in the service, and then run the step again. {self._execution.url}"
        ).rstrip()

    def _reason(self, status: Status) -> str:
        """Returns why an execution did not succeed; "" if the program itself reports the reason."""
        if status.state in ("cancelled", "lost"):
            why = status.reason or (
                "its service does not know it any more" if status.state == "lost" else "from outside"
            )
            next_step = "look at what it wrote, and then run the step again" if status.started else "run the step again"
            return f"{self._execution.id} is {status.state}: {why}. Next: {next_step}. {status.url}".rstrip()
        return status.reason

    def _finish(self, status: Status, *, cancelled: bool = False) -> None:
        gone = cancelled or status.state == "cancelled"
        code = 0 if status.state == "succeeded" else status.exit_code or None
        self._result = CommandExit(None if gone else code, self._runner.clock.now() - self._began, gone)

    def _warn(self, text: str) -> None:
        self._opening.append(self._line("WARN", text))

    def _line(self, level: str, text: str) -> Line:
        return Line(redact(f"{level} {self._runner.environment.name}: {text}", self._command.secrets))


def _name(argv: Sequence[str]) -> Any:
    return argv[0]
