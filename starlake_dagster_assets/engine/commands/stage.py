"""The `stage` command (format reference 4.1): files that tables want move from incoming to stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starlake_dagster_assets.command.model import Line
from starlake_dagster_assets.engine.areas import area, incoming_directory, move_file
from starlake_dagster_assets.engine.journal import Emit, Journal
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.landing import Landing, acknowledged
from starlake_dagster_assets.project.model import Domain, Project, Table

__all__ = ["stage", "stageable"]

_SOURCE = "IngestionWorkflow"


@dataclass(frozen=True)
class _Arrival:
    """A file that a table wants, and the ack file that let it go."""

    path: Path
    table: Table
    ack: Path | None


def stage(project: Project, domains: Sequence[str] | None, tables: Sequence[str] | None, emit: Emit) -> int:
    """Move arrived files to the stage area.

    Args:
        project: The project.
        domains: Directories of the domains (`--domains`); None or empty: all.
        tables: File stems of the tables (`--tables`); None or empty: all.
        emit: Receives each line of output.

    Returns:
        The exit code: 0.

    Raises:
        EngineError: When a domain has no directory, or two tables match one file; nothing of that domain was moved.
    """
    journal = Journal(emit)
    wanted = [item for item in project.domains if not domains or item.directory in domains]
    journal.info(_SOURCE, f"Loading files from Landing Zone for domains : {','.join(item.name for item in wanted)}")
    folders = {item.directory: incoming_directory(project, item) for item in wanted}
    for domain in wanted:
        chosen = tuple(table for table in domain.tables if not tables or table.stem in tables or table.name in tables)
        _stage_domain(project, domain, chosen, folders[domain.directory], journal)
    return 0


def stageable(project: Project, domain: Domain, table: Table) -> tuple[Path, ...]:
    """The files of one table that `stage` would move now; nothing is changed.

    Args:
        project: The project.
        domain: The table's domain.
        table: The table.

    Returns:
        Files in the order of their names.

    Raises:
        EngineError: When the domain has no directory.
    """
    folder = incoming_directory(project, domain)
    return tuple(item.path for item in _arrivals(folder, (table,)))


def _stage_domain(project: Project, domain: Domain, tables: tuple[Table, ...], folder: Path, journal: Journal) -> None:
    journal.info(_SOURCE, f"Scanning {folder}")
    if not folder.is_dir():
        journal.error(_SOURCE, f"Input path : {folder} not found, domain {domain.name} ignored")
        return
    arrivals = _arrivals(folder, tables)
    _refuse_shared(arrivals, domain)
    target = area(project, "stage", domain.name)
    free = [item for item in arrivals if _is_free(item, target, journal)]
    if not free:
        return
    journal.emit(Line(f"Moving {len(free)} file(s) from {folder} to file:{target}", "stdout"))
    for item in free:
        journal.info(_SOURCE, f"Importing {item.path}")
        move_file(item.path, target / item.path.name)
        journal.emit(Line(f"Moving {item.path.name}", "stdout"))
        if item.ack is not None:
            item.ack.unlink(missing_ok=True)


def _arrivals(folder: Path, tables: Sequence[Table]) -> list[_Arrival]:
    """Files of a directory by the tables whose pattern matches the whole name, without those that wait for an ack."""
    if not folder.is_dir():
        return []
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    return [
        _Arrival(folder / claim.name, claim.table, folder / claim.ack if claim.ack else None)
        for claim in acknowledged(Landing(tables).claims(names), set(names).__contains__)
    ]


def _refuse_shared(arrivals: Sequence[_Arrival], domain: Domain) -> None:
    owners: dict[Path, Table] = {}
    for item in arrivals:
        other = owners.setdefault(item.path, item.table)
        if other is not item.table:
            raise EngineError(
                f"{item.path} matches tables '{other.raw}' (pattern {other.pattern}) and '{item.table.raw}' "
                f"(pattern {item.table.pattern}) of domain '{domain.name}'; make the patterns tell their files apart"
            )


def _is_free(item: _Arrival, target: Path, journal: Journal) -> bool:
    """False where a file of that name still waits in stage: it is loaded first, the newer one stays where it is."""
    waiting = target / item.path.name
    if not waiting.exists():
        return True
    journal.warn(_SOURCE, f"{waiting} was not loaded yet: {item.path} stays in incoming until it is; run load first")
    return False
