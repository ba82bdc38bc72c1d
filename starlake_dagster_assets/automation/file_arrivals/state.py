"""State of an arrival sensor between two ticks: only hints, because files and runs determine what was loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = ["SensorState"]

_VERSION = 3


@dataclass(frozen=True)
class SensorState:
    """The cursor of an arrival sensor. Without it, files are listed again before they count.

    Attributes:
        since: Time of the first tick, seconds since 1970: windows that closed before are not the sensor's.
        unstable: Sets that may still be written: digest, and since when it is the same, by unit.
        scan: How many missed windows were scanned since the oldest one, where there are too many for one tick.
    """

    since: float
    unstable: Mapping[str, tuple[str, float]] = field(default_factory=lambda: MappingProxyType({}))
    scan: int = 0

    def dump(self) -> str:
        """Returns the cursor."""
        return json.dumps([_VERSION, self.since, dict(self.unstable), self.scan], separators=(",", ":"))

    @classmethod
    def load(cls, cursor: str | None, now: float) -> SensorState:
        """Returns the state in a cursor; that of a first tick where the cursor is none of `dump`.

        Args:
            cursor: Of the tick before.
            now: Seconds since 1970.
        """
        try:
            version, since, unstable, scan = json.loads(cursor or "")
            known = {str(unit): (str(digest), float(at)) for unit, (digest, at) in unstable.items()}
        except (ValueError, TypeError, AttributeError):
            return cls(now)
        return cls(float(since), known, int(scan)) if version == _VERSION else cls(now)
