"""Whether the upstreams of a node have moved: from what was seen and what the last run used to a run, or to a reason.

A *wave* is the set of materializations that one run answers: every watched node made anew since the run before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from zoneinfo import ZoneInfo

from croniter import croniter

from starlake_dagster_assets.triggers.model import AllOf, AnyOf, Condition, Upstream, Watch
from starlake_dagster_assets.triggers.words import instant, listed, short, span

__all__ = ["Fire", "Memory", "Seen", "Wait", "cycle_of", "evaluate", "recovered", "requested", "settled", "watched"]

_VERSION = 1
_EMPTY: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True)
class Seen:
    """The newest materialization of a watched node.

    Attributes:
        id: Its storage id: grows from one event to the next.
        time: When, in seconds since 1970.
        run: Of which run; empty for one that was reported from outside.
        window: The data interval that it covers, where it is of a time partition.
    """

    id: int
    time: float
    run: str = ""
    window: tuple[datetime, datetime] | None = None


@dataclass(frozen=True)
class Memory:
    """What a sensor remembers from one tick to the next: one storage id a watched node.

    Attributes:
        consumed: The newest id that a successful run has used, by node.
        requested: The ids of the wave that was requested last, until its run is known to have succeeded.
        key: Run key of that wave.
        at: When it was requested, seconds since 1970; 0 = never.
        until: End of its data interval, seconds since 1970; 0 = none yet.
    """

    consumed: Mapping[str, int] = field(default_factory=lambda: _EMPTY)
    requested: Mapping[str, int] = field(default_factory=lambda: _EMPTY)
    key: str = ""
    at: float = 0
    until: float = 0

    def dump(self) -> str:
        """The cursor: JSON whose size grows with the number of watched nodes only."""
        ids = [{short(node): number for node, number in part.items()} for part in (self.consumed, self.requested)]
        return json.dumps([_VERSION, *ids, self.key, self.at, self.until], separators=(",", ":"))

    @classmethod
    def load(cls, cursor: str | None, nodes: Iterable[str]) -> Memory:
        """The memory in a cursor.

        Args:
            cursor: What `dump` gave; None, or a text of something else, remembers nothing.
            nodes: Those watched now: what is no longer watched is forgotten, what is new was never used.
        """
        try:
            version, consumed, last, key, at, until = json.loads(cursor or "")
        except (ValueError, TypeError):
            return cls()
        if version != _VERSION:
            return cls()
        names = {short(node): node for node in nodes}
        parts = (
            {names[name]: int(number) for name, number in ids.items() if name in names} for ids in (consumed, last)
        )
        return cls(*parts, key=str(key), at=float(at), until=float(until))


@dataclass(frozen=True)
class Fire:
    """A run is due.

    Attributes:
        ids: The materializations that it answers: newest storage id by node.
        key: Run key: the same for the same wave, however often it is evaluated.
        window: Its data interval: what the upstreams' partitions cover, else the cycle, else since the run before.
        reason: One sentence.
    """

    ids: Mapping[str, int]
    key: str
    window: tuple[datetime, datetime]
    reason: str


@dataclass(frozen=True)
class Wait:
    """No run now.

    Attributes:
        reason: One sentence: what was seen and what is awaited.
        due: The upstreams have moved; only an interval or a run in progress is waited for.
    """

    reason: str
    due: bool = False


@dataclass(frozen=True)
class _Look:
    """One evaluation."""

    watch: Watch
    seen: Mapping[str, Seen]
    memory: Memory
    now: float
    timezone: str

    def used(self, node: str) -> bool:
        return node in self.seen and self.seen[node].id <= self.memory.consumed.get(node, 0)

    def expired(self, node: str) -> bool:
        limit = self.watch.freshness.get(node)
        return limit is not None and node in self.seen and self.now - self.seen[node].time > limit

    def moved(self, node: str) -> bool:
        return node in self.seen and not self.used(node) and not self.expired(node)

    def moment(self, node: str) -> float:
        """The instant that places a materialization in a cycle: inside its partition, else when it was made."""
        window = self.seen[node].window
        return window[0].timestamp() if window else self.seen[node].time


def evaluate(
    name: str,
    watch: Watch,
    seen: Mapping[str, Seen],
    memory: Memory,
    now: float,
    *,
    coming: Mapping[str, str] | None = None,
    busy: str = "",
    timezone: str = "UTC",
) -> Fire | Wait:
    """Decides whether a run is due.

    Args:
        name: Of the trigger; part of the run key.
        watch: What must have happened.
        seen: The newest materialization of each watched node; a node that was never made is left out. Observations
            (`no file`) are none.
        memory: Of the tick before.
        now: Seconds since 1970.
        coming: Watched nodes that a run which made a part of this wave is still about to make, with its id.
        busy: Id of the run of the wave that was requested last, while it is in progress.
        timezone: Of the crons, an IANA name.

    Returns:
        The wave to run, or the reason to wait.
    """
    look = _Look(watch, seen, memory, now, timezone)
    nodes = watched(watch.condition)
    moved = [node for node in nodes if look.moved(node)]
    cycle = _cycle(look, moved)
    counted = {node for node in moved if cycle is None or _within(look, node, cycle)}
    if not _holds(watch.condition, counted, watch.optional | watch.slower):
        return Wait(_awaited(look, nodes, counted, cycle))
    if missing := sorted(watch.present - seen.keys()):
        return Wait(f"{_made(look, sorted(counted))}; waits for {listed(missing)}, never made so far.")
    if not any(seen[node].id > memory.requested.get(node, 0) for node in counted):
        return Wait(_answered(memory, sorted(counted), busy))
    left = {node: run for node, run in (coming or {}).items() if node in nodes}
    if left:
        runs = listed(sorted(set(left.values())))
        return Wait(f"{_made(look, sorted(counted))}; {runs} will still make {listed(sorted(left))}.", due=True)
    rest = memory.at + watch.min_interval - now
    if memory.at and rest > 0:
        return Wait(
            f"{_made(look, sorted(counted))}; the last run was requested at {instant(memory.at)}, the next one may be "
            f"in {span(rest)} (minimum interval {span(watch.min_interval)}).",
            due=True,
        )
    if busy:
        text = f"{_made(look, sorted(counted))}; the run of the wave before ({busy}) is still in progress."
        return Wait(text, due=True)
    ids = {node: seen[node].id for node in nodes if node in seen and not look.used(node)}
    return Fire(MappingProxyType(ids), _key(name, ids), _window(look, counted, cycle), _made(look, sorted(counted)))


def requested(memory: Memory, wave: Fire, now: float) -> Memory:
    """The memory after a wave was requested."""
    return replace(memory, requested=wave.ids, key=wave.key, at=now, until=wave.window[1].timestamp())


def settled(memory: Memory) -> Memory:
    """The memory once the run of the wave that was requested last has succeeded: what it used is consumed."""
    ids = {**memory.consumed}
    for node, number in memory.requested.items():
        ids[node] = max(number, ids.get(node, 0))
    return replace(memory, consumed=MappingProxyType(ids), requested=_EMPTY)


def recovered(
    memory: Memory, seen: Mapping[str, Seen], key: str, horizon: int, at: float, until: float, answered: int = 0
) -> Memory:
    """The memory corrected by a run that it does not know, because the tick that requested it was never recorded.

    Args:
        memory: Of a tick before that run.
        seen: As in `evaluate`.
        key: Run key of the run.
        horizon: The greatest storage id of its wave.
        at: When it was requested.
        until: End of its data interval.
        answered: The greatest storage id of the waves whose runs have succeeded; 0 = none.
    """
    consumed = {**memory.consumed, **{node: one.id for node, one in seen.items() if one.id <= answered}}
    ids = {node: one.id for node, one in seen.items() if consumed.get(node, 0) < one.id <= horizon}
    parts = MappingProxyType(consumed), MappingProxyType(ids)
    return Memory(*parts, key=key, at=at, until=until)


def watched(condition: Condition) -> tuple[str, ...]:
    """The nodes of a condition, sorted."""
    if isinstance(condition, Upstream):
        return (condition.node,)
    return tuple(sorted({node for part in condition.parts for node in watched(part)}))


def cycle_of(cron: str, moment: float, timezone: str = "UTC") -> tuple[datetime, datetime]:
    """The cycle of a cron expression in which an instant lies: from its tick, included, to the next one, excluded."""
    local = datetime.fromtimestamp(moment, ZoneInfo(timezone))
    end = croniter(cron, local).get_next(datetime)
    return croniter(cron, end).get_prev(datetime), end


# -------------------------------------------------------------------------------------------------- conditions


def _holds(condition: Condition, counted: set[str], patient: frozenset[str]) -> bool:
    return _truth(condition, counted, patient) is True


def _truth(condition: Condition, counted: set[str], patient: frozenset[str]) -> bool | None:
    """True, False, or None for what is neither needed nor there: an optional or slower upstream that has not moved."""
    if isinstance(condition, Upstream):
        if condition.node in counted:
            return True
        return None if condition.node in patient else False
    parts = [part for part in (_truth(part, counted, patient) for part in condition.parts) if part is not None]
    join: Callable[[Iterable[bool]], bool] = all if isinstance(condition, AllOf) else any
    return join(parts) if parts else None


def _lacking(condition: Condition, counted: set[str], patient: frozenset[str]) -> str:
    """The part of a condition that does not hold, as text."""
    if isinstance(condition, Upstream):
        return condition.node
    open_parts = [part for part in condition.parts if _truth(part, counted, patient) is not True]
    needed = [part for part in open_parts if _truth(part, counted, patient) is False] or open_parts
    texts = [_lacking(part, counted, patient) for part in needed]
    if isinstance(condition, AnyOf):
        text = listed(texts, "or")
        return f"({text})" if len(texts) > 1 else text
    return listed(texts)


def _cycle(look: _Look, moved: list[str]) -> tuple[datetime, datetime] | None:
    """The newest cycle in which an upstream has moved."""
    cron = look.watch.data_cycle
    if cron is None or not moved:
        return None
    return cycle_of(cron, max(look.moment(node) for node in moved), look.timezone)


def _within(look: _Look, node: str, cycle: tuple[datetime, datetime]) -> bool:
    more = look.watch.freshness.get(node, 0) if look.watch.beyond else 0
    return cycle[0].timestamp() - more <= look.moment(node) < cycle[1].timestamp() + more


def _window(look: _Look, counted: set[str], cycle: tuple[datetime, datetime] | None) -> tuple[datetime, datetime]:
    windows = [window for node in counted if (window := look.seen[node].window) is not None]
    if windows:
        return min(start for start, _ in windows), max(end for _, end in windows)
    if cycle is not None:
        return cycle
    times = [look.seen[node].time for node in counted]
    start = min(look.memory.until or min(times), max(times))
    zone = ZoneInfo(look.timezone)
    return datetime.fromtimestamp(start, zone), datetime.fromtimestamp(max(times), zone)


def _key(name: str, ids: Mapping[str, int]) -> str:
    return f"{name}:{max(ids.values())}:{short(json.dumps([name, sorted(ids.items())]))}"


# ------------------------------------------------------------------------------------------------------- words


def _awaited(look: _Look, nodes: Iterable[str], counted: set[str], cycle: tuple[datetime, datetime] | None) -> str:
    patient = look.watch.optional | look.watch.slower
    lacking = _lacking(look.watch.condition, counted, patient)
    why = [_standing(look, node, cycle) for node in nodes if node not in counted and node not in patient]
    seen = f"Seen: {_made(look, sorted(counted))}." if counted else "Nothing new was seen."
    where = f" in the cycle from {cycle[0]:%Y-%m-%d %H:%M} to {cycle[1]:%Y-%m-%d %H:%M}" if cycle else ""
    return f"Waits for {lacking}{where}. {seen} {listed(why, ';')}".rstrip(" ") + ("." if why else "")


def _standing(look: _Look, node: str, cycle: tuple[datetime, datetime] | None) -> str:
    if node not in look.seen:
        return f"{node} was never made"
    when = instant(look.seen[node].time)
    if look.used(node):
        return f"{node} was last made at {when}, before the last run"
    if look.expired(node):
        limit = look.watch.freshness[node]
        return f"{node} was made at {when}, which counts for {span(limit)} only"
    return f"{node} was made at {when}, for another cycle" if cycle else f"{node} was made at {when}"


def _answered(memory: Memory, counted: list[str], busy: str) -> str:
    if busy:
        return f"The run of this wave ({busy}) is in progress: it answers {listed(counted)}."
    return (
        f"The run of this wave ({memory.key}) did not succeed: it is left to its retries, "
        f"and a new run waits until one of {listed(counted)} is made again."
    )


def _made(look: _Look, nodes: list[str]) -> str:
    return listed([f"{node} at {instant(look.seen[node].time)}" for node in nodes])
