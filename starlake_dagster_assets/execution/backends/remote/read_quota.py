"""Limits the reads of Cloud Logging by this process: all executions share the quota of a project."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from threading import Lock

__all__ = ["ReadQuota", "ReadQuotaError", "get_read_quota"]

_PER_MINUTE = 45
"""Reads per minute, of the 60 that Cloud Logging allows per project: other processes read too."""


class ReadQuotaError(Exception):
    """This process has used its share of the reads per minute."""


class ReadQuota:
    """Counter of the reads in the last minute.

    Args:
        per_minute: Reads that are allowed in a minute.
        now: Returns monotonic seconds.
    """

    def __init__(self, per_minute: int = _PER_MINUTE, now: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._now = now
        self._reads: list[float] = []
        self._lock = Lock()

    def take(self) -> None:
        """Counts a read.

        Raises:
            ReadQuotaError: When there is none left in this minute.
        """
        with self._lock:
            now = self._now()
            self._reads = [moment for moment in self._reads if now - moment < 60]
            if len(self._reads) >= self._per_minute:
                raise ReadQuotaError(f"this process has read the log {self._per_minute} times in a minute")
            self._reads.append(now)


@cache  # one for all executions of the process
def get_read_quota(project: str) -> ReadQuota:
    """Returns the quota of a Google Cloud project."""
    return ReadQuota()
