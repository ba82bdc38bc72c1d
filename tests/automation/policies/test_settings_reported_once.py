"""A value of the whole project that cannot be used is reported once, not once per table and task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from starlake_dagster_assets import StarlakeAutomation, StarlakeProject
from starlake_dagster_assets.automation.policies.build import build_triggers
from starlake_dagster_assets.errors import ProjectError


@pytest.mark.parametrize(
    ("lineage", "application", "message"),
    [
        ({"strategy": "kpi.t9 & kpi.t0"}, "", "StarlakeAutomation: dataset_triggering_strategy: no asset `kpi.t9`."),
        ({"optional_datasets": ["kpi.zz"]}, "", "StarlakeAutomation: optional_datasets: no asset `kpi.zz`"),
        ({"data_cycle": "dayly"}, "", "StarlakeAutomation: data_cycle: unknown schedule preset `dayly`."),
        ({}, "timezone: Nowhere, ", "metadata/application.sl.yml: timezone: no time zone `Nowhere`."),
    ],
)
def test_one_problem(tmp_path: Path, lineage: dict[str, Any], application: str, message: str) -> None:
    files = {"application.sl.yml": f"version: 1\napplication: {{{application}connectionRef: d, connections: {{d: "}
    files["application.sl.yml"] += '{type: jdbc, options: {url: "jdbc:duckdb:d.db"}}}}\n'
    for name in ("t0", "u1", "u2"):
        files[f"transform/kpi/{name}.sql"] = "select 1 as a" if name == "t0" else "select a from kpi.t0"
    for name in ("t0", "t1"):
        files[f"transform/crons/{name}.sql"] = "select 1 as a"
        files[f"transform/crons/{name}.sl.yml"] = "version: 1\ntask: {schedule: 0 5 * * *}\n"
    for path, text in files.items():
        (tmp_path / "metadata" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "metadata" / path).write_text(text)
    project = StarlakeProject(tmp_path, cache_dir=tmp_path / "cache")
    with pytest.raises(ProjectError) as caught:
        build_triggers(project, StarlakeAutomation(lineage=lineage))
    assert str(caught.value).startswith(message)
    assert str(caught.value).count(message.split(": ")[1]) == 1
