"""Tags of a run that tell its steps what the sensor saw of its files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlake_dagster_assets.triggers.words import short

__all__ = ["FILES", "NO_FILES", "SETS", "sets_in", "sets_text"]

FILES = "starlake/files"
"""Names of the files that it was asked for."""
SETS = "starlake/file_sets"
"""The digest of each set of files, by a short hash of the table's id; shown, because hidden tags (`.dagster/…`) are not
on runs that *Test sensor* launches, and their files would be asked for again."""
NO_FILES = "starlake/no_files"
"""Why the run must fail: its window was closed without files."""


def sets_text(sets: Mapping[str, str]) -> str:
    """The digests of sets as the text of the tag.

    Args:
        sets: By table, or `ack`.
    """
    return json.dumps({short(unit): digest for unit, digest in sets.items()}, separators=(",", ":"))


def sets_in(tags: Mapping[str, str]) -> dict[str, str]:
    """The digests of sets in the tags of a run, by the short hash of the table."""
    try:
        found: Any = json.loads(tags.get(SETS, "{}"))
        return {str(key): str(value) for key, value in found.items()}
    except (ValueError, AttributeError):
        return {}
