"""Durations in words, as `freshness` has them: `3 days`, `2 hours`, `30 minutes`."""

from __future__ import annotations

import re
from datetime import timedelta

__all__ = ["duration"]

_TEXT = re.compile(
    r"(\d{1,6})\s*(?:(?P<days>d|day|days)|(?P<hours>h|hour|hours)|(?P<minutes>m|min|mins|minute|minutes))",
    re.I | re.ASCII,
)


def duration(text: str) -> timedelta | None:
    """Returns the duration that a text describes.

    Args:
        text: A number, then days, hours or minutes, also as `d`, `h`, `min` or `m`. Seconds are rejected, by Starlake's
            `validate` as well.

    Returns:
        The duration, at least a minute; None if the text is not a duration.
    """
    match = _TEXT.fullmatch(text.strip())
    if match is None or int(match[1]) == 0:
        return None
    unit = next(name for name, found in match.groupdict().items() if found)
    return timedelta(**{unit: int(match[1])})
