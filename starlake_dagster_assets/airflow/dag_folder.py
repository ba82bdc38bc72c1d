"""The folder of DAG files: which export each file belongs to, and which files an export may write and remove."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from starlake_dagster_assets.airflow.manifest import GATHERED
from starlake_dagster_assets.airflow.render.dag_file import MARKER
from starlake_dagster_assets.airflow.shared_module import SHARED
from starlake_dagster_assets.atomic_file import replaced_file
from starlake_dagster_assets.errors import ProjectError, StarlakeError
from starlake_dagster_assets.plural import first_of

__all__ = ["DagFolder", "FolderChanges"]

_MARKERS = (MARKER, "# Exported by starlake-dagster airflow export: changes here are lost.")
"""First line of exported files in this version and in earlier ones."""
_SUFFIX = ".manifest.json"
_EXPORTER = "starlake-dagster"
_FILE = re.compile(r"[\w.-]+\.py|(?:asset_map|pools|[\w.-]+\.manifest)\.json|proxied_state/[\w.-]+\.yaml")
"""Names of the files that an export writes; files with other names are never removed."""
_FEW = 5


@dataclass(frozen=True)
class FolderChanges:
    """Sorted names of the files that an export writes, leaves unchanged and removes."""

    written: tuple[str, ...]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...]


class DagFolder:
    """A folder of DAG files, which several exports may share.

    Args:
        path: The folder; it need not exist.

    Raises:
        StarlakeError: The path, or a part of it, is a file.
    """

    def __init__(self, path: Path) -> None:
        existing = next((one for one in (path, *path.parents) if one.exists()), None)
        if existing is not None and not existing.is_dir():
            raise StarlakeError(f"{existing}: expected a directory for the DAG files, found a file.")
        self._path = path

    @cached_property
    def manifests(self) -> Mapping[str, Mapping[str, Any]]:
        """The manifests of the exports in the folder, by the name of the export.

        Raises:
            ProjectError: A manifest does not have the form that an export writes.
        """
        found: dict[str, Mapping[str, Any]] = {}
        for path in sorted(self._path.glob(f"*{_SUFFIX}")):
            try:
                manifest: Any = json.loads(path.read_bytes())
            except ValueError:
                continue
            if not isinstance(manifest, dict) or cast("dict[str, Any]", manifest).get("exported_by") != _EXPORTER:
                continue
            known = cast("dict[str, Any]", manifest)
            if problem := _problem_of_manifest(known):
                raise ProjectError(
                    [f"{path}: {problem}. Next: restore the manifest from version control, or remove it, and export."]
                )
            found[path.name.removesuffix(_SUFFIX)] = known
        return found

    def free_name(self, base: str, nodes: Collection[str]) -> str:
        """Returns the name of an export: the first of `base`, `base_2`, … that no other project uses.

        Args:
            base: The name that is tried first.
            nodes: Ids of all nodes of the project. A manifest without any of them belongs to another project.

        Raises:
            ProjectError: The project has less than half of the nodes of the manifest, so it may be another project.
        """
        name, number = base, 1
        while (manifest := self.manifests.get(name)) is not None:
            known = {*manifest.get("assets", ())}
            common = len(known & {*nodes})
            if 2 * common >= len(known) and common:
                break
            if common:
                raise ProjectError(
                    [
                        f"{self._path}: this project has {common} of the {len(known)} tables and tasks of the export "
                        f"{name}, so it may be another project. Next: pass --name {name} to replace the export, or "
                        "another --name and --prefix to keep it."
                    ]
                )
            number += 1
            name = f"{base}_{number}"
        return name

    def gathered(self, name: str, manifest: Mapping[str, Any]) -> dict[str, str]:
        """Returns the manifest of an export and the files that combine the manifests of all exports, as text by name.

        Args:
            name: Name of the export.
            manifest: Manifest of the export.
        """
        manifests = dict(sorted({**self.manifests, name: manifest}.items())).values()
        merged: dict[str, dict[str, Any]] = {"assets": {}, "external": {}, "pools": {}}
        for one in manifests:
            for key, value in merged.items():
                value.update(one.get(key, {}))
        produced = {asset["uri"] for asset in merged["assets"].values()}
        external = {uri: one for uri, one in merged["external"].items() if uri not in produced}
        assets = {"exported_by": _EXPORTER, "assets": merged["assets"], "external": external}
        return {
            f"{name}{_SUFFIX}": _json(manifest, dense=("assets",)),
            "asset_map.json": _json(assets),
            "pools.json": _json(merged["pools"]),
        }

    def deleted_nodes(self, name: str, nodes: Collection[str]) -> Iterator[str]:
        """Yields a note on the tables and tasks of the previous export that the project no longer has.

        Args:
            name: Name of the export.
            nodes: Ids of all nodes of the project.
        """
        gone = sorted({*self.manifests.get(name, {}).get("assets", ())} - {*nodes})
        if gone:
            named = first_of(gone, _FEW)
            yield f"{named}: no longer in the project; tasks that followed them follow what is left of their upstreams"

    def shared_root(self, name: str, project: str, files: Mapping[str, str], variable: str) -> Iterator[str]:
        """Yields a note if DAG files of another project in the folder read the same Airflow variable as an export.

        Args:
            name: Name of the export.
            project: Name of the project.
            files: Texts of the export by name.
            variable: Name of the variable.
        """
        template = re.compile(rf"var\.value\.(?:{re.escape(variable)}\b|get\(\\?'{re.escape(variable)}\\?')")
        if not any(template.search(text) for text in files.values()):
            return
        own, others = f"Made from the Starlake project {project}", list[str]()
        for other, manifest in self.manifests.items():
            texts = [self.read(file) or "" for file in manifest.get("files", ()) if file.endswith(".py")]
            dags = [text for text in texts if "Made from the Starlake project " in text]
            if other != name and any(own not in text and template.search(text) for text in dags):
                others.append(other)
        if others:
            yield (
                f"variable {variable}: exports of another project read it, too: {first_of(others, _FEW)}. Next: export "
                "with --variables-prefix, unless both projects have the same root"
            )

    def changes(self, name: str, project: str, prefix: str, files: Mapping[str, str]) -> FolderChanges:
        """Returns the names of the files that an export would write, leave unchanged and remove.

        Args:
            name: Name of the export.
            project: Name of the project, which is in the header of files that no manifest lists.
            prefix: Prefix of the DAG ids of the export.
            files: Texts by name.

        Raises:
            ProjectError: A file to write exists and does not belong to this export.
        """
        texts = {one: self.read(one) for one in files}
        others = {
            file: other for other, one in self.manifests.items() if other != name for file in one.get("files", ())
        }
        mine: set[str] = {*self.manifests.get(name, {}).get("files", ())}
        former = self._former(project)
        problems: list[str] = []
        for file, text in files.items():
            if texts[file] is None or (file in GATHERED and self._is_gathered(file)):
                continue
            if file in others and (texts[file] != text or not file.startswith(SHARED)):
                decides = "--prefix" if file.startswith(f"{prefix}_") else "`filename` in its DAG configuration"
                problems.append(
                    f"{self._path / file}: belongs to the export {others[file]!r}. Export into another folder or with "
                    f"another {decides}; --name {others[file]} replaces that export"
                )
            elif texts[file] == text:
                continue
            elif self._is_foreign(file, mine | former):
                problems.append(f"{self._path / file}: is not an exported file; move it away, or export elsewhere")
        if problems:
            raise ProjectError([f"{text}." for text in problems])
        old: set[str] = mine | (
            {one for one in former if one.startswith(f"{prefix}_")} if name not in self.manifests else set()
        )
        removed = [
            one
            for one in old - files.keys() - others.keys()
            if self.read(one) is not None and not self._is_foreign(one, old)
        ]
        written = [one for one, text in files.items() if texts[one] != text]
        return FolderChanges(
            tuple(sorted(written)), tuple(sorted(one for one in files if one not in written)), tuple(sorted(removed))
        )

    def write(self, files: Mapping[str, str], changes: FolderChanges) -> None:
        """Writes and removes the files of an export.

        Args:
            files: Texts by name.
            changes: Names of the files to write and to remove.
        """
        self._path.mkdir(parents=True, exist_ok=True)
        for name in changes.written:
            _replace(self._path / name, files[name])
        for name in changes.removed:
            (self._path / name).unlink()

    def _is_foreign(self, file: str, listed: Collection[str]) -> bool:
        """Whether an existing file is foreign to the export: unlisted, or a Python file without the export marker."""
        if file.endswith(".py"):
            return file not in listed or not self._marked(self._path / file)
        return file not in listed and not file.endswith((_SUFFIX, ".yaml"))

    def _is_gathered(self, file: str) -> bool:
        """Whether a file that combines manifests was written by an export."""
        listed = any(file in one.get("files", ()) for one in self.manifests.values())
        return listed or any(self._marked(path) for path in self._path.glob("*.py"))

    def _former(self, project: str) -> set[str]:
        """Returns the exported files of the project that no manifest lists."""
        known = {file for one in self.manifests.values() for file in one.get("files", ())}
        header = f"Made from the Starlake project {project}"
        found: set[str] = set()
        for path in self._path.glob("*.py"):
            if path.name not in known and self._marked(path):
                text = self.read(path.name) or ""
                found |= {path.name} if f"{header}:" in text or f"{header}," in text else set()
        return found

    @staticmethod
    def _marked(path: Path) -> bool:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.readline().rstrip("\n") in _MARKERS

    def read(self, name: str) -> str | None:
        """Returns the text of a file; None if the file does not exist."""
        try:
            return (self._path / name).read_bytes().decode("utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return None


def _problem_of_manifest(manifest: Mapping[str, Any]) -> str:
    """Returns the reason why a manifest is not one that an export wrote; "" if it is one."""
    for key in ("assets", "external", "pools"):
        if not isinstance(manifest.get(key, {}), dict):
            return f"`{key}`: expected a mapping"
    files: Any = manifest.get("files", [])
    if not isinstance(files, list):
        return "`files`: expected a list of names"
    names = cast("list[Any]", files)
    wrong = [one for one in names if not isinstance(one, str) or not _FILE.fullmatch(one)]
    return f"`files` contains {wrong[0]!r}, which no export writes" if wrong else ""


def _json(value: Mapping[str, Any], dense: Collection[str] = ()) -> str:
    """Renders sections as JSON with one line per entry; each section in `dense` has one line in all."""
    texts = {key: _text(value[key]) if key in dense else _section(value[key]) for key in sorted(value)}
    return "{\n" + ",\n".join(f"  {_text(key)}: {text}" for key, text in texts.items()) + "\n}\n"


def _section(value: Any) -> str:
    entries = cast("dict[str, Any]", value)
    if not isinstance(value, dict) or not entries:
        return _text(entries)
    return "{\n" + ",\n".join(f"    {_text(key)}: {_text(entries[key])}" for key in sorted(entries)) + "\n  }"


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _replace(path: Path, text: str) -> None:
    """Replaces a file atomically; the temporary name does not end in `.py`, so that Airflow does not parse it."""
    path.parent.mkdir(exist_ok=True)
    with replaced_file(path) as part:
        part.write_bytes(text.encode("utf-8"))
        part.chmod(0o644)
