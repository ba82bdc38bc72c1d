"""Decides whether tables are loaded now, from their files and from the runs that were requested for them.

A *set* is all the files of one table that Starlake would take now. It is requested once, when it is stable; a set that
changes is another one. What became of a set is known from the runs alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from starlake_dagster_assets.automation.file_arrivals.looks import Look
from starlake_dagster_assets.automation.policies.model import PreLoad
from starlake_dagster_assets.automation.policies.words import instant, listed, short, span

__all__ = ["Arrival", "Close", "LoadRun", "Skip", "Window", "evaluate", "unstable_since"]

_LONG = 3600
"""Seconds after which a run that has not ended is worth a look of a person."""


@dataclass(frozen=True)
class Window:
    """The time after a tick of a schedule in which its files are expected.

    Attributes:
        start: The tick, seconds since 1970.
        end: When it closes; files that come later are loaded with its interval all the same.
        following: The next tick.
        interval: The data interval of its runs: from the tick before to the tick.
        is_missed: Whether a newer tick has come since (`catchup`).
        is_watched: Whether the sensor looked before the window closed: else what lies there waits for the next one.
    """

    start: float
    end: float
    following: float
    interval: tuple[datetime, datetime]
    is_missed: bool = False
    is_watched: bool = True


@dataclass(frozen=True)
class LoadRun:
    """A run that loads tables.

    Attributes:
        id: Of the run.
        status: Dagster's, such as `STARTED`.
        since: When it was created or started, seconds since 1970.
        sets: The digest of each set that it was requested for, by the short hash of the table or ack file.
        until: End of its data interval, ISO 8601; "" where it has none.
        files: Names of the files that it was requested for.
    """

    id: str
    status: str
    since: float
    sets: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    until: str = ""
    files: str = ""

    @property
    def in_progress(self) -> bool:
        """Whether it has not ended."""
        return self.status not in ("SUCCESS", "FAILURE", "CANCELED")

    @property
    def has_succeeded(self) -> bool:
        """Whether it has ended well."""
        return self.status == "SUCCESS"

    def progress(self, now: float) -> str:
        """Returns its status and age; after an hour also what to do about it."""
        age = now - self.since
        text = f"run {self.id} ({self.status} for {span(age)})"
        if age < _LONG or self.status == "QUEUED":
            return text
        return f"{text}: if its process is gone, terminate it, or set `run_monitoring` in dagster.yaml"


@dataclass(frozen=True)
class Arrival:
    """A run is due.

    Attributes:
        nodes: The tables to load.
        sets: The digest of each set that the run is requested for, by table or ack file.
        key: Run key: the same for the same sets.
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
    """A window closed without files, and its run is to fail (`pre_load_sensor_soft_fail` is False)."""

    reason: str
    key: str


@dataclass(frozen=True)
class Skip:
    """No run is due.

    Attributes:
        reason: One sentence that names what was seen.
        is_empty: Whether nothing at all was seen.
    """

    reason: str
    is_empty: bool = False


def unstable_since(look: Look, before: Mapping[str, tuple[str, float]], wait: float) -> dict[str, tuple[str, float]]:
    """Returns the sets that are not known to be complete by their times of writing: digests, and since when they last.

    A set is stable once its youngest file was written `wait` seconds ago. Where the store says no time of writing, or
    one in the future, it is stable once it has been the same for as long.

    Args:
        look: At the files.
        before: What the look before returned.
        wait: `stable_for`, seconds.
    """
    found: dict[str, tuple[str, float]] = {}
    for unit, files in look.sets.items():
        written = look.modified(files.names) if wait else look.at
        if written is not None and written <= look.at - wait:
            continue
        digest, since = before.get(unit, ("", look.at))
        found[unit] = (files.digest, min(since, look.at) if digest == files.digest else look.at)
    return found


def evaluate(
    name: str,
    pre_load: PreLoad,
    look: Look,
    *,
    unstable: Mapping[str, tuple[str, float]] = MappingProxyType({}),
    requested: Mapping[str, LoadRun] = MappingProxyType({}),
    busy: Mapping[str, LoadRun] = MappingProxyType({}),
    window: Window | None = None,
    window_runs: Sequence[LoadRun] = (),
    loaded: Callable[[], Mapping[str, str]] = dict,
    elsewhere: Callable[[], Sequence[str]] = tuple,
    by_condition: Collection[str] = (),
) -> Arrival | Close | Skip:
    """Decides whether a run is due.

    Args:
        name: Of the sensor; part of the run key.
        pre_load: The strategy and its options.
        look: At the files.
        unstable: Of `unstable_since`.
        requested: The newest run that was requested for the same set (in the window, where there is one), by unit.
        busy: The run in progress that loads a table, by unit.
        window: The window of the schedule; None without one.
        window_runs: The runs with the interval of the window.
        loaded: Returns the run that loaded a table for the window otherwise, as by hand, by node id.
        elsewhere: Returns sentences on files of the tables in other directories.
        by_condition: Tables that an automation condition loads: their files are observed, and start no run here.

    Returns:
        The run to request, or the reason to request none.
    """
    wait = 0.0 if look.ack_path else pre_load.stable_for
    loadable = tuple(node for node in look.loadable if node not in by_condition)
    starts = {unit: bool(loadable) if look.ack_path else unit not in by_condition for unit in look.sets}
    mine = [unit for unit in look.sets if starts[unit]]
    fresh = [unit for unit in mine if unit not in requested]
    changing = [unit for unit in fresh if unit in unstable and look.at - unstable[unit][1] < wait]
    stable = [unit for unit in fresh if unit not in changing]
    is_closed = window is not None and look.at >= window.end
    is_over = is_closed and window is not None and not window.is_watched
    ready = [] if is_over else [unit for unit in stable if unit not in busy]
    if ready:
        return _arrival(name, look, ready, loadable, window)
    parts = [
        *_held(look, {unit: busy[unit] for unit in stable if unit in busy}),
        *([f"{_names(look, stable)} came after the window"] if is_over and stable else []),
        *_changing(look, changing, wait),
        *_left(look, {unit: requested[unit] for unit in mine if unit in requested}),
        *_observed(look, look.sets.keys() - set(mine)),
        *elsewhere(),
        *look.remarks(),
    ]
    seen = "; ".join(parts) or "nothing is there"
    if window is None:
        return Skip(f"{look.waited_for}: {seen}.", not parts)
    others = {node: run for node, run in loaded().items() if run not in {one.id for one in window_runs}}
    missing = _missing(look, window_runs, others)
    if is_closed and not (is_over or window_runs or others or fresh or pre_load.soft_fail or by_condition):
        opened, closed = instant(window.start), instant(window.end)
        reason = f"The window from {opened} to {closed} closed without {missing}: {look.waited_for}: {seen}."
        return Close(reason, f"{name}:{int(window.start)}:closed")
    return Skip(
        f"{look.waited_for}: {seen}. {_of_window(look, window, missing)}{_loaded(window_runs, others)}", not parts
    )


def _arrival(name: str, look: Look, ready: Sequence[str], loadable: tuple[str, ...], window: Window | None) -> Arrival:
    sets = {unit: look.sets[unit].digest for unit in sorted(ready)}
    nodes = loadable if look.ack_path else tuple(sorted(ready))
    what: list[Any] = [name, sorted(sets.items()), None if window is None else window.start]
    names = tuple(file for unit in sorted(ready) for file in look.sets[unit].names)
    reason = f"{look.place}: {listed(names)} for {listed(nodes)}."
    return Arrival(nodes, sets, f"{name}:{short(json.dumps(what))}", reason, names)


# ----------------------------------------------------------------------------------------------------- messages


def _missing(look: Look, runs: Sequence[LoadRun], others: Collection[str]) -> str:
    """What has no run in a window that succeeded or is in progress; "" where everything has one."""
    served = {unit for run in runs if run.in_progress or run.has_succeeded for unit in run.sets}
    if look.ack_path:
        return "" if served or others else "the ack file"
    missing = [table for table in look.tables if short(table) not in served and table not in others]
    return f"files of {listed(missing)}" if missing else ""


def _of_window(look: Look, window: Window, missing: str) -> str:
    opened, following = instant(window.start), instant(window.following)
    if window.is_missed:
        return f"The window that opened at {opened} was missed and is made up for (catchup)."
    if look.at < window.end:
        return f"The window that opened at {opened} closes in {span(window.end - look.at)}."
    if not window.is_watched:
        return f"The window that opened at {opened} was over before the first look; the next one opens at {following}."
    without = f" without {missing}" if missing else ""
    return f"The window that opened at {opened} closed{without}; files that come before {following} belong to it."


def _loaded(runs: Sequence[LoadRun], others: Mapping[str, str]) -> str:
    done = [f"{run.files} (run {run.id})" for run in reversed(runs) if run.has_succeeded and run.files]
    done += [f"{node} ({f'run {run}' if run else 'reported from outside'})" for node, run in sorted(others.items())]
    return f" Loaded in it: {listed(done)}." if done else ""


def _changing(look: Look, units: Collection[str], wait: float) -> list[str]:
    if not units:
        return []
    text = f"{_names(look, units)} are new or still changing: they count once they have been the same for {span(wait)}"
    return [text]


def _observed(look: Look, units: Collection[str]) -> list[str]:
    return [f"automation conditions load {_names(look, units)}"] if units else []


def _held(look: Look, busy: Mapping[str, LoadRun]) -> list[str]:
    return [
        f"{_names(look, units)} belong to the next run of {listed(sorted(units))}: {run.progress(look.at)}"
        for run, units in _by_run(busy)
    ]


def _left(look: Look, requested: Mapping[str, LoadRun]) -> list[str]:
    found: list[str] = []
    for run, units in _by_run(requested):
        names = _names(look, units)
        if run.in_progress:
            found.append(f"{names} belong to {run.progress(look.at)}")
            continue
        verb = {"SUCCESS": "succeeded and left them there", "CANCELED": "was cancelled"}.get(run.status, "failed")
        found.append(
            f"{names} were requested in run {run.id}, which {verb}: they are not requested again until they change; "
            "re-execute that run, or write them again"
        )
    return found


def _by_run(found: Mapping[str, LoadRun]) -> list[tuple[LoadRun, list[str]]]:
    units: dict[str, list[str]] = {}
    for unit, run in found.items():
        units.setdefault(run.id, []).append(unit)
    runs = {run.id: run for run in found.values()}
    return [(runs[id_], units[id_]) for id_ in sorted(units)]


def _names(look: Look, units: Collection[str]) -> str:
    return listed([name for unit in sorted(units) for name in look.sets[unit].names])
