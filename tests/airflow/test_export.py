"""DAG files of the example: stable, formatted, ours alone; what cannot be said is named."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment

from starlake_dagster_assets import StarlakeProject
from starlake_dagster_assets.airflow.export import export_airflow
from starlake_dagster_assets.airflow.plan import jinja
from starlake_dagster_assets.airflow.source import literal, text_block
from starlake_dagster_assets.errors import ProjectError

EXAMPLE = Path(__file__).resolve().parents[2] / "example_project" / "starbake"


@pytest.fixture(scope="module")
def project() -> StarlakeProject:
    return StarlakeProject(EXAMPLE, env="DUCKDB")


@pytest.mark.parametrize("environment", ["shell", "cloud_run", "dataproc", "fargate"])
def test_files_are_python_and_the_same_each_time(project, environment, tmp_path):
    first = export_airflow(project, tmp_path, environment=environment)
    assert len(first.written) == len(first.plan.dags) + 2
    assert not export_airflow(project, tmp_path, environment=environment, check=True).stale
    for name in first.written:
        if name.endswith(".py"):
            ast.parse((tmp_path / name).read_text())


def test_every_node_has_one_task_and_every_edge_is_kept(project, tmp_path):
    plan = export_airflow(project, tmp_path).plan
    made = [uri for dag in plan.dags for task in dag.tasks for uri in task.outlets]
    nodes = {n.id for n in project.graph.nodes.values() if n.kind != "external"}
    assert sorted(made) == sorted(plan.uris[node] for node in nodes)
    edges = {(i, o) for dag in plan.dags for task in dag.tasks for i in task.inlets for o in task.outlets}
    wanted = {(e.source, e.target) for e in project.graph.edges if not project.graph.nodes[e.source].is_files}
    assert edges == {(plan.uris[source], plan.uris[target]) for source, target in wanted}


def test_what_is_gone_is_removed_and_what_is_not_ours_stays(project, tmp_path):
    export_airflow(project, tmp_path)
    mine = tmp_path / "mine.py"
    mine.write_text("# by hand\n")
    report = export_airflow(project, tmp_path, select="domain:kpi")
    assert report.removed and mine.exists()
    assert not any((tmp_path / name).exists() for name in report.removed)
    taken = tmp_path / next(name for name in report.unchanged + report.written if name.endswith(".py"))
    taken.write_text("# by hand\n")
    with pytest.raises(ProjectError, match="not exported by us"):
        export_airflow(project, tmp_path, select="domain:kpi")


def test_check_says_which_files_are_stale(project, tmp_path):
    command = [
        sys.executable,
        "-c",
        "from starlake_dagster_assets.cli import main; main()",
        "airflow",
        "export",
        str(EXAMPLE),
    ]
    command += ["--out", str(tmp_path), "--env", "DUCKDB", "--check"]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 1
    assert "stale: starlake_load_starbake" in result.stdout
    assert list(tmp_path.iterdir()) == []


@given(st.text())
def test_any_text_is_a_literal_that_python_and_jinja_read_back(text):
    assert ast.literal_eval(literal(text)) == text
    assert ast.literal_eval(text_block(text)) == text
    assert Environment(keep_trailing_newline=True, newline_sequence="\n").from_string(
        jinja(text).replace("\r", "")
    ).render() == text.replace("\r", "")
