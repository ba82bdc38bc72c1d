"""What docs/migration.md says is so: its example of a directory runs, and no option is missing in its table."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeProject, StarlakeShell
from starlake_dagster_assets.resources import StarlakeCloudRun, StarlakeDataproc, StarlakeFargate
from starlake_dagster_assets.triggers.options import KNOWN_ELSEWHERE
from starlake_dagster_assets.triggers.settings import NodeSettings
from tests.migration import generated
from tests.migration.conftest import EXAMPLE

PAGE = (EXAMPLE.parent / "docs" / "migration.md").read_text(encoding="utf-8")
OURS = {"stable_for", "guard", "triggering", "optional_datasets", "partitions"}
"""Settings that starlake-dagster has not."""
SNOWFLAKES = {"stage_location", "sl_incoming_file_stage", "warehouse", "packages", "allow_overlapping_execution"}


def test_the_example_of_a_directory_runs(
    tmp_path: Path, starbake: StarlakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(EXAMPLE / "starbake", tmp_path / "starbake", ignore=shutil.ignore_patterns("datasets"))
    (tmp_path / "dags" / "generated").mkdir(parents=True)
    text = generated.new_load(generated.schedules(starbake.graph, ["starbake.Orders"]))
    (tmp_path / "dags" / "generated" / "load.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    block = re.search(r"<!-- example: directory -->\s*```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, dg.Definitions] = {}
    assert block
    exec(block[1], names)
    assert isinstance((names["defs"].resources or {})["starlake"], StarlakeShell)
    assert [job.name for job in names["defs"].jobs or ()] == ["load"]


def test_every_option_has_a_row() -> None:
    rows = PAGE.split("## Option by option")[1].split("## Reference")[0]
    said = re.findall(r"`([\w*]+)`", rows)
    exact, beginnings = set(said), tuple(word[:-1] for word in said if word.endswith("*"))
    resources = (StarlakeShell, StarlakeDataproc, StarlakeCloudRun, StarlakeFargate)
    known = {*NodeSettings.model_fields, *KNOWN_ELSEWHERE, *(name for one in resources for name in one.option_names)}
    missing = {name for name in known - OURS - SNOWFLAKES if name not in exact and not name.startswith(beginnings)}
    assert not missing
