"""Replaces files atomically, so that no reader sees a partial file.

The worker of exported Airflow DAGs imports nothing of this package and has its own code for this: `local_try_record`.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

__all__ = ["PARTIAL_FILES", "replaced_file"]

PARTIAL_FILES = ".sl-*.part"
"""Pattern of the hidden files that a killed process may leave behind."""


@contextmanager
def replaced_file(path: Path) -> Generator[Path]:
    """Replaces a file with the output of the block; if the block fails, the file is unchanged.

    Args:
        path: The file; its directory exists.

    Yields:
        The path to write to: a hidden file in the same directory.
    """
    part = path.with_name(f".sl-{uuid4().hex}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
