"""The way of a file through a load: stage, ingesting, archive; and back, when the load fails or is killed.

A ticket beside the file in `ingesting` says how many successful rows of the audit named it before: when a later command
finds the file still there, one more row means that its rows were committed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from starlake_dagster_assets.engine.areas import area, move_file
from starlake_dagster_assets.engine.audit import Auditor
from starlake_dagster_assets.engine.journal import Journal
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model import Project

__all__ = ["Passage", "leftovers", "uri"]

_SOURCE = "IngestionWorkflow"


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

    def enter(self, files: Sequence[Path], auditor: Auditor, transformed: tuple[str, str] | None) -> list[Path]:
        """Moves the files of a job to `ingesting`, each with its ticket.

        Args:
            files: The files, in `stage`, or in `ingesting` when an earlier load left them there.
            auditor: Knows what was loaded before.
            transformed: See `Auditor.commits`.

        Raises:
            EngineError: A file of that name is already there and waits for its own turn.
        """
        self.ingesting.mkdir(parents=True, exist_ok=True)
        entered = [self.ingesting / file.name for file in files]
        for file, there in zip(files, entered, strict=True):
            if file != there and there.exists():
                raise EngineError(f"{there} is still there from an earlier load that failed: load or remove it first")
        paths = uri(entered)
        commits = auditor.commits(paths, transformed)
        ticket = json.dumps({"paths": paths, "commits": commits, "transformed": transformed})
        for file, there in zip(files, entered, strict=True):
            _write(_ticket(there), ticket)
            if file != there:
                move_file(file, there)
        return entered

    def leave(self, files: Sequence[Path]) -> None:
        """Archives files whose rows are committed, or deletes them (`application.archive: false`)."""
        for file in files:
            if self.project.application.archive:
                self.archive.mkdir(parents=True, exist_ok=True)
                there = self.archive / file.name
                self.journal.info(_SOURCE, f"Backing up file file:{file} to file:{there}")
                move_file(file, there)
            else:
                self.journal.info(_SOURCE, f"Deleting file file:{file}")
                file.unlink()
            _ticket(file).unlink(missing_ok=True)

    def give_back(self, files: Sequence[Path]) -> None:
        """Moves files that were not loaded back to `stage`, where a retry finds them."""
        self.stage.mkdir(parents=True, exist_ok=True)
        for file in files:
            there = self.stage / file.name
            if there.exists():
                self.journal.warn(_SOURCE, f"{file} stays: {there} has arrived meanwhile; the next load takes both")
            elif file.exists():
                move_file(file, there)
            _ticket(file).unlink(missing_ok=True)

    def recover(self, file: Path, auditor: Auditor) -> bool:
        """Decides about a file found in `ingesting`.

        Returns:
            True when its rows were committed: it was archived. False when it has to be loaded: it was put back to
            stage, or it stays where a newer file of its name has arrived there.
        """
        if self._committed(file, auditor):
            self.journal.info(_SOURCE, f"{file.name} was loaded by a command that did not finish: archiving it")
            self.leave([file])
            return True
        self.journal.info(
            _SOURCE, f"{file.name} was left in ingesting by a command that did not finish: loading it again"
        )
        self.give_back([file])
        return False

    def _committed(self, file: Path, auditor: Auditor) -> bool:
        try:
            ticket = json.loads(_ticket(file).read_text(encoding="utf-8"))
            transformed = tuple(ticket["transformed"]) if ticket["transformed"] else None
            return auditor.commits(str(ticket["paths"]), transformed) > int(ticket["commits"])
        except (OSError, ValueError, KeyError, TypeError):
            # No ticket of ours: the real engine left it. A move sets the change time, and the job starts after it.
            entered = datetime.fromtimestamp(int(file.stat().st_ctime), timezone.utc).replace(tzinfo=None)
            return auditor.loaded_since(uri([file]), entered)


def leftovers(passage: Passage) -> list[Path]:
    """Files found in `ingesting` at the start of a load; tickets without a file are removed."""
    if not passage.ingesting.is_dir():
        return []
    found = sorted(path for path in passage.ingesting.iterdir() if path.is_file())
    files = [path for path in found if not path.name.startswith(".")]
    names = {path.name for path in files}
    for path in found:
        if path.name.startswith(".") and path.suffix == ".ticket" and path.name[1 : -len(".ticket")] not in names:
            path.unlink(missing_ok=True)
    return files


def uri(files: Sequence[Path]) -> str:
    """Paths as the engine writes them: `file:/a/b,file:/a/c`."""
    return ",".join(f"file:{file}" for file in files)


def _ticket(file: Path) -> Path:
    return file.with_name(f".{file.name}.ticket")


def _write(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
