"""The `stage` command: moves files that match a table from incoming to stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from starlake_dagster_assets.commands.model import Line, TableFailed
from starlake_dagster_assets.engine.areas import Listing, area, incoming_directory, list_files, move_file
from starlake_dagster_assets.engine.command_output import CommandOutput, printable
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model.project import Domain, Project, Table
from starlake_dagster_assets.project.resolve.file_matching import FileMatching, filter_acknowledged

__all__ = ["run_stage", "stageable"]

_SOURCE = "IngestionWorkflow"


@dataclass(frozen=True)
class _Failure:
    """Reason why files stay in incoming, and the tables that do not get them."""

    message: str
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class _Arrival:
    """A file that matches a table, and its ack file if the table needs one."""

    path: Path
    table: Table
    ack: Path | None


def run_stage(
    project: Project,
    domains: Sequence[str] | None,
    tables: Sequence[str] | None,
    journal: CommandOutput,
    report: Callable[[TableFailed], None],
    rest_seconds: float = 0,
) -> None:
    """Moves arrived files to the stage area; a file that cannot be moved does not affect the others.

    Args:
        project: The project.
        domains: Directories of the domains (`--domains`); None or empty: all.
        tables: File stems of the tables (`--tables`); None or empty: all.
        journal: Receives each line of output.
        report: Called for each table of which files stay in incoming.
        rest_seconds: A file that changed within these seconds is not complete yet, and stays.

    Raises:
        EngineError: At the end: a domain has no directory, two tables match one file, or a file cannot be moved.
    """
    wanted = [item for item in project.domains if not domains or item.directory in domains]
    journal.info(_SOURCE, f"Loading files from Landing Zone for domains : {','.join(item.name for item in wanted)}")
    failures: list[str] = []
    for domain in wanted:
        chosen = tuple(table for table in domain.tables if not tables or table.stem in tables or table.name in tables)
        try:
            found = _stage_domain(project, domain, chosen, journal, rest_seconds)
        except (EngineError, OSError) as error:
            found = [_Failure(str(error), chosen)]
        failures += [failure.message for failure in found]
        for failure in found:
            shown = printable(journal.redact(failure.message))
            for table in failure.tables:
                report(TableFailed(domain.name, table.name, (), (), shown))
    if failures:
        raise EngineError(f"stage: {printable(failures[0])}" if len(failures) == 1 else _listed(failures))


def stageable(project: Project, domain: Domain, table: Table) -> tuple[Path, ...]:
    """Returns the files of one table that `stage` would move now; nothing is changed.

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
    return tuple(item.path for item in _arrivals(folder, list_files(folder), (table,)))


def _listed(failures: Sequence[str]) -> str:
    return "\n".join(["some files stay in incoming:", *map(printable, failures)])


def _stage_domain(
    project: Project, domain: Domain, tables: tuple[Table, ...], journal: CommandOutput, rest_seconds: float
) -> list[_Failure]:
    """Stages the files of a domain; returns the reasons why other files stay."""
    folder = incoming_directory(project, domain)
    journal.info(_SOURCE, f"Scanning {folder}")
    if not folder.is_dir():
        journal.error(_SOURCE, f"Input path : {folder} not found, domain {domain.name} ignored")
        return []
    listing = list_files(folder)
    for link in listing.links:
        reason = (
            f"{printable(link)} stays: it is a link to {printable(link.resolve())}, outside of the landing directory"
        )
        journal.warn(_SOURCE, f"{reason}; deliver the file itself")
    arrivals, failures = _without_shared(_arrivals(folder, listing, tables), domain)
    target = area(project, "stage", domain.name)
    free = [item for item in arrivals if _is_free(item, target, journal) and _rests(item, rest_seconds, journal)]
    if free:
        journal.emit(Line(f"Moving {len(free)} file(s) from {folder} to file:{target}", "stdout"))
    for item in free:
        journal.info(_SOURCE, f"Importing {printable(item.path)}")
        try:
            move_file(item.path, target / item.path.name)
        except OSError as error:
            message = f"{item.path} cannot be moved to {target}: {error.strerror or error}"
            failures.append(_Failure(message, (item.table,)))
            continue
        journal.emit(Line(f"Moving {printable(item.path.name)}", "stdout"))
        if item.ack is not None:
            item.ack.unlink(missing_ok=True)
    return failures


def _arrivals(folder: Path, listing: Listing, tables: Sequence[Table]) -> list[_Arrival]:
    """Returns the files of a directory whose whole name matches a table, without those that wait for an ack file."""
    names = [path.name for path in listing.files]
    return [
        _Arrival(folder / claim.name, claim.table, folder / claim.ack if claim.ack else None)
        for claim in filter_acknowledged(FileMatching(tables).claims(names), set(names).__contains__)
    ]


def _without_shared(arrivals: Sequence[_Arrival], domain: Domain) -> tuple[list[_Arrival], list[_Failure]]:
    """Returns the files that exactly one table matches, and the failures of files that two tables match."""
    owners: dict[Path, list[Table]] = {}
    for item in arrivals:
        owners.setdefault(item.path, []).append(item.table)
    shared = {path: tables for path, tables in owners.items() if len(tables) > 1}
    failures = [
        _Failure(
            f"{path} matches tables "
            + " and ".join(f"'{table.raw}' (pattern {table.pattern})" for table in tables)
            + f" of domain '{domain.name}'; change the patterns so that each file matches one",
            tuple(tables),
        )
        for path, tables in shared.items()
    ]
    return [item for item in arrivals if item.path not in shared], failures


def _rests(item: _Arrival, seconds: float, journal: CommandOutput) -> bool:
    """Whether a file has not changed for a number of seconds."""
    if seconds <= 0:
        return True
    age = time.time() - item.path.stat().st_mtime
    if age < seconds:
        reason = f"{printable(item.path)} stays: it changed {age:.0f} s ago, and has to rest {seconds:g} s"
        journal.info(_SOURCE, reason)
    return age >= seconds


def _is_free(item: _Arrival, target: Path, journal: CommandOutput) -> bool:
    """Whether no file of that name waits in stage; otherwise that file is loaded first and the newer one stays."""
    waiting = target / item.path.name
    if not waiting.exists():
        return True
    reason = f"{printable(waiting)} was not loaded yet: {printable(item.path)} stays in incoming until it is"
    journal.warn(_SOURCE, f"{reason}; run load first")
    return False
