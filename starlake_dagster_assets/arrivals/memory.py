"""What an arrival sensor remembers of its looks, and what became of the sets that it asked runs for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from starlake_dagster_assets.arrivals.looks import ACK
from starlake_dagster_assets.triggers.words import short

__all__ = ["AckLeft", "Asked", "Memory"]

_VERSION = 2


@dataclass(frozen=True)
class Asked:
    """A set that a run was asked for.

    Attributes:
        digest: Of the set.
        key: Run key.
        run: Id of the newest run of it; "" where it is not known.
        state: What became of the run.
    """

    digest: str
    key: str
    run: str = ""
    state: Literal["in progress", "succeeded", "failed"] = "in progress"


@dataclass(frozen=True)
class AckLeft:
    """An ack file that was answered by a run request and still lies there."""

    path: str
    content: str
    key: str


@dataclass(frozen=True)
class Memory:
    """What an arrival sensor remembers from one tick to the next; its size grows with the tables, not with the files.

    Attributes:
        seen: By table: the digest of its set, and since when it is the same, seconds since 1970.
        asked: By table: digest and run key of the set that was asked for last.
        ack: The ack file to be deleted once its run is known to be accepted.
        window: The tick whose window was looked at last; 0 = none.
        opened: When that window was looked at first, seconds since 1970.
        served: Tables that this window has nothing more to do with: those of its runs, and all once it is closed.
    """

    seen: Mapping[str, tuple[str, float]] = field(default_factory=lambda: MappingProxyType({}))
    asked: Mapping[str, tuple[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    ack: AckLeft | None = None
    window: float = 0
    opened: float = 0
    served: frozenset[str] = frozenset()

    def dump(self) -> str:
        """The cursor."""
        parts = [{short(name): value for name, value in part.items()} for part in (self.seen, self.asked)]
        ack = None if self.ack is None else [self.ack.path, self.ack.content, self.ack.key]
        served = sorted(short(name) for name in self.served)
        return json.dumps([_VERSION, *parts, ack, self.window, self.opened, served], separators=(",", ":"))

    @classmethod
    def load(cls, cursor: str | None, tables: Iterable[str]) -> Memory:
        """The memory in a cursor.

        Args:
            cursor: What `dump` gave; None, or a text of something else, remembers nothing.
            tables: Node ids of those watched now; what is no longer watched is forgotten.
        """
        try:
            version, seen, asked, ack, window, opened, served = json.loads(cursor or "")
        except (ValueError, TypeError):
            return cls()
        if version != _VERSION:
            return cls()
        names = {short(name): name for name in (*tables, ACK)}
        return cls(
            {names[key]: (str(digest), float(since)) for key, (digest, since) in seen.items() if key in names},
            {names[key]: (str(digest), str(run)) for key, (digest, run) in asked.items() if key in names},
            AckLeft(*ack) if ack else None,
            float(window),
            float(opened),
            frozenset(names[key] for key in served if key in names),
        )
