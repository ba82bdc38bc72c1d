"""A file with an error costs its table or task and what depends on it, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from starlake_dagster_assets import StarlakeProject
from starlake_dagster_assets.cli.run import register_run
from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.graph.broken_dependents import DEPENDS_ON_BROKEN
from starlake_dagster_assets.project import load
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
    named = {one.message.split("`")[1] for one in project.problems if one.code == DEPENDS_ON_BROKEN}
    assert named | {"sales.cust", "people.staff", "kpi.reads_cust"} >= missing
    assert all(
        f"metadata/{file} has an error" in one.message for one in project.problems if one.code == DEPENDS_ON_BROKEN
    )


def run(*arguments: str):
    program = typer.Typer()
    register_run(program)
    return CliRunner().invoke(program, arguments)


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("selected", ["the others", "what is broken", "all"])
def test_the_exit_code_of_run_is_that_of_the_selection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str, selected: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file, text, missing = BROKEN[case]
    root = write(tmp_path / "project", {**FILES, file: text})
    (root / "in" / "sales").mkdir(parents=True)
    (root / "in" / "sales" / "orders-1.csv").write_text("id\n1\n")
    select = {
        "the others": ["--select", "+kpi.reads_orders"],
        "what is broken": ["--select", max(missing)],
        "all": ["--select", "sales.orders kpi.reads_orders domain:kpi"],
    }[selected]
    done = run(str(root), *select)
    assert f"metadata/{file}" in done.output
    if selected == "the others":
        assert (done.exit_code, done.exception) == (0, None), done.output
        assert "warning: not selected: " in done.output
        assert "2 assets materialized, 0 failed, 0 skipped\n" in done.output
    elif done.exception is None or isinstance(done.exception, SystemExit):
        assert done.exit_code == 1
        assert "left out because of an error in a file of the project: " in done.output
        assert " left out\n" in done.output and f"error: metadata/{file}" in done.output
    else:  # a file that cannot be read has no tables to select
        assert "nothing has this name" in str(done.exception) or case == "a domain"


def test_a_domain_with_a_file_that_cannot_be_read_is_not_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = write(tmp_path / "project", {**FILES, "load/sales/cust.sl.yml": "table: ["})
    for select in ("domain:sales", "sales.*", "sales.cust"):
        done = run(str(root), "--select", select, "--exclude", "sales.orders")
        assert done.exit_code == 1 and "file of the project: sales.cust" in done.output, done.output


def test_a_project_with_an_error_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path / "project", {**FILES, "load/sales/cust.sl.yml": "table: ["})
    reads: list[Path] = []
    real = load.read_sources
    monkeypatch.setattr(load, "read_sources", lambda *args: reads.append(args[0]) or real(*args))
    project = StarlakeProject(root, cache_dir=tmp_path / "cache", on_error="skip")
    assert "sales.cust" in project.whole_graph.nodes and "sales.cust" not in project.graph.nodes
    assert project.graph_problems == () and len(reads) == 1


def test_run_refuses_an_error_that_concerns_the_whole_project(tmp_path: Path) -> None:
    root = write(tmp_path / "project", {**FILES, "types/types.sl.yml": "types: ["})
    done = run(str(root))
    assert isinstance(done.exception, ProjectError)
    assert "metadata/types/types.sl.yml" in str(done.exception)
