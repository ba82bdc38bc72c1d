"""The `preload` command: checks whether each table has files to load."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starlake_dagster_assets.engine.areas import area
from starlake_dagster_assets.engine.command_output import CommandOutput
from starlake_dagster_assets.engine.commands.stage import stageable
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model.project import Domain, Project, Table
from starlake_dagster_assets.project.resolve.java_regex import compile_java

__all__ = ["PreloadRequest", "Readiness", "readiness_table", "run_preload"]

_SOURCE = "PreLoadCmd$"


@dataclass(frozen=True)
class PreloadRequest:
    """Arguments of `preload`.

    Attributes:
        domain: `--domain`: a directory.
        tables: `--tables`: file stems; None = not given.
        strategy: `--strategy`: `imported`, `pending`, `ack`; anything else is always ready.
        ack: `--globalAckFilePath`.
        sentinel: `--notReadySentinel`.
    """

    domain: str
    tables: tuple[str, ...] | None = None
    strategy: str | None = None
    ack: str | None = None
    sentinel: str | None = None


@dataclass(frozen=True)
class Readiness:
    """Whether a domain is ready, and how many files each table has; no table if the strategy checks none."""

    ready: bool
    tables: tuple[tuple[str, int], ...] = ()


def run_preload(project: Project, request: PreloadRequest, journal: CommandOutput) -> Readiness:
    """Checks whether a domain has files to load; strategy `ack` removes the ack file.

    Args:
        project: The project.
        request: The domain, tables and strategy to check.
        journal: Receives the messages.

    Returns:
        The outcome; a sentinel was written if one was requested and nothing is ready.

    Raises:
        EngineError: The domain has no `directory` for strategy `imported`.
    """
    strategy = (request.strategy or "none").lower()
    journal.info(_SOURCE, f"Pre loading domain {request.domain} with strategy {strategy}")
    if strategy == "imported":
        found = _counted(project, request, journal, staged=False)
    elif strategy == "pending":
        found = _counted(project, request, journal, staged=True)
    elif strategy == "ack":
        found = Readiness(_acknowledged(project, request))
    else:
        found = Readiness(True, tuple((name, 1) for name in request.tables or ()))
    if not found.ready and request.sentinel is not None:
        _write_sentinel(project, request.sentinel, journal)
    return found


def readiness_table(domain: str, tables: Sequence[tuple[str, int]]) -> str:
    """Returns the table that the starlake program logs: domain, table, loadable (1 or 0)."""
    rows = [("domain", "table", "loadable"), *((domain, name, str(int(count > 0))) for name, count in sorted(tables))]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    rule = "+" + "+".join("-" * width for width in widths) + "+"
    lines = ["|" + "|".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) + "|" for row in rows]
    return "\n".join(["", rule, lines[0], rule, *lines[1:], rule, ""])


def _counted(project: Project, request: PreloadRequest, journal: CommandOutput, *, staged: bool) -> Readiness:
    domain = next((item for item in project.domains if item.directory == request.domain), None)
    tables = () if domain is None else domain.tables
    if staged:
        # the engine checks nothing when no table is requested: it is then ready
        names = list(request.tables or ())
    else:
        names = [table.stem for table in tables] if request.tables is None else list(request.tables)
    by_name = {name: table for table in reversed(tables) for name in (table.name, table.stem)}
    counts: list[tuple[str, int]] = []
    for name in names:
        table = by_name.get(name)
        count = 0 if domain is None or table is None else _files(project, domain, table, journal, staged=staged)
        counts.append((name, count))
    return Readiness(not counts or any(count for _, count in counts), tuple(counts))


def _files(project: Project, domain: Domain, table: Table, journal: CommandOutput, *, staged: bool) -> int:
    if not staged:
        return len(stageable(project, domain, table))
    folder = area(project, "stage", domain.name)
    pattern = compile_java(table.pattern)
    return (
        sum(1 for path in folder.iterdir() if path.is_file() and pattern.fullmatch(path.name)) if folder.is_dir() else 0
    )


def _acknowledged(project: Project, request: PreloadRequest) -> bool:
    if not request.ack:
        return False
    file = _path(project, request.ack)
    if not file.exists():
        return False
    if file.is_dir():
        raise EngineError(f"--globalAckFilePath: {file} is a directory")
    file.unlink()
    return True


def _write_sentinel(project: Project, text: str, journal: CommandOutput) -> None:
    """Writes the sentinel file; a failure is only logged, as in the starlake program."""
    try:
        path = _path(project, text)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        journal.info(_SOURCE, f"Wrote not-ready sentinel to {text}")
    except (OSError, EngineError, shutil.Error) as error:
        journal.warn(_SOURCE, f"could not write the not-ready sentinel to {text}: {error}")


def _path(project: Project, text: str) -> Path:
    local = text.removeprefix("file://").removeprefix("file:")
    if "://" in local:
        raise EngineError(f"{text}: the embedded engine reads and writes local files only")
    path = Path(local)
    return path if path.is_absolute() else Path(project.root) / path
