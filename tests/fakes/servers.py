"""Servers that tests start, and their end."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any

__all__ = ["ended"]


def ended(server: subprocess.Popen[Any]) -> None:
    """Ends a server that leads a session, and all that it started: children may ignore the first signal."""
    for number, patience in ((signal.SIGTERM, 20), (signal.SIGKILL, 5)):
        try:
            os.killpg(server.pid, number)
        except ProcessLookupError:
            break
        try:
            server.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            continue
