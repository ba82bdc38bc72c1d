"""Temporary directories of commands; those of killed commands are removed by a later command."""

from __future__ import annotations

import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Literal, get_args

import duckdb
from filelock import FileLock, Timeout

from starlake_dagster_assets.engine.quoting import literal

__all__ = ["remove_leftovers", "set_workspace_directory", "temporary_directory", "workspace"]

Purpose = Literal["read", "test"]
_PREFIX = "starlake-"
_LOCK = ".lock"
_VARIABLE = "sl_workspaces"
_YOUNG_SECONDS = 600
"""Age at which a directory may be removed: a new directory may not be locked yet."""


@contextmanager
def workspace(con: duckdb.DuckDBPyConnection) -> Generator[Path]:
    """Yields a temporary directory for one reading of files.

    Args:
        con: The connection that reads; see `set_workspace_directory`.
    """
    ((parent,),) = con.execute(f"SELECT getvariable('{_VARIABLE}')").fetchall()
    with temporary_directory("read", parent) as folder:
        yield folder


def set_workspace_directory(con: duckdb.DuckDBPyConnection, parent: Path) -> None:
    """Sets the directory in which the workspaces of a connection are created, instead of the system's."""
    con.execute(f"SET VARIABLE {_VARIABLE} = {literal(str(parent))}")


@contextmanager
def temporary_directory(purpose: Purpose, parent: str | None = None) -> Generator[Path]:
    """Yields a new directory, which is locked while it is in use and removed at the end.

    Args:
        purpose: Part of its name: `starlake-read-…` or `starlake-test-…`.
        parent: Directory in which it is created; by default the system's directory for temporary files.
    """
    named = f"{_PREFIX}{purpose}-"
    with TemporaryDirectory(prefix=named, dir=parent, ignore_cleanup_errors=True) as name, FileLock(Path(name) / _LOCK):
        yield Path(name)


def remove_leftovers() -> None:
    """Removes temporary directories that are not locked; those that cannot be removed stay."""
    for folder in (one for word in get_args(Purpose) for one in Path(gettempdir()).glob(f"{_PREFIX}{word}-*")):
        with suppress(OSError, Timeout):
            if time.time() - folder.stat().st_mtime > _YOUNG_SECONDS:
                with FileLock(folder / _LOCK, timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)
