"""No option is missing in the table of docs/migration.md; tests/docs runs its blocks."""

from __future__ import annotations

import re

from starlake_dagster_assets import StarlakeShell
from starlake_dagster_assets.resources import StarlakeCloudRun, StarlakeDataproc, StarlakeFargate
from starlake_dagster_assets.triggers.options import KNOWN_ELSEWHERE
from starlake_dagster_assets.triggers.settings import NodeSettings
from tests.migration.conftest import EXAMPLE

PAGE = (EXAMPLE.parent / "docs" / "migration.md").read_text(encoding="utf-8")
OURS = {"stable_for", "guard", "triggering", "optional_datasets", "partitions"}
"""Settings that starlake-dagster has not."""
SNOWFLAKES = {"stage_location", "sl_incoming_file_stage", "warehouse", "packages", "allow_overlapping_execution"}


def test_every_option_has_a_row() -> None:
    rows = PAGE.split("## Option by option")[1].split("## Reference")[0]
    said = re.findall(r"`([\w*]+)`", rows)
    exact, beginnings = set(said), tuple(word[:-1] for word in said if word.endswith("*"))
    resources = (StarlakeShell, StarlakeDataproc, StarlakeCloudRun, StarlakeFargate)
    known = {*NodeSettings.model_fields, *KNOWN_ELSEWHERE, *(name for one in resources for name in one.option_names)}
    missing = {name for name in known - OURS - SNOWFLAKES if name not in exact and not name.startswith(beginnings)}
    assert not missing
