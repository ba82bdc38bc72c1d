"""Calls a remote environment, and repeats failed calls if that may help; a submission takes effect once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from starlake_dagster_assets.errors import RunnerError, UnreachableError
from starlake_dagster_assets.execution.backends.remote.protocol import Environment, Policy, Submission
from starlake_dagster_assets.execution.backends.remote.response_validation import (
    classify_error,
    find_execution,
    submit_execution,
)

__all__ = ["Calls", "TimeSource"]

_T = TypeVar("_T")
_DENIED = 3
"""Maximum number of tries of a call that is denied; each retry uses new credentials."""


@dataclass(frozen=True)
class TimeSource:
    """Clock that tests can replace: monotonic seconds, and a pause that an event ends."""

    now: Callable[[], float] = time.monotonic
    pause: Callable[[Event, float], bool] = Event.wait


class Calls:
    """Calls to an environment.

    Args:
        environment: The service.
        policy: For how long a call is repeated.
        clock: Source of the time.
        warn: Called with one text per cause of repeated calls.
    """

    def __init__(
        self, environment: Environment, policy: Policy, clock: TimeSource, warn: Callable[[str], None] = lambda _: None
    ) -> None:
        self._environment = environment
        self._policy = policy
        self._clock = clock
        self._warn = warn
        self._causes: set[str] = set()
        self.stop = Event()
        """Ends all retries; set when the result is not needed any more."""

    def read(self, call: Callable[[], _T], within: float | None = None) -> _T:
        """Makes a call that may be repeated.

        Args:
            call: The call.
            within: Seconds for which it is repeated; those of an outage by default.

        Raises:
            RunnerError: When the call cannot succeed.
            UnreachableError: When the call did not succeed in time.
        """
        return self._repeated(call, self._policy.outage if within is None else within)

    def submit(self, submission: Submission) -> str:
        """Starts exactly one execution, even if calls fail on the way.

        Raises:
            RunnerError: When the environment refuses it.
            UnreachableError: When the call did not succeed in time.
        """
        uncertain: float | None = None
        """Moment at which an answer was lost."""

        def once() -> str:
            nonlocal uncertain
            if uncertain is not None and (found := self._started(submission, uncertain)):
                return found
            try:
                return submit_execution(self._environment, submission)
            except Exception as error:
                if not isinstance(error, RunnerError) and classify_error(self._environment, error).kind == "ambiguous":
                    uncertain = self._clock.now()
                raise

        return self._repeated(once, self._policy.starting)

    def _started(self, submission: Submission, since: float) -> str | None:
        """Returns the execution of a submission whose answer was lost.

        A service without idempotent submissions is queried until it must list what it has started.
        """
        idempotent = bool(getattr(self._environment, "is_idempotent", False))
        while True:
            found = find_execution(self._environment, submission)
            if found is not None or idempotent or self._clock.now() - since >= self._policy.grace:
                return found
            if self._clock.pause(self.stop, min(5.0, self._policy.poll)):
                return None

    def _repeated(self, call: Callable[[], _T], within: float) -> _T:
        began = self._clock.now()
        longest = self._policy.longest_pause
        backoff = wait_random_exponential(multiplier=1, max=longest)

        def over(state: RetryCallState) -> bool:
            return self.stop.is_set() or self._clock.now() - began >= within

        def pause(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            known = isinstance(error, Exception)
            requested = classify_error(self._environment, error).retry_after if known else 0
            return max(backoff(state), min(requested, longest))

        def sleep(seconds: float) -> None:
            self._clock.pause(self.stop, seconds)

        retrying = Retrying(
            retry=retry_if_exception(self._retry_decision()),
            stop=over,
            wait=pause,
            sleep=sleep,
            reraise=True,
        )
        try:
            return retrying(call)
        except Exception as error:
            raise self._error(error, self._clock.now() - began) from error

    def _retry_decision(self) -> Callable[[BaseException], bool]:
        """Returns a function that decides whether a call is repeated after an error."""
        denied = 0

        def again(error: BaseException) -> bool:
            nonlocal denied
            if not isinstance(error, Exception) or isinstance(error, RunnerError):
                return False
            error_class = classify_error(self._environment, error)
            if error_class.kind == "denied":
                denied += 1
                self._environment.refresh()
                return denied < _DENIED
            if error_class.kind == "fatal":
                return False
            self._note(error_class.text)
            return True

        return again

    def _note(self, text: str) -> None:
        cause = "".join(char for char in text if not char.isdigit())
        if cause not in self._causes:
            self._causes.add(cause)
            self._warn(f"{text}; trying again")

    def _error(self, error: Exception, seconds: float) -> RunnerError:
        if isinstance(error, RunnerError):
            return error
        error_class = classify_error(self._environment, error)
        if error_class.kind in ("fatal", "denied"):
            return RunnerError(f"{self._environment.name}: {error_class.text}")
        name = self._environment.name
        return UnreachableError(f"{name} does not answer after {seconds:.0f} seconds: {error_class.text}")
