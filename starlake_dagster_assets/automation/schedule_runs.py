"""Reads from the runs of an instance which data intervals a schedule has requested."""

from collections.abc import Collection
from datetime import datetime

import dagster as dg

from starlake_dagster_assets.automation.runs import INTERVAL_END, location_of, planned_assets

__all__ = ["SCHEDULE", "requested_ends"]

SCHEDULE = "dagster/schedule_name"
"""Run tag of Dagster: the schedule that requested the run."""
_PAGE = 500


def requested_ends(instance: dg.DagsterInstance, name: str, keys: Collection[dg.AssetKey]) -> frozenset[float]:
    """Returns the ends of the data intervals that have a run of a schedule, in seconds since 1970.

    Another code location of the instance may have a schedule of the same name, and a schedule does not know its own:
    the runs of a location are its own when the newest of them materializes an asset that the schedule materializes.

    Args:
        instance: The instance.
        name: Of the schedule.
        keys: What it materializes.
    """
    filters, cursor = dg.RunsFilter(tags={SCHEDULE: name}), None
    mine: dict[str | None, bool] = {}
    ends: set[float] = set()
    while runs := instance.get_runs(filters, cursor=cursor, limit=_PAGE):
        for run in runs:
            where = location_of(run)
            if where not in mine:
                materializes = planned_assets(instance, run)
                mine[where] = not materializes or not materializes.isdisjoint(keys)
            if mine[where] and INTERVAL_END in run.tags:
                ends.add(datetime.fromisoformat(run.tags[INTERVAL_END]).timestamp())
        cursor = runs[-1].run_id
    return frozenset(ends)
