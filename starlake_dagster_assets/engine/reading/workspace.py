"""Temporary directories of readings; those of commands that were killed are removed by a later one."""

from __future__ import annotations

import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from filelock import FileLock, Timeout

__all__ = ["remove_leftovers", "workspace"]

_PREFIX = "starlake-read-"
_LOCK = ".lock"
_YOUNG_SECONDS = 600
"""A directory that was made just now may not be locked yet."""


@contextmanager
def workspace() -> Generator[Path]:
    """A directory of its own, which is locked while it is in use and removed at the end."""
    with TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as name, FileLock(Path(name) / _LOCK):
        yield Path(name)


def remove_leftovers() -> None:
    """Removes the directories that nobody holds; whatever cannot be removed stays."""
    for folder in Path(gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError, Timeout):
            if time.time() - folder.stat().st_mtime > _YOUNG_SECONDS:
                with FileLock(folder / _LOCK, timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)
