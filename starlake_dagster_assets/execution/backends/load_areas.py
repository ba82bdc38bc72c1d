"""Files of loads of the starlake program in the areas below `SL_DATASETS`, on a local disk or in any fsspec store."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from starlake_dagster_assets.engine import areas
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.execution.backends.protocol import ReturnedFile
from starlake_dagster_assets.execution.file_store import Store, StoreError, is_absolute, mark_of
from starlake_dagster_assets.execution.restaged_file_name import returned_name
from starlake_dagster_assets.project.model.project import Project, Table

__all__ = ["StoredFiles", "remote_files"]

_FEW = 50
"""Maximum number of files that are looked up one by one; for more files, the directory is listed."""


_SECONDS = 20.0


@dataclass
class StoredFiles:
    """Files in the areas `stage`, `ingesting` and `archive` of a project; see `execution.backends.protocol.FileReader`.

    Attributes:
        project: Names the areas.
        datasets: `SL_DATASETS` as this process sees it; the project's own by default.
        local: Whether files are moved back to `stage` after a failure: the program runs on this machine.
        store: Lists directories.
        failure: Reason why the areas cannot be listed, after which they are not listed again.
    """

    project: Project
    datasets: str | None = None
    local: bool = True
    store: Store = field(default_factory=lambda: Store(seconds=_SECONDS), repr=False)
    failure: str = ""

    def list_files(self, area: Literal["incoming", "stage", "ingesting"], domain: str) -> Mapping[str, str] | None:
        """Returns the marks of the files of a domain by name; None if they cannot be listed."""
        if area == "incoming":
            return self._list_incoming(domain)
        if self.failure:
            return None
        try:
            if not self.local and not self.store.listing(self._datasets).exists:
                return None  # another directory than that of the program, or nothing was ever loaded
            found = self.store.listing(self._path(area, domain))
            return found.marks(found.names)
        except StoreError as error:
            self.failure = str(error)
            return None

    def archived(self, domain: str, names: Collection[str]) -> Mapping[str, str] | None:
        """Returns the marks of the given files that are in `archive`; None if that cannot be read."""
        path = self._path("archive", domain)
        if self.failure:
            return None
        try:
            if len(names) > _FEW:
                found = self.store.listing(path)
                return found.marks([name for name in found.names if name in names])
            files = {name: self.store.file(f"{path}/{name}") for name in names}
        except StoreError as error:
            self.failure = str(error)
            return None
        return {name: mark_of(file) for name, file in files.items() if file is not None}

    def _list_incoming(self, domain: str) -> Mapping[str, str] | None:
        """Returns the marks of the files that `stage` can take; None if this process cannot read the directory."""
        incoming = next((one.incoming for one in self.project.domains if one.name == domain), None)
        if not incoming or not (self.local or ("://" in incoming and not incoming.startswith("file:"))):
            return None
        try:
            found = self.store.listing(incoming if is_absolute(incoming) else f"{self.project.root}/{incoming}")
            return found.marks(found.names)
        except StoreError:
            return None

    def put_back(self, table: Table, names: Collection[str]) -> Mapping[str, ReturnedFile]:
        """Moves files back to `stage`, on a local disk; see `execution.backends.protocol.FileReader`."""
        if not self.local:
            return {}
        try:
            ingesting = areas.area(self.project, "ingesting", table.domain_name)
            stage = areas.area(self.project, "stage", table.domain_name)
        except EngineError:
            return {}
        domain = [one for one in self.project.tables if one.domain_name == table.domain_name]
        others = [one.pattern for one in domain if one.name != table.name]
        found: dict[str, ReturnedFile] = {}
        for name in sorted(names):
            source = ingesting / name
            if source.parent != ingesting or not source.is_file():
                continue
            new = returned_name(name, os.listdir(stage) if stage.is_dir() else (), table.pattern, others)
            if new is None:
                found[name] = ReturnedFile(reason=f"a new file is {stage / name}, and the pattern allows no other name")
                continue
            try:
                areas.move_file(source, stage / new)
            except OSError as error:
                found[name] = ReturnedFile(reason=str(error))
            else:
                found[name] = ReturnedFile(new)
        return found

    @property
    def _datasets(self) -> str:
        return (self.datasets or self.project.application.datasets).rstrip("/")

    def _path(self, name: str, domain: str) -> str:
        value: str = getattr(self.project.application.areas, name)
        if is_absolute(value):
            return f"{value.rstrip('/')}/{domain}"
        return f"{self._datasets}/{value}/{domain}"


def remote_files(project: Project, *, root: str | None, datasets: str | None) -> StoredFiles | None:
    """Returns the reader of the files that a program on another machine loads.

    Args:
        project: The project, as this process reads it.
        root: `SL_ROOT` on that machine.
        datasets: `SL_DATASETS` on that machine, or as this process sees it.

    Returns:
        None if this process cannot read the files, because the program uses a disk of its own.
    """
    here = project.application.datasets
    if not datasets and "://" in here and not here.startswith("file:"):
        datasets = here
    if not datasets and root and "://" in root:
        known = here.removeprefix(f"{project.root}/") if here.startswith(f"{project.root}/") else "datasets"
        datasets = f"{root.rstrip('/')}/{known}"
    return StoredFiles(project, datasets, local=False) if datasets else None
