"""White space around values, trimmed as the starlake program does and not as DuckDB's `trim` does."""

from __future__ import annotations

from typing import Literal

__all__ = ["trim_both", "trimmed"]

_CONTROLS = " || ".join(f"chr({code})" for code in range(1, 33))
"""Characters that `String.trim` of Java removes: all up to the space. NUL cannot be in a value."""
_BLANKS = " || ".join(f"chr({code})" for code in (32, *range(9, 14)))
"""Characters of `\\s` in a regular expression of Java."""


def trim_both(text: str) -> str:
    """Returns SQL of a text without white space and control characters around it."""
    return f"trim({text}, {_CONTROLS})"


def trimmed(text: str, side: Literal["NONE", "LEFT", "RIGHT", "BOTH"]) -> str:
    """Returns SQL of a text as `attributes[].trim` requires it."""
    if side == "BOTH":
        return trim_both(text)
    return text if side == "NONE" else f"{'l' if side == 'LEFT' else 'r'}trim({text}, {_BLANKS})"
