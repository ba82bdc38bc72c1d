"""A file with an error costs its table or task and what depends on it, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from starlake_dagster_assets import StarlakeProject
from starlake_dagster_assets.cli.run import register_run
from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.graph.broken_dependents import LEFT_OUT
from tests.project.conftest import write

TABLE = "version: 1\ntable:\n  name: {0}\n  pattern: {0}-.*\n  attributes: [{{name: id, type: int}}]\n"
CONFIG = "version: 1\nload:\n  name: {}\n  metadata: {{directory: '{{{{SL_ROOT}}}}/in/{}', format: DSV}}\n"
FILES = {
    **{f"load/{domain}/_config.sl.yml": CONFIG.format(domain, domain) for domain in ("sales", "people")},
    **{f"load/sales/{name}.sl.yml": TABLE.format(name) for name in ("cust", "orders")},
    "load/people/staff.sl.yml": TABLE.format("staff"),
    "transform/kpi/reads_cust.sql": "select id from sales.cust",
    "transform/kpi/reads_task.sql": "select id from kpi.reads_cust",
    "transform/kpi/reads_orders.sql": "select id from sales.orders",
    "transform/kpi/reads_staff.sql": "select id from people.staff",
}
ALL = {"sales.cust", "sales.orders", "people.staff", "kpi.reads_cust", "kpi.reads_task"}
ALL |= {"kpi.reads_orders", "kpi.reads_staff"}
BROKEN = {
    "not YAML": ("load/sales/cust.sl.yml", "version: 1\ntable: [", {"sales.cust", "kpi.reads_cust", "kpi.reads_task"}),
    "a wrong value": (
        "load/sales/cust.sl.yml",
        TABLE.format("cust").replace("int", "imt"),
        {"sales.cust", "kpi.reads_cust", "kpi.reads_task"},
    ),
    "a domain": ("load/people/_config.sl.yml", "load: [", {"people.staff", "kpi.reads_staff"}),
    "the YAML of a task": ("transform/kpi/reads_cust.sl.yml", "task: [", {"kpi.reads_cust", "kpi.reads_task"}),
    "the SQL of a task": ("transform/kpi/reads_cust.sql", "select {{ nope( }}", {"kpi.reads_cust", "kpi.reads_task"}),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_depends_on_a_broken_file_is_left_out(tmp_path: Path, case: str) -> None:
    file, text, missing = BROKEN[case]
    root = write(tmp_path / "project", {**FILES, file: text})
    project = StarlakeProject(root, cache_dir=tmp_path / "cache", on_error="skip")
    assert {name for name, node in project.graph.nodes.items() if node.kind != "external"} == ALL - missing
    named = {one.message.split("`")[1] for one in project.problems if one.code == LEFT_OUT}
    assert named | {"sales.cust", "people.staff", "kpi.reads_cust"} >= missing
    assert all(f"metadata/{file} has an error" in one.message for one in project.problems if one.code == LEFT_OUT)


def run(*arguments: str):
    program = typer.Typer()
    register_run(program)
    return CliRunner().invoke(program, arguments)


def test_run_prints_the_error_and_runs_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = write(tmp_path / "project", {**FILES, "load/sales/cust.sl.yml": "version: 1\ntable: ["})
    (root / "in" / "sales").mkdir(parents=True)
    (root / "in" / "sales" / "orders-1.csv").write_text("id\n1\n")
    done = run(str(root), "--select", "+kpi.reads_orders")
    assert done.exit_code == 1
    assert "metadata/load/sales/cust.sl.yml" in done.output and "`kpi.reads_task` is left out" in done.output
    assert "2 assets materialized, 0 failed" in done.output


def test_run_refuses_an_error_that_concerns_the_whole_project(tmp_path: Path) -> None:
    root = write(tmp_path / "project", {**FILES, "types/types.sl.yml": "types: ["})
    done = run(str(root))
    assert isinstance(done.exception, ProjectError)
    assert "metadata/types/types.sl.yml" in str(done.exception)
