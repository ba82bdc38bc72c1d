"""What holds for the tests of several rooms."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
NOT_YET_FIXED = {"arrivals", "clock", "lineage_sensors", "triggers"}
"""Rooms whose tests themselves use what Dagster 1.9 called experimental: events from outside, contexts of sensors."""


def pytest_configure() -> None:
    """Undoes two settings of the surroundings.

    A shell starts programs in the background with SIGINT ignored: Dagster then ignores SIGTERM too. Container images
    forbid Python to keep compiled modules: each of the hundreds of processes of the tests then compiles Dagster again.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and item.path.relative_to(HERE).parts[0] in NOT_YET_FIXED:
            item.add_marker(pytest.mark.filterwarnings("ignore:.* (is|are) experimental"))


def pytest_collection_finish() -> None:
    if "dagster" in sys.modules:
        _read_migrations_once()


def _read_migrations_once() -> None:
    """Keeps the list of Dagster's migrations per process.

    Dagster marks each new SQLite database as up to date and reads all of its 90 migrations for that: four fifths of the
    cost of an instance in memory, and two thirds of that of an instance on disk.
    """
    from alembic.script import ScriptDirectory

    read: Any = ScriptDirectory.from_config
    known: dict[str | None, ScriptDirectory] = {}

    def from_config(config: Any) -> ScriptDirectory:
        location = config.get_main_option("script_location")
        if location not in known:
            known[location] = read(config)
        return known[location]

    ScriptDirectory.from_config = from_config  # pyright: ignore[reportAttributeAccessIssue]
