"""Data interval that an update declares: by its metadata, its partition, or the tags of its run."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import dagster as dg

from starlake_dagster_assets.automation.policies.data_intervals import Interval
from starlake_dagster_assets.dagster_assets.dagster_runs import (
    DATA_INTERVAL,
    PARTITIONED_BY,
    declared_interval,
    oldest_row,
    recorded_interval,
)
from starlake_dagster_assets.dagster_assets.specs.partitions import time_window
from starlake_dagster_assets.dagster_assets.steps.consumption import Update

__all__ = ["interval_of_update", "intervals_of_updates"]


def interval_of_update(
    update: Update, partitions: Any, tags: Mapping[str, str] | None, *, of: Literal["rows", "ticks"] = "rows"
) -> Interval | None:
    """Returns the data interval that an update declares; None if it declares none.

    The metadata `starlake/data_interval` takes precedence, then the time partition, then the tags of the run of an
    update without a partition. An interval without a start in the metadata means that the oldest rows may be
    of any time.

    Args:
        update: The materialization.
        partitions: Definition of the partitions of its asset; None if it has none.
        tags: Tags of its run; None if it has none.
        of: `rows`: the time of the rows, from the oldest row on; if rows determined the partition, only the partition
            declares it. `ticks`: the ticks of a schedule that the run covers; such a partition and rows of an unknown
            time do not count.
    """
    by_rows = PARTITIONED_BY in update.metadata
    window = time_window(partitions, update.partition)
    if of == "rows" and by_rows:
        return window
    recorded = recorded_interval(update.metadata)
    if recorded is not None and of == "rows":
        return oldest_row(update.metadata) or recorded[0], recorded[1]
    if recorded is not None or (of == "rows" and DATA_INTERVAL in update.metadata):
        return recorded
    if update.partition is not None and not by_rows:
        return window
    return declared_interval(tags) if tags is not None else None


def intervals_of_updates(
    instance: dg.DagsterInstance,
    updates: Sequence[Update],
    partitions: Any,
    *,
    of: Literal["rows", "ticks"] = "rows",
) -> list[Interval | None]:
    """Returns the data interval that each update of an asset declares, with one query for the runs that are needed."""
    found = [interval_of_update(one, partitions, None, of=of) for one in updates]
    runs = {one.run_id for one, known in zip(updates, found, strict=True) if known is None and one.run_id}
    if not runs:
        return found
    tags = {run.run_id: run.tags for run in instance.get_runs(dg.RunsFilter(run_ids=sorted(runs)))}
    return [interval_of_update(one, partitions, tags.get(one.run_id), of=of) for one in updates]
