"""Locks of the embedded engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from starlake_dagster_assets.engine.command_output import CommandOutput
from starlake_dagster_assets.engine.session import EngineOptions, open_session
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.load import load_project


def test_locks_lie_beside_the_data_whatever_the_cache_of_the_user(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.query("SELECT 1")
    (link := tmp_path / "elsewhere.db").symlink_to(bench.database)
    project, _ = load_project(bench.root, environ=bench.environ)
    journal = CommandOutput(lambda line: None)
    with open_session(project, "duckdb", journal, EngineOptions()):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
        with (
            pytest.raises(EngineError, match="still used by another command"),
            open_session(project, "duckdb", journal, EngineOptions(lock_timeout=0.0, database=link)),
        ):
            pass
    (lock,) = bench.database.parent.glob(".*.lock")
    assert (lock.name, lock.stat().st_mode & 0o777) == (".duckdb.db.lock", 0o666)
