"""Reads the log of a Pod in parts: each read continues after the last one, and missing lines are detected."""

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

__all__ = ["LogPosition", "LogUnavailableError", "read_new_lines", "since_time"]

_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ?")
_SECOND = 1_000_000_000


class LogUnavailableError(Exception):
    """The node answered with a message instead of the log."""


@dataclass(frozen=True)
class LogPosition:
    """Position of the last read in the log of a Pod.

    Attributes:
        at: Time of the last line in nanoseconds; -1 before the first line.
        seen: Number of lines with exactly this time that were read, by digest.
    """

    at: int = -1
    seen: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, data: Mapping[str, Any] | None) -> LogPosition:
        """Parses a position from the data that `to_dict` returns; None is the start of the log."""
        return cls() if data is None else cls(int(data["at"]), data["seen"])

    def to_dict(self) -> dict[str, Any]:
        """Returns the position as data for a cursor."""
        return {"at": self.at, "seen": dict(self.seen)}


def since_time(position: LogPosition) -> str | None:
    """Returns `sinceTime` for the next read: it has whole seconds, and lines of that second are included."""
    if position.at < 0:
        return None
    moment = datetime.fromtimestamp(position.at // _SECOND, tz=timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def read_new_lines(text: str, position: LogPosition, *, ended: bool) -> tuple[Sequence[str], LogPosition, bool]:
    """Returns the lines of an answer that were not read before, the next position, and whether lines may be missing.

    Kubernetes serves only the current file of a log. If the last line that was read is no longer in the answer, the log
    was rotated, and lines at the end of the previous file may be missing.

    Args:
        text: The answer, with timestamps.
        position: Where the last read ended.
        ended: Whether the program has ended: its last line may lack a line break.

    Raises:
        LogUnavailableError: When the answer is not a log.
    """
    lines = text.split("\n")
    unfinished = lines.pop()
    if unfinished and ended:
        lines.append(unfinished)
    at, seen, left = position.at, Counter(position.seen), Counter(position.seen)
    new: list[str] = []
    met = position.at < 0
    for line in lines:
        moment, content = _stamped(line)
        if moment < position.at:
            continue
        digest = _digest(content)
        if moment == position.at:
            met = True
            if left[digest] > 0:
                left[digest] -= 1
                continue
        if moment > at:
            at, seen = moment, Counter[str]()
        if moment == at:
            seen[digest] += 1
        new.append(content.rstrip("\r"))
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
