"""The way of a file through a load: stage, ingesting, archive; and back, when the load fails or is killed.

A ticket beside the file in `ingesting` names a marker, a small table that commits with the rows of the file and lives
until the file has left: a later command that finds the file and its marker knows that the rows are there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

from starlake_dagster_assets.engine.areas import area, move_file
from starlake_dagster_assets.engine.journal import Journal
from starlake_dagster_assets.engine.quoting import literal
from starlake_dagster_assets.engine.session import Session
from starlake_dagster_assets.engine.writing.audit import Auditor
from starlake_dagster_assets.engine.writing.schema_sync import Target, kind_of
from starlake_dagster_assets.engine.writing.transaction import insist
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model import Project

__all__ = ["Counts", "Entry", "Passage", "leftovers", "orphans", "uri"]

_SOURCE = "IngestionWorkflow"
_MARKER = "zztmp_ticket_"


@dataclass(frozen=True)
class Counts:
    """Rows read, accepted and rejected; `job` is the JOBID that wrote them, where that was another command."""

    input: int
    accepted: int
    rejected: int
    job: str = ""


@dataclass(frozen=True)
class Entry:
    """Files of one job in `ingesting`.

    Attributes:
        files: The files.
        marker: The table that commits with their rows; None for files that the real engine left behind.
    """

    files: tuple[Path, ...]
    marker: Target | None

    def mark(self, session: Session, counts: Counts, job: str) -> None:
        """Makes the marker, within the transaction of the rows."""
        if self.marker is not None:
            values = f"{counts.input} AS input, {counts.accepted} AS accepted, {counts.rejected} AS rejected"
            values += f", {literal(job)} AS job"
            session.con.execute(f"CREATE TABLE {self.marker.name} AS SELECT {values}")

    def committed(self, session: Session) -> Counts | None:
        """The counts of the job when its rows were committed, else None."""
        if self.marker is None or kind_of(session.con, self.marker) is None:
            return None
        row = session.con.execute(f"SELECT * FROM {self.marker.name}").fetchall()[0]
        return Counts(int(row[0]), int(row[1]), int(row[2]), *map(str, row[3:]))  # older markers have no job


@dataclass(frozen=True)
class Passage:
    """The areas of one domain.

    Attributes:
        project: The project.
        domain: `load.name`, which names the areas.
        journal: Where moves are told.
    """

    project: Project
    domain: str
    journal: Journal

    @property
    def stage(self) -> Path:
        """`stage/<domain>`."""
        return area(self.project, "stage", self.domain)

    @property
    def ingesting(self) -> Path:
        """`ingesting/<domain>`."""
        return area(self.project, "ingesting", self.domain)

    @property
    def archive(self) -> Path:
        """`archive/<domain>`."""
        return area(self.project, "archive", self.domain)

    @property
    def unresolved(self) -> Path:
        """`unresolved/<domain>`."""
        return area(self.project, "unresolved", self.domain)

    def enter(self, files: Sequence[Path], schema: str) -> Entry:
        """Moves the files of a job to `ingesting`, each with its ticket.

        Args:
            files: The files, in `stage`, or in `ingesting` when an earlier load left them there.
            schema: Where the marker will be: the schema of the table.

        Raises:
            EngineError: A file of that name is already there and waits for its own turn.
        """
        self.ingesting.mkdir(parents=True, exist_ok=True)
        entered = tuple(self.ingesting / file.name for file in files)
        for file, there in zip(files, entered, strict=True):
            if file != there and there.exists():
                raise EngineError(f"{there} is still there from an earlier load that failed: load or remove it first")
        marker = Target(schema, f"{_MARKER}{uuid4().hex}")
        for file, there in zip(files, entered, strict=True):
            _write(_ticket(there), json.dumps({"schema": marker.schema, "marker": marker.table}))
            if file != there:
                move_file(file, there)
        return Entry(entered, marker)

    def leave(self, entry: Entry, session: Session) -> None:
        """Archives files whose rows are committed, or deletes them (`application.archive: false`)."""
        for file in entry.files:
            if self.project.application.archive:
                self.archive.mkdir(parents=True, exist_ok=True)
                there = self.archive / file.name
                self.journal.info(_SOURCE, f"Backing up file file:{file} to file:{there}")
                move_file(file, there)
            else:
                self.journal.info(_SOURCE, f"Deleting file file:{file}")
                file.unlink()
        self.forget(entry, session)

    def forget(self, entry: Entry, session: Session) -> None:
        """Drops the marker and the tickets of files that have left."""
        marker = entry.marker
        if marker is not None:
            insist(lambda: session.con.execute(f"DROP TABLE IF EXISTS {marker.name}"))
        for file in entry.files:
            _ticket(file).unlink(missing_ok=True)

    def give_back(self, files: Iterable[Path]) -> None:
        """Moves files that were not loaded back to `stage`, where a retry finds them."""
        self.stage.mkdir(parents=True, exist_ok=True)
        for file in files:
            there = self.stage / file.name
            if there.exists():
                self.journal.warn(_SOURCE, f"{file} stays: {there} has arrived meanwhile; the next load takes both")
            elif file.exists():
                move_file(file, there)
            _ticket(file).unlink(missing_ok=True)

    def recover(self, files: Iterable[Path], session: Session, auditor: Auditor) -> list[tuple[Entry, Counts]]:
        """Decides about files found in `ingesting`.

        Returns:
            Those whose rows were committed, by job, with the counts of the job. The others were put back to stage, or
            stay where a newer file of their name has arrived there.
        """
        done: list[tuple[Entry, Counts]] = []
        for entry in _entries(files):
            names = ", ".join(file.name for file in entry.files)
            counts = entry.committed(session) if entry.marker else _loaded_by_the_engine(entry, auditor)
            if counts is None:
                self.journal.info(
                    _SOURCE, f"{names} was left in ingesting by a command that did not finish: loading it again"
                )
                self.give_back(entry.files)
            else:
                self.journal.info(_SOURCE, f"{names} was loaded by a command that did not finish: archiving it")
                done.append((entry, counts))
        return done

    def forget_orphans(self, tickets: Iterable[Path], session: Session) -> None:
        """Removes tickets without a file, and their markers."""
        for entry in _entries(tickets):
            self.forget(entry, session)


def leftovers(passage: Passage) -> list[Path]:
    """Files found in `ingesting` at the start of a load."""
    if not passage.ingesting.is_dir():
        return []
    return sorted(path for path in passage.ingesting.iterdir() if path.is_file() and not path.name.startswith("."))


def orphans(passage: Passage) -> list[Path]:
    """Where the files were whose tickets were left behind: they have been archived, or never came."""
    if not passage.ingesting.is_dir():
        return []
    names = [path.name[1 : -len(".ticket")] for path in passage.ingesting.glob(".*.ticket")]
    return sorted(passage.ingesting / name for name in names if not (passage.ingesting / name).exists())


def uri(files: Sequence[Path]) -> str:
    """Paths as the engine writes them: `file:/a/b,file:/a/c`."""
    return ",".join(f"file:{file}" for file in files)


def _ticket(file: Path) -> Path:
    return file.with_name(f".{file.name}.ticket")


def _write(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def _entries(files: Iterable[Path]) -> list[Entry]:
    """Files by the job that their tickets name, in order; a file without one is a job of its own."""
    found: dict[object, tuple[list[Path], Target | None]] = {}
    for file in files:
        marker = _marker(file)
        found.setdefault(marker or file, ([], marker))[0].append(file)
    return [Entry(tuple(mine), marker) for mine, marker in found.values()]


def _marker(file: Path) -> Target | None:
    try:
        ticket: dict[str, Any] = json.loads(_ticket(file).read_text(encoding="utf-8"))
        name = str(ticket["marker"])
        return Target(str(ticket["schema"]), name) if name.startswith(_MARKER) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _loaded_by_the_engine(entry: Entry, auditor: Auditor) -> Counts | None:
    """Without a ticket of ours: a move sets the change time of a file, and the real engine's job starts after it."""
    entered = datetime.fromtimestamp(int(entry.files[0].stat().st_ctime), timezone.utc).replace(tzinfo=None)
    counts = auditor.loaded_since(uri(entry.files), entered)
    return Counts(*counts) if counts else None
