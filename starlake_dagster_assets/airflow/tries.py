"""The files of a load on the disk of an Airflow worker, and the record of how earlier tries of the task handled them.

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
from typing import Any, Literal

from starlake_dagster_assets.project.java_regex import compile_java

__all__ = ["TableTries", "TryRecord", "WorkerAreas", "WorkerTable", "areas_of", "say"]

_KEPT_DAYS = 30


def say(text: str) -> None:
    """Writes a line to the log of the task."""
    sys.stdout.write(f"starlake-dagster: {text}\n")
    sys.stdout.flush()


@dataclass(frozen=True)
class WorkerTable:
    """A table of the domain, as the manifest describes it.

    Attributes:
        name: `table.name`.
        domain_name: `load.name`.
        pattern: Regular expression of Java for the names of its files; "" where the manifest does not have the table.
    """

    name: str
    domain_name: str
    pattern: str = ""


@dataclass(frozen=True)
class WorkerAreas:
    """The areas of the project that are directories of this machine.

    Attributes:
        paths: Directories by area: `stage`, `ingesting` and `archive`.
    """

    paths: Mapping[str, Path] = field(default_factory=dict[str, Path])

    def list_files(self, area: Literal["stage", "ingesting"], domain: str) -> Mapping[str, str] | None:
        """Returns the marks of the files of a domain by name; None where the area cannot be listed."""
        path = self.paths.get(area)
        if path is None or not (path.parent if area == "ingesting" else path).is_dir():
            return None
        folder = path / domain
        names = os.listdir(folder) if folder.is_dir() else ()
        return {name: _mark(folder / name) for name in names if (folder / name).is_file()}

    def archived(self, domain: str, names: Collection[str]) -> Mapping[str, str] | None:
        """Returns the marks of those of some files that are in `archive`; None where the project keeps no archive."""
        if "archive" not in self.paths:
            return None
        folder = self.paths["archive"] / domain
        return {name: _mark(folder / name) for name in names if (folder / name).is_file()}

    def put_back(self, table: WorkerTable, name: str, tables: Sequence[WorkerTable]) -> str | None:
        """Moves a file of a table from `ingesting` to `stage` for the next load, and returns its name there.

        If `stage` has another file of that name, the older one gets a name that the table's pattern matches as well,
        and that comes first in alphabetical order if possible. Its time of modification stays.

        Args:
            table: The table.
            name: The file.
            tables: All tables of the domain.

        Returns:
            None where the file stays: it is not in `ingesting`, or there is no other name for it.
        """
        if "ingesting" not in self.paths or "stage" not in self.paths:
            return None
        source, stage = self.paths["ingesting"] / table.domain_name / name, self.paths["stage"] / table.domain_name
        if not source.is_file():
            return None
        others = [one.pattern for one in tables if one.name != table.name]
        free = name if not (stage / name).exists() else _free_name(stage, name, table.pattern, others)
        if free is not None:
            stage.mkdir(parents=True, exist_ok=True)
            shutil.move(source, stage / free)
            renamed = f" as {free}, because {name} is there" if free != name else ""
            say(f"{name} was not loaded: moved back to {stage}{renamed}")
        return free


def _free_name(stage: Path, name: str, pattern: str, others: Sequence[str]) -> str | None:
    """Returns another name for a file, which the pattern of its table matches and those of other tables do not."""
    ends = [number for number, char in enumerate(name) if char == "."]
    places = [*ends[:1], *ends[:0:-1], *([] if ends else [len(name)]), 0]
    found: list[str] = []
    for text in (f"{sign}{number}" for number in range(20) for sign in "-_."):
        for place in places:
            added = text if place else f"{text[1:]}{text[0]}"
            new = name[:place] + added + name[place:]
            if compile_java(pattern).fullmatch(new) and not any(compile_java(one).fullmatch(new) for one in others):
                found += [new] if not (stage / new).exists() else []
    return next((new for new in found if new < name), found[0] if found else None)


def _mark(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return "0\0"
    return f"{found.st_size}\0{found.st_mtime_ns}"


def areas_of(manifest: Mapping[str, Any], environ: Mapping[str, str]) -> WorkerAreas:
    """Returns the areas that are directories of this machine; none where they are in an object store.

    Args:
        manifest: The manifest of the export.
        environ: `SL_ROOT` is the root of the project; `SL_DATASETS` replaces the directory of the data.
    """
    root = environ.get("SL_ROOT", "")
    texts: Mapping[str, str] = manifest.get("areas", {})
    datasets = environ.get("SL_DATASETS") or texts.get("datasets", "")
    found: dict[str, Path] = {}
    for name in ("stage", "ingesting", "archive"):
        text = texts.get(name, "").replace("{{datasets}}", datasets).replace("{{SL_ROOT}}", root)
        text = "/" + text[len("file:") :].lstrip("/") if text.startswith("file:") else text
        if text.startswith("/"):
            found[name] = Path(text)
    return WorkerAreas(found)


@dataclass
class TableTries:
    """Files that the tries of a task took for one table.

    Attributes:
        status: The verdict of the last try; "" before the first one.
        pending: Files that nothing shows as loaded, with the mark that `archive` had for their names before ("" for
            none).
        unfinished: Those of them that have no summary: none of their rows is in the table.
        returned: Those of them that were moved back to `stage`, with their marks there.
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
        path: The file; None where nothing is recorded.
        number: Number of this try, from 1.
        known: Whether the record of earlier tries was found; true on the first try.
        again: Whether this try follows one that did not end with exit code 0 or 99.
        tables: What earlier tries did, by file stem; empty unless `again`.
    """

    path: Path | None
    number: int = 1
    known: bool = True
    again: bool = False
    tables: dict[str, TableTries] = field(default_factory=dict[str, TableTries])

    @classmethod
    def of(cls, environ: Mapping[str, str], areas: WorkerAreas) -> TryRecord:
        """Reads the record that earlier tries of a task instance left.

        Args:
            environ: `STARLAKE_ATTEMPT` names the task instance and the try.
            areas: The record is next to `ingesting`; below `AIRFLOW_HOME` where that is not on this machine.
        """
        instance, _, number = environ.get("STARLAKE_ATTEMPT", "").rpartition("/")
        if not instance or not number.isdigit():
            return cls(None)
        home = areas.paths["ingesting"].parent if "ingesting" in areas.paths else None
        if home is None or not home.is_dir():
            home = Path(environ.get("AIRFLOW_HOME") or Path.home() / "airflow")
        path = home / ".starlake_tries" / f"{hashlib.sha256(instance.encode()).hexdigest()[:32]}.json"
        found = cls(path, int(number))
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found.known, found.again = found.number == 1, found.number > 1
            return found
        if found.number > 1 and not record["ended_well"]:
            found.again, found.tables = True, {stem: TableTries(**one) for stem, one in record["tables"].items()}
        return found

    def save(self, tables: Mapping[str, TableTries], *, ended_well: bool) -> None:
        """Writes the record atomically, and removes records that are older than 30 days.

        Args:
            tables: What this try and earlier ones did, by file stem.
            ended_well: Whether this try ended with exit code 0 or 99.
        """
        if self.path is None:
            return
        record = {"tables": {stem: asdict(one) for stem, one in tables.items()}, "ended_well": ended_well}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new = self.path.with_suffix(f".{os.getpid()}")
            new.write_text(json.dumps(record), encoding="utf-8")
            os.replace(new, self.path)
            for old in self.path.parent.glob("*.json"):
                if old.stat().st_mtime < time.time() - _KEPT_DAYS * 86400:
                    old.unlink(missing_ok=True)
        except OSError as error:
            say(f"the files of this try cannot be remembered for the next one: {error}")
