"""Arrival sensors: tables are loaded once their files are there, once for each set; a tick says what it waits for."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

import dagster as dg

from starlake_dagster_assets._arguments import ProjectLike, project_of
from starlake_dagster_assets.arrivals.evaluate import Arrival, Close, Skip, Window, evaluate, unstable_since
from starlake_dagster_assets.arrivals.looks import Look, Watched, acknowledged_by
from starlake_dagster_assets.arrivals.places import ack_path, ack_paths, areas, dated_names, directory
from starlake_dagster_assets.arrivals.state import SensorState
from starlake_dagster_assets.arrivals.stores import Store, StoreError, content_of
from starlake_dagster_assets.arrivals.tags import FILES, FILES_OF_WINDOW, NO_FILES, SETS, sets_text
from starlake_dagster_assets.assets.names import group_name
from starlake_dagster_assets.assets.translator import StarlakeTranslator
from starlake_dagster_assets.automation.arrival_runs import LoadRuns
from starlake_dagster_assets.automation.arrival_windows import missed_windows, newest_window
from starlake_dagster_assets.automation.jobs import build_jobs, cut
from starlake_dagster_assets.automation.partitions import partitioned_by_rows, window_before
from starlake_dagster_assets.automation.waves import INTERVAL_END, INTERVAL_START
from starlake_dagster_assets.command.source import ProjectSource
from starlake_dagster_assets.graph.plan import topological
from starlake_dagster_assets.project.model import Domain, Table
from starlake_dagster_assets.triggers.model import Clock, PreLoad, Trigger, Triggers
from starlake_dagster_assets.triggers.words import listed, short

__all__ = ["ArrivalGroup", "arrival_groups", "build_arrival_sensors"]

_TAG_LENGTH = 500
_DATES_BEFORE = 2
"""Dates before that of a look whose ack files are answered too: of a delivery that came late."""
_DATES_AFTER = 1
"""Dates after it: of a writer whose time zone is ahead. Not with a schedule: they are of its next window."""
_WINDOWS = 30
"""Missed windows that one look opens at most; the next look goes on after them."""


@dataclass(frozen=True)
class ArrivalGroup:
    """Tables of one domain whose files are waited for together, by the same policy.

    Attributes:
        name: Of the sensor.
        job: Name of the job.
        domain: The domain.
        tables: By node id, in the order of the domain.
        pre_load: The policy.
        clock: The schedule whose ticks open windows; None where files are waited for at any time.
    """

    name: str
    job: str
    domain: Domain
    tables: Mapping[str, Table]
    pre_load: PreLoad
    clock: Clock | None


def build_arrival_sensors(
    project: ProjectLike,
    triggers: Triggers,
    *,
    translator: StarlakeTranslator | None = None,
    status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds: int | None = None,
    tick_seconds: float = 40,
    jobs: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
) -> list[dg.SensorDefinition]:
    """One sensor for each domain and policy whose files are waited for.

    Args:
        project: The project, or the path of its directory.
        triggers: Those with a `preload` that waits and the owner `arrival`, or `schedule` with a clock, are taken.
        translator: What the assets look like.
        status: Whether the sensors are on from the start.
        minimum_interval_seconds: Seconds between two looks; by default what each policy says (`poke_interval`).
        tick_seconds: Seconds for which the answer of a store is waited for; the tick fails after that.
        jobs: The jobs of the triggers by name (`build_jobs`); made here by default.
        tags: Of every run.

    Returns:
        The sensors, by name.

    Raises:
        StarlakeError: When a path names an unknown variable, or a domain has no directory.

    Examples:
        ::

            sensors = build_arrival_sensors(project, build_triggers(project, StarlakeAutomation()))
    """
    project = project_of(project, "build_arrival_sensors")
    bound, triggers = cut(project, triggers, translator)
    known = build_jobs(project, triggers, translator=bound) if jobs is None else jobs
    groups = arrival_groups(project, triggers, bound)
    sensors = [
        _Sensor(project, bound, group, Store(group.pre_load.storage_options, tick_seconds), dict(tags or {}))
        for group in groups
    ]
    answered: dict[str, list[ArrivalGroup]] = {}
    for sensor in sensors:
        if path := sensor.validate_paths():
            answered.setdefault(path, []).append(sensor.group)
    for sensor in sensors:
        sensor.others = [one for same in answered.values() if sensor.group in same for one in same]
    return [_definition(one, known[one.group.job], status, minimum_interval_seconds) for one in sensors]


def arrival_groups(project: ProjectSource, triggers: Triggers, translator: StarlakeTranslator) -> list[ArrivalGroup]:
    """What the arrival sensors watch, by name.

    Args:
        project: The project.
        triggers: All triggers.
        translator: Bound to the project; tables of different partitions are not watched together.
    """
    members: dict[tuple[str, str, str], list[Trigger]] = {}
    for node in topological(project.graph, triggers.triggers.keys() & project.graph.nodes.keys()):
        trigger, table = triggers.triggers.get(node), project.graph.nodes[node].table
        if trigger is None or table is None or not _waits(trigger):
            continue
        parts = translator.spec(project.graph.nodes[node]).partitions_def
        policy = repr((trigger.preload, trigger.clock, parts))
        members.setdefault((trigger.job, table.domain, policy), []).append(trigger)
    of_job: dict[str, list[tuple[str, str, str]]] = {}
    for key in members:
        of_job.setdefault(key[0], []).append(key)
    groups: list[ArrivalGroup] = []
    for job, keys in sorted(of_job.items()):
        domains = [key[1] for key in keys]
        for key in keys:
            found = {one.node: one for one in members[key]}
            domain = project.graph.domains[key[1]]
            tables = {table.id: table for table in domain.tables if table.id in found}
            first = next(iter(found.values()))
            name = job if len(keys) == 1 else f"{job}_{key[1]}"
            name = name if domains.count(key[1]) == 1 else f"{name}_{min(found)}"
            assert first.preload is not None
            groups.append(ArrivalGroup(f"{group_name(name)}_arrival", job, domain, tables, first.preload, first.clock))
    return groups


def _waits(trigger: Trigger) -> bool:
    waits = trigger.preload is not None and trigger.preload.strategy != "none"
    return waits and (trigger.owner == "arrival" or (trigger.owner == "schedule" and trigger.clock is not None))


def _definition(
    sensor: "_Sensor", job: Any, status: dg.DefaultSensorStatus, minimum_interval_seconds: int | None
) -> dg.SensorDefinition:
    group = sensor.group

    decorate = cast("Any", dg).sensor  # its type is partly unknown to pyright

    @decorate(
        name=group.name,
        job=job,
        minimum_interval_seconds=minimum_interval_seconds or max(1, round(group.pre_load.poke_interval)),
        default_status=status,
        description=_described(group),
        metadata={"starlake/makes": ", ".join(group.tables), "starlake/pre_load_strategy": group.pre_load.strategy},
    )
    def arrival(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return sensor.tick(context)

    return arrival


def _described(group: ArrivalGroup) -> str:
    what = {"imported": "come in", "pending": "are staged", "ack": "are acknowledged"}[group.pre_load.strategy]
    when = f" within {group.pre_load.ack_wait_timeout:g} s of {group.clock.cron}" if group.clock is not None else ""
    return f"Loads {listed(list(group.tables))} when their files {what}{when}."


class _Sensor:
    """One arrival sensor: looks at files, decides, and requests a run."""

    def __init__(
        self,
        project: ProjectSource,
        translator: StarlakeTranslator,
        group: ArrivalGroup,
        store: Store,
        tags: Mapping[str, str],
    ) -> None:
        self.group = group
        self.others: Sequence[ArrivalGroup] = ()
        """The sensors that answer the same ack file, this one included."""
        self._model = project.model
        self._store = store
        self._zone = ZoneInfo(group.pre_load.timezone if group.clock is None else group.clock.timezone)
        self._tags = tags
        staged = group.pre_load.strategy == "pending"
        self._watched = Watched(group.tables, group.domain.tables, staged=staged)
        self._elsewhere = Watched(group.tables, staged=True)
        specs = {node: translator.spec(translator.graph.nodes[node]) for node in group.tables}
        self._keys = {node: spec.key for node, spec in specs.items()}
        parts = {node: spec.partitions_def for node, spec in specs.items()}
        # Loads whose partitions are those of their rows run without one, and report those that the rows went into.
        rows = any(
            partitioned_by_rows(translator.graph.nodes[node], one, translator.trigger(translator.graph.nodes[node]))
            for node, one in parts.items()
        )
        self._partitions = None if rows else next(iter(parts.values()))

    def validate_paths(self) -> str:
        """Renders the paths once, so that a mistake in them is an error of the definitions.

        Returns:
            The ack file of today; "" for other strategies.
        """
        now, group = datetime.now(self._zone), self.group
        directory(group.pre_load, self._model, group.domain, now)
        return ack_path(group.pre_load, self._model, group.domain, now) if group.pre_load.strategy == "ack" else ""

    def tick(self, context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """Looks at the files, and requests a run where one is due."""
        now, group = time.time(), self.group
        state = SensorState.load(context.cursor, now)
        windows, scan = self._windows(context, state, now)
        if not windows:
            assert group.clock is not None
            return dg.SensorResult(skip_reason=f"The first tick of {group.clock.cron} is still to come.")
        unstable: dict[str, tuple[str, float]] = {}
        reasons: list[str] = []
        for window in windows:
            verdict = self._verdict(context, state, now, window, unstable, reasons)
            if not isinstance(verdict, Skip):
                cursor = replace(state, unstable=unstable).dump()
                return self._requested(verdict, window, now, cursor, context.cursor)
            if window is windows[-1] or not verdict.is_empty:
                reasons.append(verdict.reason)
        state = replace(state, unstable=unstable, scan=scan)
        return dg.SensorResult(skip_reason=" ".join(reasons), cursor=state.dump())

    def _verdict(
        self,
        context: dg.SensorEvaluationContext,
        state: SensorState,
        now: float,
        window: Window | None,
        unstable: dict[str, tuple[str, float]],
        notes: list[str],
    ) -> Arrival | Close | Skip:
        """Decides over the files of one window; notes ack files that were deleted, and sets that are not stable yet."""
        group, runs = self.group, LoadRuns(context, self.group.job)
        look = self._look(now, window)
        if look.acks:
            look = self._without_answered(context, look, notes)
        mine = unstable_since(look, state.unstable, 0 if look.ack_path else group.pre_load.stable_for)
        unstable.update(mine)
        sets = {unit: files.digest for unit, files in look.sets.items()}
        until = window.interval[1].isoformat() if window is not None else ""
        counts = "" if look.ack_path else until
        busy = runs.loading(self._keys) if sets else {}
        if look.ack_path and busy:
            busy = dict.fromkeys(look.sets, next(iter(busy.values())))

        def decide(*, all_runs: bool = False) -> Arrival | Close | Skip:
            return evaluate(
                group.name,
                group.pre_load,
                look,
                unstable=mine,
                requested=runs.requested(sets, counts, all_runs=all_runs) if sets else {},
                busy=busy,
                window=window,
                window_runs=[run for run in runs.recent if run.until == until] if window is not None else (),
                elsewhere=lambda: self._files_elsewhere(runs, look, now, window),
            )

        verdict = decide()
        return decide(all_runs=True) if isinstance(verdict, Arrival) else verdict

    def _requested(
        self, verdict: Arrival | Close, window: Window | None, now: float, cursor: str, before: str | None
    ) -> dg.SensorResult:
        partition = None
        if isinstance(self._partitions, dg.TimeWindowPartitionsDefinition):
            at = datetime.fromtimestamp(now, self._zone) if window is None else window.interval[1]
            covered = window_before(self._partitions, at)
            if covered is None:
                reason = f"{verdict.reason} There is no partition yet that they could belong to."
                return dg.SensorResult(skip_reason=reason, cursor=before)
            (partition,) = self._partitions.get_partition_keys_in_time_window(dg.TimeWindow(*covered))
        tags = dict(self._tags)
        if window is not None:
            start, end = window.interval
            tags |= {INTERVAL_START: start.isoformat(), INTERVAL_END: end.isoformat()}
        if isinstance(verdict, Close):
            tags[NO_FILES] = verdict.reason
        else:
            names = FILES if window is None else FILES_OF_WINDOW
            tags |= {SETS: sets_text(verdict.sets), names: listed(verdict.files)[:_TAG_LENGTH]}
        keys = [self._keys[node] for node in (verdict.nodes if isinstance(verdict, Arrival) else self.group.tables)]
        request = dg.RunRequest(run_key=verdict.key, tags=tags, partition_key=partition, asset_selection=keys)
        return dg.SensorResult(run_requests=[request], cursor=cursor)

    # -------------------------------------------------------------------------------------------------- windows

    def _windows(
        self, context: dg.SensorEvaluationContext, state: SensorState, now: float
    ) -> tuple[list[Window | None], int]:
        """Returns the windows to look at, oldest first, and where the next look goes on; [None] without a schedule."""
        clock, patience = self.group.clock, self.group.pre_load.ack_wait_timeout
        if clock is None:
            return [None], 0
        newest = newest_window(clock, patience, now, state.since)
        if newest is None:
            return [], 0
        missed = missed_windows(clock, patience, newest, self._path, state.since)
        if missed:
            runs = LoadRuns(context, self.group.job).every
            done = {run.until for run in runs if run.in_progress or run.has_succeeded}
            missed = [window for window in missed if window.interval[1].isoformat() not in done]
        first = state.scan if state.scan < len(missed) else 0
        return [*missed[first : first + _WINDOWS], newest], first + _WINDOWS

    def _path(self, moment: datetime) -> str:
        """What is waited for at a moment: a directory, or an ack file."""
        find = ack_path if self.group.pre_load.strategy == "ack" else directory
        return find(self.group.pre_load, self._model, self.group.domain, moment)

    # ---------------------------------------------------------------------------------------------------- files

    def _look(self, now: float, window: Window | None) -> Look:
        pre_load, domain = self.group.pre_load, self.group.domain
        moment = datetime.fromtimestamp(now if window is None else window.start, self._zone)
        look = self._watched.look(now, self._store.listing(directory(pre_load, self._model, domain, moment)))
        if pre_load.strategy != "ack":
            return look
        has_own_path = window is not None and self.group.clock is not None and self.group.clock.catchup
        before, after = (0 if has_own_path else _DATES_BEFORE), (0 if window is not None else _DATES_AFTER)
        paths = ack_paths(pre_load, self._model, domain, moment, before=before, after=after)
        acks = {path: file for path in paths if (file := self._store.file(path)) is not None}
        folder, name = self._path(moment).rpartition("/")[::2]
        others: list[str] = []
        if not acks and not has_own_path:
            pattern, known = (
                dated_names(pre_load, self._model, domain, moment),
                {one.rpartition("/")[2] for one in paths},
            )
            names = self._store.listing(folder).names
            others = [one for one in names if one != name and one not in known and pattern.fullmatch(one)]
        return acknowledged_by(look, acks, self._path(moment), others)

    def _without_answered(self, context: dg.SensorEvaluationContext, look: Look, notes: list[str]) -> Look:
        """Deletes the ack files that every sensor has answered with a run that succeeded."""
        left = dict(look.acks)
        for path, file in look.acks.items():
            sets = {path: look.sets[path].digest}
            answers = {
                one.name: LoadRuns(context, one.job).requested(sets, all_runs=True).get(path) for one in self.others
            }
            waits = [name for name, run in answers.items() if run is None or not run.has_succeeded]
            if not waits:
                if self._store.consume(path, content_of(file)):
                    notes.append(f"{path} was deleted: it was answered.")
                    del left[path]
            elif self.group.name not in waits:
                notes.append(f"{path} is kept until {listed(waits)} answers it too.")
                del left[path]
        others = look.other_acks
        return acknowledged_by(replace(look, sets=look.files), left, look.ack_path, others)

    def _files_elsewhere(self, runs: LoadRuns, look: Look, now: float, window: Window | None) -> list[str]:
        """Names the files of the tables that lie on the other stations of a load: incoming, stage, ingesting."""
        found: list[str] = []
        if window is not None and window.is_missed:
            return found
        moment = datetime.fromtimestamp(now, self._zone)
        for station, place in areas(self.group.pre_load, self._model, self.group.domain, moment).items():
            if place == look.place:
                continue
            try:
                there = self._elsewhere.look(now, self._store.listing(place))
            except StoreError as error:
                found.append(str(error))
                continue
            found += [self._of_table(runs, there, table, station, now) for table in there.sets]
        return found

    def _of_table(self, runs: LoadRuns, look: Look, table: str, station: str, now: float) -> str:
        names = f"{look.place} holds {listed(look.sets[table].names)} of {table}"
        if (run := runs.loading(self._keys).get(table)) is not None:
            return f"{names}: {run.progress(now)}"
        if station == "incoming":
            return f"{names}, which is to be staged: `{self.group.pre_load.strategy}` looks at staged files"
        is_any = self.group.pre_load.strategy == "ack"  # its runs are requested for the ack file
        last = next((run for run in runs.recent if is_any or short(table) in run.sets), None)
        left = f"left by run {last.id}" if last is not None and not last.has_succeeded else "left by an earlier load"
        return f"{names}, {left}: fix or remove it, then re-execute that run or materialize {table}"
