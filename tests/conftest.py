"""Options and hooks of all tests."""

from __future__ import annotations

import os
import runpy
import signal
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
EXPERIMENTAL = "automation"
"""Directory whose tests use what Dagster 1.9 called experimental: events from outside, contexts of sensors."""
WITHOUT_DAGSTER = (
    "checking/test_project_check.py",
    "commands",
    "engine",
    "execution",
    "graph/test_build.py",
    "graph/test_columns.py",
    "graph/test_plan.py",
    "graph/test_select.py",
    "project",
    "test_corpus.py",
)
"""Directories and files of tests that no version of Dagster concerns: they run once, and its import is forbidden."""
WITH_DAGSTER = ("engine/commands/test_kill_dagster.py", "execution/backends", "execution/warehouse")
"""Directories and files below these that need Dagster."""


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "only the tests that need Dagster (with), or only the others, to which its import is forbidden (without)"
    parser.addoption("--dagster", choices=("with", "without"), help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Undoes two settings of the surroundings; forbids Dagster to the tests that run without it; asks for no speed.

    A shell starts programs in the background with SIGINT ignored: Dagster then ignores SIGTERM too. Container images
    forbid Python to keep compiled modules: each of the hundreds of processes of the tests then compiles Dagster again.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with suppress(ModuleNotFoundError):  # the versions between the oldest and the newest run no such tests
        from hypothesis import HealthCheck, settings

        settings.register_profile("any_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
        settings.load_profile("any_machine")
    gone = [path for path in (*WITHOUT_DAGSTER, *WITH_DAGSTER) if not (HERE / path).exists()]
    if gone:
        raise pytest.UsageError(f"tests/conftest.py lists what is not there: {', '.join(gone)}")
    if config.getoption("dagster") == "without":
        forbids = HERE / "without_dagster"
        runpy.run_path(str(forbids / "sitecustomize.py"))
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(forbids), os.environ.get("PYTHONPATH")]))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    chosen = config.getoption("dagster")
    if chosen is None or HERE not in collection_path.parents:
        return None
    inside = _is_below(collection_path, WITHOUT_DAGSTER) and not _is_below(collection_path, WITH_DAGSTER)
    if collection_path.is_dir():
        around = any(collection_path in (HERE / path).parents for path in WITHOUT_DAGSTER)
        return (chosen == "without" and not (inside or around)) or None
    return (inside == (chosen == "with")) or None


def _is_below(path: Path, listed: tuple[str, ...]) -> bool:
    return any(HERE / name in (path, *path.parents) for name in listed)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first: no worker is left with one of them at the end."""
    tests = Counter(item.path for item in items)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, -tests[item.path]))
    for item in items:
        if HERE / EXPERIMENTAL in item.path.parents:
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
