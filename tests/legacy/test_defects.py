"""What went wrong with the same files under starlake-dagster, and does not here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg

from starlake_dagster_assets import StarlakeProject, StarlakeShell, definitions_from_dag_context
from starlake_dagster_assets.automation import build_triggers
from starlake_dagster_assets.legacy.literals import read_dag_context
from starlake_dagster_assets.legacy.project import DagProject
from tests.legacy import generated

VARIABLES = {"sl_env_var": '{"SL_ROOT": "/starbake"}'}


def tree(name: str, *tables: str, **data: Any) -> list[Any]:
    children = [{"data": {"name": table, "typ": "table"}} for table in tables]
    return [{"data": {"name": name, "typ": "task", **data}, "children": children}]


def test_the_sensor_of_each_file_starts_the_job_of_that_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text(generated.new_transform(tree(f"kpi.{name}", f"s.{name}"), VARIABLES))
    defs = definitions_from_dag_context(tmp_path)
    found = {sensor.job_name: sensor.metadata["starlake/watched"].value for sensor in defs.sensors or ()}
    assert found == {"a": "s.a", "b": "s.b"}


def test_tables_whose_names_join_to_one_word_are_two_assets() -> None:
    tables = [{"domains": [{"name": "a_b", "tables": ["c"]}, {"name": "a", "tables": ["b_c"]}]}]
    defs = definitions_from_dag_context(schedules=tables, options=VARIABLES, file="x.py")
    keys = defs.get_repository_def().asset_graph.materializable_asset_keys
    assert keys == {dg.AssetKey(["a_b", "c"]), dg.AssetKey(["a", "b_c"])}


def test_a_freshness_without_a_cron_makes_no_cron() -> None:
    context = read_dag_context("x", dependencies=tree("kpi.a", "s.a", freshness=3600), options=VARIABLES)
    trigger = build_triggers(DagProject([context])).triggers["kpi.a"]
    assert (trigger.triggered_by, trigger.cron_schedule) == ("lineage", None)


def test_final_names_of_newer_files_become_the_raw_names_that_the_program_knows(starbake: StarlakeProject) -> None:
    said = generated.schedules(starbake.graph, ["reference.Shops"])
    made = DagProject([read_dag_context("load", schedules=said)], starbake)
    assert said[0]["domains"][0]["name"] == "reference"
    assert made.graph.nodes["reference.Shops"].raw == "network.stores"


def test_definitions_are_the_same_at_every_import(tmp_path: Path) -> None:
    tables = "{'f', 'e', 'd', 'c', 'b', 'a'}"
    text = f"schedules = [{{'domains': [{{'name': 's', 'tables': {tables}}}]}}]\noptions = {VARIABLES!r}\n"
    (tmp_path / "x.py").write_text(text)
    script = (
        "from starlake_dagster_assets.legacy.dag_file_reader import read_dag_files\n"
        f"print([table.raw for table in read_dag_files({str(tmp_path)!r})[0].schedules[0].tables])"
    )
    root = str(Path(__file__).parents[2])
    seen = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": root},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(seen) == 1


def test_values_of_variables_are_not_shown_where_a_resource_is_printed() -> None:
    options = {"sl_env_var": '{"SL_ROOT": "/starbake", "PGPASSWORD": "hunter22"}'}
    defs = definitions_from_dag_context(task_deps=tree("kpi.a"), options=options, file="x.py")
    resource = (defs.resources or {})["starlake"]
    assert isinstance(resource, StarlakeShell) and "hunter22" not in repr(resource)
