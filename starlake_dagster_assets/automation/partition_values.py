"""Maps the values of a partition column to the keys of time-window partitions."""

import re
from datetime import datetime
from functools import cached_property
from zoneinfo import ZoneInfo

import dagster as dg

__all__ = ["PartitionOfValue"]

_COMPACT = re.compile(r"(\d{4})-?(\d{2})(?:-?(\d{2}))?")


class PartitionOfValue:
    """Finds the partition that a value of a column belongs to.

    Args:
        windows: The partitions.
    """

    def __init__(self, windows: dg.TimeWindowPartitionsDefinition) -> None:
        self._windows = windows

    @cached_property
    def _keys(self) -> frozenset[str]:
        return frozenset(self._windows.get_partition_keys())

    def __call__(self, value: str | None) -> str | None:
        """Returns the key of the partition; None for NULL, a value that is not a date, and outside of the partitions.

        Args:
            value: A date or timestamp in ISO 8601, in the time zone of the partitions where it has no offset; a month
                as `2025-03`, a day also as `20250301`.
        """
        moment = _moment(value.strip()) if value is not None else None
        if moment is None:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=ZoneInfo(self._windows.timezone))
        key = self._windows.get_partition_key_for_timestamp(moment.timestamp())
        return key if key in self._keys else None


def _moment(text: str) -> datetime | None:
    if found := _COMPACT.fullmatch(text):
        text = f"{found[1]}-{found[2]}-{found[3] or '01'}"
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
