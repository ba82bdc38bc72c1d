"""Areas of the files of a load (`application.area`), and the moves between them."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlparse

from starlake_dagster_assets.atomic_file import replaced_file
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model.project import Domain, Project

__all__ = ["AreaName", "Listing", "area", "free_name", "incoming_directory", "list_files", "local_path", "move_file"]

_NAME_BYTES = 255

AreaName = Literal["incoming", "stage", "unresolved", "archive", "ingesting", "replay"]


def area(project: Project, name: AreaName, domain: str) -> Path:
    """Returns the directory of an area for one domain; it need not exist.

    Args:
        project: Holds `datasets` and `application.area`.
        name: The area.
        domain: `load.name`.

    Returns:
        `<datasets>/<area>/<domain>`, or `<area>/<domain>` if the area is an absolute path or a URL.

    Raises:
        EngineError: When the area is not on a local disk.
    """
    value: str = getattr(project.application.areas, name)
    if "://" in value or value.startswith("file:") or Path(value).is_absolute():
        return local_path(value, project, f"application.area.{name}") / domain
    return local_path(project.application.datasets, project, "datasets") / value / domain


def incoming_directory(project: Project, domain: Domain) -> Path:
    """Returns the landing directory of a domain (`metadata.directory`).

    Raises:
        EngineError: When the domain has none, or it is not on a local disk.
    """
    if not domain.incoming:
        raise EngineError(
            f"{domain.location}: domain '{domain.name}' has no metadata.directory, so there is nowhere to stage from; "
            "set load.metadata.directory"
        )
    return local_path(domain.incoming, project, f"domain '{domain.name}': metadata.directory")


def local_path(value: str, project: Project, what: str) -> Path:
    """Returns a path or `file:` URL as an absolute path; relative ones start at the project's root.

    Args:
        value: The path or URL, as written.
        project: The project.
        what: The key that sets it, for the message.

    Raises:
        EngineError: When the URL is of another scheme.
    """
    if value.startswith("file:"):
        return Path(unquote(urlparse(value).path))
    if "://" in value:
        raise EngineError(f"{what}: {value} is not on a local disk; the embedded engine works on local files only")
    path = Path(value)
    return path if path.is_absolute() else Path(project.root) / path


@dataclass(frozen=True)
class Listing:
    """The files of a directory, hidden ones left out, in the order of their names.

    Attributes:
        files: Regular files, and links to those inside of the directory.
        links: Links that leave the directory, which are not followed.
    """

    files: tuple[Path, ...] = ()
    links: tuple[Path, ...] = ()


def list_files(folder: Path) -> Listing:
    """Lists a directory; one that does not exist is empty."""
    if not folder.is_dir():
        return Listing()
    found = sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file())
    inside = folder.resolve()
    links = tuple(path for path in found if path.is_symlink() and not path.resolve().is_relative_to(inside))
    return Listing(tuple(path for path in found if path not in links), links)


def free_name(path: Path) -> Path:
    """Returns the path, with a number before its suffix if that file exists already."""
    if not os.path.lexists(path):
        return path
    ending = next((end for end in (".tar.gz",) if path.name.lower().endswith(end)), path.suffix)
    stem = path.name[: len(path.name) - len(ending)]
    for number in count(2):
        tail = f".{number}{ending}"
        # names are limited in bytes
        cut = os.fsdecode(os.fsencode(stem)[: _NAME_BYTES - len(os.fsencode(tail))])
        there = path.with_name(cut + tail)
        if not os.path.lexists(there):
            return there
    raise AssertionError


def move_file(source: Path, target: Path) -> None:
    """Moves a file atomically, also across file systems.

    Args:
        source: The file.
        target: Its new path; the directory is created. An existing file is replaced.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():  # which may be relative
        _copy_across(source, target)
        return
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy_across(source, target)


def _copy_across(source: Path, target: Path) -> None:
    with replaced_file(target) as part:
        shutil.copy2(source, part)
        with part.open("rb") as copy:
            os.fsync(copy.fileno())
    source.unlink()
