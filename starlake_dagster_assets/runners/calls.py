"""Calls to a remote environment, tried again where that may help; a submission takes effect once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Any, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from starlake_dagster_assets.errors import RunnerError, UnreachableError
from starlake_dagster_assets.runners.remote import Environment, Policy, Submission

__all__ = ["Calls", "Clock"]

_T = TypeVar("_T")


@dataclass(frozen=True)
class Clock:
    """Time, so that tests need not wait: seconds that only go forward, and a pause that an event ends."""

    now: Callable[[], float] = time.monotonic
    pause: Callable[[Event, float], bool] = Event.wait


class Calls:
    """Calls to an environment.

    Args:
        environment: The service.
        policy: How often a call is tried.
        clock: Time.
    """

    def __init__(self, environment: Environment, policy: Policy, clock: Clock) -> None:
        self._environment = environment
        self._policy = policy
        self._clock = clock

    def read(self, call: Callable[[], _T]) -> _T:
        """A call that may be made twice.

        Raises:
            RunnerError: When it will not work.
            UnreachableError: When it did not work in any try.
        """
        try:
            return self._retrying(self._may_help)(call)
        except Exception as error:
            raise self._told(error) from error

    def submit(self, submission: Submission) -> str:
        """One execution, whatever happens on the way.

        Raises:
            RunnerError: When the environment refuses it.
            UnreachableError: When it did not work in any try.
        """
        looked = False

        def once() -> str:
            nonlocal looked
            if looked and (found := self._environment.find(submission)) is not None:
                return found
            try:
                return self._environment.submit(submission)
            except Exception as error:
                looked = looked or self._environment.verdict(error).kind == "ambiguous"
                raise

        return self.read(once)

    def _may_help(self, error: Exception) -> bool:
        return not isinstance(error, RunnerError) and self._environment.verdict(error).kind != "fatal"

    def _retrying(self, again: Callable[[Any], bool]) -> Retrying:
        pause = wait_random_exponential(multiplier=1, max=self._policy.longest_pause)
        return Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, Exception) and again(error)),
            stop=stop_after_attempt(self._policy.attempts),
            wait=lambda state: _pause_of(state, pause),
            sleep=self._pause,
            reraise=True,
        )

    def _pause(self, seconds: float) -> None:
        self._clock.pause(Event(), seconds)

    def _told(self, error: Exception) -> RunnerError:
        if isinstance(error, RunnerError):
            return error
        verdict = self._environment.verdict(error)
        if verdict.kind == "fatal":
            return RunnerError(f"{self._environment.name}: {verdict.text}")
        tries = self._policy.attempts
        return UnreachableError(f"{self._environment.name} does not answer after {tries} tries: {verdict.text}")


def _pause_of(state: RetryCallState, pause: wait_random_exponential) -> float:
    return pause(state)
