"""Run tags that pass the files that a sensor found to the steps of the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlake_dagster_assets.automation.policies.skip_reasons import short_hash

__all__ = ["FILES", "FILES_OF_WINDOW", "NO_FILES", "SETS", "sets_in", "sets_text"]

FILES = "starlake/files"
"""Names of the files that the run was requested for, where it has no data interval that the UI shows."""
FILES_OF_WINDOW = ".dagster/starlake_files"
"""The same for runs with a data interval: the UI shows two tags at most."""
SETS = ".dagster/starlake_file_sets"
"""The digest of each set of files, by a short hash of the table's id or of the path of the ack file."""
NO_FILES = ".dagster/starlake_no_files"
"""Run tag: reason for which the run must fail, since its window closed without files."""


def sets_text(sets: Mapping[str, str]) -> str:
    """Returns the digests of sets as the text of the tag.

    Args:
        sets: By table or ack file.
    """
    return json.dumps({short_hash(unit): digest for unit, digest in sets.items()}, separators=(",", ":"))


def sets_in(tags: Mapping[str, str]) -> dict[str, str]:
    """Returns the digests of sets in the tags of a run, by the short hash of the table or ack file."""
    try:
        found: Any = json.loads(tags.get(SETS, "{}"))
        return {str(key): str(value) for key, value in found.items()}
    except (ValueError, AttributeError):
        return {}
