"""State of an arrival sensor between two ticks: only hints, because files and runs show what was loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = ["SensorState"]

_VERSION = 3


@dataclass(frozen=True)
class SensorState:
    """The cursor of an arrival sensor. Without a cursor, files are listed again before they count.

    Attributes:
        since: Time of the first tick, in seconds since 1970; windows that closed earlier only count for `catchup`.
        unstable: Sets that may still be written: digest, and time since which it is unchanged, by unit.
        scan: How many missed windows were scanned since the oldest one, if there are too many for one tick.
    """

    since: float
    unstable: Mapping[str, tuple[str, float]] = field(default_factory=lambda: MappingProxyType({}))
    scan: int = 0

    def dump(self) -> str:
        """Returns the state as a cursor."""
        return json.dumps([_VERSION, self.since, dict(self.unstable), self.scan], separators=(",", ":"))

    @classmethod
    def load(cls, cursor: str | None, now: float) -> SensorState:
        """Returns the state in a cursor; the state of a first tick if `dump` did not write the cursor.

        Args:
            cursor: Cursor of the previous tick.
            now: Current time, in seconds since 1970.
        """
        try:
            version, since, unstable, scan = json.loads(cursor or "")
            known = {str(unit): (str(digest), float(at)) for unit, (digest, at) in unstable.items()}
        except (ValueError, TypeError, AttributeError):
            return cls(now)
        return cls(float(since), known, int(scan)) if version == _VERSION else cls(now)
