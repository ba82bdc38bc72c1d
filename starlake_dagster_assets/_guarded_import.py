"""Imports of other packages, with their errors converted to errors of this package."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, redirect_stdout
from types import FrameType

from starlake_dagster_assets.errors import StarlakeError

__all__ = ["importing"]


@contextmanager
def importing(kind: type[StarlakeError], before: str, after: str) -> Generator[None]:
    """Converts any error of an import in the block to a `StarlakeError`, and redirects its output to stderr.

    Stdout is left to the command, whose output may be a document.

    Args:
        kind: Class of the error that replaces any error except an interruption by the user.
        before: Text of the message before the error.
        after: Text after it.
    """
    with _recorded_interrupts() as interrupts:
        try:
            with redirect_stdout(sys.stderr):
                yield
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and interrupts:
                raise
            raise kind(f"{before}{type(error).__name__}: {error}.{after}") from error


@contextmanager
def _recorded_interrupts() -> Generator[list[int]]:
    """Yields a list to which each SIGINT is appended, since a package may raise `KeyboardInterrupt` itself."""
    interrupts: list[int] = []
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield interrupts  # no interrupt arrives here
        return

    def record(number: int, frame: FrameType | None) -> None:
        interrupts.append(number)
        handler(number, frame)

    signal.signal(signal.SIGINT, record)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, handler)
