"""Run tags that pass the files that a sensor found to the steps of the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlake_dagster_assets.automation.policies.skip_reasons import short_hash

__all__ = ["FILES", "FILES_OF_WINDOW", "NO_FILES", "SETS", "sets_in", "sets_text"]

FILES = "starlake/files"
"""Run tag: names of the files that the run was requested for, if the run has no data interval."""
FILES_OF_WINDOW = ".dagster/starlake_files"
"""Run tag: the same names, for runs with a data interval, because the UI shows at most two tags."""
SETS = ".dagster/starlake_file_sets"
"""Run tag: digest of each set of files, by a short hash of the table's id or of the path of the ack file."""
NO_FILES = ".dagster/starlake_no_files"
"""Run tag: reason why the run must fail, because its window closed without files."""


def sets_text(sets: Mapping[str, str]) -> str:
    """Returns the digests of sets of files as the value of the tag `SETS`.

    Args:
        sets: Digests by table or ack file.
    """
    return json.dumps({short_hash(unit): digest for unit, digest in sets.items()}, separators=(",", ":"))


def sets_in(tags: Mapping[str, str]) -> dict[str, str]:
    """Returns the digests of sets of files in the tags of a run, by the short hash of the table or ack file."""
    try:
        found: Any = json.loads(tags.get(SETS, "{}"))
        return {str(key): str(value) for key, value in found.items()}
    except (ValueError, AttributeError):
        return {}
