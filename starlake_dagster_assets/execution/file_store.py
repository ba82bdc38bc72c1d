"""Lists the files of a directory, on a local disk or wherever fsspec reaches (`gs://`, `s3://`, `abfs://`, …)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import unquote, urlparse

from starlake_dagster_assets.errors import StarlakeError

__all__ = ["DirectoryListing", "File", "Store", "StoreError", "StoreOptions", "content_of", "mark_of", "never_modified"]

StoreOptions = Mapping[str, Mapping[str, Any]]
"""Arguments of fsspec's file systems by protocol, such as `{"s3": {"endpoint_url": "http://minio:9000"}}`."""

_T = TypeVar("_T")
_EXTRAS = {"s3": "s3", "gs": "gcs", "gcs": "gcs", "abfs": "azure", "abfss": "azure", "az": "azure"}
_SPARK_NAMES = {"s3a": "s3", "s3n": "s3"}
"""Protocols as Hadoop spells them."""
_STAMPS = ("etag", "ETag", "generation", "md5Hash", "mtime", "updated", "last_modified", "LastModified", "created")

_TIMES = ("mtime", "updated", "last_modified", "LastModified", "created")
"""Fields of an object's entry that may hold its modification time, by store client."""


class StoreError(StarlakeError):
    """A directory that cannot be listed, so that it is unknown whether it has files."""


class File(NamedTuple):
    """File at the time of a listing.

    Attributes:
        name: Without its directory.
        size: Bytes.
        stamp: A text that changes whenever it is written again: times, inode, etag or generation, as the store
            has them; what also changes when it is renamed is last. Only ever compared with itself: the clock of the
            store does not matter.
    """

    name: str
    size: int
    stamp: tuple[object, ...]


def never_modified(names: Sequence[str]) -> float | None:
    """Returns None: no time of modification is known."""


@dataclass(frozen=True)
class DirectoryListing:
    """Names of the files in a directory.

    Attributes:
        directory: The directory.
        names: Names of its files, sorted.
        exists: False if there is no such directory (yet).
    """

    directory: str
    names: Sequence[str]
    exists: bool
    marks: Callable[[Sequence[str]], Mapping[str, str]]
    """Returns the `mark_of` of some of the files by name, without files that were removed in the meantime."""
    modified: Callable[[Sequence[str]], float | None] = never_modified
    """Returns the modification time of the newest of some files, in seconds since 1970; None if it is not known."""


class Store:
    """Storage that files are listed in.

    Args:
        options: Arguments of fsspec's file systems, by protocol.
        seconds: Seconds to wait for an answer.
    """

    def __init__(self, options: StoreOptions = MappingProxyType({}), seconds: float = 40) -> None:
        self._options = options
        self._seconds = seconds

    def listing(self, place: str) -> DirectoryListing:
        """Lists the files of a directory, without those of its subdirectories.

        Args:
            place: Absolute path or URL.

        Raises:
            StoreError: When the directory cannot be read, or does not answer in time.
        """
        local = _local(place)
        return self._call(place, lambda: _local_listing(local) if local else self._remote_listing(place))

    def file(self, path: str) -> File | None:
        """Returns a file; None if it does not exist.

        Args:
            path: Absolute path or URL.

        Raises:
            StoreError: When the file cannot be read, or does not answer in time.
        """
        local = _local(path)
        return self._call(path, lambda: _local_file(str(local)) if local else self._remote_file(path))

    def consume(self, path: str, seen: str) -> bool:
        """Deletes a file that was seen, unless the file was written again since then.

        Args:
            path: Absolute path or URL.
            seen: `content_of` the file when it was seen.

        Returns:
            Whether it was deleted; False if a newer one is in its place.

        Raises:
            StoreError: When it cannot be deleted.
        """
        local = _local(path)
        return self._call(path, lambda: _local_consume(local, seen) if local else self._remote_consume(path, seen))

    def remove(self, path: str) -> None:
        """Deletes a file, if it exists.

        Raises:
            StoreError: When it cannot be deleted.
        """
        if (file := self.file(path)) is not None:
            self.consume(path, content_of(file))

    # ---------------------------------------------------------------------------------------------- remote

    def _call(self, place: str, question: Callable[[], _T]) -> _T:
        """Returns the answer of a store; calls remote stores in a thread, so that a dead network cannot block."""
        answer: list[Any] = []

        def ask() -> None:
            try:
                answer.append((question(), None))
            except Exception as error:  # any client library may be behind it
                answer.append((None, error))

        if _local(place):
            ask()  # a thread costs more than a local disk
        else:
            thread = threading.Thread(target=ask, daemon=True, name="starlake-store")
            thread.start()
            thread.join(self._seconds)
        if not answer:
            raise StoreError(f"{place}: no answer in {self._seconds:g} s.")
        value, error = answer[0]
        if isinstance(error, StoreError):
            raise error
        if error is not None:
            words = str(error).strip() or type(error).__name__
            raise StoreError(f"{place} cannot be looked at: {type(error).__name__}: {words}") from error
        return cast("_T", value)

    def _system(self, url: str) -> tuple[Any, str]:
        import fsspec

        scheme, rest = url.split("://", 1)
        protocol = _SPARK_NAMES.get(scheme, scheme)
        options = {**self._options.get(scheme, {}), **self._options.get(protocol, {})}
        try:
            core = cast("Any", fsspec).core
            system, path = core.url_to_fs(f"{protocol}://{rest}", use_listings_cache=False, **options)
        except ImportError as error:
            extra = _EXTRAS.get(protocol)
            hint = f"pip install 'starlake-dagster-assets[{extra}]'" if extra else str(error)
            raise StoreError(f"{url}: the package for {protocol}:// is not installed: {hint}") from error
        except ValueError as error:
            raise StoreError(f"{url}: fsspec knows no {protocol}:// ({error}).") from error
        return system, path

    def _remote_listing(self, place: str) -> DirectoryListing:
        system, path = self._system(place)
        system.invalidate_cache()
        try:
            entries = system.ls(path, detail=True)
        except FileNotFoundError:
            _reach(system, path, place)
            return DirectoryListing(place, (), False, lambda names: {})
        marker = path.rstrip("/")  # of an empty directory, which some clients show as a file in itself
        kept = (one for one in entries if one.get("type") == "file" and str(one["name"]).rstrip("/") != marker)
        found = {_name(entry): entry for entry in kept}

        def marks(names: Sequence[str]) -> dict[str, str]:
            return {name: mark_of(_remote_file(found[name])) for name in names}

        def modified(names: Sequence[str]) -> float | None:
            times = [_written(found[name]) for name in names if name in found]
            known = [one for one in times if one is not None]
            return max(known) if known and len(known) == len(names) else None

        return DirectoryListing(place, sorted(found), True, marks, modified)

    def _remote_file(self, url: str) -> File | None:
        system, path = self._system(url)
        system.invalidate_cache()
        try:
            entry = system.info(path)
        except FileNotFoundError:
            _reach(system, path, url)
            return None
        return _remote_file(entry) if entry.get("type") == "file" else None

    def _remote_consume(self, url: str, seen: str) -> bool:
        file = self._remote_file(url)
        if file is None:
            return True
        if content_of(file) != seen:
            return False
        system, path = self._system(url)
        with suppress(FileNotFoundError):
            system.rm_file(path)
        return True


def is_absolute(path: str) -> bool:
    """Whether a path is absolute: a URL, or a path from the root."""
    return "://" in path or path.startswith("file:") or PurePosixPath(path).is_absolute()


def mark_of(file: File) -> str:
    """Returns size and stamp as text, which changes whenever the file is written again."""
    return f"{file.size}\0{file.stamp}"


def content_of(file: File) -> str:
    """Returns a text that differs between files of the same name, also after a file was moved.

    A local file that is renamed has another change time; the last part of its stamp is left out.
    """
    return repr((file.size, *file.stamp[:-1]))


# --------------------------------------------------------------------------------------------------- local disk


def _local(place: str) -> Path | None:
    if place.startswith("file:"):
        return Path(unquote(urlparse(place).path))
    return None if "://" in place else Path(place)


def _local_listing(folder: Path) -> DirectoryListing:
    written: dict[str, float] = {}

    def marks(names: Sequence[str]) -> dict[str, str]:
        """Returns `mark_of` per file, without creating a `File` for each: a tick may list tens of thousands."""
        found: dict[str, str] = {}
        handle = os.open(folder, os.O_RDONLY)  # the path is resolved once, not once a file
        try:
            for name in names:
                try:
                    seen = os.stat(name, dir_fd=handle)
                except FileNotFoundError:
                    continue
                written[name] = seen.st_mtime
                found[name] = f"{seen.st_size}\0({seen.st_mtime_ns}, {seen.st_ino}, {seen.st_ctime_ns})"
        finally:
            os.close(handle)
        return found

    def modified(names: Sequence[str]) -> float | None:
        try:
            return max(written[one] if one in written else os.stat(folder / one).st_mtime for one in names)
        except (FileNotFoundError, ValueError):
            return None

    try:
        with os.scandir(folder) as entries:
            names = sorted([entry.name for entry in entries if entry.is_file()])
            return DirectoryListing(str(folder), names, True, marks, modified)
    except FileNotFoundError:
        return DirectoryListing(str(folder), (), False, lambda names: {})


def _local_file(path: str) -> File | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return File(path, found.st_size, (found.st_mtime_ns, found.st_ino, found.st_ctime_ns))


def _local_consume(path: Path, seen: str) -> bool:
    """Renames a file before its deletion, so that a file that is written at that moment is not deleted."""
    taken = path.with_name(f".{path.name}.{sha256(seen.encode()).hexdigest()[:12]}.consumed")
    if not taken.exists():
        try:
            os.rename(path, taken)
        except FileNotFoundError:
            return True
    file = _local_file(str(taken))
    if file is not None and content_of(file) != seen:
        if not path.exists():
            os.rename(taken, path)
        return False
    taken.unlink(missing_ok=True)
    return not path.exists()


# ------------------------------------------------------------------------------------------------ object stores


def _reach(system: Any, path: str, place: str) -> None:
    """Raises an error if a bucket does not exist, which clients report like a missing file (`FileNotFoundError`)."""
    bucket = path.strip("/").partition("/")[0]
    protocols = (system.protocol,) if isinstance(system.protocol, str) else system.protocol
    if _EXTRAS.keys() & set(protocols) and not system.exists(bucket):
        raise StoreError(f"{place}: the bucket or container {bucket} is not there, or not ours to see.")


def _name(entry: Mapping[str, Any]) -> str:
    return str(entry["name"]).rstrip("/").rpartition("/")[2]


def _written(entry: Mapping[str, Any]) -> float | None:
    """Returns the modification time of an object, in seconds since 1970, from a number, a date or an ISO text."""
    for key in _TIMES:
        value = entry.get(key)
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value.replace("Z", "+00:00"))
            except ValueError:
                continue
        if isinstance(value, datetime):
            value = (value if value.tzinfo else value.replace(tzinfo=timezone.utc)).timestamp()
        if isinstance(value, (int, float)):
            return float(value)
    return None


def _remote_file(entry: Mapping[str, Any]) -> File:
    stamps = [str(entry[key]) for key in _STAMPS if entry.get(key) is not None]
    return File(_name(entry), int(entry.get("size") or 0), (*stamps, ""))
