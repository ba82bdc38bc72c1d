"""The log of a Pod, read on from where the last read ended: no line twice, and none left out unnoticed."""

from __future__ import annotations

import hashlib
import re
from calendar import timegm
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any

__all__ = ["LogPosition", "LogUnavailableError", "since_time", "take_new"]

_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ?")
_SECOND = 1_000_000_000


class LogUnavailableError(Exception):
    """The node answered with a text of its own instead of the log."""


@dataclass(frozen=True)
class LogPosition:
    """How far the log of a Pod was read.

    Attributes:
        at: Nanoseconds of the last line; -1 before the first one.
        seen: How often a line, by its digest, was read that has this very time.
    """

    at: int = -1
    seen: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, told: Mapping[str, Any] | None) -> LogPosition:
        """Returns the position that a cursor has."""
        return cls() if told is None else cls(int(told["at"]), told["seen"])

    def told(self) -> dict[str, Any]:
        """Returns it as plain data."""
        return {"at": self.at, "seen": dict(self.seen)}


def since_time(position: LogPosition) -> str | None:
    """Returns `sinceTime` for the next read: Kubernetes knows whole seconds, and its begin is included."""
    if position.at < 0:
        return None
    moment = datetime.fromtimestamp(position.at // _SECOND, tz=timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def take_new(text: str, position: LogPosition, *, ended: bool) -> tuple[Sequence[str], LogPosition, bool]:
    """Returns the lines of an answer that were not read before, the next position, and whether lines may be missing.

    The node keeps the current file of a log alone: where the last line that was read is not in an answer any more, the
    log was rotated, and lines may have been in the file before.

    Args:
        text: The answer, with timestamps.
        position: Where the last read ended.
        ended: Whether the program is over: its last line may lack an end.

    Raises:
        LogUnavailableError: When the answer is none of the log.
    """
    lines = text.split("\n")
    unfinished = lines.pop()
    if unfinished and ended:
        lines.append(unfinished)
    at, seen, left = position.at, Counter(position.seen), Counter(position.seen)
    new: list[str] = []
    met = position.at < 0
    for line in lines:
        moment, told = _stamped(line)
        if moment < position.at:
            continue
        digest = _digest(told)
        if moment == position.at:
            met = True
            if left[digest] > 0:
                left[digest] -= 1
                continue
        if moment > at:
            at, seen = moment, Counter[str]()
        if moment == at:
            seen[digest] += 1
        new.append(told.rstrip("\r"))
    gap = not met and (bool(new) or not unfinished)  # the last line may be the unfinished one
    return new, LogPosition(at, dict(seen)), gap


def _stamped(line: str) -> tuple[int, str]:
    found = _STAMP.match(line)
    if found is None:
        raise LogUnavailableError(line[:500])
    when, fraction, zone = found.groups()
    seconds = timegm(datetime.fromisoformat(when).timetuple())
    if zone != "Z":
        minutes = int(zone[1:3]) * 60 + int(zone[4:6])
        seconds -= (1 if zone[0] == "+" else -1) * minutes * 60
    return seconds * _SECOND + int((fraction or "0").ljust(9, "0")), line[found.end() :]


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()
