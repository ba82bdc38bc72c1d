"""Names of ack files."""

from __future__ import annotations

from pathlib import PurePosixPath

__all__ = ["ack_file_name"]


def ack_file_name(name: str, extension: str) -> str:
    """Returns the name of the ack file of a data file: its name with the ack extension instead of its last suffix."""
    return f"{PurePosixPath(name).stem}.{extension}"
