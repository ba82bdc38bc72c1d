"""Files that a load of the real program took and did not bring to its end, on a local disk."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from starlake_dagster_assets.engine.areas import area, move_file
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.java_regex import compile_java
from starlake_dagster_assets.project.model import Project, Table

__all__ = ["IngestingFiles"]


@dataclass(frozen=True)
class IngestingFiles:
    """The area `ingesting` of a project.

    Attributes:
        project: Says where the areas are.
    """

    project: Project

    def left(self, table: Table) -> Sequence[str]:
        """Names of the files that match the pattern of a table; none where the area is not on a local disk."""
        folders = self._folders(table)
        if folders is None or not folders[0].is_dir():
            return ()
        matches = compile_java(table.pattern).fullmatch
        return sorted(one.name for one in folders[0].iterdir() if one.is_file() and matches(one.name))

    def put_back(self, table: Table, names: Collection[str]) -> Sequence[str]:
        """Brings files back to `stage`; one that has a namesake there stays. Gives a log line for each."""
        folders = self._folders(table)
        if folders is None:
            return ()
        told: list[str] = []
        for name in sorted(names):
            source, target = (folder / name for folder in folders)
            if source.parent != folders[0] or not source.is_file():
                continue
            if target.exists():
                told.append(f"WARN StarlakeShell: {name} stays in {folders[0]}: {target} has come meanwhile")
                continue
            try:
                move_file(source, target)
            except OSError as error:
                told.append(f"WARN StarlakeShell: {name} stays in {folders[0]}: {error}")
            else:
                told.append(f"WARN StarlakeShell: {name} was not loaded: brought back to {folders[1]}")
        return told

    def _folders(self, table: Table) -> tuple[Path, Path] | None:
        try:
            return (
                area(self.project, "ingesting", table.domain_name),
                area(self.project, "stage", table.domain_name),
            )
        except EngineError:
            return None
