"""The measuring suite runs and says the truth about what it found; what it finds is no business of a test."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.__main__ import main, measured
from benchmarks.generator import Shape, plan, write_project
from benchmarks.measure import Call
from benchmarks.rows import Figure, Row, rows
from starlake_dagster_assets import StarlakeProject


def tiny(*sides: str, target: float | None = 1.15) -> Row:
    shape = {"tables": 3, "tasks": 2}
    calls = tuple(Call(f"code_location:{side}", shape) for side in sides)
    figures = (Figure("", "bare", target, "by hand"), Figure("memory", "bare", 1e-9, "by hand", quantity="peak"))
    return Row("tiny", calls, figures, prepare=(Call("projects:warm", shape),))


def test_both_sides_of_a_comparison_are_measured(tmp_path: Path):
    seconds, memory = measured(tiny("ours", "bare"), 2, tmp_path / "work")
    assert seconds["name"] == "tiny" and seconds["target"] == 1.15
    assert len(seconds["ours"]["all"]) == len(seconds["beside"]["all"]) == 2
    assert seconds["ratio"] == pytest.approx(seconds["ours"]["min"] / seconds["beside"]["min"], rel=0.02)
    assert memory["name"] == "tiny: memory" and memory["ours"]["min"] > 2**20
    assert report.missed(memory)
    assert seconds["notes"]["code_location:ours: assets"] == seconds["notes"]["code_location:bare: assets"]


def test_results_are_merged_by_name(tmp_path: Path):
    path = tmp_path / "results.json"
    entry = {"ratio": 1.0, "target": 2.0, "floor": "", "size": 0, "quantity": "cpu"}
    one = {**entry, "name": rows(quick=False)[0].name}
    report.save(path, [one, {**entry, "name": "another"}], mode="full")
    report.save(path, [{**one, "ratio": 3.0}], mode="full")
    found = {item["name"]: item["ratio"] for item in json.loads(path.read_text())}
    assert found == {one["name"]: 3.0, "another": 1.0}


def test_what_cannot_run_is_named(tmp_path: Path):
    row = Row("Airflow", (Call("airflow:tables", {"tables": 1, "python": "/nowhere"}),), tiny("ours").figures)
    entries = measured(row, 1, tmp_path / "work")
    assert [entry["ratio"] for entry in entries] == [None, None]
    assert "no environment of Airflow" in report.line(entries[0])


def test_a_generated_project_is_the_same_each_time_and_has_no_problem(tmp_path: Path):
    shape = Shape(tables=12, tasks=8, columns=5, depth=4)
    made = write_project(tmp_path / "project", shape)
    assert made == plan(shape)
    project = StarlakeProject(tmp_path / "project", cache_dir=tmp_path / "cache")
    graph = project.graph
    assert project.problems == ()
    assert {task.id: set(graph.upstream[task.id]) for task in made.tasks} == {
        task.id: set(task.reads) for task in made.tasks
    }


def test_names_of_rows_are_unique_and_can_be_listed(capsys: pytest.CaptureFixture[str]):
    assert main(["--list"]) == 0
    names = capsys.readouterr().out.splitlines()
    assert len(names) == len(set(names)) == len(rows(quick=False))


def test_the_committed_results_are_of_rows_that_there_are():
    entries = json.loads((Path(report.__file__).with_name("results.json")).read_text())
    known = [row.name for row in (*rows(quick=False), *rows(quick=True))]
    for entry in entries:
        assert {"name", "ratio", "target"} <= entry.keys()
        assert entry.get("grown") or any(entry["name"].startswith(name) for name in known), entry["name"]


@pytest.mark.parametrize(("runs", "said"), [(("a", "a"), "in one run"), (("a", "b"), "several"), (("", ""), "several")])
def test_the_table_of_peers_tells_whether_it_is_of_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: tuple[str, str], said: str
):
    page, results = tmp_path / "page.md", tmp_path / "results.json"
    page.write_text("<!-- begin: peers -->\n<!-- end: peers -->\n<!-- begin: floors -->\n<!-- end: floors -->\n")
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setattr(report, "_plots", lambda entries: None)
    side = {"min": 1.0, "median": 1.0, "all": [1.0]}
    names = [row.name for row in rows(quick=False) if row.name.startswith("compared with dlt")]
    for name, run in zip(names[:2], runs, strict=True):
        entry = {"name": name, "ratio": 1.0, "target": 1.0, "floor": "", "size": 0, "quantity": "cpu"}
        report.save(results, [{**entry, "ours": side, "beside": side}], mode="full", run=run)
    report.publish(results)
    text = page.read_text()
    assert said in text and text.count("| dlt |") == 2
