"""Tables that the SQL of a task reads, parsed once and then stored in the manifest."""

from __future__ import annotations

from hashlib import blake2b
from typing import cast

from starlake_dagster_assets.project.cache.manifest import Manifest
from starlake_dagster_assets.project.resolve.parsed_project import Analysis

__all__ = ["Analyzer"]


class Analyzer:
    """Analyzer of SQL texts, which stores its results in the manifest.

    Args:
        manifest: Cache of the results.
        secrets: Texts that must not be stored.
    """

    def __init__(self, manifest: Manifest, secrets: frozenset[str]) -> None:
        self._manifest = manifest
        self._secrets = secrets

    def __call__(self, sql: str, dialect: str) -> Analysis:
        """Returns the references of a SQL text; an error of the parser is part of the result."""
        key = f"sql\0{dialect}\0{blake2b(sql.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"
        kept = self._manifest.get(key)
        if isinstance(kept, list):
            references, parity, error = cast("tuple[list[str], list[str], str | None]", kept)
            return Analysis(tuple(references), tuple(parity), error)
        from starlake_dagster_assets.project.sql.references import find_starlake_references, read_references

        references, error = read_references(sql, dialect)
        found = Analysis(references, find_starlake_references(sql), error)
        text = repr(found)
        if not any(secret in text for secret in self._secrets):
            self._manifest.put(key, [found.references, found.parity, found.error])
        return found
