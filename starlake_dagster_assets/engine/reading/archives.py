"""Decompression of files: `.gz`, `.zip`, `.tgz` and `.tar.gz`, each member as a separate file."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from starlake_dagster_assets.errors import EngineError

__all__ = ["plain_files"]

_BUFFER = 1 << 20


def plain_files(path: Path, work: Path) -> Iterator[Path]:
    """Yields the plain files in a file, one at a time, in bounded memory.

    Args:
        path: A file; its suffix determines whether it is compressed.
        work: Directory for unpacked files. A member is deleted when the next one is requested.

    Yields:
        `path` itself, or an unpacked file. Directories, links and hidden members of an archive are left out.

    Raises:
        EngineError: When the archive is broken.
    """
    name = path.name.lower()
    try:
        if name.endswith((".tgz", ".tar.gz")):
            yield from _tar(path, work)
        elif name.endswith(".zip"):
            yield from _zip(path, work)
        elif name.endswith(".gz"):
            with gzip.open(path, "rb") as stream:
                yield from _copied(stream, work)
        else:
            yield path
    except (OSError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile, RuntimeError) as error:
        raise EngineError(f"{path}: cannot be unpacked: {error}") from error


def _tar(path: Path, work: Path) -> Iterator[Path]:
    with tarfile.open(path, "r|gz") as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isfile() and not _hidden(member.name) else None
            if stream is not None:
                yield from _copied(stream, work)


def _zip(path: Path, work: Path) -> Iterator[Path]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.is_dir() and not _hidden(member.filename):
                with archive.open(member) as stream:
                    yield from _copied(stream, work)


def _hidden(name: str) -> bool:
    return name.rsplit("/", 1)[-1].startswith(".") or name.startswith("__MACOSX/")


def _copied(stream: IO[bytes] | gzip.GzipFile, work: Path) -> Iterator[Path]:
    target = work / "member"
    with target.open("wb") as copy:
        shutil.copyfileobj(stream, copy, _BUFFER)
    yield target
    target.unlink(missing_ok=True)
