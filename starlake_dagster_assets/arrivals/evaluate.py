"""Whether the files of tables have arrived: from what one look saw and what is remembered to a run, or to a reason.

A *set* is all the files of one table that Starlake would take now. It counts once it has been the same for a while, and
is asked for once: a set that changes is another one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from starlake_dagster_assets.arrivals.looks import ACK, Look
from starlake_dagster_assets.arrivals.memory import AckLeft, Asked, Memory
from starlake_dagster_assets.arrivals.windows import Window
from starlake_dagster_assets.triggers.evaluate import Wait
from starlake_dagster_assets.triggers.model import PreLoad
from starlake_dagster_assets.triggers.words import instant, listed, short, span

__all__ = ["Arrival", "Close", "arrived", "closed", "evaluate", "noticed"]


@dataclass(frozen=True)
class Arrival:
    """A run is due.

    Attributes:
        nodes: The tables to load.
        sets: The digest of each set that the run is asked for, by table (or `ack`).
        key: Run key: the same for the same sets, however often they are looked at.
        reason: One sentence.
        files: Names of the files.
    """

    nodes: tuple[str, ...]
    sets: Mapping[str, str]
    key: str
    reason: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class Close:
    """The window of a schedule is over.

    Attributes:
        reason: One sentence: what came, and what did not.
        key: Run key of the run that is to fail, where nothing came at all and nobody said that this is fine; else "".
    """

    reason: str
    key: str = ""


def noticed(memory: Memory, look: Look, window: Window | None = None) -> Memory:
    """The memory after a look.

    Args:
        memory: Of the tick before.
        look: What was seen now.
        window: The window that is open, or was last; None where there is no schedule.

    Returns:
        Since when each set is the same: by the looks alone, whatever the files' own times are. A new window has served
        no table; the first one that is ever looked at counts only while it is open.
    """
    seen: dict[str, tuple[str, float]] = {}
    for unit, files in look.sets.items():
        before = memory.seen.get(unit)
        same = before is not None and before[0] == files.digest
        seen[unit] = (files.digest, min(before[1], look.at) if same and before else look.at)
    # what has gone needs no memory, but within a window it says which tables had their run
    asked = {unit: what for unit, what in memory.asked.items() if unit in seen or window is not None}
    memory = replace(memory, seen=seen, asked=asked)
    if window is None or window.start == memory.window:
        return memory
    before = not memory.window and look.at >= window.end and not window.missed
    served = frozenset(look.units) if before else frozenset[str]()
    return replace(memory, asked={}, window=window.start, opened=look.at, served=served)


def evaluate(
    name: str,
    pre_load: PreLoad,
    look: Look,
    memory: Memory,
    asked: Mapping[str, Asked],
    *,
    busy: str = "",
    window: Window | None = None,
) -> Arrival | Close | Wait:
    """Decides whether a run is due.

    Args:
        name: Of the trigger; part of the run key.
        pre_load: The strategy and its options.
        look: What was seen.
        memory: After `noticed`.
        asked: The sets that runs were asked for (within the window, where there is one), by table.
        busy: Id of a run of this trigger that is in progress.
        window: The window of the schedule; None where there is none.

    Returns:
        The run to ask for, the end of the window, or the reason to wait.
    """
    there = {unit: files for unit, files in look.sets.items() if unit not in memory.served}
    fresh = {unit: files for unit, files in there.items() if unit not in asked or asked[unit].digest != files.digest}
    wait = 0.0 if pre_load.strategy == "ack" else pre_load.stable_for
    ready = {unit: files for unit, files in fresh.items() if look.at - memory.seen[unit][1] >= wait}
    if ready and not busy:
        sets = {unit: files.digest for unit, files in sorted(ready.items())}
        nodes = tuple(sorted(ready)) if ACK not in ready else look.loadable
        key = _key(name, sets, window)
        names = [file for files in ready.values() for file in files.names]
        return Arrival(nodes, sets, key, f"{look.place}: {listed(names)} for {listed(nodes)}.", tuple(names))
    if window is not None and look.at >= window.end and memory.served < set(look.units):
        # newer windows are waiting: files that never stop changing do not hold them for ever
        given_up = window.missed and look.at - memory.opened > max(pre_load.ack_wait_timeout, wait)
        if not fresh or (given_up and not ready):
            return _closing(name, pre_load, look, memory, window, fresh)
    parts = [
        *([f"run {busy} is in progress: {_told(look, ready)} belong to the next one"] if ready else []),
        *_unsettled(look, fresh.keys() - ready.keys(), wait),
        *_standing(look, there.keys() - fresh.keys(), asked),
        *look.remarks(),
    ]
    where = f"{look.waited_for}: {'; '.join(parts) or 'nothing is there'}."
    return Wait(f"{where}{_when(window, memory, look)}", due=bool(ready))


def arrived(memory: Memory, request: Arrival, look: Look) -> Memory:
    """The memory after a run was asked for."""
    asked = {**memory.asked, **{unit: (digest, request.key) for unit, digest in request.sets.items()}}
    ack = memory.ack
    if ACK in request.sets and look.ack is not None:
        ack = AckLeft(look.ack_path, look.ack_content, request.key)
    return replace(memory, asked=asked, ack=ack)


def closed(memory: Memory, look: Look) -> Memory:
    """The memory after a window was closed: it has nothing more to do with any table."""
    return replace(memory, served=frozenset(look.units))


# ------------------------------------------------------------------------------------------------------- words


def _closing(
    name: str, pre_load: PreLoad, look: Look, memory: Memory, window: Window, changing: Collection[str]
) -> Close:
    """The window is over, and nothing is on its way any more."""
    missing = sorted(set(look.units) - memory.served)
    opened, over = instant(window.start), instant(window.end)
    remarks = "".join(f"; {remark}" for remark in look.remarks())
    what = "the ack file" if ACK in missing else f"files of {listed(missing)}"
    came = f"{_told(look, changing)} never stopped changing in" if changing else "nothing came to"
    reason = f"The window from {opened} to {over} was closed without {what}: {came} {look.waited_for}{remarks}."
    fails = not (pre_load.soft_fail or memory.served)
    return Close(reason, f"{name}:{int(window.start)}:closed" if fails else "")


def _when(window: Window | None, memory: Memory, look: Look) -> str:
    if window is None:
        return ""
    if window.missed:
        return f" The window that opened at {instant(window.start)} was missed and is made up for (catchup)."
    if look.at < window.end:
        done = f" {_served(memory.served)}." if memory.served else ""
        return f" The window that opened at {instant(window.start)} closes in {span(window.end - look.at)}.{done}"
    late = "; what comes now belongs to the next one" if memory.served >= set(look.units) else ""
    return f" The window that opened at {instant(window.start)} is over{late}."


def _served(units: Collection[str]) -> str:
    if ACK in units:
        return "It had its run"
    return f"{listed(sorted(units))} had {'its run' if len(units) == 1 else 'their runs'}"


def _unsettled(look: Look, units: Collection[str], wait: float) -> list[str]:
    if not units:
        return []
    return [f"{_told(look, units)} are new or still changing: they count once they have been the same for {span(wait)}"]


def _standing(look: Look, units: Collection[str], asked: Mapping[str, Asked]) -> list[str]:
    by_run: dict[tuple[str, str], list[str]] = {}
    for unit in units:
        by_run.setdefault((asked[unit].run, asked[unit].state), []).append(unit)
    return [_stands(_told(look, members), run, state) for (run, state), members in sorted(by_run.items())]


def _stands(what: str, run: str, state: str) -> str:
    if state == "in progress":
        return f"{what} belong to run {run}, which is in progress"
    verb = "failed" if state == "failed" else "succeeded and left them there"
    return (
        f"{what} were asked for in run {run}, which {verb}: they are not asked for again until they change; "
        "re-execute that run, or put them there anew"
    )


def _told(look: Look, units: Collection[str]) -> str:
    names = [name for unit in sorted(units) for name in look.sets[unit].names]
    return listed(names)


def _key(name: str, sets: Mapping[str, str], window: Window | None) -> str:
    what: list[Any] = [name, sorted(sets.items()), None if window is None else window.start]
    return f"{name}:{short(json.dumps(what))}"
