"""Partition mappings between an asset and the assets that it reads."""

from typing import Any, cast

import dagster as dg

from starlake_dagster_assets._compat import suppress_dagster_warnings

__all__ = ["partition_mapping"]


def partition_mapping(mine: dg.PartitionsDefinition[Any] | None, read: dg.PartitionsDefinition[Any] | None) -> Any:
    """Returns the mapping between two partitions definitions.

    Args:
        mine: Partitions of the downstream node; None if it is unpartitioned.
        read: Partitions of the node that it reads; None if it is unpartitioned.

    Returns:
        Between different time-window partitions, the windows that overlap; windows before the start of `read` are not
        required. Between different time zones, all partitions. In other cases None, for Dagster's default mapping.
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
