"""The lines of one remote execution: as they arrive, and after its end until the log is complete."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from threading import Event
from typing import Any

from starlake_dagster_assets.commands.model import Line
from starlake_dagster_assets.commands.redaction import redact
from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.execution.backends.remote.calls import TimeSource
from starlake_dagster_assets.execution.backends.remote.protocol import Environment, ErrorClass, Policy
from starlake_dagster_assets.execution.backends.remote.response_validation import classify_error, read_log

__all__ = ["LogFollower", "split_lines"]

_END = re.compile(
    r"Main: (?:Preload )?Successfully(?: |$)|^Starlake failed to execute command"
    r"|IngestionWorkflow: (?:All tables loaded successfully|Some tables failed to be loaded)"
)
_LONGEST = 60.0
"""Maximum number of seconds between two reads of a log that cannot be read."""
_WHOLE = 20_000
"""Maximum number of lines of a log that is read again from its beginning, to find lines that arrived late."""


def split_lines(text: str) -> Sequence[str]:
    """Returns the lines of a text. Only a line break ends one, whereas `str.splitlines` also splits at a form feed."""
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


class LogFollower:
    """Reader of the log of one execution. A read that fails is repeated, and reported.

    Args:
        environment: The service.
        execution: Id of the execution.
        policy: Time limits for the end of the log.
        clock: Source of the time.
        secrets: Values that are redacted in lines that the follower itself writes.
    """

    def __init__(
        self, environment: Environment, execution: str, policy: Policy, clock: TimeSource, secrets: frozenset[str]
    ) -> None:
        self._environment = environment
        self._execution = execution
        self._policy = policy
        self._clock = clock
        self._secrets = secrets
        self._cursor: str | None = None
        self._yielded: Counter[int] = Counter()
        self._ended = self._unreadable = self._worked = False
        self._failures = 0
        self._refusal: ErrorClass | None = None
        self._not_before = float("-inf")
        self._warned: set[str] = set()

    @property
    def problem(self) -> str:
        """Reason why the log may lack lines; "" if its end was read."""
        if self._refusal is not None:
            return f"it could not be read: {self._refusal.text}"
        if not self._ended:
            return f"its end marker did not arrive within {self._policy.settle:g} seconds (log_settle)"
        gap: Any = getattr(self._environment, "log_gap", None)
        return str(gap(self._execution)) if callable(gap) else ""

    def fresh(self) -> Iterator[Line]:
        """Yields the lines since the last read; none while reads are paused after a failure."""
        if not self._unreadable and self._clock.now() >= self._not_before:
            yield from self._read()

    def read_remaining_lines(self, stop: Event) -> Iterator[Line]:
        """Yields the remaining lines after the end of the execution, until the end marker or the time limit.

        The time begins when the log can be read: a throttled or unavailable log service delays the end.
        """
        began = until = self._clock.now()
        until += self._policy.settle
        while not self._unreadable and not stop.is_set():
            yield from self._read()
            now = self._clock.now()
            if self._ended or self._hopeless:
                break
            if self._refusal is not None and now - began < self._policy.outage:
                until = now + self._policy.settle
            if now >= until:
                break
            pause = max(min(self._policy.poll, self._policy.settle / 4), self._not_before - now)
            self._clock.pause(stop, min(pause, max(0.0, until - now)))
        if self._ended and not stop.is_set():
            self._clock.pause(stop, min(self._policy.poll, self._policy.settle / 8))
        if not self._unreadable and not stop.is_set():
            yield from self._missed()
        if self.problem and not self._unreadable and not stop.is_set():
            yield self._warning(
                f"the log of {self._execution} is incomplete: {self.problem}. A table without a line is unknown unless "
                "the warehouse proves its result"
            )

    def read_startup_failure_lines(self) -> Iterator[Line]:
        """Yields the lines of an execution whose program never started, from a single read."""
        if not self._unreadable:
            yield from self._read()

    # ----------------------------------------------------------------------------------------------- details

    @property
    def _hopeless(self) -> bool:
        """Whether every read of the log was rejected, and more reads will not help."""
        denied = self._refusal is not None and self._refusal.kind in ("denied", "fatal")
        return denied and not self._worked and self._failures > 2

    def _read(self) -> Iterator[Line]:
        try:
            lines, self._cursor = read_log(self._environment, self._execution, self._cursor)
        except Exception as error:
            yield from self._failed(error)
            return
        self._failures, self._refusal, self._worked = 0, None, True
        yield from self._take(lines)

    def _missed(self) -> Iterator[Line]:
        """Reads the log again from its beginning, and yields lines that arrived late and out of order."""
        if sum(self._yielded.values()) > _WHOLE:
            return
        try:
            lines, _ = read_log(self._environment, self._execution, None)
        except Exception:  # all of it was read before
            return
        unmatched = Counter(self._yielded)
        late: list[Line] = []
        for line in lines:
            if unmatched[hash(line.text)] > 0:
                unmatched[hash(line.text)] -= 1
            else:
                late.append(line)
        yield from self._take(late)

    def _take(self, lines: Sequence[Line]) -> Iterator[Line]:
        for line in lines:
            self._yielded[hash(line.text)] += 1
            self._ended = self._ended or _END.search(line.text) is not None
            yield line

    def _failed(self, error: Exception) -> Iterator[Line]:
        self._failures += 1
        if isinstance(error, RunnerError):  # there is no such log
            self._unreadable = True
            self._refusal = ErrorClass("fatal", str(error))
        else:
            self._refusal = classify_error(self._environment, error)
            if self._refusal.kind == "denied":
                self._environment.refresh()
            pause = min(_LONGEST, self._policy.poll * 2 ** min(self._failures, 10))
            self._not_before = self._clock.now() + pause
        cause = "".join(char for char in self._refusal.text if not char.isdigit())
        if cause not in self._warned:
            self._warned.add(cause)
            yield self._warning(f"the lines of {self._execution} cannot be read: {self._refusal.text}")

    def _warning(self, text: str) -> Line:
        return Line(redact(f"WARN {self._environment.name}: {text}", self._secrets))
