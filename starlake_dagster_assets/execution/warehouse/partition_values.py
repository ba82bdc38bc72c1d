"""Values of a partition column as texts, and their sums."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timezone
from typing import Any

__all__ = ["MOST_PARTITIONS", "QUARTER_SECONDS", "find_column", "sum_by_value"]

MOST_PARTITIONS = 10_000
"""Maximum number of distinct values of a partition column."""
QUARTER_SECONDS = 900
"""Seconds to which timestamps are truncated: a quarter of an hour."""
_QUARTER = QUARTER_SECONDS // 60


def find_column(columns: Iterable[tuple[str, str]], name: str) -> tuple[str, str] | None:
    """Returns name and type of a column, regardless of case; None if it does not exist."""
    return next((one for one in columns if one[0].lower() == name.lower()), None)


def sum_by_value(rows: Iterable[Sequence[Any]], offset: str = "") -> Mapping[str | None, int]:
    """Returns row counts by partition value.

    Args:
        rows: The parts of a value (itself; or day, hour and quarter of the hour), then a count.
        offset: The UTC offset of days and hours.
    """
    found: dict[str | None, int] = {}
    for *parts, count in rows:
        value = _text(parts[0]) if len(parts) == 1 else _moment(parts[0], parts[1], parts[2], offset)
        found[value] = found.get(value, 0) + int(count)
    return found


def _text(value: Any) -> str | None:
    """Returns a value as text: dates in ISO 8601, timestamps truncated to 15 minutes, booleans as SQL writes them."""
    if value is None:
        return None
    if isinstance(value, datetime):
        moment = value.astimezone(timezone.utc) if value.tzinfo else value
        return _moment(moment.date(), moment.hour, moment.minute // _QUARTER, "+00:00" if value.tzinfo else "")
    if isinstance(value, date):
        return value.isoformat()
    return str(value).lower() if isinstance(value, bool) else str(value)


def _moment(day: Any, hour: Any, quarter: Any, offset: str) -> str | None:
    text = _text(day)
    if text is None or hour is None or quarter is None:
        return text
    return f"{text}T{int(hour):02}:{int(quarter) * _QUARTER:02}:00{offset}"
