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

from starlake_dagster_assets.automation.file_arrivals.directory_scan import DirectoryScan
from starlake_dagster_assets.automation.policies.model import PreLoad
from starlake_dagster_assets.automation.policies.skip_reasons import duration_text, instant, listed, short_hash
from starlake_dagster_assets.plural import inflected

__all__ = [
    "ArrivalRun",
    "ArrivalRunNeeded",
    "ArrivalSkip",
    "ArrivalWindow",
    "ArrivalWindowMissed",
    "evaluate_arrival",
    "unstable_since",
]

_LONG = 3600
"""Seconds after which a run that has not ended is to be checked by a person."""


@dataclass(frozen=True)
class ArrivalWindow:
    """The time after a tick of a schedule in which its files are expected.

    Attributes:
        start: The tick, seconds since 1970.
        end: Time at which the window closes; files that arrive later are still loaded with its interval.
        following: The next tick.
        interval: The data interval of its runs: from the previous tick to the tick.
        is_missed: Whether a newer tick has passed since (`catchup`).
        was_scanned_before_end: Whether the sensor ran before the window closed; if not, files wait for the next one.
    """

    start: float
    end: float
    following: float
    interval: tuple[datetime, datetime]
    is_missed: bool = False
    was_scanned_before_end: bool = True


@dataclass(frozen=True)
class ArrivalRun:
    """A run that loads tables.

    Attributes:
        id: Id of the run.
        status: Status of the run in Dagster, such as `STARTED`.
        since: Time at which it was started or else created, in seconds since 1970.
        sets: The digest of each set that it was requested for, by the short hash of the table or ack file.
        until: End of its data interval, ISO 8601; "" if it has none.
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
        """Whether the run has not ended."""
        return self.status not in ("SUCCESS", "FAILURE", "CANCELED")

    @property
    def has_succeeded(self) -> bool:
        """Whether the run has succeeded."""
        return self.status == "SUCCESS"

    def progress(self, now: float) -> str:
        """Describes the run by its status and age; after an hour, also by the next step for a person."""
        age = now - self.since
        text = f"run {self.id} ({self.status} for {duration_text(age)})"
        if age < _LONG or self.status == "QUEUED":
            return text
        return f"{text}: if its process has ended, terminate it, or set `run_monitoring` in dagster.yaml"


@dataclass(frozen=True)
class ArrivalRunNeeded:
    """Result of an evaluation: a run is due.

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
class ArrivalWindowMissed:
    """Result of an evaluation: a failed window, closed without files (`pre_load_sensor_soft_fail` is False)."""

    reason: str
    key: str


@dataclass(frozen=True)
class ArrivalSkip:
    """Result of an evaluation: no run is due.

    Attributes:
        reason: One sentence that names what was seen.
        is_empty: Whether nothing was found.
    """

    reason: str
    is_empty: bool = False


def unstable_since(
    scan: DirectoryScan, before: Mapping[str, tuple[str, float]], wait: float
) -> dict[str, tuple[str, float]]:
    """Returns the digest, and the time since which it is unchanged, of each set that may still be written, by unit.

    A set is stable once its youngest file was written `wait` seconds ago. If the store has no time of writing, or one
    in the future, a set is stable once it has been the same for as long.

    Args:
        scan: Scan of the files.
        before: Result of the previous tick.
        wait: `stable_for`, seconds.
    """
    found: dict[str, tuple[str, float]] = {}
    for unit, files in scan.sets.items():
        written = scan.modified(files.names) if wait else scan.at
        if written is not None and written <= scan.at - wait:
            continue
        digest, since = before.get(unit, ("", scan.at))
        found[unit] = (files.digest, min(since, scan.at) if digest == files.digest else scan.at)
    return found


def evaluate_arrival(
    name: str,
    pre_load: PreLoad,
    scan: DirectoryScan,
    *,
    unstable: Mapping[str, tuple[str, float]] = MappingProxyType({}),
    requested: Mapping[str, ArrivalRun] = MappingProxyType({}),
    busy: Mapping[str, ArrivalRun] = MappingProxyType({}),
    window: ArrivalWindow | None = None,
    window_runs: Sequence[ArrivalRun] = (),
    loaded: Callable[[], Mapping[str, str]] = dict,
    elsewhere: Callable[[], Sequence[str]] = tuple,
    by_condition: Collection[str] = (),
) -> ArrivalRunNeeded | ArrivalWindowMissed | ArrivalSkip:
    """Decides whether a run is due.

    Args:
        name: Name of the sensor; part of the run key.
        pre_load: The strategy and its options.
        scan: Scan of the files.
        unstable: Result of `unstable_since`.
        requested: The newest run that was requested for the same set (in the window, if there is one), by unit.
        busy: The run in progress that loads a table, by unit.
        window: The window of the schedule; None without one.
        window_runs: The runs with the interval of the window.
        loaded: Returns the newest run that loaded a table for the window, also a manual one, by node id.
        elsewhere: Returns sentences on files of the tables in other directories.
        by_condition: Tables that an automation condition loads: their files are observed, and start no run here.

    Returns:
        The run to request, or the reason to request none.
    """
    wait = 0.0 if scan.ack_path else pre_load.stable_for
    loadable = tuple(node for node in scan.loadable if node not in by_condition)
    starts = {unit: bool(loadable) if scan.ack_path else unit not in by_condition for unit in scan.sets}
    mine = [unit for unit in scan.sets if starts[unit]]
    fresh = [unit for unit in mine if unit not in requested]
    changing = [unit for unit in fresh if unit in unstable and scan.at - unstable[unit][1] < wait]
    stable = [unit for unit in fresh if unit not in changing]
    is_closed = window is not None and scan.at >= window.end
    is_over = is_closed and window is not None and not window.was_scanned_before_end
    ready = [] if is_over else [unit for unit in stable if unit not in busy]
    if ready:
        return _arrival(name, scan, ready, loadable, window)
    parts = [
        *_tables_of_active_runs(scan, {unit: busy[unit] for unit in stable if unit in busy}),
        *([f"{_names(scan, stable)} arrived after the window"] if is_over and stable else []),
        *_changing(scan, changing, wait),
        *_files_of_requested_runs(scan, {unit: requested[unit] for unit in mine if unit in requested}),
        *_observed(scan, scan.sets.keys() - set(mine)),
        *elsewhere(),
        *scan.remarks(),
    ]
    seen = "; ".join(parts) or "nothing is there"
    if window is None:
        return ArrivalSkip(f"{scan.waited_for}: {seen}.", not parts)
    others = {node: run for node, run in loaded().items() if run not in {one.id for one in window_runs}}
    missing = _missing(scan, window_runs, others)
    if is_closed and not (is_over or window_runs or others or fresh or pre_load.soft_fail or by_condition):
        opened, closed = instant(window.start), instant(window.end)
        reason = f"The window from {opened} to {closed} closed without {missing}: {scan.waited_for}: {seen}."
        return ArrivalWindowMissed(reason, f"{name}:{int(window.start)}:closed")
    return ArrivalSkip(
        f"{scan.waited_for}: {seen}. {_of_window(scan, window, missing)}{_loaded(window_runs, others)}", not parts
    )


def _arrival(
    name: str, scan: DirectoryScan, ready: Sequence[str], loadable: tuple[str, ...], window: ArrivalWindow | None
) -> ArrivalRunNeeded:
    sets = {unit: scan.sets[unit].digest for unit in sorted(ready)}
    nodes = loadable if scan.ack_path else tuple(sorted(ready))
    what: list[Any] = [name, sorted(sets.items()), None if window is None else window.start]
    names = tuple(file for unit in sorted(ready) for file in scan.sets[unit].names)
    reason = f"{scan.directory}: {listed(names)} for {listed(nodes)}."
    return ArrivalRunNeeded(nodes, sets, f"{name}:{short_hash(json.dumps(what))}", reason, names)


# ----------------------------------------------------------------------------------------------------- messages


def _missing(scan: DirectoryScan, runs: Sequence[ArrivalRun], others: Collection[str]) -> str:
    """Names the tables or the ack file without a run that succeeded or is in progress; "" if all have one."""
    served = {unit for run in runs if run.in_progress or run.has_succeeded for unit in run.sets}
    if scan.ack_path:
        return "" if served or others else "the ack file"
    missing = [table for table in scan.tables if short_hash(table) not in served and table not in others]
    return f"files of {listed(missing)}" if missing else ""


def _of_window(scan: DirectoryScan, window: ArrivalWindow, missing: str) -> str:
    opened, following = instant(window.start), instant(window.following)
    if window.is_missed:
        return f"The window that opened at {opened} was missed and is caught up now (catchup)."
    if scan.at < window.end:
        return f"The window that opened at {opened} closes in {duration_text(window.end - scan.at)}."
    if not window.was_scanned_before_end:
        closed = f"The window that opened at {opened} closed before the first tick of the sensor"
        return f"{closed}; the next one opens at {following}."
    without = f" without {missing}" if missing else ""
    return f"The window that opened at {opened} closed{without}; files that arrive before {following} belong to it."


def _loaded(runs: Sequence[ArrivalRun], others: Mapping[str, str]) -> str:
    done = [f"{run.files} (run {run.id})" for run in reversed(runs) if run.has_succeeded and run.files]
    done += [f"{node} ({f'run {run}' if run else 'reported from outside'})" for node, run in sorted(others.items())]
    return f" Loaded in it: {listed(done)}." if done else ""


def _changing(scan: DirectoryScan, units: Collection[str], wait: float) -> list[str]:
    if not units:
        return []
    is_new, counts = _agreeing(scan, units, "is", "are"), _agreeing(scan, units, "it counts", "they count")
    has = _agreeing(scan, units, "it has", "they have")
    text = f"{_names(scan, units)} {is_new} new or still changing: {counts} once {has} been the same for "
    return [text + duration_text(wait)]


def _observed(scan: DirectoryScan, units: Collection[str]) -> list[str]:
    return [f"automation conditions load {_names(scan, units)}"] if units else []


def _tables_of_active_runs(scan: DirectoryScan, busy: Mapping[str, ArrivalRun]) -> list[str]:
    return [
        f"{_names(scan, units)} {_agreeing(scan, units, 'belongs', 'belong')} to the next run of "
        f"{listed(sorted(units))}: {run.progress(scan.at)}"
        for run, units in _by_run(busy)
    ]


def _files_of_requested_runs(scan: DirectoryScan, requested: Mapping[str, ArrivalRun]) -> list[str]:
    found: list[str] = []
    for run, units in _by_run(requested):
        names = _names(scan, units)
        if run.in_progress:
            found.append(f"{names} {_agreeing(scan, units, 'belongs', 'belong')} to {run.progress(scan.at)}")
            continue
        was, them = _agreeing(scan, units, "was", "were"), _agreeing(scan, units, "it", "them")
        they_are = _agreeing(scan, units, "it is", "they are")
        change = _agreeing(scan, units, "it changes", "they change")
        verb = {"SUCCESS": f"succeeded and left {them} there", "CANCELED": "was canceled"}.get(run.status, "failed")
        found.append(
            f"{names} {was} requested in run {run.id}, which {verb}: {they_are} not requested again until {change}; "
            f"re-execute that run, or write {them} again"
        )
    return found


def _by_run(found: Mapping[str, ArrivalRun]) -> list[tuple[ArrivalRun, list[str]]]:
    units: dict[str, list[str]] = {}
    for unit, run in found.items():
        units.setdefault(run.id, []).append(unit)
    runs = {run.id: run for run in found.values()}
    return [(runs[id_], units[id_]) for id_ in sorted(units)]


def _agreeing(scan: DirectoryScan, units: Collection[str], singular: str, plural: str) -> str:
    """Returns the form of a word that agrees with the number of files of some sets."""
    return inflected(sum(len(scan.sets[unit].names) for unit in units), singular, plural)


def _names(scan: DirectoryScan, units: Collection[str]) -> str:
    return listed([name for unit in sorted(units) for name in scan.sets[unit].names])
