"""Cache of loaded project files, keyed by content, so that a stale entry is never used.

Two files per project and environment: `<key>.files.json` holds what each file declares and its SQL reads, by hash of
its bytes and of what it depends on; `<key>.project.json` the whole resolved project. Neither holds variables,
connections, nor anything of a file that reads a secret.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from hashlib import blake2b
from importlib import metadata
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from starlake_dagster_assets.atomic_file import replaced_file
from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.project.model.project import Application, DagConfig, Domain, ExternalTable, Macro, TypeDef
from starlake_dagster_assets.project.model.project import TransformDomain as Transforms
from starlake_dagster_assets.project.model.secret_names import is_secret_name

__all__ = ["Manifest", "Snapshot", "likely_secrets", "may_be_secret"]

_FORMAT = "2"
_DEPENDENCIES = ("starlake-dagster-assets", "sqlglot", "pydantic", "jinja2", "pyyaml")
_MAY_BE_SECRET = re.compile(r"keyfile|(?:^|_)auth(?:_|$)|aes_?key", re.IGNORECASE)
"""Further names whose values are not cached; most of them name files and methods of authentication, not secrets."""


class Snapshot(BaseModel):
    """A resolved project without its root, variables and application."""

    model_config = ConfigDict(frozen=True)

    types: dict[str, TypeDef]
    domains: tuple[Domain, ...]
    transforms: tuple[Transforms, ...]
    externals: tuple[ExternalTable, ...]
    dags: dict[str, DagConfig]
    macros: tuple[Macro, ...]
    problems: tuple[Problem, ...]


class Manifest:
    """Cache of one project in one environment; damaged files count as missing.

    Args:
        directory: The directory of its files; created with the first of them.
        root: The project's root.
        env: The environment's name.
    """

    def __init__(self, directory: Path, root: Path, env: str | None) -> None:
        key = _hash([str(root), env or ""])
        self._files_path = directory / f"{key}.files.json"
        self._project_path = directory / f"{key}.project.json"
        self._stamp = _stamp()
        self._known: tuple[str, tuple[str, ...], str, Snapshot] | None = None
        self._files: dict[str, Any] | None = None
        self._used: dict[str, Any] = {}
        self._changed = False

    # ------------------------------------------------------------------------------------------- whole project

    @property
    def names(self) -> Collection[str] | None:
        """Names of the variables that the files mention; None if they are not known."""
        return None if self._known is None else self._known[1]

    def project(self, key: str, context: Mapping[str, str]) -> Snapshot | None:
        """Returns the resolved project, if nothing it depends on has changed.

        Args:
            key: A hash of all files and settings.
            context: A hash of the value of each variable; only those that the files mention count.
        """
        if self._known is not None:
            known, names, values, snapshot = self._known
            if known == key and _context(names, context) == values:
                return snapshot
        try:
            head, _, body = self._project_path.read_bytes().partition(b"\n")
            header = cast("dict[str, Any]", json.loads(head))
            if [header["stamp"], header["key"], header["sum"]] != [self._stamp, key, _digest(body)]:
                return None
            if _context(header["names"], context) != header["context"]:
                return None
            snapshot = Snapshot.model_validate_json(body)
            self._known = (key, tuple(header["names"]), header["context"], snapshot)
            return snapshot
        except (OSError, ValueError, KeyError, TypeError, ValidationError, RecursionError):
            return None

    def keep_project(self, key: str, names: Iterable[str], context: Mapping[str, str], snapshot: Snapshot) -> None:
        """Stores a resolved project for the next load."""
        try:
            body = snapshot.model_dump_json(exclude_defaults=True).encode()
        except ValueError:  # a file's name that is not UTF-8
            return
        used = sorted(names)
        values = _context(used, context)
        self._known = (key, tuple(used), values, snapshot)
        header = {
            "stamp": self._stamp,
            "key": key,
            "sum": _digest(body),
            "names": used,
            "context": values,
        }
        _write(self._project_path, json.dumps(header).encode() + b"\n" + body)

    def forget_project(self) -> None:
        """Removes the stored resolved project, if the current one must not be stored."""
        with contextlib.suppress(OSError):
            self._project_path.unlink(missing_ok=True)

    # --------------------------------------------------------------------------------------------- single files

    def get(self, key: str) -> Any:
        """Returns an entry of an earlier load, or None."""
        found = self._read().get(key)
        if found is not None:
            self._used[key] = found
        return found

    def put(self, key: str, value: Any) -> None:
        """Adds an entry, which `save` writes."""
        self._used[key] = value
        self._changed = True

    def save(self) -> None:
        """Writes the entries that this load used, if any is new."""
        if self._changed:
            body = json.dumps(self._used, separators=(",", ":")).encode()
            header = json.dumps({"stamp": self._stamp, "sum": _digest(body)}).encode()
            _write(self._files_path, header + b"\n" + body)

    def _read(self) -> dict[str, Any]:
        if self._files is None:
            self._files = {}
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
                head, _, body = self._files_path.read_bytes().partition(b"\n")
                header = cast("dict[str, Any]", json.loads(head))
                if header["stamp"] == self._stamp and header["sum"] == _digest(body):
                    found = json.loads(body)
                    self._files = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
        return self._files


def may_be_secret(name: str) -> bool:
    """Whether a variable or an option may hold a secret, by its name."""
    return is_secret_name(name) or _MAY_BE_SECRET.search(name) is not None


def likely_secrets(variables: Mapping[str, str], application: Application) -> frozenset[str]:
    """Returns the values of variables and connection options that are likely to be secrets."""
    options = [item for connection in application.connections.values() for item in connection.options.items()]
    found = {value for name, value in [*variables.items(), *options] if may_be_secret(name)}
    return frozenset(value for value in found if len(value) >= 4 and value.lower() not in {"true", "false", "none"})


def _context(names: Iterable[str], values: Mapping[str, str]) -> str:
    return _hash(f"{name}={values.get(name, '')}" for name in names)


@cache
def _stamp() -> str:
    """Returns a hash of everything but the files that determines the result of a load; constant within a process."""
    parts = [_FORMAT]
    for package in _DEPENDENCIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            parts.append(f"{package}={metadata.version(package)}")
    root = Path(__file__).parents[1]
    for path in sorted(root.rglob("*")):
        if path.suffix != ".pyc" and path.is_file():
            stat = path.stat()
            parts.append(f"{path.relative_to(root)} {stat.st_mtime_ns} {stat.st_size}")
    return _hash(parts)


def _write(path: Path, content: bytes) -> None:
    """Replaces a file atomically, so that no process reads a partial file; ignores errors of the file system."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with replaced_file(path) as part:
            part.touch(mode=0o600)
            part.write_bytes(content)


def _hash(parts: Iterable[str]) -> str:
    return _digest("\0".join(parts).encode("utf-8", "surrogatepass"))


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()
