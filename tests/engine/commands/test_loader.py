"""The project that the commands of one step share."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from starlake_dagster_assets.commands.model import Command
from starlake_dagster_assets.execution.backends.duckdb.runner import EmbeddedRunner
from starlake_dagster_assets.project import load


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The directories that were read, in order."""
    found: list[Path] = []
    read = load.read_sources
    monkeypatch.setattr(load, "read_sources", lambda root: found.append(root) or read(root))
    return found


def run(runner: EmbeddedRunner, name: str, *options: str, job: str = "j") -> None:
    assert runner.start(Command("transform", ("--name", name, *options), job_id=job)).wait().exit_code == 0


def test_the_files_are_read_once_per_step(bench: Any, reads: list[Path]) -> None:
    for name in ("a", "b"):
        bench.task(f"kpi.{name}", "select '{{ part }}' as part, '{{ SL_JOB_ID }}' as job")
    with closing(EmbeddedRunner(bench.root)) as runner:
        runner.keep_open()
        run(runner, "kpi.a", "--options", "part=1", job="j1")
        bench.task("kpi.b", "select 'edited' as part, '' as job")
        run(runner, "kpi.b", "--options", "part=2", job="j2")
        assert runner.warehouse_reader().row_count("kpi", "b") == 1
    assert len(reads) == 1
    assert bench.query("FROM kpi.a UNION ALL FROM kpi.b") == [("1", "j1"), ("2", "j2")]
    with closing(EmbeddedRunner(bench.root)) as runner:
        run(runner, "kpi.b")
    assert bench.query("SELECT part FROM kpi.b") == [("2",), ("edited",)]


@pytest.mark.parametrize("clock", [False, True])
def test_what_differs_between_two_commands_is_not_that_of_the_first(bench: Any, clock: bool) -> None:
    bench.write("metadata/env.sl.yml", "version: 1\nenv:\n  mine: '{{ SL_JOB_ID }}'\n" if clock else "version: 1\n")
    bench.task("kpi.a", "select '{{ mine }}' as job" if clock else "select 1 as id")
    loader = load.ProjectLoader(bench.root)
    loader.keep()
    found = [loader.load(environ={**bench.environ, "SL_JOB_ID": job})[0] for job in ("j1", "j2")]
    assert [project.variables["SL_JOB_ID"] for project in found] == ["j1", "j2"]
    assert [project.variables.get("mine", "") for project in found] == (["j1", "j2"] if clock else ["", ""])
    assert (found[0].transforms is found[1].transforms) is not clock
    other = loader.load(environ=bench.environ)[0]
    assert "SL_JOB_ID" not in other.variables
