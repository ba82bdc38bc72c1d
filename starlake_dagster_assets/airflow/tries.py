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
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

__all__ = ["TryRecord", "WorkerAreas", "WorkerTable", "areas_of", "say"]

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
        pattern: Regular expression of Java for the names of its files.
    """

    name: str
    domain_name: str
    pattern: str


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

    def put_back(self, domain: str, names: Collection[str]) -> None:
        """Moves files from `ingesting` to `stage` for the next load, except for names that `stage` has."""
        if "ingesting" not in self.paths or "stage" not in self.paths:
            return
        ingesting, stage = self.paths["ingesting"] / domain, self.paths["stage"] / domain
        for name in sorted(names):
            if (ingesting / name).is_file() and not (stage / name).exists():
                stage.mkdir(parents=True, exist_ok=True)
                shutil.move(ingesting / name, stage / name)
                say(f"{name} was not loaded: moved back to {stage}")


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
class TryRecord:
    """Record of the tries of a task instance, which the next try reads.

    Attributes:
        path: The file; None where nothing is recorded.
        number: Number of this try, from 1.
        known: Whether the record of earlier tries was found; true on the first try.
        ended_well: Whether the previous try ended with exit code 0 or 99.
        tables: By file stem, `status`, the `files` that were taken and not loaded, and those of them without a summary
            (`unfinished`).
    """

    path: Path | None
    number: int = 1
    known: bool = True
    ended_well: bool = False
    tables: dict[str, Any] = field(default_factory=dict[str, Any])

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
            found.known = found.number == 1
            return found
        if int(number) > 1:
            found.tables, found.ended_well = record["tables"], record["ended_well"]
        return found

    def save(self, tables: Mapping[str, Any], *, ended_well: bool) -> None:
        """Writes the record atomically, and removes records that are older than 30 days.

        Args:
            tables: As the attribute.
            ended_well: Whether this try ended with exit code 0 or 99.
        """
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new = self.path.with_suffix(f".{os.getpid()}")
            new.write_text(json.dumps({"tables": tables, "ended_well": ended_well}), encoding="utf-8")
            os.replace(new, self.path)
            for old in self.path.parent.glob("*.json"):
                if old.stat().st_mtime < time.time() - _KEPT_DAYS * 86400:
                    old.unlink(missing_ok=True)
        except OSError as error:
            say(f"the files of this try cannot be remembered for the next one: {error}")
