"""Finds files that `stage` left in the incoming directory although it ended without an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlake_dagster_assets.execution.backends.protocol import FileReader
from starlake_dagster_assets.project.model.project import Table
from starlake_dagster_assets.project.resolve.file_matching import FileMatching, filter_acknowledged

__all__ = ["IncomingFiles"]


class IncomingFiles:
    """Listings of the incoming directory of one domain before and after `stage`.

    Args:
        reader: Reader that lists the directory; None if it cannot be listed.
        domain: `load.name`.
    """

    def __init__(self, reader: FileReader | None, domain: str) -> None:
        self._reader = reader
        self._domain = domain
        self._before = self._read()

    def not_staged(self, table: Table) -> Sequence[str]:
        """Returns the acknowledged files of a table that were in the directory before `stage` and are still there."""
        wanted = filter_acknowledged(FileMatching([table]).claims(self._before), self._before.__contains__)
        after = self._read()
        return sorted(claim.name for claim in wanted if after.get(claim.name) == self._before[claim.name])

    def _read(self) -> Mapping[str, str]:
        found = self._reader.list_files("incoming", self._domain) if self._reader is not None else None
        return found or {}
