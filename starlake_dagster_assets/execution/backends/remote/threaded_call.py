"""Runs a call in a thread of its own, so that the call goes on if its caller is interrupted."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread

from starlake_dagster_assets.errors import RunnerError, UnreachableError

__all__ = ["PendingCall"]


class PendingCall:
    """A call in a thread of its own, which goes on if its caller is interrupted.

    Args:
        call: The call.
    """

    def __init__(self, call: Callable[[], str]) -> None:
        self._found = ""
        self._error: BaseException | None = None
        self.sent = True
        """Whether the call may have had an effect."""
        self._over = Event()  # an interrupted `Thread.join` takes its thread for ended
        Thread(target=self._run, args=(call,), daemon=True).start()

    def _run(self, call: Callable[[], str]) -> None:
        try:
            self._found = call()
        except BaseException as error:
            self._error = error
            self.sent = isinstance(error, UnreachableError) or not isinstance(error, RunnerError)
        finally:
            self._over.set()

    def result(self) -> str:
        """Returns the result, or raises the error of the call."""
        while not self._over.wait(0.5):
            continue
        if self._error is not None:
            raise self._error
        return self._found

    def outcome(self, seconds: float) -> str:
        """Returns the result; "" if there is none within the given seconds."""
        self._over.wait(seconds)
        return self._found
