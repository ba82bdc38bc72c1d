"""Maps the values of a partition column to the keys of time-window partitions."""

import re
from datetime import datetime, time, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

import dagster as dg

__all__ = ["PartitionKeyMapper", "moment_of_value"]

_SHORTEST_DAY = timedelta(hours=23)
_COMPACT = re.compile(r"(\d{4})-?(\d{2})(?:-?(\d{2}))?")


class PartitionKeyMapper:
    """Mapping from a value of a column to the partition that it belongs to.

    A day belongs to the window whose start is on this day or before and whose end is on a later day, as
    `>= cast(start as date) and < cast(end as date)` selects it.

    Args:
        windows: The partitions.
        landed: Whether the values are of a load. If windows are shorter than a day, its days belong to the window of
            midnight, since the last window of today does not exist yet.
    """

    def __init__(self, windows: dg.TimeWindowPartitionsDefinition, *, landed: bool = False) -> None:
        self._windows = windows
        self._landed = landed

    @cached_property
    def _keys(self) -> frozenset[str]:
        return frozenset(self._windows.get_partition_keys())

    def __call__(self, value: str | None) -> str | None:
        """Returns the partition key of a value; None for NULL, for a value that is no date, and outside the partitions.

        Args:
            value: A date or timestamp in ISO 8601, in the time zone of the partitions if it has no offset; a month
                as `2025-03`, a day also as `20250301`.
        """
        text = value.strip() if value is not None else ""
        day = _COMPACT.fullmatch(text)
        moment = _moment(f"{day[1]}-{day[2]}-{day[3] or '01'}" if day else text)
        if moment is None:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=ZoneInfo(self._windows.timezone))
        key = self._key(datetime.combine(moment, time.max, moment.tzinfo).replace(fold=1) if day else moment)
        if day and self._landed and self._is_short(key):
            key = self._key(moment)
        return key if key in self._keys else None

    def _key(self, moment: datetime) -> str:
        return self._windows.get_partition_key_for_timestamp(moment.timestamp())

    def _is_short(self, key: str) -> bool:
        window = self._windows.time_window_for_partition_key(key)
        return window.end - window.start < _SHORTEST_DAY


def moment_of_value(value: str | None, timezone: str) -> datetime | None:
    """Parses a date or timestamp in ISO 8601; returns None for NULL and for other values, such as `infinity`.

    Args:
        value: Value of a column.
        timezone: Time zone of values without an offset, as an IANA name.
    """
    moment = _moment(value or "")
    if moment is None or moment.year == datetime.min.year:  # it has no earlier moment in other time zones
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=ZoneInfo(timezone))


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
