"""Phrases such as "1 file" and "2 files", and words that agree with a number."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["counted", "first_of", "inflected"]


def counted(number: int, thing: str) -> str:
    """Returns a number followed by a noun, in the singular or the plural.

    Args:
        number: The number.
        thing: The singular of a noun whose plural ends in `s`.

    Examples:
        >>> counted(1, "asset"), counted(0, "file")
        ('1 asset', '0 files')
    """
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def inflected(number: int, singular: str, plural: str) -> str:
    """Returns the form of a word that agrees with a number.

    Examples:
        >>> inflected(1, "belongs", "belong"), inflected(2, "belongs", "belong")
        ('belongs', 'belong')
    """
    return singular if number == 1 else plural


def first_of(names: Sequence[str], most: int) -> str:
    """Returns the first names of a list as text, followed by the number of the others.

    Args:
        names: The names, in the order in which they are shown.
        most: Maximum number of names that are shown.

    Examples:
        >>> first_of(["a", "b", "c"], 2)
        'a, b and 1 more'
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
