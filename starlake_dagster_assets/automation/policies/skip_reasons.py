"""Helpers for the texts of skip reasons, which users read for a tick that started no run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timezone

__all__ = ["duration_text", "instant", "listed", "short_hash"]

_MOST_NAMED = 8


def listed(texts: Sequence[str], word: str = "and") -> str:
    """Returns a list as text, of at most eight items: `a, b and 3 more`; with the word `;`, joined by semicolons."""
    shown = list(texts[:_MOST_NAMED])
    if len(texts) > _MOST_NAMED:
        shown.append(f"{len(texts) - _MOST_NAMED} more")
    if word == ";":
        return "; ".join(shown)
    return ", ".join(shown[:-1]) + f" {word} {shown[-1]}" if len(shown) > 1 else "".join(shown)


def instant(moment: float) -> str:
    """Returns an instant, in seconds since 1970, as text in UTC."""
    return f"{datetime.fromtimestamp(moment, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def duration_text(seconds: float) -> str:
    """Returns a number of seconds as text, such as `1 h 5 min`; at least one second."""
    parts: list[str] = []
    rest = max(1, round(seconds))
    for word, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number} {word}")
    return " ".join(parts[:2])


def short_hash(text: str) -> str:
    """Returns a hash of a text with twelve characters, for cursors and keys."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
