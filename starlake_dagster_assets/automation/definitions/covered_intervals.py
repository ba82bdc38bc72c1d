"""Data intervals of a schedule that need no run, because a run or a materialization covers them."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import dagster as dg

from starlake_dagster_assets.dagster_assets.dagster_runs import SCHEDULE, declared_interval
from starlake_dagster_assets.dagster_assets.specs.partitions import time_window
from starlake_dagster_assets.dagster_assets.steps.consumption import update_of
from starlake_dagster_assets.dagster_assets.steps.update_intervals import interval_of_update

__all__ = ["CoveredIntervals"]

_PARTITION = "dagster/partition"
_FAILED = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_PLANNED, _MATERIALIZED = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED, dg.DagsterEventType.ASSET_MATERIALIZATION
_PAGE = 500
_Span = tuple[float, float]


class CoveredIntervals:
    """Data intervals for which some assets have a run or a materialization, from any schedule, job or user.

    Runs and materializations are found by asset, in the event log: renamed schedules, jobs and code locations, and
    several schedules for one asset, need no special rule. A failed run counts if a schedule requested it: it is
    re-executed, not requested again.

    Args:
        instance: The instance.
        keys: The assets.
        partitions: Partitions definition of the assets; None if they are unpartitioned.
    """

    def __init__(
        self, instance: dg.DagsterInstance, keys: Sequence[dg.AssetKey], partitions: dg.PartitionsDefinition[Any] | None
    ) -> None:
        self._instance, self._keys, self._partitions = instance, keys, partitions
        self._runs: dict[str, dg.DagsterRun] = {}
        self._unread: dict[dg.AssetKey, Iterator[Iterator[_Span]]] = {}
        self._covered: dict[dg.AssetKey, list[_Span]] = {}

    def first(self) -> float | None:
        """Returns the start of the first scheduled interval, or else materialization; None, or seconds since 1970."""
        for kind in (_PLANNED, _MATERIALIZED):
            starts = [start for key in self._keys for start, _ in self._oldest(kind, key)]
            if starts:
                return min(starts)
        return None

    def missing(self, window: tuple[datetime, datetime]) -> list[dg.AssetKey]:
        """Returns the assets that have neither a run nor a materialization for an interval.

        Args:
            window: The interval; call this with the oldest interval first.
        """
        start, end = (moment.timestamp() for moment in window)
        return [key for key in self._keys if not self._is_covered(key, start, end)]

    def _is_covered(self, key: dg.AssetKey, start: float, end: float) -> bool:
        """Whether runs or materializations cover an interval; reads only as many pages of the event log as needed."""
        if key not in self._unread:  # what covers a part of an interval is written after the interval has begun
            self._unread[key], self._covered[key] = self._spans(key, start), []
        while not any(one[0] <= start and end <= one[1] for one in self._covered[key]):
            page = next(self._unread[key], None)
            if page is None:
                return False
            self._covered[key] = _union([*self._covered[key], *page])
        return True

    def _oldest(self, kind: dg.DagsterEventType, key: dg.AssetKey) -> list[_Span]:
        for page in self._pages(kind, key, None):
            spans = self._planned(page, scheduled=True) if kind is _PLANNED else self._materialized(page)
            if found := list(spans):
                return found
        return []

    def _spans(self, key: dg.AssetKey, since: float) -> Iterator[Iterator[_Span]]:
        """Yields the intervals of each page of events."""
        for page in self._pages(_PLANNED, key, since):
            yield self._planned(page)
        for page in self._pages(_MATERIALIZED, key, since):
            yield self._materialized(page)

    def _planned(self, page: Sequence[Any], *, scheduled: bool = False) -> Iterator[_Span]:
        """Yields the intervals of runs that were planned to materialize an asset."""
        for record in page:
            run = self._runs.get(record.run_id)
            is_scheduled = run is not None and SCHEDULE in run.tags
            if run is not None and (is_scheduled or not (scheduled or run.status in _FAILED)):
                yield from _seconds(declared_interval(run.tags) or self._window(run))

    def _materialized(self, page: Sequence[Any]) -> Iterator[_Span]:
        """Yields the intervals of materializations."""
        for update in map(update_of, page):
            run = self._runs.get(update.run_id)
            yield from _seconds(
                interval_of_update(update, self._partitions, run.tags if run is not None else None, of="ticks")
            )

    def _window(self, run: dg.DagsterRun) -> tuple[datetime, datetime] | None:
        return time_window(self._partitions, run.tags.get(_PARTITION))

    def _pages(self, kind: dg.DagsterEventType, key: dg.AssetKey, since: float | None) -> Iterator[Sequence[Any]]:
        """Yields the events of an asset, oldest first, after reading their runs."""
        cursor: int | None = None
        while True:
            filters = dg.EventRecordsFilter(kind, asset_key=key, after_timestamp=since, after_cursor=cursor)
            page = self._instance.event_log_storage.get_event_records(filters, limit=_PAGE, ascending=True)
            if ids := sorted({record.run_id for record in page if record.run_id} - self._runs.keys()):
                self._runs |= {run.run_id: run for run in self._instance.get_runs(dg.RunsFilter(run_ids=ids))}
            yield page
            if len(page) < _PAGE:
                return
            cursor = page[-1].storage_id


def _seconds(interval: tuple[datetime, datetime] | None) -> Iterator[_Span]:
    if interval is not None:
        yield interval[0].timestamp(), interval[1].timestamp()


def _union(spans: Iterable[_Span]) -> list[_Span]:
    found: list[_Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found
