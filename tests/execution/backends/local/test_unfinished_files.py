"""Files that a load took and did not bring to its end: the program leaves them in `ingesting` for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeSteps
from starlake_dagster_assets.execution.backends.load_areas import StoredFiles
from starlake_dagster_assets.execution.command_executor import CommandExecutor

LAUNCHERS = pytest.mark.parametrize("launcher", ["process", "console"])


def files(bench: Any, area: str) -> list[str]:
    folder = bench.root / "datasets" / area / "sales"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def made(result: dg.ExecuteInProcessResult) -> list[str]:
    return [event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key]


def reasons(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    (failure,) = [event for event in result.all_events if event.event_type_value == "STEP_FAILURE"]
    return {name: value.text for name, value in failure.event_specific_data.user_failure_data.metadata.items()}


def given(bench: Any, **deed: Any) -> None:
    bench.scripted.tables({"sales.b": {"move": True, **deed}})


@LAUNCHERS
@pytest.mark.parametrize("deed", ["fail", "kill"])
def test_a_file_that_failed_is_loaded_by_the_next_run(bench: Any, launcher: str, deed: str) -> None:
    bench.project(["a", "b"])
    given(bench, do=deed)
    first = bench.materialize(bench.resource(launcher=launcher))
    assert made(first) == ["sales/a"]
    assert (files(bench, "stage"), files(bench, "ingesting"), files(bench, "archive")) == (["b-1.csv"], [], ["a-1.csv"])
    given(bench, do="load")
    assert made(bench.materialize(bench.resource(launcher=launcher))) == ["sales/b"]
    assert files(bench, "archive") == ["a-1.csv", "b-1.csv"]


def test_a_retry_is_no_success_because_the_file_is_gone(bench: Any) -> None:
    bench.project(["a", "b"])
    given(bench, do="fail")
    result = bench.materialize(bench.resource(), steps=StarlakeSteps(retry_policy=dg.RetryPolicy(max_retries=1)))
    assert not result.success
    assert "Conversion Error" in reasons(result)["sales.b"]
    assert len(bench.scripted.calls("load")) == 2
    assert files(bench, "stage") == ["b-1.csv"]


def test_a_load_that_took_too_long_gives_its_file_back(bench: Any) -> None:
    bench.project(["b"])
    given(bench, do="hang")
    assert not bench.materialize(bench.resource(timeout=1)).success
    assert (files(bench, "stage"), files(bench, "ingesting")) == (["b-1.csv"], [])


def test_a_file_with_a_summary_stays_where_it_is_and_a_retry_says_so(bench: Any) -> None:
    bench.project(["b"])
    given(bench, do="refuse")
    result = bench.materialize(bench.resource(), steps=StarlakeSteps(retry_policy=dg.RetryPolicy(max_retries=1)))
    assert not result.success
    assert files(bench, "ingesting") == ["b-1.csv"]
    assert "b-1.csv in the area `ingesting`" in reasons(result)["sales.b"]
    later = bench.materialize(bench.resource())
    assert not later.success and not made(later)
    assert "b-1.csv in the area `ingesting`" in reasons(later)["sales.b"]


def test_a_retry_where_nobody_sees_the_files_remembers_what_was_taken(bench: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(CommandExecutor, "files", None)  # as in a remote environment
    bench.project(["a", "b", "c"])
    (bench.root / "datasets/incoming/sales/c-1.csv").unlink()
    given(bench, do="fail")
    result = bench.materialize(bench.resource(), steps=StarlakeSteps(retry_policy=dg.RetryPolicy(max_retries=1)))
    assert not result.success
    assert set(reasons(result)) == {"sales.b"}
    assert "a previous attempt of this run took b-1.csv" in reasons(result)["sales.b"]


def test_a_retry_after_a_load_that_never_began_takes_no_file_for_a_failed_one(bench: Any) -> None:
    bench.project(["b"])
    (bench.root / "datasets/incoming/sales/b-1.csv").unlink()
    broken = bench.scripted.path.with_suffix(".broken")
    bench.scripted.path.rename(broken)
    program = bench.root / "starlake"
    program.write_text(f'#!/bin/sh\nmv "{broken}" "{bench.scripted.path}"\nexit 1\n')  # works the next time
    program.chmod(0o755)
    program.rename(bench.scripted.path)
    result = bench.materialize(bench.resource(), steps=StarlakeSteps(retry_policy=dg.RetryPolicy(max_retries=1)))
    assert result.success and not made(result)


def test_only_a_file_of_the_table_that_is_there_goes_back(bench: Any, tmp_path: Path) -> None:
    bench.project(["a", "b"])
    source = bench.source()
    area = StoredFiles(source.model)
    tables = {table.name: table for table in source.model.tables}
    for name in ("ingesting/sales/a-1.csv", "ingesting/sales/a-2.csv", "stage/sales/a-2.csv", "ingesting/other.csv"):
        bench.write(f"datasets/{name}", "id\n")
    assert list(area.list_files("ingesting", "sales")) == ["a-1.csv", "a-2.csv"]
    assert list(area.list_files("ingesting", "other")) == []
    told = area.put_back(tables["a"], ["a-1.csv", "a-2.csv", "a-3.csv", "../other.csv"])
    assert {name: file.name for name, file in told.items()} == {"a-1.csv": "a-1.csv", "a-2.csv": "a-2-0.csv"}
    assert (files(bench, "ingesting"), files(bench, "stage")) == ([], ["a-1.csv", "a-2-0.csv", "a-2.csv"])
    assert (bench.root / "datasets/ingesting/other.csv").is_file()


def test_areas_that_are_elsewhere_are_left_alone(bench: Any) -> None:
    bench.project(["a"])
    application = (bench.root / "metadata/application.sl.yml").read_text()
    bench.write(
        "metadata/application.sl.yml", application.replace("application:", "application:\n  datasets: gs://b/d")
    )
    model = bench.source().model
    assert model.application.datasets == "gs://b/d"
    assert StoredFiles(model).list_files("stage", "sales") is None
    assert not StoredFiles(model).put_back(model.tables[0], ["a-1.csv"])
