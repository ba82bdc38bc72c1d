"""Arrival sensors: tables are loaded once their files are there, once for each set; a tick says what it waits for."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

import dagster as dg

from starlake_dagster_assets._arguments import ProjectLike, project_of
from starlake_dagster_assets.arrivals.evaluate import Arrival, Close, arrived, closed, evaluate, noticed
from starlake_dagster_assets.arrivals.looks import ACK, Look, Watched, acked
from starlake_dagster_assets.arrivals.memory import AckLeft, Memory
from starlake_dagster_assets.arrivals.places import ack_path, directory
from starlake_dagster_assets.arrivals.stores import Store
from starlake_dagster_assets.arrivals.tags import FILES, NO_FILES, SETS, sets_text
from starlake_dagster_assets.arrivals.windows import Window, window_due
from starlake_dagster_assets.assets.names import group_name
from starlake_dagster_assets.assets.translator import StarlakeTranslator
from starlake_dagster_assets.automation.arrival_runs import accepted, asked_of, runs_of
from starlake_dagster_assets.automation.jobs import build_jobs, cut
from starlake_dagster_assets.automation.partitions import partitioned_by_rows, window_before
from starlake_dagster_assets.automation.waves import INTERVAL_END, INTERVAL_START, TRIGGER, WAVE
from starlake_dagster_assets.command.source import ProjectSource
from starlake_dagster_assets.errors import StarlakeError
from starlake_dagster_assets.graph.plan import topological
from starlake_dagster_assets.project.model import Domain, Table
from starlake_dagster_assets.triggers.evaluate import Wait
from starlake_dagster_assets.triggers.model import Clock, PreLoad, Trigger, Triggers
from starlake_dagster_assets.triggers.words import listed

__all__ = ["ArrivalGroup", "arrival_groups", "build_arrival_sensors"]

_TAG_LENGTH = 500


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
        StarlakeError: When a path names an unknown variable, a domain has no directory, or two sensors would wait for
            the same ack file.

    Examples:
        ::

            sensors = build_arrival_sensors(project, build_triggers(project, StarlakeAutomation()))
    """
    project = project_of(project, "build_arrival_sensors")
    bound, triggers = cut(project, triggers, translator)
    known = build_jobs(project, triggers, translator=bound) if jobs is None else jobs
    found: list[dg.SensorDefinition] = []
    owners: dict[str, str] = {}
    for group in arrival_groups(project, triggers, bound):
        store = Store(group.pre_load.storage_options, tick_seconds)
        sensor = _Sensor(project, bound, group, store, dict(tags or {}))
        sensor.check(owners)
        interval = minimum_interval_seconds or max(1, round(group.pre_load.poke_interval))
        found.append(_definition(sensor, known[group.job], status, interval))
    return found


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
    sensor: "_Sensor", job: Any, status: dg.DefaultSensorStatus, minimum_interval_seconds: int
) -> dg.SensorDefinition:
    group = sensor.group

    decorate = cast("Any", dg).sensor  # its type is partly unknown to pyright

    @decorate(
        name=group.name,
        job=job,
        minimum_interval_seconds=minimum_interval_seconds,
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
    """One arrival sensor: a look at the files, a decision, a run request."""

    def __init__(
        self,
        project: ProjectSource,
        translator: StarlakeTranslator,
        group: ArrivalGroup,
        store: Store,
        tags: Mapping[str, str],
    ) -> None:
        self.group = group
        self._model = project.model
        self._store = store
        self._zone = ZoneInfo(group.pre_load.timezone if group.clock is None else group.clock.timezone)
        self._tags = tags
        staged = group.pre_load.strategy == "pending"
        self._watched = Watched(group.tables, group.domain.tables, staged=staged)
        specs = {node: translator.spec(translator.graph.nodes[node]) for node in group.tables}
        self._keys = {node: spec.key for node, spec in specs.items()}
        parts = {node: spec.partitions_def for node, spec in specs.items()}
        # Loads whose partitions are those of their rows run without one, and report those that the rows went into.
        rows = any(
            partitioned_by_rows(translator.graph.nodes[node], one, translator.trigger(translator.graph.nodes[node]))
            for node, one in parts.items()
        )
        self._partitions = None if rows else next(iter(parts.values()))

    def check(self, owners: dict[str, str]) -> None:
        """Renders the paths once, so that a mistake in them is seen when the code is loaded."""
        now = datetime.now(self._zone)
        directory(self.group.pre_load, self._model, self.group.domain, now)
        if self.group.pre_load.strategy != "ack":
            return
        path = ack_path(self.group.pre_load, self._model, self.group.domain, now)
        other = owners.setdefault(path, self.group.name)
        if other != self.group.name:
            raise StarlakeError(
                f"sensors {other} and {self.group.name} would both wait for {path}, and the first one would delete it; "
                "name {domain} or something else that differs in global_ack_file_path"
            )

    def tick(self, context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """Looks, and asks for a run where one is due."""
        now, group = time.time(), self.group
        memory = Memory.load(context.cursor, group.tables)
        window = self._window(context, memory, now)
        if group.clock is not None and window is None:
            return dg.SensorResult(skip_reason=f"The first tick of {group.clock.cron} is still to come.")
        notes: list[str] = []
        if memory.ack is not None:
            memory = self._answered(context, memory, notes)
        look = self._look(now, window)
        memory = noticed(memory, look, window)
        waits = window is not None and not memory.served >= set(look.units)
        runs = runs_of(context, group.name) if look.sets or waits else []
        asked = asked_of(context, memory, runs, look.units, None if window is None else window.interval[1])
        if window is not None:
            memory = replace(memory, served=memory.served | asked.keys())
        if look.ack is not None and (done := asked.get(ACK)) and done.digest == look.sets[ACK].digest:
            memory = replace(memory, ack=AckLeft(look.ack_path, look.ack_content, done.key))
            memory = self._answered(context, memory, notes)
        busy = next((run.id for run in runs if not run.over), "")
        verdict = evaluate(group.name, group.pre_load, look, memory, asked, busy=busy, window=window)
        if isinstance(verdict, Wait):
            return _skip(notes, verdict.reason, memory)
        memory = closed(memory, look) if isinstance(verdict, Close) else arrived(memory, verdict, look)
        if isinstance(verdict, Close) and not verdict.key:
            return _skip(notes, verdict.reason, memory)
        tags = self._run_tags(verdict, window)
        partition = None
        if isinstance(self._partitions, dg.TimeWindowPartitionsDefinition):
            at = datetime.fromtimestamp(now, self._zone) if window is None else window.interval[1]
            covered = window_before(self._partitions, at)
            if covered is None:
                reason = f"{verdict.reason} There is no partition yet that they could belong to."
                return dg.SensorResult(skip_reason=reason, cursor=context.cursor)
            (partition,) = self._partitions.get_partition_keys_in_time_window(dg.TimeWindow(*covered))
        nodes = verdict.nodes if isinstance(verdict, Arrival) else look.tables
        keys = [self._keys[node] for node in nodes]
        request = dg.RunRequest(run_key=verdict.key, tags=tags, partition_key=partition, asset_selection=keys)
        return dg.SensorResult(run_requests=[request], cursor=memory.dump())

    def _window(self, context: dg.SensorEvaluationContext, memory: Memory, now: float) -> Window | None:
        """The window to look at; None without a schedule, or before its first tick."""
        clock, pre_load = self.group.clock, self.group.pre_load
        if clock is None:
            return None
        last = memory.window
        if not last and clock.catchup:  # the first look, or a lost cursor: the runs know
            ends = [run.until for run in runs_of(context, self.group.name) if run.until]
            last = max((datetime.fromisoformat(end).timestamp() for end in ends), default=0)
        units = {ACK} if pre_load.strategy == "ack" else set(self.group.tables)
        done = memory.served >= units
        return window_due(clock, pre_load.ack_wait_timeout, now, self._place, last=last, done=done)

    def _place(self, moment: datetime) -> str:
        """What is waited for at a moment: a directory, or an ack file."""
        find = ack_path if self.group.pre_load.strategy == "ack" else directory
        return find(self.group.pre_load, self._model, self.group.domain, moment)

    def _look(self, now: float, window: Window | None) -> Look:
        pre_load, domain = self.group.pre_load, self.group.domain
        moment = datetime.fromtimestamp(now if window is None else window.start, self._zone)
        look = self._watched.look(now, self._store.listing(directory(pre_load, self._model, domain, moment)))
        if pre_load.strategy != "ack":
            return look
        path = self._place(moment)
        return acked(look, self._store.file(path), path)

    def _answered(self, context: dg.SensorEvaluationContext, memory: Memory, notes: list[str]) -> Memory:
        """Deletes the ack file whose run was accepted; where there is no such run, it still counts."""
        assert memory.ack is not None
        if accepted(context, memory.ack.key):
            self._store.consume(memory.ack.path, memory.ack.content)
            notes.append(f"{memory.ack.path} was deleted: its run was accepted.")
        return replace(memory, ack=None)

    def _run_tags(self, verdict: Arrival | Close, window: Window | None) -> dict[str, str]:
        tags = {**self._tags, TRIGGER: self.group.name, WAVE: verdict.key}
        if isinstance(verdict, Close):
            tags[NO_FILES] = verdict.reason
        else:
            tags |= {SETS: sets_text(verdict.sets), FILES: listed(verdict.files)[:_TAG_LENGTH]}
        if window is not None:
            start, end = window.interval
            tags |= {INTERVAL_START: start.isoformat(), INTERVAL_END: end.isoformat()}
        return tags


def _skip(notes: Sequence[str], reason: str, memory: Memory) -> dg.SensorResult:
    return dg.SensorResult(skip_reason=" ".join([*notes, reason]), cursor=memory.dump())
