"""No option is missing in the table of docs/migration.md; tests/docs runs its blocks."""

from __future__ import annotations

import re
from pathlib import Path

from starlake_dagster_assets import StarlakeShell
from starlake_dagster_assets.automation.policies.options import list_ignored_options
from starlake_dagster_assets.automation.policies.settings import NodeSettings
from starlake_dagster_assets.resources import StarlakeCloudRun, StarlakeDataproc, StarlakeFargate
from tests.legacy.conftest import EXAMPLE

PAGE = (EXAMPLE.parent / "docs" / "migration.md").read_text(encoding="utf-8")
OURS = {
    "history",
    "interval",
    "require_fresh_upstreams",
    "stable_for",
    "guard",
    "triggering",
    "optional_datasets",
    "partitions",
    "partition_column",
    "partition_write",
}
"""Settings that starlake-dagster has not."""
SNOWFLAKES = {"stage_location", "sl_incoming_file_stage", "warehouse", "packages", "allow_overlapping_execution"}


def test_every_option_has_a_row() -> None:
    rows = PAGE.split("## Options")[1].split("## Reference")[0]
    said = re.findall(r"`([\w*]+)`", rows)
    exact, beginnings = set(said), tuple(word[:-1] for word in said if word.endswith("*"))
    resources = (StarlakeShell, StarlakeDataproc, StarlakeCloudRun, StarlakeFargate)
    known = {
        *NodeSettings.model_fields,
        *list_ignored_options(),
        *(name for one in resources for name in one.option_names),
    }
    beginnings += ("kubernetes_",)  # an environment that starlake-dagster has not
    missing = {name for name in known - OURS - SNOWFLAKES if name not in exact and not name.startswith(beginnings)}
    assert not missing


def test_the_tests_of_defects_that_the_page_names_are_there() -> None:
    rows = PAGE.split("## Fixed defects")[1].split("\n## ")[0]
    named = set(re.findall(r"`(test_\w+)`", rows))
    tests = Path(__file__).parents[1]
    there = {
        name for file in tests.rglob("test_*.py") for name in re.findall(r"^def (test_\w+)", file.read_text(), re.M)
    }
    assert named <= there
    defects = (tests / "automation" / "policies" / "test_starlake_dagster_defects.py").read_text()
    assert set(re.findall(r"^def (test_\w+)", defects, re.M)) <= named
