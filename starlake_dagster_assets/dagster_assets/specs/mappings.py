"""Partition mappings between an asset and the assets that it reads."""

from typing import Any, cast

import dagster as dg

from starlake_dagster_assets._compat import suppress_dagster_warnings

__all__ = ["partition_mapping"]


def partition_mapping(mine: dg.PartitionsDefinition[Any] | None, read: dg.PartitionsDefinition[Any] | None) -> Any:
    """Returns the mapping between two partitions definitions.

    Args:
        mine: Of the downstream node; None = unpartitioned.
        read: Of the node that it reads.

    Returns:
        Between two time grids: the windows that overlap, where those before the start of `read` are not missed; grids
        of different time zones are read as a whole. None = Dagster's own choice, for everything else.
    """
    if not isinstance(mine, dg.TimeWindowPartitionsDefinition) or not isinstance(
        read, dg.TimeWindowPartitionsDefinition
    ):
        return None
    if mine.timezone != read.timezone:
        return dg.AllPartitionMapping()
    if mine == read:
        return None
    with suppress_dagster_warnings():
        return cast("Any", dg.TimeWindowPartitionMapping)(allow_nonexistent_upstream_partitions=True)
