"""Data intervals whose rows a task has already appended, from the event log.

A run without an interval has appended everything that its upstreams had then. An update of an upstream that declares no
interval may have rows from before the last tick of the upstream's schedule.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from functools import cached_property
from itertools import islice
from typing import Any

import dagster as dg

from starlake_dagster_assets.automation.policies.data_intervals import Interval, interval_text, overlap
from starlake_dagster_assets.automation.policies.partition_support import next_step
from starlake_dagster_assets.dagster_assets.steps.consumption import Consumption, Update, consumption_of, update_of
from starlake_dagster_assets.plural import counted

__all__ = ["FULL_REFRESH", "AppendedRows", "duplicate_append_message", "record_time", "unrecorded_rows_message"]

FULL_REFRESH = "starlake/full_refresh"
"""Metadata of a materialization: the run emptied the table first, so that the rows of earlier runs are deleted."""

_PAGE = 1000
_EVER = datetime.min.replace(tzinfo=timezone.utc)


class AppendedRows:
    """Rows that the materializations of one task have appended.

    Args:
        instance: Instance that stores the event log.
        key: Asset key of the task.
        upstream: Asset keys of its upstreams.
        declared: Returns the interval that each of some updates of an asset declares, or None.
        end_of_rows: Returns the end of an upstream's update that declares no interval, by its time.
    """

    def __init__(
        self,
        instance: dg.DagsterInstance,
        key: dg.AssetKey,
        upstream: Sequence[dg.AssetKey],
        declared: Callable[[dg.AssetKey, Sequence[Update]], list[Interval | None]],
        end_of_rows: Callable[[dg.AssetKey, Update, float], datetime],
    ) -> None:
        self._instance, self._key, self._upstream = instance, key, upstream
        self._declared, self._end_of_rows = declared, end_of_rows

    def with_update(self, up: dg.AssetKey, storage_id: int) -> list[Interval]:
        """Returns the intervals that were appended after an update of an upstream, and therefore with its rows."""
        return [
            part
            for one, parts in self._known
            if one.pointers.get(up.to_user_string(), 0) >= storage_id
            for part in parts
        ]

    def all(self) -> list[Interval]:
        """Returns all intervals that were appended."""
        return [part for _, parts in self._known for part in parts]

    def overlapping(self, interval: Interval | None) -> tuple[Update, Interval | None] | None:
        """Returns the newest materialization that has appended rows of an interval, with the interval that it covers.

        Args:
            interval: None for a run that appends everything.
        """
        for one, parts in self._known:
            for part in parts:
                if interval is None or overlap(interval, part):
                    return one.update, (part if part[0] != _EVER else None)
        return None

    @cached_property
    def _known(self) -> list[tuple[Consumption, Sequence[Interval]]]:
        return list(self._materializations())

    def _materializations(self) -> Iterator[tuple[Consumption, Sequence[Interval]]]:
        """Yields the materializations since the table was last emptied, newest first, with the intervals of each."""
        for record in _newest_first(self._instance, dg.AssetRecordsFilter(asset_key=self._key)):
            one = consumption_of(self._instance, record)
            update = one.update
            (interval,) = self._declared(self._key, [update])
            if interval is not None:
                yield one, [interval]
            elif update.run_id:  # a report from outside without an interval has appended nothing
                yield one, list(self._read_by(one)) or [(_EVER, record_time(update))]
            if FULL_REFRESH in update.metadata:
                return

    def _read_by(self, one: Consumption) -> Iterator[Interval]:
        """Yields the intervals of the upstream rows that a run without an interval has appended."""
        for up in self._upstream:
            before = one.pointers.get(up.to_user_string(), one.update.storage_id) + 1
            filters = dg.AssetRecordsFilter(asset_key=up, before_storage_id=before)
            updates = [update_of(one) for one in islice(_newest_first(self._instance, filters), _PAGE)]
            for update, interval in zip(updates, self._declared(up, updates), strict=True):
                yield interval or (_EVER, self._end_of_rows(up, update, update.timestamp))


def duplicate_append_message(task: str, interval: Interval | None, before: tuple[Update, Interval | None]) -> str:
    """Returns the error message for a task that would append rows a second time.

    Args:
        task: Node id.
        interval: Data interval of the run; None if it has none.
        before: Result of `AppendedRows.overlapping`.
    """
    update, covered = before
    run = f"run {update.run_id}" if update.run_id else "a materialization that was reported from outside"
    had = f"the rows of {interval_text(covered)}" if covered is not None else "everything that was there"
    return (
        f"this run would append {_rows_text(interval)}, but {run} has appended {had} already: writeStrategy APPEND "
        f"would write rows a second time. Nothing is written, and rows that arrived since may be missing in {task}. "
        f"Next: {next_step('append')}; or materialize it with `full_refresh: true` in the run config, "
        "which empties the table first."
    )


def unrecorded_rows_message(task: str, interval: Interval | None, rows: int) -> str:
    """Returns the error message for the first recorded run of a task whose table has rows already.

    Args:
        task: Node id.
        interval: Data interval of the run; None if it has none.
        rows: Number of rows of its table.
    """
    return (
        f"this run would append {_rows_text(interval)}, but the table of {task} has {counted(rows, 'row')} that no "
        "recorded run has written, for example from before a migration or before the asset was wiped. writeStrategy "
        "APPEND might write rows a second time, so nothing is written. Next: if the table is complete, report a "
        f"materialization of {task} in the UI (*Report materialization*), and only later updates are appended. If the "
        "rows of an interval are missing, materialize it by hand with the tags `starlake/data_interval_start` and "
        "`…_end`. Or materialize it with `full_refresh: true` in the run config, which empties the table first."
    )


def _rows_text(interval: Interval | None) -> str:
    return f"the interval {interval_text(interval)}" if interval is not None else "all rows, since it has no interval"


def record_time(update: Update) -> datetime:
    """Returns the time at which an update was written."""
    return datetime.fromtimestamp(update.timestamp, timezone.utc)


def _newest_first(instance: dg.DagsterInstance, filters: Any) -> Iterator[Any]:
    cursor: str | None = None
    while True:
        page = instance.fetch_materializations(filters, limit=_PAGE, cursor=cursor, ascending=False)
        yield from page.records
        if not page.has_more:
            return
        cursor = page.cursor
