"""Limits how often the audit is read while a command runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

__all__ = ["ReadBudget"]

_SHARE = 10
"""Seconds of which reads may take at most one."""
_FREE_SECONDS = 0.05
"""Duration in seconds up to which a read does not delay the next one."""


class ReadBudget:
    """Limit of reads to a tenth of the time: after a read of n seconds, the next one is allowed 9·n seconds later.

    Args:
        clock: Returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = float("-inf")

    @property
    def allows(self) -> bool:
        """Whether a read is allowed now."""
        return self._clock() >= self._next

    @contextmanager
    def spent(self) -> Generator[None]:
        """Measures the read in the block, and delays the next one accordingly."""
        begin = self._clock()
        try:
            yield
        finally:
            end = self._clock()
            if end - begin > _FREE_SECONDS:
                self._next = end + (_SHARE - 1) * (end - begin)
