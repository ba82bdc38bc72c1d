"""The files of a load on the disk of an Airflow worker, and what the tries of a task did with them.

Exported beside the DAG files: standard library only.
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
    """A table of the domain, as the manifest describes it."""

    name: str
    domain_name: str
    pattern: str


@dataclass(frozen=True)
class WorkerAreas:
    """The areas of the project on a disk of this machine."""

    paths: Mapping[str, Path] = field(default_factory=dict[str, Path])

    def list_files(self, area: Literal["stage", "ingesting"], domain: str) -> Mapping[str, str] | None:
        """Returns the marks of the files of a domain by name; None where nothing can be listed."""
        path = self.paths.get(area)
        if path is None or not (path.parent if area == "ingesting" else path).is_dir():
            return None
        folder = path / domain
        names = os.listdir(folder) if folder.is_dir() else ()
        return {name: _mark(folder / name) for name in names if (folder / name).is_file()}

    def archived(self, domain: str, names: Collection[str]) -> Mapping[str, str] | None:
        """Returns the marks of those of some files that are in `archive`; None where there is none."""
        if "archive" not in self.paths:
            return None
        folder = self.paths["archive"] / domain
        return {name: _mark(folder / name) for name in names if (folder / name).is_file()}

    def put_back(self, domain: str, names: Collection[str]) -> None:
        """Moves files from `ingesting` to `stage`, for the next load; except for names that are there."""
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
    """Returns the areas that are directories here; none where they are in an object store."""
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
    """What the tries of a task instance did, kept for the next try.

    Attributes:
        path: The file.
        number: Of this try.
        known: Whether earlier tries left a record, where there were any.
        ended_well: Whether the try before ended with 0 or 99.
        tables: By file stem, `status` and the `files` that were taken and not loaded.
    """

    path: Path | None
    number: int = 1
    known: bool = True
    ended_well: bool = False
    tables: dict[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def of(cls, environ: Mapping[str, str], areas: WorkerAreas) -> TryRecord:
        """Returns the record of a task instance, as the tries before left it."""
        instance, _, number = environ.get("STARLAKE_ATTEMPT", "").rpartition("/")
        if not instance or not number.isdigit():
            return cls(None)
        home = areas.paths["ingesting"].parent if "ingesting" in areas.paths else None
        if home is None or not home.is_dir():  # the files are elsewhere: this worker alone remembers
            home = Path(environ.get("AIRFLOW_HOME") or Path.home() / "airflow")
        path = home / ".starlake_tries" / f"{hashlib.sha256(instance.encode()).hexdigest()[:32]}.json"
        found = cls(path, int(number))
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found.known = found.number == 1
            return found
        if int(number) > 1:
            found.tables, found.ended_well = said["tables"], said["ended_well"]
        return found

    def save(self, tables: Mapping[str, Any], *, ended_well: bool) -> None:
        """Writes the record, whole or not at all."""
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
