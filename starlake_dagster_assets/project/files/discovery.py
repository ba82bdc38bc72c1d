"""Finds and reads the files of a project."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.project.model.problems import Problem

__all__ = ["SourceFile", "Sources", "read_sources"]

_SUFFIX = ".sl.yml"
_COMMANDS = (".sql", ".sql.j2", ".py")
_DEEPEST = 12
_APPLICATION = "metadata/application.sl.yml"


@dataclass(frozen=True)
class SourceFile:
    """A file of the project.

    Attributes:
        path: Posix path relative to the root.
        kind: Kind of object that it describes: `table`, `load`, `task`, `transform`, `sql`, `python`, `macro`, …
        domain: The directory below `load`, `external` or `transform`; "" elsewhere.
        stem: Its name without the suffix.
        content: Its bytes.
    """

    path: str
    kind: str
    domain: str
    stem: str
    content: bytes

    @property
    def hash(self) -> str:
        """A hash of the bytes."""
        return blake2b(self.content, digest_size=16).hexdigest()


@dataclass(frozen=True)
class Sources:
    """Files of a project by path, sorted, and the problems of files that were left out."""

    files: dict[str, SourceFile]
    problems: tuple[Problem, ...]

    def of(self, kind: str) -> list[SourceFile]:
        """Returns the files of one kind, by path."""
        return self._by_kind.get(kind, [])

    @cached_property
    def _by_kind(self) -> dict[str, list[SourceFile]]:
        found: dict[str, list[SourceFile]] = {}
        for file in self.files.values():
            found.setdefault(file.kind, []).append(file)
        return found


def read_sources(root: Path) -> Sources:
    """Reads every file that describes the project; nothing is written.

    Args:
        root: The project's directory.

    Returns:
        The files, and problems for files that cannot be read or that Starlake ignores.

    Raises:
        ProjectError: When the directory is not a Starlake project.
    """
    if not (root / _APPLICATION).is_file():
        raise ProjectError([_not_a_project(root)])
    files: dict[str, SourceFile] = {}
    problems: list[Problem] = []
    for relative in _walk(root / "metadata", "metadata", (), problems):
        placed = _classify(relative)
        if placed is None:
            continue
        kind, domain, stem = placed
        if kind == "ignored":
            problems.append(_ignored(relative, stem))
            continue
        try:
            content = _content(root / relative)
        except OSError as error:
            problems.append(_unreadable(relative, error.strerror or type(error).__name__))
            continue
        files[relative] = SourceFile(relative, kind, domain, stem, content)
    return Sources(files, tuple(problems))


def _not_a_project(root: Path) -> str:
    if not root.is_dir():
        return f"{root} is not a directory; a Starlake project is one that holds {_APPLICATION}."
    found = [path.parent.parent for path in sorted(root.glob(f"*/{_APPLICATION}"))]
    hint = f" Did you mean {found[0]}?" if found else ""
    return f"{root} is not a Starlake project: {_APPLICATION} was looked for there and not found.{hint}"


def _walk(directory: Path, prefix: str, above: tuple[tuple[int, int], ...], problems: list[Problem]) -> Iterator[str]:
    """Yields the files below a directory; a link to one of its parent directories (`above`) is not followed."""
    try:
        status = os.stat(directory)
        with os.scandir(directory) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        problems.append(_unreadable(prefix, error.strerror or type(error).__name__))
        return
    here = (status.st_dev, status.st_ino)
    if here in above:
        message = "is ignored: it links to a directory that holds it."
        problems.append(Problem(file=prefix, message=message, severity="warning", code="ignored-file"))
        return
    for entry in found:
        if entry.name.startswith("."):
            continue
        path = f"{prefix}/{entry.name}"
        if not _is_directory(entry):
            yield path
        elif path.count("/") <= _DEEPEST:
            yield from _walk(Path(entry.path), path, (*above, here), problems)


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _content(path: Path) -> bytes:
    # opened so that a pipe does not wait for its writer
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        return file.read()


def _unreadable(path: str, reason: str) -> Problem:
    return Problem(file=path, message=f"cannot be read: {reason}.", code="unreadable-file")


def _classify(path: str) -> tuple[str, str, str] | None:
    """Returns kind, domain and stem of a file; None for an unrelated file, kind `ignored` for a likely mistake."""
    parts = path.split("/")[1:]
    name = parts[-1]
    if len(parts) == 1:
        return _top(name)
    area = parts[0]
    if area in {"expectations", "macros"}:
        return ("macro", "", name.removesuffix(".j2")) if name.endswith(".j2") else None
    if area in {"load", "external"}:
        return _table(area, parts)
    if area == "transform":
        return _task(parts)
    if len(parts) == 2 and name.endswith(_SUFFIX) and area in {"types", "dags", "extract"}:
        stem = name.removesuffix(_SUFFIX)
        if area == "types":
            return ("types", "", stem) if stem in {"default", "types"} else None
        return {"dags": "dag", "extract": "extract"}[area], "", stem
    return None


def _top(name: str) -> tuple[str, str, str] | None:
    if not name.endswith(_SUFFIX):
        return None
    stem = name.removesuffix(_SUFFIX)
    if stem in {"application", "refs"}:
        return stem, "", stem
    if stem == "iam-policy-tags":
        return "iam", "", stem
    if stem == "env" or stem.startswith("env."):
        return "env", "", stem[4:]
    return None


def _table(area: str, parts: list[str]) -> tuple[str, str, str] | None:
    name = parts[-1]
    if not name.endswith(_SUFFIX):
        return _likely_mistake(name, parts)
    stem = name.removesuffix(_SUFFIX)
    if len(parts) != 3:
        return "ignored", "", "nested" if len(parts) > 3 else "loose"
    kind = {"load": ("load", "table"), "external": ("external_config", "external")}[area]
    return kind[0 if stem == "_config" else 1], parts[1], stem


def _task(parts: list[str]) -> tuple[str, str, str] | None:
    name = parts[-1]
    if not name.endswith((_SUFFIX, *_COMMANDS)):
        return _likely_mistake(name, parts)
    if len(parts) != 3:
        return "ignored", "", "nested" if len(parts) > 3 else "loose"
    if name.endswith(_SUFFIX):
        stem = name.removesuffix(_SUFFIX)
        return ("transform" if stem == "_config" else "task"), parts[1], stem
    if name.endswith(".py"):
        return "python", parts[1], name.removesuffix(".py")
    return "sql", parts[1], name.removesuffix(".j2").removesuffix(".sql")


def _likely_mistake(name: str, parts: list[str]) -> tuple[str, str, str] | None:
    if len(parts) == 3 and name.endswith((".yml", ".yaml")):
        return "ignored", "", "suffix"
    return None


def _ignored(path: str, reason: str) -> Problem:
    message, hint = {
        "nested": ("is ignored: it is nested too deeply.", "Put it directly below the directory of its domain."),
        "loose": ("is ignored: it is in no domain.", "Put it in a directory: one directory is one domain."),
        "suffix": ("is ignored: only `.sl.yml` files are read.", "Rename it to end with `.sl.yml`."),
    }[reason]
    return Problem(file=path, message=message, hint=hint, severity="warning", code="ignored-file")
