"""The tables of one load, as the manifest of an export describes them.

Exported next to the DAG files: standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlake_dagster_assets.execution.evidence import RequestedTable

__all__ = ["LoadSpec", "WorkerTable", "read_manifest"]


@dataclass(frozen=True)
class WorkerTable:
    """A table of the domain, as the manifest describes it.

    Attributes:
        name: Name of the table (`table.name`).
        domain_name: Name of the domain (`load.name`).
        pattern: Regular expression of Java for the names of its files; "" if the manifest does not list the table.
    """

    name: str
    domain_name: str
    pattern: str = ""


def read_manifest(environ: Mapping[str, str]) -> Mapping[str, Any]:
    """Reads the manifest of the export from the path in `STARLAKE_EXPORT`; {} if the variable has no path."""
    path = environ.get("STARLAKE_EXPORT")
    if not path:
        return {}
    with open(path, encoding="utf-8") as file:
        return json.load(file)


@dataclass(frozen=True)
class LoadSpec:
    """The tables of one load command.

    Attributes:
        requested: The requested tables, by file stem.
        domain: All tables of the domain.
        expected: The requested tables for the rules of results, by (domain, table).
        blocking: The requested tables with an expectation that blocks.
        repeated: The requested tables that the log may announce more than once.
    """

    requested: Mapping[str, WorkerTable]
    domain: Sequence[WorkerTable]
    expected: Mapping[tuple[str, str], RequestedTable]
    blocking: frozenset[tuple[str, str]]
    repeated: Sequence[tuple[str, str]]

    @classmethod
    def of(cls, manifest: Mapping[str, Any], directory: str, stems: Sequence[str]) -> LoadSpec:
        """Reads the tables of a load from a manifest.

        Args:
            manifest: The manifest of the export; {} if it is unknown.
            directory: Directory of the domain, as the command names it.
            stems: File stems of the tables.
        """
        listed: Mapping[str, Mapping[str, Any]] = manifest.get("tables", {})
        own = f"{directory}/"
        known = {key.removeprefix(own): one for key, one in listed.items() if key.startswith(own)}
        domain = next((one["domain"] for one in known.values()), directory)
        entries = {stem: known.get(stem, {}) for stem in stems}
        requested = {
            stem: WorkerTable(one.get("name", stem), domain, one.get("pattern", "")) for stem, one in entries.items()
        }
        tables = [WorkerTable(one.get("name", stem), domain, one["pattern"]) for stem, one in known.items()]
        names = {stem: (domain, table.name) for stem, table in requested.items()}
        expected = {names[stem]: _expected(domain, directory, names[stem][1], one) for stem, one in entries.items()}
        blocking = frozenset(names[stem] for stem, one in entries.items() if one.get("blocks"))
        repeated = [names[stem] for stem, one in entries.items() if one.get("repeated")]
        return cls(requested, tables or [*requested.values()], expected, blocking, repeated)


def _expected(domain: str, directory: str, table: str, known: Mapping[str, Any]) -> RequestedTable:
    return RequestedTable(
        domain,
        table,
        known.get("final_domain", domain),
        known.get("final_name", table),
        directory,
        pattern=known.get("pattern", ""),
        zero_is_loss=known.get("zero_is_loss", False),
        header=known.get("header", True),
    )
