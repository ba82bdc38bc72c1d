"""What a Dagster instance knows of the intervals that a schedule has asked for."""

from collections.abc import Collection
from datetime import datetime

import dagster as dg

from starlake_dagster_assets.automation.waves import INTERVAL_END, TRIGGER, location_of, planned

__all__ = ["asked_until"]

_PAGE = 100


def asked_until(instance: dg.DagsterInstance, name: str, keys: Collection[dg.AssetKey]) -> datetime | None:
    """The end of the newest interval that a schedule has asked a run for.

    Another code location of the instance may have a schedule of the same name, and a schedule is not told which one is
    its own: the runs of a location are its own when the newest of them makes something that it makes.

    Args:
        instance: The instance.
        name: Of the schedule.
        keys: What it makes.

    Returns:
        None where it has asked for nothing yet.
    """
    filters, cursor = dg.RunsFilter(tags={TRIGGER: name}), None
    mine: dict[str | None, bool] = {}
    while runs := instance.get_runs(filters, cursor=cursor, limit=_PAGE):
        ends: list[datetime] = []
        for run in runs:
            where = location_of(run)
            if where not in mine:
                makes = planned(instance, run)
                mine[where] = not makes or not makes.isdisjoint(keys)
            if mine[where] and INTERVAL_END in run.tags:
                ends.append(datetime.fromisoformat(run.tags[INTERVAL_END]))
        if ends:
            return max(ends)
        cursor = runs[-1].run_id
    return None
