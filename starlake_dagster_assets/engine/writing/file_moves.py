"""Moves files through the areas of a load: stage, ingesting, archive, and back if the load fails or is killed.

A ticket next to the file in `ingesting` names a marker, a small table that commits with the rows of the file and lives
until the file has left: a later command that finds the file and its marker knows that the rows are there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from starlake_dagster_assets.atomic_file import PARTIAL_FILES, replaced_file
from starlake_dagster_assets.engine.areas import area, free_name, list_files, local_path, move_file
from starlake_dagster_assets.engine.command_output import CommandOutput, printable
from starlake_dagster_assets.engine.quoting import literal
from starlake_dagster_assets.engine.session import Session
from starlake_dagster_assets.engine.writing.audit import Auditor
from starlake_dagster_assets.engine.writing.schema_sync import Target, kind_of
from starlake_dagster_assets.engine.writing.transaction import run_uninterrupted
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model.project import Project

__all__ = [
    "DomainAreas",
    "IngestingFiles",
    "RowCounts",
    "format_file_uris",
    "list_ingesting_files",
    "list_orphaned_ticket_paths",
]

_SOURCE = "IngestionWorkflow"
_MARKER = "zztmp_ticket_"
_Stamp = tuple[int, int]
"""Size and time of the last change."""


@dataclass(frozen=True)
class RowCounts:
    """Rows read, accepted and rejected; `job` is the JOBID that wrote them, if that was another command."""

    input: int
    accepted: int
    rejected: int
    job: str = ""


@dataclass(frozen=True)
class IngestingFiles:
    """Files of one job in `ingesting`.

    Attributes:
        files: The files.
        marker: The table that commits with their rows; None for files that the starlake program left behind.
        stamps: Size and time of each file before it was first read; None if they are not known.
    """

    files: tuple[Path, ...]
    marker: Target | None
    stamps: tuple[_Stamp | None, ...] = ()

    def check_unchanged(self) -> None:
        """Raises an error if a file has changed since it was first read.

        Raises:
            EngineError: One was written to, replaced or removed.
        """
        for file, stamp in zip(self.files, self.stamps, strict=False):
            found = _stamp(file)
            if stamp is not None and found != stamp:
                now = f"it has {found[0]} bytes now, {stamp[0]} before" if found else "it was removed"
                raise EngineError(
                    f"{printable(file)}: the file changed while it was loaded ({now}); "
                    "deliver files under a name that no pattern matches and rename them when they are complete"
                )

    def mark(self, session: Session, counts: RowCounts, job: str) -> None:
        """Writes the marker, within the transaction of the rows."""
        if self.marker is not None:
            values = f"{counts.input} AS input, {counts.accepted} AS accepted, {counts.rejected} AS rejected"
            values += f", {literal(job)} AS job"
            session.con.execute(f"CREATE TABLE {self.marker.name} AS SELECT {values}")

    def committed(self, session: Session) -> RowCounts | None:
        """Returns the counts of the job if its rows were committed, else None."""
        if self.marker is None or kind_of(session.con, self.marker) is None:
            return None
        row = session.con.execute(f"SELECT * FROM {self.marker.name}").fetchall()[0]
        return RowCounts(int(row[0]), int(row[1]), int(row[2]), *map(str, row[3:]))  # older markers have no job


@dataclass(frozen=True)
class DomainAreas:
    """The areas of one domain.

    Attributes:
        project: The project.
        domain: `load.name`, which names the areas.
        journal: Receives messages about moves.
    """

    project: Project
    domain: str
    journal: CommandOutput

    @property
    def stage(self) -> Path:
        """Directory `stage/<domain>`."""
        return area(self.project, "stage", self.domain)

    @property
    def ingesting(self) -> Path:
        """Directory `ingesting/<domain>`."""
        return area(self.project, "ingesting", self.domain)

    @property
    def archive(self) -> Path:
        """Directory `archive/<domain>`."""
        return area(self.project, "archive", self.domain)

    @property
    def quarantine(self) -> Path:
        """Directory `quarantine/<domain>`, next to the other areas: files that failed repeatedly."""
        return local_path(self.project.application.datasets, self.project, "datasets") / "quarantine" / self.domain

    @property
    def unresolved(self) -> Path:
        """Directory `unresolved/<domain>`."""
        return area(self.project, "unresolved", self.domain)

    def move_to_ingesting(self, files: Sequence[Path], schema: str) -> IngestingFiles:
        """Moves the files of a job to `ingesting`, each with its ticket.

        Args:
            files: The files, in `stage`, or in `ingesting` if an earlier load left them there.
            schema: Schema of the marker: that of the table.

        Raises:
            EngineError: A file of that name is already there and waits for its own turn.
        """
        self.ingesting.mkdir(parents=True, exist_ok=True)
        entered = tuple(self.ingesting / file.name for file in files)
        for file, there in zip(files, entered, strict=True):
            if file != there and there.exists():
                message = "is still there from an earlier load that failed: load or remove it first"
                raise EngineError(f"{printable(there)} {message}")
        marker = Target(schema, f"{_MARKER}{uuid4().hex}")
        stamps = tuple(map(_stamp, files))
        for file, there, stamp in zip(files, entered, stamps, strict=True):
            ticket = {"schema": marker.schema, "marker": marker.table, "file": there.name, "stamp": stamp}
            _write(_ticket(there), json.dumps(ticket))
            if file != there:
                move_file(file, there)
        return IngestingFiles(entered, marker, stamps)

    def remove_partial_tickets(self) -> None:
        """Removes tickets that a killed load did not finish; their files never left `stage`. The domain is locked."""
        for path in self.ingesting.glob(PARTIAL_FILES):
            path.unlink(missing_ok=True)

    def check_archive(self) -> None:
        """Creates the archive of the domain, before anything is loaded that could not be archived.

        Raises:
            EngineError: It is not a directory, or cannot be written to.
        """
        if not self.project.application.archive:
            return
        try:
            self.archive.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EngineError(f"cannot archive into {self.archive}: {error.strerror}; make it a directory") from error
        if not os.access(self.archive, os.W_OK | os.X_OK):
            raise EngineError(f"cannot archive into {self.archive}: it cannot be written to; change its permissions")

    def archive_files(self, entry: IngestingFiles, session: Session) -> None:
        """Archives files whose rows are committed, or deletes them (`application.archive: false`).

        Raises:
            EngineError: A file has changed since it was read; it stays, because its new content is nowhere else.
        """
        entry.check_unchanged()
        for file in entry.files:
            if self.project.application.archive:
                self.archive.mkdir(parents=True, exist_ok=True)
                there = free_name(self.archive / file.name)
                self.journal.info(_SOURCE, f"Backing up file file:{printable(file)} to file:{printable(there)}")
                move_file(file, there)
            else:
                self.journal.info(_SOURCE, f"Deleting file file:{printable(file)}")
                file.unlink()
        self.remove_tickets(entry, session)

    def remove_tickets(self, entry: IngestingFiles, session: Session) -> None:
        """Removes the marker and the tickets of files that have left `ingesting`."""
        marker = entry.marker
        if marker is not None:
            run_uninterrupted(lambda: session.con.execute(f"DROP TABLE IF EXISTS {marker.name}"))
        for file in entry.files:
            _ticket(file).unlink(missing_ok=True)

    def return_to_stage(self, files: Iterable[Path]) -> None:
        """Moves files that were not loaded back to `stage`, where a retry finds them."""
        self.stage.mkdir(parents=True, exist_ok=True)
        for file in files:
            there = self.stage / file.name
            if there.exists():
                message = f"{printable(file)} stays: {printable(there)} has arrived meanwhile; the next load takes both"
                self.journal.warn(_SOURCE, message)
            elif file.exists():
                move_file(file, there)
            _ticket(file).unlink(missing_ok=True)

    def quarantine_failed(self, entry: IngestingFiles, auditor: Auditor, most: int) -> str:
        """Moves files that were returned to stage into `quarantine` once they have failed too often.

        Args:
            entry: The files; their failures are counted in the audit, since the last change of the files.
            auditor: Reads the audit.
            most: Number of failures after which files are moved; 0 = never.

        Returns:
            The message about them; "" if they stay.
        """
        files = [self.stage / file.name for file in entry.files if (self.stage / file.name).exists()]
        if most <= 0 or not files:
            return ""
        changed = max(int(file.stat().st_mtime) for file in files)
        since = datetime.fromtimestamp(changed, timezone.utc).replace(tzinfo=None)
        failed = auditor.failures(format_file_uris(entry.files), since)
        if failed < most:
            return ""
        for file in files:
            move_file(file, free_name(self.quarantine / file.name))
        names = ", ".join(printable(file.name) for file in files)
        message = f"{names} failed {failed} times and is in {self.quarantine} now"
        return f"{message}; correct it and move it back to {self.stage}"

    def recover(
        self, files: Iterable[Path], session: Session, auditor: Auditor
    ) -> list[tuple[IngestingFiles, RowCounts]]:
        """Recovers files that an earlier command left in `ingesting`.

        Returns:
            The files whose rows were committed, by job, with the counts of the job. The others were moved back to
            stage, or stay if a newer file of their name has arrived there.
        """
        done: list[tuple[IngestingFiles, RowCounts]] = []
        for entry in _entries(files):
            names = printable(", ".join(file.name for file in entry.files))
            counts = entry.committed(session) if entry.marker else _loaded_by_the_engine(entry, auditor)
            if counts is None:
                self.journal.info(
                    _SOURCE, f"{names} was left in ingesting by a command that did not finish: loading it again"
                )
                self.return_to_stage(entry.files)
            else:
                self.journal.info(_SOURCE, f"{names} was loaded by a command that did not finish: archiving it")
                done.append((entry, counts))
        return done

    def forget_orphans(self, tickets: Iterable[Path], session: Session) -> None:
        """Removes tickets without a file, and their markers."""
        for entry in _entries(tickets):
            self.remove_tickets(entry, session)


def list_ingesting_files(passage: DomainAreas) -> list[Path]:
    """Returns the files found in `ingesting` at the start of a load."""
    return list(list_files(passage.ingesting).files)


def list_orphaned_ticket_paths(passage: DomainAreas) -> list[Path]:
    """Returns the former paths of files whose tickets remain: they were archived, or never moved."""
    if not passage.ingesting.is_dir():
        return []
    names = {str(_read(path).get("file", "")) for path in passage.ingesting.glob(".*.ticket")} - {""}
    return sorted(passage.ingesting / name for name in names if not (passage.ingesting / name).exists())


def format_file_uris(files: Sequence[Path]) -> str:
    """Returns paths as the starlake program writes them: `file:/a/b,file:/a/c`."""
    return ",".join(f"file:{printable(file)}" for file in files)


def _stamp(file: Path) -> _Stamp | None:
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns


def _ticket(file: Path) -> Path:
    """Returns the path of a file's ticket; its name has a fixed length, since that of file names is limited."""
    return file.with_name(f".{sha256(os.fsencode(file.name)).hexdigest()[:32]}.ticket")


def _write(path: Path, text: str) -> None:
    with replaced_file(path) as part:
        part.write_text(text, encoding="utf-8")


def _entries(files: Iterable[Path]) -> list[IngestingFiles]:
    """Returns files grouped by the job in their tickets, in order; a file without a ticket is a separate job."""
    found: dict[object, tuple[list[tuple[Path, _Stamp | None]], Target | None]] = {}
    for file in files:
        ticket = _read(_ticket(file))
        marker = _marker(ticket)
        found.setdefault(marker or file, ([], marker))[0].append((file, _stamp_of(ticket)))
    return [
        IngestingFiles(tuple(file for file, _ in mine), marker, tuple(stamp for _, stamp in mine))
        for mine, marker in found.values()
    ]


def _read(ticket: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(ticket.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}


def _marker(ticket: Mapping[str, Any]) -> Target | None:
    name = str(ticket.get("marker", ""))
    return Target(str(ticket.get("schema", "")), name) if name.startswith(_MARKER) else None


def _stamp_of(ticket: Mapping[str, Any]) -> _Stamp | None:
    size, changed = (*(ticket.get("stamp") or ()), None, None)[:2]
    return None if size is None or changed is None else (int(size), int(changed))


def _loaded_by_the_engine(entry: IngestingFiles, auditor: Auditor) -> RowCounts | None:
    """Returns the counts of a file without a ticket that the starlake program loaded, by its move and the audit."""
    entered = datetime.fromtimestamp(int(entry.files[0].stat().st_ctime), timezone.utc).replace(tzinfo=None)
    counts = auditor.loaded_since(format_file_uris(entry.files), entered)
    return RowCounts(*counts) if counts else None
