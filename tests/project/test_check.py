from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from starlake_dagster_assets.cli import check
from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.starlake_project import StarlakeProject

APPLICATION = """\
version: 1
application:
  connectionRef: duckdb
  connections: {duckdb: {type: jdbc, options: {url: "jdbc:duckdb:x.db"}}}
"""
ORDERS = "version: 1\ntable:\n  name: orders\n  pattern: o.*\n  attributes:\n    - name: id\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SL_ENV", raising=False)
    (tmp_path / "p/metadata/load/shop").mkdir(parents=True)
    (tmp_path / "p/metadata/transform/kpi").mkdir(parents=True)
    (tmp_path / "p/metadata/application.sl.yml").write_text(APPLICATION)
    (tmp_path / "p/metadata/load/shop/orders.sl.yml").write_text(ORDERS)
    (tmp_path / "p/metadata/transform/kpi/one.sql").write_text("select id from shop.orders o")
    return tmp_path / "p"


def run(*arguments: str) -> Any:
    app = typer.Typer()
    app.callback()(lambda: None)
    check.register_check(app)
    return CliRunner().invoke(app, ["check", *arguments])


def test_a_good_project(root: Path):
    result = run(str(root))
    assert (result.exit_code, result.stdout.strip()) == (0, "1 table, 1 task: 0 errors, 0 warnings")


def test_all_problems_at_once_as_text(root: Path):
    (root / "metadata/load/shop/orders.sl.yml").write_text(ORDERS + "      typ: int\n  renam: x\n")
    (root / "metadata/load/shop/late.sl.yml").write_text(ORDERS.replace("o.*", "l.*"))
    result = run(str(root))
    lines = [line.strip() for line in result.stdout.strip().splitlines()]
    assert result.exit_code == 1
    assert lines[:4] == [
        "2 errors",
        "metadata/load/shop/orders.sl.yml:7  [unknown-key]",
        "table.attributes.0.typ: unknown key `typ` in `table.attributes.0`.",
        "next: Did you mean `type`?",
    ]
    warnings = lines.index("1 warning")
    assert lines[warnings + 1] == "metadata/load/shop/late.sl.yml:3  [table-name]"
    assert lines[warnings + 2].startswith("table.name: the name `orders` differs from the file's name `late`.")
    assert lines[-1] == "1 table, 1 task: 2 errors, 1 warning in 2 files"


@pytest.mark.parametrize(("number", "listed"), [(5, 5), (6, 1)])
def test_warnings_about_the_style_of_names_are_counted_where_there_are_many(root: Path, number: int, listed: int):
    for name in range(number):
        (root / f"metadata/transform/kpi/{name}_of.sql").write_text("select id from shop.orders")
    result = run(str(root))
    assert result.exit_code == 0
    assert result.stdout.count("[task-name-pattern]") == listed
    assert (f"{number} names  [task-name-pattern]\n      the first is in metadata/" in result.stdout) == (listed == 1)
    assert f"{number} warnings in {number} files" in result.stdout
    found = json.loads(run(str(root), "--json").stdout)["problems"]
    assert [one["code"] for one in found] == ["task-name-pattern"] * number


def test_as_json(root: Path):
    (root / "metadata/transform/kpi/one.sl.yml").write_text("version: 1\ntask:\n  tag: x\n")
    result = run(str(root), "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (found["errors"], found["tables"], found["tasks"]) == (1, 1, 0)
    assert found["warnings"] == len(found["problems"]) - 1
    first = found["problems"][0]
    assert set(first) == {"file", "line", "column", "key", "message", "hint", "severity", "code"}
    assert (first["file"], first["line"], first["key"]) == ("metadata/transform/kpi/one.sl.yml", 3, "task.tag")
    assert first["hint"] == "Did you mean `tags`?"


def test_warnings_do_not_fail(root: Path):
    (root / "metadata/load/shop/orders.yml").write_text("x")
    result = run(str(root))
    assert result.exit_code == 0
    assert "0 errors, 1 warning in 1 file" in result.stdout


def test_a_project_raises_all_errors_at_once(root: Path):
    (root / "metadata/load/shop/orders.sl.yml").write_text(ORDERS + "  renam: x\n")
    (root / "metadata/transform/kpi/two.sl.yml").write_text("version: 1\ntask: {}\n")
    project = StarlakeProject(root)
    with pytest.raises(ProjectError) as caught:
        _ = project.model
    assert len(str(caught.value).splitlines()) == 2
    assert len(project.problems) >= 2
    lenient = StarlakeProject(root, on_error="skip")
    assert lenient.model.tasks == ()
    assert "the task `kpi.one` is left out: it depends on shop.orders" in str(lenient.problems[-1])
    assert lenient.model.tables == ()


def test_a_project_and_its_graph(root: Path, tmp_path: Path):
    (root / "metadata/env.DEV.sl.yml").write_text("version: 1\nenv: {SL_ENV: x}\n")
    project = StarlakeProject(str(root), env="DEV", cache_dir=tmp_path / "own", options={"a": "b"})
    assert (project.root, project.env) == (root.resolve(), "DEV")
    assert project.model.variables["a"] == "b"
    assert {"shop.orders", "kpi.one"} <= set(project.graph.nodes)
    assert list((tmp_path / "own").iterdir())
    assert not (tmp_path / "cache").exists()


def test_a_wrong_on_error(root: Path):
    with pytest.raises(ProjectError, match="on_error"):
        StarlakeProject(root, on_error="ignore")  # type: ignore[arg-type]


def test_a_directory_that_is_no_project(tmp_path: Path):
    result = run(str(tmp_path), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["problems"][0]["code"] == "not-a-project"
