"""Schedules: a preset's name or a cron expression."""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlake_dagster_assets.errors import closest_match

__all__ = ["PRESETS", "cron_of"]

PRESETS = {
    "hourly": "0 * * * *",
    "daily": "0 0 * * *",
    "weekly": "0 0 * * 1",
    "monthly": "0 0 1 * *",
    "yearly": "0 0 1 1 *",
}
"""Starlake's built-in presets."""

_MONTHS = {name: index for index, name in enumerate(re.findall("...", "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"), 1)}
_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_DAYS = {name: index for index, name in enumerate(re.findall("...", "SUNMONTUEWEDTHUFRISAT"))}
_FIELDS: tuple[tuple[str, int, int, Mapping[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of week", 0, 7, _DAYS),
)
_ITEM = re.compile(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d+))?")
_ZERO = re.compile(r"0+|0/0")
_LAST = re.compile(r"(?:L|\?|\w+#[1-5]|[Ll]?\w{1,3}L)", re.IGNORECASE)


def cron_of(schedule: str | None, presets: Mapping[str, str]) -> str | None:
    """Returns the cron expression of a schedule.

    Args:
        schedule: `schedule` of a table, domain or task: cron text with spaces, or a preset's name. A cron of Quartz
            (seconds first, optionally a year last) is translated if its seconds are 0 and its year is `*` or `?`.
        presets: `application.schedulePresets`, merged over the built-in presets.

    Returns:
        A cron expression of five fields; None if there is no schedule ("" and `None` included).

    Raises:
        ValueError: When the preset is unknown or the expression is not a cron expression; the message names it.
    """
    text = (schedule or "").strip()
    if not text or text == "None":
        return None
    if " " in text:
        return _checked(text)
    by_lower = {name.lower(): value for name, value in presets.items()}
    found = presets.get(text) or by_lower.get(text.lower())
    if found is None:
        close = closest_match(text, presets)
        hint = f" Did you mean `{close}`?" if close else f" Presets: {', '.join(sorted(presets))}."
        raise ValueError(f"unknown schedule preset `{text}`.{hint}")
    return _checked(found)


def _checked(cron: str) -> str:
    """Returns a cron expression of five fields, or raises `ValueError`."""
    fields = _five_fields(cron)
    for field, (name, low, high, words) in zip(fields, _FIELDS, strict=True):
        for item in field.split(","):
            if not _valid(item, low, high, words):
                raise ValueError(f"`{cron}` is not a cron expression: `{item}` is not a valid {name} ({low}-{high}).")
    if not _has_day(fields[2], fields[3], fields[4]):
        raise ValueError(f"`{cron}` never runs: month `{fields[3]}` has no day `{fields[2]}`.")
    return " ".join(fields)


def _has_day(days: str, months: str, weekdays: str) -> bool:
    """Whether one of the months has one of the days; with days of the week, cron runs on these, too."""
    firsts = [_number(re.split("[-/]", item)[0], {}) for item in days.split(",")]
    known = [first for first in firsts if first is not None]
    if weekdays != "*" or len(known) < len(firsts):  # `*` or the last day
        return True
    return min(known) <= max(length for item in months.split(",") for length in _month_lengths(item))


def _month_lengths(item: str) -> tuple[int, ...]:
    """Returns the numbers of days of a month or a range of months; of all months if the item has a step."""
    first, _, last = item.partition("-")
    low, high = _number(first, _MONTHS), _number(last or first, _MONTHS)
    return _LENGTHS if low is None or high is None or low > high else _LENGTHS[low - 1 : high]


def _five_fields(cron: str) -> list[str]:
    fields = cron.split()
    if len(fields) == len(_FIELDS):
        return fields
    if len(fields) not in {6, 7}:
        raise ValueError(f"`{cron}` is not a cron expression: it has {len(fields)} fields, not 5.")
    if not _ZERO.fullmatch(fields[0]):
        raise ValueError(
            f"`{cron}` has seconds (`{fields[0]}`), and a schedule of Dagster has none. Set the seconds to 0."
        )
    if len(fields) == 7 and fields[6] not in {"*", "?"}:
        raise ValueError(f"`{cron}` has a year (`{fields[6]}`), and a schedule of Dagster has none. Set the year to *.")
    minute, hour, day, month, weekday = fields[1:6]
    if "?" in {day, weekday}:  # Quartz, which counts days of the week from 1 for Sunday
        weekday = ",".join(_unix_days(item) for item in weekday.split(","))
    return [minute, hour, day.replace("?", "*"), month, weekday.replace("?", "*")]


def _unix_days(item: str) -> str:
    """Returns the days of the week of a Quartz item as cron numbers: 0 for Sunday."""
    days, slash, step = item.partition("/")
    number = re.compile(r"(?<![\w#])[1-7](?!\w)")
    return number.sub(lambda found: str(int(found[0]) - 1), days) + slash + step


def _valid(item: str, low: int, high: int, words: Mapping[str, int]) -> bool:
    match = _ITEM.fullmatch(item)
    if not match:
        return (low != 0 and _LAST.fullmatch(item) is not None) or (high == 7 and _LAST.fullmatch(item) is not None)
    if match[4] is not None and int(match[4]) == 0:
        return False
    if match[1]:
        return True
    ends = [_number(text, words) for text in (match[2], match[3]) if text is not None]
    if any(end is None for end in ends):
        return (low != 0 or high == 7) and _LAST.fullmatch(item) is not None
    return all(low <= end <= high for end in ends if end is not None)


def _number(text: str, words: Mapping[str, int]) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else words.get(text.upper())
