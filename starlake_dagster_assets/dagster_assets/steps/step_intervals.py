"""Data intervals of the tables and tasks of a step, and the rows that a task would append a second time."""

import time
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import cached_property
from typing import Any

import dagster as dg

from starlake_dagster_assets.automation.file_arrivals.paths import directory
from starlake_dagster_assets.automation.policies.append_interval_checks import appends, reads_interval
from starlake_dagster_assets.automation.policies.cron_ticks import cycle_of
from starlake_dagster_assets.automation.policies.data_intervals import (
    Interval,
    covers,
    extend_to_previous_end,
    find_oldest_contiguous_intervals,
    interval_text,
    open_interval_text,
    subtract_intervals,
    union_of_intervals,
)
from starlake_dagster_assets.automation.policies.model import CronSchedule, PreLoad
from starlake_dagster_assets.automation.policies.skip_reasons import listed
from starlake_dagster_assets.dagster_assets.dagster_runs import (
    DATA_INTERVAL,
    REQUESTED_AT,
    SCHEDULE,
    SENSOR,
    recorded_interval,
)
from starlake_dagster_assets.dagster_assets.specs.partitions import in_timezone
from starlake_dagster_assets.dagster_assets.step_binding import StepBinding
from starlake_dagster_assets.dagster_assets.steps.appended_intervals import (
    FULL_REFRESH,
    AppendedRows,
    duplicate_append_message,
    record_time,
    unrecorded_rows_message,
)
from starlake_dagster_assets.dagster_assets.steps.consumption import (
    EXCLUDED_UPDATES_KEY,
    Consumption,
    Update,
    update_of,
)
from starlake_dagster_assets.dagster_assets.steps.load_intervals import interval_of_load
from starlake_dagster_assets.dagster_assets.steps.step_updates import StepUpdates, is_automatic
from starlake_dagster_assets.errors import StarlakeError
from starlake_dagster_assets.execution.outcome import RunSettings
from starlake_dagster_assets.execution.warehouse.reader import WarehouseReader
from starlake_dagster_assets.graph.model import Node

__all__ = ["StepIntervals"]

_START, _END = "sl_start_date", "sl_end_date"
_NEVER = datetime.max.replace(tzinfo=timezone.utc)
_OF_A_TICK = (SCHEDULE, SENSOR)


class StepIntervals:
    """Data intervals of the tables and tasks of a step, from the updates that they consume and their earlier intervals.

    Args:
        context: Context of the step.
        binding: Binding of the step to its project.
        nodes: Tables and tasks of the step, by asset key.
        updates: Updates of their upstreams.
    """

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        binding: StepBinding,
        nodes: Mapping[dg.AssetKey, Node],
        updates: StepUpdates,
    ) -> None:
        self._context, self._binding, self._nodes, self._updates = context, binding, nodes, updates
        self._instance = context.instance
        self.now = datetime.fromtimestamp(time.time(), timezone.utc)
        """Time at which the step began."""
        self._intervals: dict[dg.AssetKey, Interval | None] = {}
        self._appended: dict[dg.AssetKey, AppendedRows] = {}

    def of_tasks(self, window: Interval | None) -> dict[str, Interval]:
        """Returns the data intervals of the tasks whose interval is not that of the run, by node id.

        In a run of a sensor or a condition it is the union of the intervals of the updates that the task consumes. With
        `interval=since_last_run` it is the time from the end of the last one until now. In a run of a schedule whose
        cron has changed, or next to another schedule, it begins where the last interval of the task has ended.

        Args:
            window: Interval of the run; None if it has none.
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
            about: dict[str, Any] = {}
            if node.table is not None and interval is not None and self._is_of_a_tick:
                about[DATA_INTERVAL] = self._interval_of_load(key, node, interval)
            elif interval is not None and interval[1] != _NEVER:
                about[DATA_INTERVAL] = interval_text(interval)
            if unread := self._excluded_updates(key, node, interval):
                about[EXCLUDED_UPDATES_KEY] = dg.MetadataValue.json(unread)
            if settings.truncate and appends(node):
                about[FULL_REFRESH] = True
            found[node.id] = about
        return found

    def duplicate_appends(
        self, settings: RunSettings, given: Mapping[str, str], reader: WarehouseReader | None
    ) -> dict[str, str]:
        """Finds the tasks that would append rows a second time.

        Args:
            settings: Settings of the run, with its data intervals.
            given: Variables in the run config.
            reader: The warehouse reader; None if there is none.

        Returns:
            The reasons, by node id.
        """
        found: dict[str, str] = {}
        if self._context.assets_def.partitions_def is not None or settings.truncate:
            return found
        for key, node in self._nodes.items():
            interval = self._effective(node, settings, given)
            if not appends(node):
                continue
            is_first = is_automatic(self._context.run) and self._updates.consumption(key) is None
            if (interval is None or is_first) and not self._rows_of(key).all():
                if reason := self._unrecorded_rows(node, interval, reader):
                    found[node.id] = reason
                continue
            if self._is_by_clock(key, node, interval):
                continue
            known = interval if interval is not None and interval[1] != _NEVER else None
            if (before := self._rows_of(key).overlapping(known)) is not None:
                found[node.id] = duplicate_append_message(node.id, known, before)
        return found

    def _unrecorded_rows(self, node: Node, interval: Interval | None, reader: WarehouseReader | None) -> str:
        """Returns why the first recorded run of a task must not append, if its table has rows already; "" otherwise."""
        try:
            columns = reader.columns(*node.target) if reader is not None else None
            rows = reader.row_count(*node.target) if reader is not None and columns else None
        except Exception as error:  # whatever a driver raises
            self._context.log.warning(f"{node.id}: the warehouse cannot be read: {error}")
            columns, rows = None, None
        if rows:
            return unrecorded_rows_message(node.id, interval, rows)
        if columns is None or (columns and rows is None):
            self._context.log.warning(
                f"{node.id}: no earlier run that has appended rows is recorded, and it is unknown whether its table "
                "has rows. If it has, this run may append them a second time. Next: check the table."
            )
        return ""

    @cached_property
    def _is_of_a_tick(self) -> bool:
        """Whether a schedule or an arrival sensor has set the interval of the run, instead of a user or a backfill."""
        return any(name in self._context.run.tags for name in _OF_A_TICK)

    def _continued(self, key: dg.AssetKey, node: Node, window: Interval) -> Interval | None:
        """Returns the interval of a task in a run of a schedule."""
        record = self._updates.newest.get(key)
        last = self._updates.declared(key, [update_of(record)])[0] if record is not None else None
        if last is None:
            return window
        found = extend_to_previous_end(window, last[1], appends=appends(node))
        if last[1].timestamp() < found[0].timestamp() and reads_interval(node):
            self._context.log.warning(
                f"{node.id}: no run covers {interval_text((last[1], found[0]))}, its rows of that time are missing. "
                "Next: set `catchup`, or materialize it with the tags `starlake/data_interval_start` and `…_end`."
            )
        return found

    def _interval_of_load(self, key: dg.AssetKey, node: Node, window: Interval) -> str:
        """Returns the interval of the files that a load takes, including ticks of its schedule without a load."""
        translator, consumption = self._binding.translator, self._updates.consumption(key)
        clock, source = translator.trigger(node).cron_schedule, self._binding.source
        assert node.table is not None
        pre_load, domain = translator.get_pre_load(node) or PreLoad("imported"), source.graph.domains[node.table.domain]
        covered = in_timezone(clock.start, clock.timezone) if clock is not None and clock.start is not None else None
        if consumption is not None:
            (before,) = self._updates.declared(key, [consumption.update])
            moment = consumption.started.timestamp()
            covered = before[1] if before is not None else self._updates.end_of_rows(key, consumption.update, moment)

        def place(moment: datetime) -> str:
            try:
                return directory(pre_load, source.model, domain, moment)
            except StarlakeError:  # the domain has no directory: the stage area, which names no date
                return ""

        start, end = interval_of_load(window, clock, covered, self._newest_tick(clock, window[1]), place)
        if start is not None:
            return interval_text((start, end))
        self._context.log.warning(
            f"{node.id}: this is the first load, so its files may have rows from before the tick of {window[0]}: its "
            "data interval has no start, and runs that read the table compute everything. Next: set `start_date`."
        )
        return open_interval_text(end)

    def _newest_tick(self, clock: CronSchedule | None, tick: datetime) -> datetime:
        """Returns the newest tick whose files may exist: that of the request, or one while the run was queued."""
        run = self._context.run
        if (requested := run.tags.get(REQUESTED_AT)) is not None:
            return datetime.fromisoformat(requested)
        records = self._instance.get_run_records(dg.RunsFilter(run_ids=[run.root_run_id or run.run_id]))
        if clock is None or not records:
            return tick
        created, now = (
            cycle_of(clock.cron, moment.timestamp(), clock.timezone)[0]
            for moment in (records[0].create_timestamp, self.now)
        )
        return now if created.timestamp() == tick.timestamp() else tick

    def _effective(self, node: Node, settings: RunSettings, given: Mapping[str, str]) -> Interval | None:
        """Returns the interval of a table or task; variables in the run config of a manual run take precedence."""
        manual = {} if is_automatic(self._context.run) else {name: given.get(name) for name in (_START, _END)}
        is_given = node.task is not None and any(manual.values())
        own = _configured_interval(manual, self._binding.translator.timezone) if is_given else None
        return own or settings.interval(node)

    def _is_by_clock(self, key: dg.AssetKey, node: Node, interval: Interval | None) -> bool:
        by_clock = self._binding.translator.trigger(node).interval == "since_last_run"
        return by_clock and interval == self._intervals.get(key)

    def _excluded_updates(self, key: dg.AssetKey, node: Node, interval: Interval | None) -> dict[str, list[int]]:
        is_first_tick = SCHEDULE in self._context.run.tags and self._updates.consumption(key) is None
        is_followed = self._binding.translator.trigger(node).is_lineage or is_first_tick
        if interval is None or self._is_by_clock(key, node, interval) or not is_followed or not reads_interval(node):
            return {}
        found = {
            up.to_user_string(): ids for up in self._updates.upstream(key) if (ids := self._outside(key, up, interval))
        }
        if found and is_first_tick and node.task is not None:
            self._context.log.warning(
                f"{node.id}: this is its first run, for the tick {interval[1]}. It does not read rows of "
                f"{listed(sorted(found))} from before its data interval. Next: materialize it once by hand before the "
                "schedule is switched on, which computes everything, or set `start_date` and `catchup`."
            )
        return found

    def _rows_of(self, key: dg.AssetKey) -> AppendedRows:
        if key not in self._appended:
            ups = self._updates.upstream(key)
            self._appended[key] = AppendedRows(
                self._instance, key, ups, self._updates.declared, self._updates.end_of_rows
            )
        return self._appended[key]

    def _outside(self, key: dg.AssetKey, up: dg.AssetKey, interval: Interval) -> list[int]:
        updates = self._updates.unread(key, up)
        if updates is None:  # too many to name them
            newest = self._updates.newest.get(up)
            return [newest.storage_id] if newest is not None else []
        by_clock = self._binding.translator.trigger(self._nodes[key]).interval == "since_last_run"
        declared = [_at(one) for one in updates] if by_clock else self._updates.declared(up, updates)
        rows = self._rows_of(key) if appends(self._nodes[key]) else None
        found: list[int] = []
        for one, known in zip(updates, declared, strict=True):
            before = rows.with_update(up, one.storage_id) if rows is not None else ()
            if not covers([interval, *before], known, self.now):
                found.append(one.storage_id)
        return found

    def _interval(self, key: dg.AssetKey) -> Interval | None:
        if key not in self._intervals:
            self._intervals[key] = None  # a task that reads itself
            self._intervals[key] = self._find(key)
        return self._intervals[key]

    def _find(self, key: dg.AssetKey) -> Interval | None:
        node = self._nodes[key]
        translator = self._binding.translator
        trigger = translator.trigger(node)
        by_clock = trigger.interval == "since_last_run"
        if not by_clock and (node.task is None or not is_automatic(self._context.run)):
            return None
        consumption = self._updates.consumption(key)
        if by_clock:
            return None if consumption is None else self._since(consumption)
        declared = self._unread(key, node)
        if not declared and consumption is not None:  # a run that is repeated covers what it covered before
            return recorded_interval(consumption.update.metadata)
        if appends(node):  # another run appends the rows in between, and those of the rest of a cycle
            before = self._rows_of(key).all()
            new = [part for one in declared if one is not None for part in subtract_intervals(one, before)]
            group = find_oldest_contiguous_intervals(new if new and consumption is not None else declared)
            closed = [one for one in group if one is None or one[1] <= self.now]
            return union_of_intervals(closed, self.now)
        cycle = trigger.upstream_condition.data_cycle if trigger.upstream_condition is not None else None
        return union_of_intervals(declared, self.now, cycle=cycle, timezone=translator.timezone)

    def _unread(self, key: dg.AssetKey, node: Node) -> list[Interval | None]:
        """Returns the intervals of the upstream rows that a task has not read; None for those without an interval."""
        found: list[Interval | None] = []
        for up in self._updates.upstream(key):
            if up in self._nodes:
                found.append(self._interval(up))
            updates = self._updates.unread(key, up)
            for update, known in zip(updates or (), self._updates.declared(up, updates or ()), strict=True):
                if known is not None and appends(node):  # a run may have appended a part of it
                    found += subtract_intervals(known, self._rows_of(key).with_update(up, update.storage_id))
                else:
                    found.append(known)
            if updates is None:
                found.append(None)
        return found

    def _since(self, consumption: Consumption) -> Interval | None:
        before = recorded_interval(consumption.update.metadata)
        start = before[1] if before is not None else consumption.started
        return (start, self.now) if start < self.now else None


def _at(update: Update) -> Interval:
    """Returns the time at which an update was written, as an empty interval."""
    moment = record_time(update)
    return moment, moment


def _configured_interval(variables: Mapping[str, str | None], zone: str) -> Interval | None:
    """Returns the data interval in the variables of a run config; an empty interval if they cannot be parsed."""
    if not any(variables.values()):
        return None
    try:
        start, end = (datetime.fromisoformat(variables.get(name) or "") for name in (_START, _END))
    except ValueError:
        return _NEVER, _NEVER
    return in_timezone(start, zone), in_timezone(end, zone)
