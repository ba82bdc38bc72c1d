"""Numbers of things, in words."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, thing: str) -> str:
    """A number and what it counts.

    Args:
        number: How many.
        thing: The singular of a word whose plural ends in `s`.

    Examples:
        >>> counted(1, "asset"), counted(0, "file")
        ('1 asset', '0 files')
    """
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
