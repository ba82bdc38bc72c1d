"""Evaluates a tick of an arrival sensor: lists files, reads the runs of the instance, and requests a run."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg

from starlake_dagster_assets._compat import suppress_dagster_warnings
from starlake_dagster_assets.automation.definitions.arrival_sensor_settings import ArrivalSensor
from starlake_dagster_assets.automation.definitions.arrival_windows import missed_windows, newest_window
from starlake_dagster_assets.automation.definitions.covered_intervals import CoveredIntervals
from starlake_dagster_assets.automation.definitions.incoming_file_assets import (
    build_observation,
    is_observed,
)
from starlake_dagster_assets.automation.definitions.requested_loads import LoadRuns
from starlake_dagster_assets.automation.file_arrivals.arrival_evaluation import (
    ArrivalRun,
    ArrivalRunNeeded,
    ArrivalSkip,
    ArrivalWindow,
    ArrivalWindowMissed,
    evaluate_arrival,
    unstable_since,
)
from starlake_dagster_assets.automation.file_arrivals.directory_scan import DirectoryScan, apply_ack_files
from starlake_dagster_assets.automation.file_arrivals.paths import ack_paths, areas, dated_names, directory
from starlake_dagster_assets.automation.file_arrivals.state import SensorState
from starlake_dagster_assets.automation.file_arrivals.tags import FILES, FILES_OF_WINDOW, NO_FILES, SETS, sets_text
from starlake_dagster_assets.automation.policies.skip_reasons import instant, listed, short_hash
from starlake_dagster_assets.dagster_assets.dagster_runs import interval_tags
from starlake_dagster_assets.dagster_assets.specs.partitions import window_before
from starlake_dagster_assets.dagster_assets.steps.consumption import newest_materializations, update_of
from starlake_dagster_assets.dagster_assets.steps.unreported_loads import UnreportedLoads
from starlake_dagster_assets.dagster_assets.steps.update_intervals import intervals_of_updates
from starlake_dagster_assets.execution.file_store import StoreError, content_of

__all__ = ["evaluate_tick"]

_TAG_LENGTH = 500
_DATES_BEFORE = 2
"""Number of earlier dates whose ack files are answered too, for late deliveries."""
_DATES_AFTER = 1
"""Number of later dates, for writers in a time zone ahead; none with a schedule, whose next window they belong to."""
_WINDOWS = 30
"""Maximum number of missed windows that one tick evaluates; the next tick continues after them."""


def evaluate_tick(sensor: ArrivalSensor, context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Scans the files of a sensor, and requests a run if one is due."""
    now = time.time()
    return _Tick(sensor, context, now, SensorState.load(context.cursor, now)).result()


@dataclass
class _Tick:
    """Evaluation of one tick of a sensor.

    Attributes:
        sensor: The sensor.
        context: Evaluation context of the tick.
        now: Time of the tick, in seconds since 1970.
        state: State that the previous tick left.
        unstable: Sets of files that may still be written.
        reasons: Reasons why no run is requested, and notes on other actions.
        observations: Observations of incoming files.
    """

    sensor: ArrivalSensor
    context: dg.SensorEvaluationContext
    now: float
    state: SensorState
    unstable: dict[str, tuple[str, float]] = field(default_factory=dict[str, tuple[str, float]])
    reasons: list[str] = field(default_factory=list[str])
    observations: list[dg.AssetObservation] = field(default_factory=list[dg.AssetObservation])

    def result(self) -> dg.SensorResult:
        """Scans the files of each window, and returns the first run that is due, or the reasons to skip."""
        clock, windows, scan = self.sensor.group.cron_schedule, *self._windows()
        if not windows:
            assert clock is not None
            return dg.SensorResult(skip_reason=f"The first tick of {clock.cron} is in the future.")
        for window in windows:
            result = self._evaluate_window(window)
            if not isinstance(result, ArrivalSkip):
                return self._requested(result, window)
            if window is windows[-1] or not result.is_empty:
                self.reasons.append(result.reason)
        return self._skipped(scan)

    def _evaluate_window(self, window: ArrivalWindow | None) -> ArrivalRunNeeded | ArrivalWindowMissed | ArrivalSkip:
        sensor, group, runs = self.sensor, self.sensor.group, self._sensor_runs
        scan = self._scan(window)
        if scan.acks:
            scan = self._without_answered(scan)
        mine = unstable_since(scan, self.state.unstable, 0 if scan.ack_path else group.pre_load.stable_for)
        self.unstable.update(mine)
        sets = {unit: files.digest for unit, files in scan.sets.items()}
        until = window.interval[1].isoformat() if window is not None else ""
        busy = self._busy(scan, runs)

        def decide(*, all_runs: bool = False) -> ArrivalRunNeeded | ArrivalWindowMissed | ArrivalSkip:
            counts = "" if scan.ack_path else until
            return evaluate_arrival(
                group.name,
                group.pre_load,
                scan,
                unstable=mine,
                requested=runs.requested(sets, counts, all_runs=all_runs) if sets else {},
                busy=busy,
                window=window,
                window_runs=[run for run in runs.recent if run.until == until] if window is not None else (),
                loaded=lambda: self._loaded_for(window),
                elsewhere=lambda: self._files_elsewhere(runs, scan, window),
                by_condition=sensor.by_condition,
            )

        result = decide()
        result = decide(all_runs=True) if isinstance(result, ArrivalRunNeeded) else result
        self._observe(scan, mine, result.nodes if isinstance(result, ArrivalRunNeeded) else ())
        return result

    def _loaded_for(self, window: ArrivalWindow | None) -> dict[str, str]:
        """Returns the run ids of the newest loads that cover a window or were written since it opened, by node id."""
        if window is None:
            return {}
        instance, keys, found = self.context.instance, self.sensor.keys, dict[str, str]()
        records = newest_materializations(instance, keys.values())
        updates = {node: update_of(records[key]) for node, key in keys.items() if key in records}
        intervals = intervals_of_updates(instance, [*updates.values()], self.sensor.partitions, of="ticks")
        for (node, update), interval in zip(updates.items(), intervals, strict=True):
            if update.timestamp >= window.start if interval is None else interval[1] >= window.interval[1]:
                found[node] = update.run_id
        return found

    def _busy(self, scan: DirectoryScan, runs: LoadRuns) -> Mapping[str, ArrivalRun]:
        busy = runs.loading(self.sensor.keys) if scan.sets else {}
        return dict.fromkeys(scan.sets, next(iter(busy.values()))) if scan.ack_path and busy else busy

    def _observe(
        self, scan: DirectoryScan, unstable: Mapping[str, tuple[str, float]], requested: Sequence[str]
    ) -> None:
        """Records observations of the files that a run is requested for, or that an automation condition waits for."""
        sensor = self.sensor
        there = scan.sets if not scan.ack_path else scan.files
        if scan.ack_path and not scan.acks:
            return
        stable = {
            node for node in there if self.now - unstable.get(node, ("", 0))[1] >= sensor.group.pre_load.stable_for
        }
        for node, files in there.items():
            key = sensor.file_keys.get(node)
            waits = node in sensor.by_condition and node in stable
            if key is None or not (node in requested or waits):
                continue
            if node in requested or not is_observed(self.context.instance, key, files):
                self.observations.append(build_observation(key, files, scan.directory))

    def _requested(
        self, result: ArrivalRunNeeded | ArrivalWindowMissed, window: ArrivalWindow | None
    ) -> dg.SensorResult:
        sensor, partition = self.sensor, None
        if isinstance(sensor.partitions, dg.TimeWindowPartitionsDefinition):
            at = datetime.fromtimestamp(self.now, sensor.zone) if window is None else window.interval[1]
            covered = window_before(sensor.partitions, at)
            if covered is None:
                self.reasons.append(f"{result.reason} There is no partition yet that they could belong to.")
                return self._skipped(self.state.scan)
            (partition,) = sensor.partitions.get_partition_keys_in_time_window(dg.TimeWindow(*covered))
        tags = dict(sensor.tags)
        if window is not None:
            tags |= interval_tags(window.interval)
        if isinstance(result, ArrivalWindowMissed):
            tags[NO_FILES] = result.reason
        else:
            names = FILES if window is None else FILES_OF_WINDOW
            tags |= {SETS: sets_text(result.sets), names: listed(result.files)[:_TAG_LENGTH]}
        keys = [
            sensor.keys[node]
            for node in (result.nodes if isinstance(result, ArrivalRunNeeded) else sensor.group.tables)
        ]
        request = dg.RunRequest(run_key=result.key, tags=tags, partition_key=partition, asset_selection=keys)
        cursor = replace(self.state, unstable=self.unstable).dump()
        return self._result(run_requests=[request], cursor=cursor)

    def _skipped(self, scan: int) -> dg.SensorResult:
        cursor = replace(self.state, unstable=self.unstable, scan=scan).dump()
        return self._result(skip_reason=" ".join(self.reasons), cursor=cursor)

    def _result(self, **fields: Any) -> dg.SensorResult:
        with suppress_dagster_warnings():  # events of sensors were marked experimental in 1.9
            return dg.SensorResult(**fields, asset_events=self.observations)

    def _windows(self) -> tuple[list[ArrivalWindow | None], int]:
        """Returns the windows to evaluate, oldest first ([None] without a schedule), and `scan` for the next tick."""
        group, since = self.sensor.group, self.state.since
        if group.cron_schedule is None:
            return [None], 0
        patience = group.pre_load.ack_wait_timeout
        newest = newest_window(group.cron_schedule, patience, self.now, since)
        if newest is None:
            return [], 0
        missed = missed_windows(group.cron_schedule, patience, newest, self.sensor.path, since)
        first = self.state.scan if self.state.scan < len(missed) else 0
        some = [window for window in missed[first : first + _WINDOWS] if self._is_catch_up_due(window)]
        return [*some, newest], first + _WINDOWS

    def _is_catch_up_due(self, window: ArrivalWindow) -> bool:
        """Whether a missed window has files or is to be closed without them, and no table has a load for it.

        The event log is read only for windows with files: a window without files has no load. An ack
        file that a run of this sensor has answered is deleted.
        """
        sensor, pre_load = self.sensor, self.sensor.group.pre_load
        path = sensor.path(datetime.fromtimestamp(window.start, sensor.zone))
        if pre_load.strategy == "ack":
            nodes = [*sensor.keys] if sensor.store.file(path) is not None else []
        else:
            nodes = [*sensor.watched.scan(self.now, sensor.store.listing(path)).sets]
        if not nodes and pre_load.soft_fail:
            return False
        is_loaded = self._is_loaded(window, nodes or [*sensor.keys])
        if nodes and is_loaded and (pre_load.strategy != "ack" or self._without_answered(self._scan(window)).acks):
            at = instant(window.start)
            self.reasons.append(f"{path}: the window that opened at {at} has a load already: load new files by hand.")
        return not is_loaded

    def _is_loaded(self, window: ArrivalWindow, nodes: Sequence[str]) -> bool:
        """Whether at least one of the given tables has a run or a materialization for a window."""
        until = window.interval[1].isoformat()
        if own := [run for run in self._sensor_runs.recent if run.until == until]:
            return any(run.in_progress or run.has_succeeded for run in own)
        return any(not self._covered[node].missing(window.interval) for node in nodes)

    @cached_property
    def _covered(self) -> Mapping[str, CoveredIntervals]:
        """Covered intervals by table; each reads the event log once per tick, at the first query."""
        instance, partitions = self.context.instance, self.sensor.partitions
        return {node: CoveredIntervals(instance, [key], partitions) for node, key in self.sensor.keys.items()}

    @cached_property
    def _sensor_runs(self) -> LoadRuns:
        return LoadRuns(self.context, self.sensor.group.job)

    # ---------------------------------------------------------------------------------------------------- files

    def _scan(self, window: ArrivalWindow | None) -> DirectoryScan:
        sensor, pre_load, domain = self.sensor, self.sensor.group.pre_load, self.sensor.group.domain
        moment = datetime.fromtimestamp(self.now if window is None else window.start, sensor.zone)
        listing = sensor.store.listing(directory(pre_load, sensor.model, domain, moment))
        scan = sensor.watched.scan(self.now, listing)
        return self._acknowledged(scan, window, moment) if pre_load.strategy == "ack" else scan

    def _acknowledged(self, scan: DirectoryScan, window: ArrivalWindow | None, moment: datetime) -> DirectoryScan:
        sensor, pre_load, domain = self.sensor, self.sensor.group.pre_load, self.sensor.group.domain
        is_alone = window is not None and sensor.group.cron_schedule is not None and sensor.group.cron_schedule.catchup
        before, after = (0 if is_alone else _DATES_BEFORE), (0 if window is not None else _DATES_AFTER)
        paths = ack_paths(pre_load, sensor.model, domain, moment, before=before, after=after)
        acks = {path: file for path in paths if (file := sensor.store.file(path)) is not None}
        expected, others = sensor.path(moment), list[str]()
        if not acks and not is_alone:
            pattern = dated_names(pre_load, sensor.model, domain, moment)
            known = {one.rpartition("/")[2] for one in (expected, *paths, *self._shared_acks(window))}
            there = sensor.store.listing(expected.rpartition("/")[0]).names
            others = [one for one in there if one not in known and pattern.fullmatch(one)]
        return apply_ack_files(scan, acks, expected, others)

    def _shared_acks(self, window: ArrivalWindow | None) -> list[str]:
        """Returns the ack files of the next window, and those of the sensors that wait for the same ack file."""
        sensor, found = self.sensor, list[str]()
        if window is not None:
            following = sensor.path(datetime.fromtimestamp(window.following, sensor.zone))
            found.append(following)
            if sensor.store.file(following) is not None:
                self.reasons.append(f"{following} is for the window that opens at {instant(window.following)}.")
        for other in sensor.answering:
            zone = ZoneInfo(other.pre_load.timezone if other.cron_schedule is None else other.cron_schedule.timezone)
            now = datetime.fromtimestamp(self.now, zone)
            near = {"before": _DATES_BEFORE, "after": _DATES_AFTER}
            found += ack_paths(other.pre_load, sensor.model, other.domain, now, **near)
        return found

    def _without_answered(self, scan: DirectoryScan) -> DirectoryScan:
        """Returns a scan without answered ack files; deletes those that all sensors have answered successfully."""
        sensor, left, is_answered = self.sensor, dict(scan.acks), False
        for path, file in scan.acks.items():
            sets = {path: scan.sets[path].digest}
            runs = {one.name: LoadRuns(self.context, one.job) for one in sensor.answering}
            answers = {name: one.requested(sets, all_runs=True).values() for name, one in runs.items()}
            waiting = [name for name, found in answers.items() if not any(run.has_succeeded for run in found)]
            if not waiting:
                if sensor.store.consume(path, content_of(file)):
                    self.reasons.append(f"{path} was deleted: it was answered.")
                    del left[path]
            elif sensor.group.name not in waiting:
                self.reasons.append(f"{path} is kept until {listed(waiting)} answers it too.")
                del left[path]
                is_answered |= path == scan.ack_path
        scan = replace(scan, sets=scan.files)
        return apply_ack_files(scan, left, scan.ack_path, scan.other_acks, answered=is_answered)

    def _files_elsewhere(self, runs: LoadRuns, scan: DirectoryScan, window: ArrivalWindow | None) -> list[str]:
        """Describes files of the tables in the other directories of a load: incoming, stage and ingesting."""
        sensor, found = self.sensor, list[str]()
        if window is not None and window.is_missed:
            return found
        moment, seen = datetime.fromtimestamp(self.now, sensor.zone), set(scan.sets)
        for station, place in areas(sensor.group.pre_load, sensor.model, sensor.group.domain, moment).items():
            if place == scan.directory:
                continue
            try:
                there = sensor.elsewhere.scan(self.now, sensor.store.listing(place))
            except StoreError as error:
                found.append(str(error))
                continue
            found += [self._of_table(runs, there, table, station) for table in there.sets]
            seen |= there.sets.keys()
        return [*found, *self._without_result(runs, [table for table in sensor.keys if table not in seen])]

    def _without_result(self, runs: LoadRuns, tables: Sequence[str]) -> list[str]:
        """Describes runs that ended without a result for a table, and may have loaded its files, which are gone."""
        instance, keys, found = self.context.instance, self.sensor.keys, list[str]()
        loads = UnreportedLoads(instance)
        for table in tables:
            last = next((run for run in runs.recent if short_hash(table) in run.sets), None)
            if last is None or last.in_progress or last.has_succeeded:
                continue
            records, key = instance.get_run_records(dg.RunsFilter(run_ids=[last.id])), keys[table]
            if not records or (started := records[0].start_time) is None:
                continue
            if not loads.has_ended_without_result(records[0].dagster_run, key, table):
                continue
            newest = newest_materializations(instance, [key]).get(key)
            if newest is None or newest.timestamp < started:
                found.append(
                    f"run {last.id} for {last.files} ended without a result for {table}, and its files are gone: their "
                    f"rows may be in the table; re-execute that run or materialize {table}"
                )
        return found

    def _of_table(self, runs: LoadRuns, scan: DirectoryScan, table: str, station: str) -> str:
        names = f"{scan.directory} holds {listed(scan.sets[table].names)} of {table}"
        if (run := runs.loading(self.sensor.keys).get(table)) is not None:
            return f"{names}: {run.progress(self.now)}"
        strategy = self.sensor.group.pre_load.strategy
        if station == "incoming":
            return f"{names}, which is to be staged: `{strategy}` looks at staged files"
        is_any = strategy == "ack"  # its runs are requested for the ack file
        last = next((run for run in runs.recent if is_any or short_hash(table) in run.sets), None)
        left = f"left by run {last.id}" if last is not None and not last.has_succeeded else "left by an earlier load"
        return f"{names}, {left}: fix or remove it, then re-execute that run or materialize {table}"
