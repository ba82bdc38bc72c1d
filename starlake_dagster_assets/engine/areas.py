"""Where files are on their way through a load (`application.area`), and how they move from one place to the next."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlparse

from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model import Domain, Project

__all__ = ["AreaName", "area", "incoming_directory", "local_path", "move_file"]

AreaName = Literal["incoming", "stage", "unresolved", "archive", "ingesting", "replay"]


def area(project: Project, name: AreaName, domain: str) -> Path:
    """The directory of an area for one domain; it need not exist.

    Args:
        project: Holds `datasets` and `application.area`.
        name: The area.
        domain: `load.name`.

    Returns:
        `<datasets>/<area>/<domain>`, or `<area>/<domain>` where the area is an absolute path or a URL.

    Raises:
        EngineError: When the place is not on a local disk.
    """
    value: str = getattr(project.application.areas, name)
    if "://" in value or value.startswith("file:") or Path(value).is_absolute():
        return local_path(value, project, f"application.area.{name}") / domain
    return local_path(project.application.datasets, project, "datasets") / value / domain


def incoming_directory(project: Project, domain: Domain) -> Path:
    """The landing directory of a domain (`metadata.directory`).

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
    """A path or `file:` URL as an absolute path; relative ones start at the project's root.

    Args:
        value: As written.
        project: The project.
        what: The key it comes from, for the message.

    Raises:
        EngineError: When the URL is of another scheme.
    """
    if value.startswith("file:"):
        return Path(unquote(urlparse(value).path))
    if "://" in value:
        raise EngineError(f"{what}: {value} is not on a local disk; the embedded engine works on local files only")
    path = Path(value)
    return path if path.is_absolute() else Path(project.root) / path


def move_file(source: Path, target: Path) -> None:
    """Move a file so that the target is never seen half written, also across file systems.

    Args:
        source: The file.
        target: Its new path; the directory is made. A file there is replaced.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy_across(source, target)


def _copy_across(source: Path, target: Path) -> None:
    part = target.with_name(f".{target.name}.part")
    try:
        shutil.copy2(source, part)
        with part.open("rb") as copy:
            os.fsync(copy.fileno())
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    source.unlink()
