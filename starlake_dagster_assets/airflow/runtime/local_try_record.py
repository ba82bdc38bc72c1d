"""Files of a load on the disk of an Airflow worker, and the record of the tries of its task.

Exported next to the DAG files: standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from starlake_dagster_assets.airflow.runtime.load_spec import WorkerTable
from starlake_dagster_assets.execution.load_files import AreaReader
from starlake_dagster_assets.execution.restaged_file_name import returned_name

__all__ = [
    "LoadAreas",
    "RecordFile",
    "TableFilesByTry",
    "TryRecord",
    "WorkerAreas",
    "area_urls",
    "areas_of",
    "log_line",
]

_KEPT_DAYS = 30


def log_line(text: str) -> None:
    """Writes a line to the log of the task."""
    sys.stdout.write(f"starlake-dagster: {text}\n")
    sys.stdout.flush()


class RecordFile(Protocol):
    """The file of a record, on a disk or in an object store."""

    def read(self) -> str | None:
        """Returns the text; None if there is no file."""
        ...

    def write(self, text: str) -> None:
        """Replaces the text.

        Raises:
            OSError: The record cannot be written.
        """
        ...


class LoadAreas(AreaReader, Protocol):
    """The areas of a project on the disk of a worker, or in an object store."""

    @property
    def archives(self) -> bool:
        """Whether the project archives loaded files."""
        ...

    def put_back(self, table: WorkerTable, name: str, tables: Sequence[WorkerTable]) -> str | None:
        """Moves a file from `ingesting` to `stage`, and returns its name there; None if it stays."""
        ...

    def record(self, name: str) -> RecordFile:
        """Returns the file of a record."""
        ...


@dataclass(frozen=True)
class WorkerAreas:
    """The areas of the project that are directories of this machine.

    Attributes:
        paths: Directories by area: `stage`, `ingesting` and `archive`.
    """

    paths: Mapping[str, Path] = field(default_factory=dict[str, Path])

    @property
    def archives(self) -> bool:
        """Whether the project archives loaded files."""
        return "archive" in self.paths

    def record(self, name: str) -> RecordFile:
        """Returns the file of a record: next to `ingesting` if this machine has that area, else in `AIRFLOW_HOME`."""
        home = self.paths["ingesting"].parent if "ingesting" in self.paths else None
        if home is None or not home.is_dir():
            home = Path(os.environ.get("AIRFLOW_HOME") or Path.home() / "airflow")
        return LocalRecord(home / ".starlake_tries" / name)

    def list_files(self, area: Literal["stage", "ingesting"], domain: str) -> Mapping[str, str] | None:
        """Returns the marks of the files of a domain by name; None if the area cannot be listed."""
        path = self.paths.get(area)
        if path is None or not (path.parent if area == "ingesting" else path).is_dir():
            return None
        folder = path / domain
        names = os.listdir(folder) if folder.is_dir() else ()
        return {name: _mark(folder / name) for name in names if (folder / name).is_file()}

    def archived(self, domain: str, names: Collection[str]) -> Mapping[str, str] | None:
        """Returns the marks of the given files that are in `archive`; None if the project keeps no archive."""
        if "archive" not in self.paths:
            return None
        folder = self.paths["archive"] / domain
        return {name: _mark(folder / name) for name in names if (folder / name).is_file()}

    def put_back(self, table: WorkerTable, name: str, tables: Sequence[WorkerTable]) -> str | None:
        """Moves a file of a table from `ingesting` to `stage` for the next load, and returns its name there.

        If `stage` has another file of that name, the older one gets a name that the table's pattern matches as well,
        and that is first in alphabetical order if possible. Its time of modification stays.

        Args:
            table: The table.
            name: The file.
            tables: All tables of the domain.

        Returns:
            None if the file stays: it is not in `ingesting`, or there is no other name for it.
        """
        if "ingesting" not in self.paths or "stage" not in self.paths:
            return None
        source, stage = self.paths["ingesting"] / table.domain_name / name, self.paths["stage"] / table.domain_name
        if not source.is_file():
            return None
        others = [one.pattern for one in tables if one.name != table.name]
        free = returned_name(name, os.listdir(stage) if stage.is_dir() else (), table.pattern, others)
        if free is not None:
            stage.mkdir(parents=True, exist_ok=True)
            shutil.move(source, stage / free)
            renamed = f" as {free}, because {name} is there" if free != name else ""
            log_line(f"{name} was not loaded: moved back to {stage}{renamed}")
        return free


def _mark(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return "0\0"
    return f"{found.st_size}\0{found.st_mtime_ns}"


@dataclass(frozen=True)
class LocalRecord:
    """The file of a record on a disk; each write removes the files of records that are older than 30 days.

    Attributes:
        path: The file.
    """

    path: Path

    def read(self) -> str | None:
        """Returns the text; None if there is no file."""
        try:
            return self.path.read_text(encoding="utf-8")
        except (OSError, ValueError):
            return None

    def write(self, text: str) -> None:
        """Replaces the text atomically.

        Raises:
            OSError: The record cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(f".{os.getpid()}")
        new.write_text(text, encoding="utf-8")
        os.replace(new, self.path)
        for old in self.path.parent.glob("*.json"):
            if old.stat().st_mtime < time.time() - _KEPT_DAYS * 86400:
                old.unlink(missing_ok=True)


def area_urls(manifest: Mapping[str, Any], environ: Mapping[str, str]) -> Mapping[str, str]:
    """Returns paths and URLs of the areas, by their names.

    Args:
        manifest: The manifest of the export.
        environ: `SL_ROOT` is the root of the project; `SL_DATASETS` replaces the directory of the data.
    """
    texts: Mapping[str, str] = manifest.get("areas", {})
    datasets = environ.get("SL_DATASETS") or texts.get("datasets", "")
    found = {name: texts.get(name, "") for name in ("stage", "ingesting", "archive")}
    root = environ.get("SL_ROOT", "").rstrip("/")
    return {
        name: text.replace("{{datasets}}", datasets).replace("{{SL_ROOT}}", root)
        for name, text in found.items()
        if text
    }


def areas_of(manifest: Mapping[str, Any], environ: Mapping[str, str]) -> WorkerAreas:
    """Returns the areas that are directories of this machine; areas in an object store are left out.

    Args:
        manifest: The manifest of the export.
        environ: `SL_ROOT` is the root of the project; `SL_DATASETS` replaces the directory of the data.
    """
    found: dict[str, Path] = {}
    for name, url in area_urls(manifest, environ).items():
        text = "/" + url[len("file:") :].lstrip("/") if url.startswith("file:") else url
        if text.startswith("/"):
            found[name] = Path(text)
    return WorkerAreas(found)


@dataclass
class TableFilesByTry:
    """Files that the tries of a task took for one table.

    Attributes:
        status: The result of the last try; "" before the first one.
        pending: Files without evidence that they were loaded, with the mark that `archive` had for their names before
            ("" for none).
        unfinished: Pending files without a summary: none of their rows is in the table.
        returned: Pending files that were moved back to `stage`, with their marks there.
        loaded: Files that were loaded.
    """

    status: str = ""
    pending: dict[str, str] = field(default_factory=dict[str, str])
    unfinished: list[str] = field(default_factory=list[str])
    returned: dict[str, str] = field(default_factory=dict[str, str])
    loaded: list[str] = field(default_factory=list[str])


@dataclass
class TryRecord:
    """Record of the tries of a task instance, which the next try reads.

    Attributes:
        file: The file; None if nothing is recorded.
        number: Number of this try, from 1.
        known: Whether the record of earlier tries was found; true on the first try.
        again: Whether this try follows one that did not end with exit code 0 or 99.
        begun: Whether the record is that of this try, which another process has begun.
        tables: Files of this try and earlier ones, by file stem of the table; empty unless `again` or `begun`.
        listing: Listings of the areas that the process which began this try keeps for the one that ends it.
    """

    file: RecordFile | None
    number: int = 1
    known: bool = True
    again: bool = False
    begun: bool = False
    tables: dict[str, TableFilesByTry] = field(default_factory=dict[str, TableFilesByTry])
    listing: dict[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def of(cls, attempt: str, areas: LoadAreas, *, resume: bool = False) -> TryRecord:
        """Reads the record that earlier tries of a task instance left.

        Args:
            attempt: The task instance and the number of the try, as the macro `attempt` returns them.
            areas: The areas, which locate the file of the record.
            resume: Whether a record of this try is continued: the begin and the end of a try are two processes.
        """
        instance, _, number = attempt.rpartition("/")
        if not instance or not number.isdigit():
            return cls(None)
        file = areas.record(f"{hashlib.sha256(instance.encode()).hexdigest()[:32]}.json")
        found = cls(file, int(number))
        try:
            record: dict[str, Any] = json.loads(file.read() or "{}")
        except ValueError:
            record = {}
        if "number" not in record:
            found.known, found.again = found.number == 1, found.number > 1
            return found
        found.begun = resume and record["number"] == found.number
        if found.begun:
            found.known, found.again, found.listing = record["known"], record["again"], record["listing"]
        else:
            found.again = not record["ended_well"]
        if found.begun or found.again:
            found.tables = {stem: TableFilesByTry(**one) for stem, one in record["tables"].items()}
        return found

    def save(self, tables: Mapping[str, TableFilesByTry], *, ended_well: bool) -> None:
        """Writes the record.

        Args:
            tables: Files of this try and earlier ones, by file stem of the table.
            ended_well: Whether this try ended with exit code 0 or 99.
        """
        if self.file is None:
            return
        kept = {"number": self.number, "known": self.known, "again": self.again, "listing": self.listing}
        found = {stem: asdict(one) for stem, one in tables.items()}
        try:
            self.file.write(json.dumps({**kept, "tables": found, "ended_well": ended_well}))
        except OSError as error:
            log_line(f"the files of this try cannot be remembered for the next one: {error}")
