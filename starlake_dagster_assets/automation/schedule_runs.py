"""Data intervals of a schedule that need no run, because a run or a materialization covers them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

import dagster as dg

from starlake_dagster_assets.assets.consumption import update_of
from starlake_dagster_assets.automation.partitions import time_window
from starlake_dagster_assets.automation.runs import (
    INTERVAL_END,
    declared_interval,
    location_of,
    planned_assets,
    recorded_interval,
)

__all__ = ["SCHEDULE", "CoveredIntervals"]

SCHEDULE = "dagster/schedule_name"
"""Run tag of Dagster: the schedule that requested the run."""
_PAGE = 500


class CoveredIntervals:
    """Data intervals that have a run of a schedule, or that its assets have been materialized for.

    Materializations count under any former name of the schedule. A failed run counts only for the schedule that
    requested it. Another code location of the instance may have a schedule of the same name: the runs of a location
    count if the newest of them materializes an asset of this schedule.

    Args:
        instance: The instance.
        name: Name of the schedule.
        keys: Assets that it materializes.
        partitions: Partitions of its assets; None if they have none.
    """

    def __init__(
        self,
        instance: dg.DagsterInstance,
        name: str,
        keys: Sequence[dg.AssetKey],
        partitions: dg.PartitionsDefinition[Any] | None,
    ) -> None:
        self._instance, self._name, self._keys, self._partitions = instance, name, keys, partitions
        self._materialized: dict[dg.AssetKey, list[tuple[float, float]]] | None = None

    def first(self) -> float | None:
        """Returns the end of the first interval with a run, else with a materialization; None if there is neither."""
        ends = {end for ends in self._requested.values() for end in ends}
        ends = ends or {end for parts in self._parts(None).values() for _, end in parts}
        return min(ends, default=None)

    def missing(self, window: tuple[datetime, datetime]) -> list[dg.AssetKey]:
        """Returns the assets that have neither a run nor a materialization for an interval.

        Args:
            window: The interval; call this with the oldest interval first.
        """
        start, end = (moment.timestamp() for moment in window)
        missing = [key for key in self._keys if end not in self._requested.get(key, ())]
        if missing and self._materialized is None:
            self._materialized = self._parts(end)  # what covers an interval is written after the interval has ended
        known = self._materialized or {}
        return [key for key in missing if not any(one[0] <= start and end <= one[1] for one in known.get(key, ()))]

    @cached_property
    def _requested(self) -> Mapping[dg.AssetKey, Collection[float]]:
        """Ends of the intervals that runs of the schedule were requested for, by asset."""
        mine: dict[str | None, bool] = {}
        plans: dict[Any, Collection[dg.AssetKey]] = {}
        found: dict[dg.AssetKey, set[float]] = {}
        for run in self._runs():
            plan: Any = (run.job_snapshot_id, run.asset_selection)
            if plan == (None, None) or plan not in plans:
                plans[plan] = planned_assets(self._instance, run)
            planned, where = plans[plan], location_of(run)
            if where not in mine:
                mine[where] = not planned or not set(self._keys).isdisjoint(planned)
            if mine[where] and INTERVAL_END in run.tags:
                end = datetime.fromisoformat(run.tags[INTERVAL_END]).timestamp()
                for key in planned or self._keys:
                    found.setdefault(key, set()).add(end)
        return found

    def _runs(self) -> Iterator[dg.DagsterRun]:
        filters, cursor = dg.RunsFilter(tags={SCHEDULE: self._name}), None
        while runs := self._instance.get_runs(filters, cursor=cursor, limit=_PAGE):
            yield from runs
            cursor = runs[-1].run_id

    def _parts(self, since: float | None) -> dict[dg.AssetKey, list[tuple[float, float]]]:
        """Returns the intervals that each asset was materialized for, since a moment."""
        return {key: _union(self._intervals(key, since)) for key in self._keys}

    def _intervals(self, key: dg.AssetKey, since: float | None) -> Iterator[tuple[float, float]]:
        cursor: str | None = None
        while True:
            filters = dg.AssetRecordsFilter(asset_key=key, after_timestamp=since)
            page = self._instance.fetch_materializations(filters, limit=_PAGE, cursor=cursor)
            updates = [update_of(record) for record in page.records]
            ids = sorted({one.run_id for one in updates if one.run_id})
            runs = self._instance.get_runs(dg.RunsFilter(run_ids=ids)) if ids else ()
            of_run = {run.run_id: declared_interval(run.tags) for run in runs}
            for one in updates:  # a load that takes the files of several ticks records more than its own
                window = time_window(self._partitions, one.partition)
                interval = of_run.get(one.run_id) or window or recorded_interval(one.metadata)
                if interval is not None:
                    yield interval[0].timestamp(), interval[1].timestamp()
            if not page.has_more:
                return
            cursor = page.cursor


def _union(intervals: Iterator[tuple[float, float]]) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    for start, end in sorted(intervals):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found
