"""Updates that the tasks of a step consume: their data intervals, and tasks that another run has made meanwhile."""

import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timezone
from functools import cached_property
from typing import Any

import dagster as dg

from starlake_dagster_assets.arrivals.places import directory
from starlake_dagster_assets.assets.appended import FULL_REFRESH, AppendedRows, append_refused, record_time
from starlake_dagster_assets.assets.binding import Binding
from starlake_dagster_assets.assets.consumption import (
    LEFT_OUT,
    Consumption,
    Update,
    consumption_of,
    newest_materializations,
    update_of,
    updates_since,
)
from starlake_dagster_assets.assets.load_intervals import interval_of_load
from starlake_dagster_assets.automation.partitions import in_timezone, time_window
from starlake_dagster_assets.automation.runs import (
    DATA_INTERVAL,
    PARTITIONED_BY,
    REQUESTED_AT,
    SCHEDULE,
    TRIGGER,
    declared_interval,
    recorded_interval,
)
from starlake_dagster_assets.command.outcome import RunSettings
from starlake_dagster_assets.errors import StarlakeError
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.triggers.crons import cycle_of
from starlake_dagster_assets.triggers.interval_checks import appends, reads_interval
from starlake_dagster_assets.triggers.intervals import (
    Interval,
    continued,
    covers,
    first_group,
    interval_text,
    union_of_intervals,
)
from starlake_dagster_assets.triggers.model import Clock, PreLoad
from starlake_dagster_assets.triggers.run_options import OPTIONS
from starlake_dagster_assets.triggers.words import listed

__all__ = ["StepUpdates", "is_automatic"]

_MOST_UPDATES = 1000
_START, _END = "sl_start_date", "sl_end_date"
_NEVER = datetime.max.replace(tzinfo=timezone.utc)
_RETRY = "dagster/retry_number"
"""Run tag of Dagster: the run is a retry by the daemon."""
_BY_CONDITION = ("dagster/from_automation_condition", "dagster/auto_materialize")
_OF_A_TICK = (SCHEDULE, "dagster/sensor_name")
_STARTED_BY = (*_BY_CONDITION, TRIGGER)


def is_automatic(run: dg.DagsterRun) -> bool:
    """Whether a sensor, a schedule or a condition started a run."""
    return any(name in run.tags for name in _STARTED_BY)


class StepUpdates:
    """Updates of upstreams that the tasks of a step consume, as the event log has them when the step begins."""

    def __init__(self, context: dg.AssetExecutionContext, binding: Binding, nodes: Mapping[dg.AssetKey, Node]) -> None:
        self._context, self._binding, self._nodes = context, binding, nodes
        self._instance = context.instance
        self._now = datetime.fromtimestamp(time.time(), timezone.utc)
        self._intervals: dict[dg.AssetKey, Interval | None] = {}
        self._unread: dict[tuple[dg.AssetKey, dg.AssetKey], Sequence[Update] | None] = {}
        self._consumed: dict[dg.AssetKey, Consumption] = {}
        self._appended: dict[dg.AssetKey, AppendedRows] = {}

    def intervals(self, window: Interval | None) -> dict[str, Interval]:
        """Returns the data intervals of the tasks whose interval is not that of the run, by node id.

        In a run of a sensor or a condition it is the union of the intervals of the updates that the task consumes. With
        `interval=since_last_run` it is the time from the end of the last one until now. In a run of a schedule whose
        cron has changed, or next to another schedule, it begins where the last interval of the task has ended.

        Args:
            window: Interval of the run; None where it has none.
        """
        tasks = {key: node for key, node in self._nodes.items() if node.task is not None}
        if window is None:
            found = {node.id: self._interval(key) for key, node in tasks.items()}
        elif self._is_of_a_tick and self._context.assets_def.partitions_def is None:
            found = {node.id: self._continued(key, node, window) for key, node in tasks.items()}
        else:
            return {}
        return {node: interval for node, interval in found.items() if interval is not None}

    def metadata(self, settings: RunSettings, given: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        """Returns the interval metadata of the materializations of loads and of unpartitioned tasks.

        Args:
            settings: Settings of the run, with its data intervals.
            given: Variables in the run config.

        Returns:
            By node id: the interval (`starlake/data_interval`), upstream updates that a task does not read because they
            are outside of it (`starlake/updates_left_out`), and whether its table was emptied first.
        """
        found: dict[str, dict[str, Any]] = {}
        partitioned = self._context.assets_def.partitions_def is not None
        for key, node in self._nodes.items():
            if partitioned and node.table is None:
                continue
            interval = self._effective(node, settings, given)
            if node.table is not None and interval is not None and self._is_of_a_tick:
                interval = self._interval_of_load(key, node, interval)
            about: dict[str, Any] = {}
            if interval is not None and interval[1] != _NEVER:
                about[DATA_INTERVAL] = interval_text(interval)
            if unread := self._left_out(key, node, interval):
                about[LEFT_OUT] = dg.MetadataValue.json(unread)
            if settings.truncate and appends(node):
                about[FULL_REFRESH] = True
            found[node.id] = about
        return found

    def refused(self, settings: RunSettings, given: Mapping[str, str]) -> dict[str, str]:
        """Finds the tasks that would append rows a second time.

        Args:
            settings: Settings of the run, with its data intervals.
            given: Variables in the run config.

        Returns:
            The reasons, by node id.
        """
        found: dict[str, str] = {}
        if self._context.assets_def.partitions_def is not None or settings.truncate:
            return found
        for key, node in self._nodes.items():
            interval = self._effective(node, settings, given)
            if not appends(node) or self._is_by_clock(key, node, interval):
                continue
            known = interval if interval is not None and interval[1] != _NEVER else None
            if (before := self._rows_of(key).overlapping(known)) is not None:
                found[node.id] = append_refused(node.id, known, before)
        return found

    @cached_property
    def _is_of_a_tick(self) -> bool:
        """Whether a schedule or an arrival sensor has set the interval of the run, instead of a user or a backfill."""
        return any(name in self._context.run.tags for name in _OF_A_TICK)

    def _continued(self, key: dg.AssetKey, node: Node, window: Interval) -> Interval | None:
        """Returns the interval of a task in a run of a schedule."""
        record = self._records.get(key)
        last = self._declared(key, [update_of(record)])[0] if record is not None else None
        return window if last is None else continued(window, last[1], appends=appends(node))

    def _interval_of_load(self, key: dg.AssetKey, node: Node, window: Interval) -> Interval:
        """Returns the interval of the files that a load takes, including ticks of its schedule without a load."""
        translator, consumption = self._binding.translator, self._consumption(key)
        clock, source = translator.trigger(node).clock, self._binding.source
        assert node.table is not None
        pre_load, domain = translator.get_pre_load(node) or PreLoad("imported"), source.graph.domains[node.table.domain]
        covered = in_timezone(clock.start, clock.timezone) if clock is not None and clock.start is not None else None
        if consumption is not None:
            (before,) = self._declared(key, [consumption.update])
            covered = before[1] if before is not None else self._last_tick(key, consumption.started.timestamp())

        def place(moment: datetime) -> str:
            try:
                return directory(pre_load, source.model, domain, moment)
            except StarlakeError:  # the domain has no directory: the stage area, which names no date
                return ""

        return interval_of_load(window, clock, covered, self._newest_tick(clock, window[1]), place)

    def _newest_tick(self, clock: Clock | None, tick: datetime) -> datetime:
        """Returns the newest tick whose files may be there: that of the request, or one while the run was queued."""
        run = self._context.run
        if (requested := run.tags.get(REQUESTED_AT)) is not None:
            return datetime.fromisoformat(requested)
        records = self._instance.get_run_records(dg.RunsFilter(run_ids=[run.root_run_id or run.run_id]))
        if clock is None or not records:
            return tick
        created, now = (
            cycle_of(clock.cron, moment.timestamp(), clock.timezone)[0]
            for moment in (records[0].create_timestamp, self._now)
        )
        return now if created.timestamp() == tick.timestamp() else tick

    def _effective(self, node: Node, settings: RunSettings, given: Mapping[str, str]) -> Interval | None:
        """Returns the interval of a table or task; variables in the run config of a manual run take precedence."""
        manual = {} if is_automatic(self._context.run) else {name: given.get(name) for name in (_START, _END)}
        is_given = node.task is not None and any(manual.values())
        own = _given_interval(manual, self._binding.translator.timezone) if is_given else None
        return own or settings.interval(node)

    def _is_by_clock(self, key: dg.AssetKey, node: Node, interval: Interval | None) -> bool:
        by_clock = self._binding.translator.trigger(node).interval == "since_last_run"
        return by_clock and interval == self._intervals.get(key)

    def _left_out(self, key: dg.AssetKey, node: Node, interval: Interval | None) -> dict[str, list[int]]:
        is_lineage = self._binding.translator.trigger(node).is_lineage
        if interval is None or self._is_by_clock(key, node, interval) or not is_lineage or not reads_interval(node):
            return {}
        return {up.to_user_string(): ids for up in self._upstream(key) if (ids := self._outside(key, up, interval))}

    def _rows_of(self, key: dg.AssetKey) -> AppendedRows:
        if key not in self._appended:
            ups = self._upstream(key)
            self._appended[key] = AppendedRows(self._instance, key, ups, self._declared, self._last_tick)
        return self._appended[key]

    def _last_tick(self, key: dg.AssetKey, moment: float) -> datetime:
        """Returns the last tick of the schedule of an asset or of its nearest upstreams; the moment if none has one."""
        translator = self._binding.translator
        graph, node = translator.graph, self._node_ids.get(key)
        near = [node] if node is not None else []
        while near:
            clocks = [one for up in near if (one := translator.trigger(graph.nodes[up]).clock) is not None]
            if clocks:
                return max(cycle_of(one.cron, moment, one.timezone)[0] for one in clocks)
            near = sorted({up for one in near for up in graph.upstream[one] if up in graph.nodes})
        return datetime.fromtimestamp(moment, timezone.utc)

    @cached_property
    def _node_ids(self) -> Mapping[dg.AssetKey, str]:
        specs = self._binding.translator.specs()
        return {spec.key: node for node, spec in specs.items()} | {
            key: node.id for key, node in self._binding.nodes.items()
        }

    def options_not_taken_over(self) -> str:
        """Describes options of upstream runs that a run of a condition cannot take over; "" if there are none."""
        tags = self._context.run.tags
        if OPTIONS in tags or not any(name in tags for name in _BY_CONDITION):
            return ""
        reads = {
            (node.id, up): run
            for key, node in self._nodes.items()
            if node.task is not None
            for up in self._upstream(key)
            if up not in self._nodes and (run := self._newest_run(key, up))
        }
        records = self._instance.get_run_records(dg.RunsFilter(run_ids=sorted(set(reads.values())))) if reads else ()
        options = {one.dagster_run.run_id: one.dagster_run.tags.get(OPTIONS) for one in records}
        found = [
            f"{task} reads {up.to_user_string()}, which run {run} materialized with the options {options[run]}"
            for (task, up), run in reads.items()
            if options.get(run)
        ]
        if not found:
            return ""
        return (
            f"{listed(found, ';')}. A run of a condition cannot take them over. Next: materialize the task by hand "
            f"with the tag `{OPTIONS}`, or set triggering=sensor."
        )

    def _newest_run(self, key: dg.AssetKey, up: dg.AssetKey) -> str:
        """Returns the id of the run of the newest update of an upstream that a task has not read, else ""."""
        context = self._context
        if context.assets_def.partitions_def is not None and context.has_partition_key:
            filters = dg.AssetRecordsFilter(asset_key=up, asset_partitions=[context.partition_key])
            records = self._instance.fetch_materializations(filters, limit=1).records
            return records[0].run_id if records else ""
        return self._records[up].run_id if self._is_new(self._consumption(key), up) else ""

    def _outside(self, key: dg.AssetKey, up: dg.AssetKey, interval: Interval) -> list[int]:
        updates = self._updates(key, up)
        if updates is None:  # too many to name them
            newest = self._records.get(up)
            return [newest.storage_id] if newest is not None else []
        by_clock = self._binding.translator.trigger(self._nodes[key]).interval == "since_last_run"
        declared = [_at(one) for one in updates] if by_clock else self._declared(up, updates)
        pairs = zip(updates, declared, strict=True)
        return [one.storage_id for one, known in pairs if not covers(interval, known, self._now)]

    def made_meanwhile(self) -> Mapping[dg.AssetKey, str]:
        """Finds the tasks that another run has materialized since this run was created, with all that is upstream now.

        Returns:
            The id of that run by asset key. Empty for a manual run, and for a manual re-execution.
        """
        run, partitioned = self._context.run, self._context.assets_def.partitions_def is not None
        is_retry = _RETRY in run.tags or bool(self._context.retry_number)
        if partitioned or not is_automatic(run) or (run.parent_run_id is not None and not is_retry):
            return {}
        own = {run.run_id, run.parent_run_id, run.root_run_id}
        found: dict[dg.AssetKey, str] = {}
        for key, node in self._nodes.items():  # upstream first
            consumption = self._consumption(key)
            if node.task is None or consumption is None or consumption.update.run_id in own:
                continue
            if not all(self._has_read(consumption, up, found) for up in self._upstream(key)):
                continue
            if is_retry or self._was_planned_before(key, consumption.update):
                found[key] = consumption.update.run_id
        return found

    def _has_read(self, consumption: Consumption, up: dg.AssetKey, made: Collection[dg.AssetKey]) -> bool:
        return (up not in self._nodes or up in made) and not self._is_new(consumption, up)

    def _is_new(self, consumption: Consumption | None, up: dg.AssetKey) -> bool:
        """Whether an upstream has a materialization that was not read."""
        record = self._records.get(up)
        if record is None or consumption is None:
            return record is not None
        return up.to_user_string() in consumption.left_out or not consumption.includes(
            up, record.storage_id, record.timestamp
        )

    def _interval(self, key: dg.AssetKey) -> Interval | None:
        if key not in self._intervals:
            self._intervals[key] = None  # a task that reads itself
            self._intervals[key] = self._found(key)
        return self._intervals[key]

    def _found(self, key: dg.AssetKey) -> Interval | None:
        node = self._nodes[key]
        translator = self._binding.translator
        trigger = translator.trigger(node)
        by_clock = trigger.interval == "since_last_run"
        if not by_clock and (node.task is None or not is_automatic(self._context.run)):
            return None
        consumption = self._consumption(key)
        if by_clock:
            return None if consumption is None else self._since(consumption)
        declared: list[Interval | None] = []
        for up in self._upstream(key):
            if up in self._nodes:
                declared.append(self._interval(up))
            updates = self._updates(key, up)
            declared += [None] if updates is None else self._declared(up, updates)
        if not declared and consumption is not None:  # a run that is repeated covers what it covered before
            return recorded_interval(consumption.update.metadata)
        if appends(node):  # another run appends the rows in between, and those of the rest of a cycle
            rows = self._rows_of(key)
            new = [one for one in declared if one is not None and rows.overlapping(one) is None]
            group = first_group(new if new and consumption is not None else declared)
            closed = [one for one in group if one is None or one[1] <= self._now]
            return union_of_intervals(closed, self._now)
        cycle = trigger.watch.data_cycle if trigger.watch is not None else None
        return union_of_intervals(declared, self._now, cycle=cycle, timezone=translator.timezone)

    def _updates(self, key: dg.AssetKey, up: dg.AssetKey) -> Sequence[Update] | None:
        """Returns the updates of an upstream that a task has not read; None where there are more than 1000."""
        if (key, up) not in self._unread:
            consumption, is_new = self._consumption(key), self._is_new(self._consumption(key), up)
            self._unread[key, up] = updates_since(self._instance, up, consumption, _MOST_UPDATES) if is_new else ()
        return self._unread[key, up]

    def _since(self, consumption: Consumption) -> Interval | None:
        before = recorded_interval(consumption.update.metadata)
        start = before[1] if before is not None else consumption.started
        return (start, self._now) if start < self._now else None

    def _declared(self, key: dg.AssetKey, updates: Collection[Update]) -> list[Interval | None]:
        """Returns the interval of each update: of its metadata, else of its partition, else of the tags of its run.

        If rows decided about the partition, the interval is that of the partition; without a partition there is none.
        """
        windows = [self._window(key, one.partition) if one.partition else None for one in updates]
        recorded = [None if PARTITIONED_BY in one.metadata else recorded_interval(one.metadata) for one in updates]
        found = [known or window for known, window in zip(recorded, windows, strict=True)]
        runs = ["" if one.partition or PARTITIONED_BY in one.metadata else one.run_id for one in updates]
        unknown = {run for run, known in zip(runs, found, strict=True) if run and not known}
        records = self._instance.get_run_records(dg.RunsFilter(run_ids=sorted(unknown))) if unknown else ()
        of_run = {one.dagster_run.run_id: declared_interval(one.dagster_run.tags) for one in records}
        return [known or of_run.get(run) for run, known in zip(runs, found, strict=True)]

    def _window(self, key: dg.AssetKey, partition: str) -> Interval | None:
        return time_window(self._context.job_def.asset_layer.get(key).partitions_def, partition)

    def _upstream(self, key: dg.AssetKey) -> list[dg.AssetKey]:
        return sorted(up for up in self._context.assets_def.asset_deps.get(key, ()) if up != key)

    def _consumption(self, key: dg.AssetKey) -> Consumption | None:
        record = self._records.get(key)
        if record is None:
            return None
        if key not in self._consumed:
            self._consumed[key] = consumption_of(self._instance, record)
        return self._consumed[key]

    @cached_property
    def _records(self) -> Mapping[dg.AssetKey, Any]:
        """Newest materializations of the tasks and of what they read, asked for once."""
        keys = {up for key in self._nodes for up in self._upstream(key)} | self._nodes.keys()
        return newest_materializations(self._instance, keys)

    def _was_planned_before(self, key: dg.AssetKey, update: Update) -> bool:
        """Whether this run was planned to materialize an asset before another run materialized it."""
        plan = self._instance.event_log_storage.get_latest_planned_materialization_info(key)
        if plan is None:
            return False
        if plan.run_id == self._context.run.run_id:
            return plan.storage_id < update.storage_id
        return plan.run_id == update.run_id  # planned after this run


def _at(update: Update) -> Interval:
    """Returns the time at which an update was written, as an empty interval."""
    moment = record_time(update)
    return moment, moment


def _given_interval(variables: Mapping[str, str | None], zone: str) -> Interval | None:
    """Returns the data interval of the variables of a run config; an empty one where it cannot be parsed."""
    if not any(variables.values()):
        return None
    try:
        start, end = (datetime.fromisoformat(variables.get(name) or "") for name in (_START, _END))
    except ValueError:
        return _NEVER, _NEVER
    return in_timezone(start, zone), in_timezone(end, zone)
