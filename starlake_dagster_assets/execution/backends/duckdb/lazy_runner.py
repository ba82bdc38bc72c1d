"""Imports the embedded runner on first use, because duckdb is an extra."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from starlake_dagster_assets.execution.backends.extras import require_extra
from starlake_dagster_assets.execution.backends.protocol import Runner

__all__ = ["embedded_runner"]


def embedded_runner(
    root: Path,
    *,
    env: str | None = None,
    options: Mapping[str, str] | None = None,
    database: str | Path | None = None,
    transpile_from: str | None = None,
    memory_limit: str | None = None,
    threads: int | None = None,
    timeout: float | None = None,
) -> Runner:
    """Returns the runner of the embedded engine for a project.

    Args:
        root: The project (`SL_ROOT`).
        env: `SL_ENV`.
        options: Variables of every command.
        database: DuckDB file; None = the file that each connection names.
        transpile_from: SQL dialect of the project.
        memory_limit: DuckDB's `memory_limit`, such as `4GB`.
        threads: DuckDB's `threads`.
        timeout: Seconds that a command may take; None = no limit.

    Raises:
        RunnerError: When duckdb is not installed.
    """
    require_extra("duckdb", "duckdb")
    from starlake_dagster_assets.execution.backends.duckdb.runner import EmbeddedRunner

    return EmbeddedRunner(
        root,
        env=env,
        options=dict(options or {}),
        database=Path(database) if database else None,
        transpile_from=transpile_from,
        memory_limit=memory_limit,
        threads=threads,
        timeout=timeout,
    )
