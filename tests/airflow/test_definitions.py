"""What Dagster definitions hold of a project, as DAG files: names, edges, what is left out, and assets of the user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from starlake_dagster_assets import (
    JobSettings,
    StarlakeAutomation,
    StarlakeCloudRun,
    StarlakeDuckDB,
    StarlakeFargate,
    StarlakeProject,
    StarlakeTranslator,
    build_definitions,
    export_airflow,
    starlake_assets,
)
from starlake_dagster_assets.airflow import definitions_graph
from starlake_dagster_assets.errors import ProjectError, StarlakeError
from tests.airflow.projects import odd_project, random_project

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "example_project" / "starbake"


@pytest.fixture(scope="module")
def project() -> StarlakeProject:
    return StarlakeProject(EXAMPLE, env="DUCKDB")


class Shop(StarlakeTranslator):
    """Keys below `shop`; daily revenue also reads calls, of nobody here, and prices, which a Python asset makes."""

    def get_asset_key(self, node):
        return super().get_asset_key(node).with_prefix("shop")

    def get_extra_deps(self, node):
        return [dg.AssetDep(["crm", "calls"]), dg.AssetDep("prices")] if node.id == "kpi.daily_revenue" else []


@dg.asset(deps=[dg.AssetKey(["shop", "reference", "Shops"])])
def prices(): ...


@dg.asset(deps=[dg.AssetKey(["shop", "kpi", "top_products"]), "prices"])
def report(): ...


@dg.asset(deps=["report"])
def letter(): ...


@dg.asset
def weather(): ...


def edges_of(plan) -> set[tuple[str, str]]:
    """Who reads whom, by URI: tasks of the files, and what is told of all else."""
    tasks = [task for dag in plan.dags for task in dag.tasks]
    found = {(up, down) for task in tasks for down in task.outlets for up in task.inlets}
    return found | {(up, uri) for uri, one in plan.external.items() for up in one.reads}


def test_assets_of_the_user_are_external_and_edges_are_those_of_the_definitions(project, tmp_path):
    defs = build_definitions(project, translator=Shop(), extra_assets=[prices, report, letter, weather])
    result = export_airflow(definitions_graph(defs), tmp_path, ids="asset")
    specs = {
        key: one for a in defs.get_repository_def().assets_defs_by_key.values() for key, one in a.specs_by_key.items()
    }
    wanted = {
        (dep.asset_key, key) for key, spec in specs.items() for dep in spec.deps if "incoming" not in dep.asset_key.path
    }

    def uri(key):
        return f"x-starlake://{'/'.join(key.path)}"

    assert edges_of(result.plan) == {(uri(up), uri(down)) for up, down in wanted}
    external = json.loads((tmp_path / "asset_map.json").read_text())["external"]
    assert external["x-starlake://prices"] == {"asset_key": "prices", "reads": ["x-starlake://shop/reference/Shops"]}
    assert external["x-starlake://letter"] == {"asset_key": "letter", "reads": ["x-starlake://report"]}
    assert "x-starlake://weather" not in external
    notes = "\n".join(result.notes)
    text = "this project does not produce prices; it is an inlet, and no task waits for it or its upstreams, "
    assert f"kpi.daily_revenue: {text}" in notes
    assert "report: an asset of yours that reads kpi.top_products; a DAG of yours can start by" in notes


def test_what_the_definitions_leave_out_and_what_starts_them_holds(project, tmp_path):
    automation = StarlakeAutomation(pre_load="imported", jobs=JobSettings(retries=7))
    defs = build_definitions(
        project, select="domain:starbake domain:kpi", exclude="kpi.top_products", automation=automation
    )
    report = export_airflow(definitions_graph(defs), tmp_path)
    assert "kpi.order_lines" in report.plan.node_tasks and "kpi.top_products" not in report.plan.node_tasks
    assert {dag.default_args["retries"] for dag in report.plan.dags} == {7}
    assert any(task.kind == "wait" for dag in report.plan.dags for task in dag.tasks)


def test_an_extra_dependency_on_a_node_is_an_edge_like_any_other(project, tmp_path):
    class Late(StarlakeTranslator):
        def get_extra_deps(self, node):
            return [dg.AssetKey(["kpi", "shop_ranking"])] if node.id == "kpi.top_products" else []

    report = export_airflow(project, tmp_path, translator=Late(), split="component")
    tasks = {task.id: (dag.id, task) for dag in report.plan.dags for task in dag.tasks}
    assert "kpi_shop_ranking" in tasks["kpi_top_products_task"][1].inlets
    assert not any("this project does not produce" in note for note in report.notes)
    assert any(note.startswith("kpi.top_products: starts by") and "kpi.shop_ranking" in note for note in report.notes)


def test_a_dependency_that_a_translator_takes_away_is_no_edge(project, tmp_path):
    class Fewer(StarlakeTranslator):
        def get_deps(self, node):
            return [dep for dep in super().get_deps(node) if dep.asset_key.path[-1] != "order_lines"]

    plan = export_airflow(project, tmp_path, translator=Fewer()).plan
    assert not [edge for edge in edges_of(plan) if edge[0] == "kpi_order_lines"]


def test_an_own_asset_whose_dataset_is_that_of_a_table_is_refused(project, tmp_path):
    class Clash(StarlakeTranslator):
        def get_extra_deps(self, node):
            return [dg.AssetKey(["starbake_orders"])] if node.id == "kpi.daily_revenue" else []

    with pytest.raises(ProjectError, match="starbake_orders would have the same URI"):
        export_airflow(project, tmp_path, translator=Clash())


def test_decorated_assets_are_found_whatever_became_of_their_keys(project, tmp_path):
    @starlake_assets(project=project, select="domain:kpi", translator=Shop())
    def kpi(context): ...

    report = export_airflow(definitions_graph(dg.Definitions([kpi, prices])), tmp_path, ids="asset")
    assert report.plan.uris["kpi.top_products"] == "x-starlake://shop/kpi/top_products"
    assert {node.partition(".")[0] for node in report.plan.node_tasks} == {"kpi"}


def test_one_of_several_projects_is_chosen_and_the_other_ones_assets_are_external(tmp_path):
    first, second = random_project(1), random_project(2)

    class Second(StarlakeTranslator):
        def get_asset_key(self, node):
            return super().get_asset_key(node).with_prefix("second")

    @starlake_assets(project=first)
    def one(context): ...

    @starlake_assets(project=second, translator=Second())
    def two(context): ...

    defs = dg.Definitions([one, two])
    with pytest.raises(StarlakeError, match="several projects"):
        definitions_graph(defs)
    assert definitions_graph(defs, second).project is second
    assert set(definitions_graph(defs, first).naming.upstreams_in_project) == {
        tuple(spec.key.path) for spec in two.specs
    }


def test_the_command_takes_definitions(tmp_path):
    def command(*args):
        program = [sys.executable, "-c", "from starlake_dagster_assets.cli import main; main()", "airflow", "export"]
        env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'example_project'}"}
        return subprocess.run(
            [*program, "--out", str(tmp_path), *args], check=False, capture_output=True, text=True, env=env
        )

    done = command("--definitions", "definitions:defs")
    assert done.returncode == 0, done.stderr
    assert "weekly_report: an asset of yours that reads " in done.stdout
    assert not command("--definitions", "definitions:defs", str(EXAMPLE), "--env", "DUCKDB", "--check").returncode
    refused = command("--definitions", "definitions:defs", "--option", "retries=3")
    assert refused.returncode == 2 and "--option retries" in refused.stderr


def test_definitions_without_the_project_are_refused(project):
    with pytest.raises(StarlakeError, match="hold no Starlake project"):
        definitions_graph(dg.Definitions([weather]))
    with pytest.raises(StarlakeError, match="hold no asset of the project /project"):
        definitions_graph(build_definitions(project), odd_project())


def test_definitions_have_their_translator(project, tmp_path):
    with pytest.raises(ValueError, match="translator"):
        export_airflow(definitions_graph(build_definitions(project)), tmp_path, translator=Shop())


def test_files_run_commands_where_the_definitions_run_them(project, tmp_path):
    fargate = StarlakeFargate(cluster="c", task_definition="t", container="s", subnets=["n"])
    spread = build_definitions(
        project,
        starlake=StarlakeCloudRun(project="p", job="j"),
        environments={"domain:kpi": fargate, "network.stores": StarlakeDuckDB()},
        extra_assets=[weather],
    )
    graph = definitions_graph(spread)
    report = export_airflow(graph, tmp_path)
    where = {dag.id: dag.environment for dag in report.plan.dags}
    found = {node: where[dag] for node, (dag, _) in report.plan.node_tasks.items()}
    assert found.pop("reference.Shops") == "shell"  # Airflow has no embedded engine
    assert {found[node] for node in found if node.startswith("kpi.")} == {"fargate"}
    assert {found[node] for node in found if not node.startswith("kpi.")} == {"cloud_run"}
    assert [note for note in report.notes if "in Dagster" in note] == [
        "reference.Shops: run by duckdb in Dagster, by shell here"
    ]
    mine = export_airflow(graph, tmp_path, environment="cloud_run", environments={"kpi.top_products": "fargate"})
    (weekly,) = [dag for dag in mine.plan.dags if dag.id == mine.plan.node_tasks["kpi.top_products"][0]]
    assert weekly.environment == "fargate"
    told = next(note for note in mine.notes if "run by fargate in Dagster" in note)
    assert "kpi.order_lines" in told and "kpi.top_products" not in told and told.endswith("by cloud_run here")


def test_where_a_resource_of_the_user_runs_is_not_known(project, tmp_path):
    @starlake_assets(project=project, required_resource_keys={"mine"})
    def all_of_it(context): ...

    given = dg.Definitions([all_of_it], resources={"mine": dg.ResourceDefinition.hardcoded_resource(1)})
    graph = definitions_graph(given)
    assert not graph.environments
    assert {dag.environment for dag in export_airflow(graph, tmp_path).plan.dags} == {"shell"}
