"""Partitions of a command: keys, dimensions and the time window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

__all__ = ["REPLACE_VARIABLE", "PartitionInfo", "added_rows"]

REPLACE_VARIABLE = "SL_PARTITION_REPLACE"
"""Environment variable with the partition, as JSON, that a transform on the embedded engine deletes and inserts."""


@dataclass(frozen=True)
class PartitionInfo:
    """The partitions that a step runs for.

    Attributes:
        keys: All keys; several only if they are time windows.
        dimensions: Key by dimension, if the partitions have several dimensions.
        window: Start and end of the time that they cover; None if they are not time windows.
    """

    keys: tuple[str, ...] = ()
    dimensions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    window: tuple[datetime, datetime] | None = None

    @property
    def key(self) -> str | None:
        """The only key; None if there is none or several."""
        return self.keys[0] if len(self.keys) == 1 else None

    @property
    def texts(self) -> tuple[str, ...]:
        """The keys that become variables: those of the dimensions, else all keys; none for time windows."""
        if self.dimensions:
            return tuple(self.dimensions.values())
        return () if self.window is not None else self.keys

    def variables(self) -> Mapping[str, str]:
        """Returns the SQL variables `sl_partition_key`, its alias `partition_key`, and `sl_partition_<dimension>`."""
        if self.key is None:
            return {}
        named = {f"sl_partition_{name}": key for name, key in self.dimensions.items()}
        return {"partition_key": self.key, "sl_partition_key": self.key, **named}


def added_rows(after: Mapping[str | None, int], before: Mapping[str | None, int]) -> dict[str | None, int]:
    """Returns the number of rows that each partition gained; partitions without new rows are left out."""
    grown = {name: count - before.get(name, 0) for name, count in after.items()}
    return {name: count for name, count in grown.items() if count > 0}
