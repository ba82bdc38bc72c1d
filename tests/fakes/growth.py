"""How the work of an action grows: by calls of Python functions, which no other load on the machine changes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

__all__ = ["calls", "growth"]


def calls(action: Callable[[], object]) -> int:
    """How many Python functions an action calls."""
    count = 0

    def note(_frame: Any, event: str, _what: Any) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(before)
    return count


def growth(action: Callable[[int], object], small: int, times: int) -> float:
    """How much more is called for a larger size, over how much larger it is: 1 is linear, `times` quadratic.

    Args:
        action: Does the work for a size.
        small: A size.
        times: How much larger the other one is.
    """
    few, many = calls(lambda: action(small)), calls(lambda: action(small * times))
    return many / few / times
