"""Writes the output lines of a command to Dagster's logs."""

import re
import sys
from collections.abc import Callable
from typing import Any

from starlake_dagster_assets.commands.model import Line

__all__ = ["line_listener"]

_MARKERS = ("Main: Running Starlake ", "Session: waiting for ", "Ingest resolved file", "ingestion-summary ->")
_LEVEL = re.compile(r"(?:^|[\s\[])(WARN|ERROR)\b")
_ECHOES = ("Starlake failed to execute command", "Some tables failed to be loaded")
"""Texts of lines that repeat the outcome of a table."""
_MOST_LOGGED = 200
"""Maximum number of lines of a step in the event log; the compute log has all lines."""
_HEAD = 80


def line_listener(log: Any) -> Callable[[Line], None]:
    """Returns a listener that writes every line to the compute log, and progress and warnings also to the event log.

    Args:
        log: The log of the context, such as `context.log`.
    """
    logged = 0

    def take(line: Line) -> None:
        nonlocal logged
        _print(line)
        marker = any(word in line.text for word in _MARKERS)
        warning = _LEVEL.search(line.text[:_HEAD]) is not None and not any(word in line.text for word in _ECHOES)
        if not (marker or warning) or logged >= _MOST_LOGGED:
            return
        logged += 1
        (log.warning if warning else log.info)(line.text)

    return take


def _print(line: Line) -> None:
    """Writes a line to the compute log unchanged, including bytes that are not UTF-8."""
    out = sys.stdout
    if line.raw is not None and hasattr(out, "buffer"):
        out.flush()
        out.buffer.write(line.raw + b"\n")
    else:
        out.write(line.text + "\n")
    out.flush()
