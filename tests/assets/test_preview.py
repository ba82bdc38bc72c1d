"""Rows shown in the UI: only when asked for, and nothing private."""

import shutil
from pathlib import Path

import dagster as dg

from starlake_dagster_assets import StarlakeDuckDB, StarlakeProject, StarlakeResource, starlake_assets
from starlake_dagster_assets.assets.preview import preview
from starlake_dagster_assets.graph.model import Node

EXAMPLE = Path(__file__).resolve().parents[2] / "example_project"
NODE = Node(id="kpi.x", kind="task", raw="kpi.x", key=("kpi", "x"))


def shown(*cells: str, private: frozenset[str] = frozenset()) -> str:
    return preview(NODE, private, [f"c{number}" for number in range(len(cells))], [cells]).value.splitlines()[-1]


def test_a_value_cannot_leave_its_cell():
    assert shown("a|b", "<script>", "two\nlines") == "| a\\|b | \\<script\\> | two lines |"
    assert len(shown("x" * 10_000)) < 80


def test_a_private_column_is_hidden_by_its_name():
    assert shown("secret", "open", private=frozenset({"c0"})) == "| *** | open |"


def test_an_empty_table_says_so():
    assert preview(NODE, frozenset(), ["a"], []).value == "kpi.x has no rows."


def test_rows_of_a_load_are_shown_without_what_the_project_protects(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = shutil.copytree(EXAMPLE / "starbake", tmp_path / "starbake", ignore=shutil.ignore_patterns("datasets"))
    shutil.copytree(EXAMPLE / "deliveries" / "day1", root / "datasets" / "incoming")
    project = StarlakeProject(root, env="DUCKDB")
    private = {
        attribute.final_name
        for table in project.model.tables
        for attribute in table.attributes
        if table.id == "starbake.Customers" and attribute.privacy.upper() != "NONE"
    }
    assert private

    @starlake_assets(project=project, select="starbake.Customers")
    def customers(context: dg.AssetExecutionContext, starlake: StarlakeResource):
        yield from starlake.run(context).fetch_preview(rows=2)

    result = dg.materialize([customers], resources={"starlake": StarlakeDuckDB()})
    (made,) = result.get_asset_materialization_events()
    head, _, *lines = made.materialization.metadata["starlake/preview"].value.splitlines()
    columns = [cell.strip().replace("\\", "") for cell in head.strip("|").split("|")]
    assert len(lines) == 2
    for line in lines:
        cells = dict(zip(columns, (cell.strip() for cell in line.strip("|").split("|")), strict=True))
        assert {name for name, cell in cells.items() if cell == "***"} == private & set(columns)
