"""Verdicts of loads whose log and files disagree: a file that was not archived is neither loaded nor nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from starlake_dagster_assets import StarlakeProject
from starlake_dagster_assets.commands.model import AuditRow, Command
from starlake_dagster_assets.execution.backends.fake import FakeRunner, FakeWarehouseReader, Script, loaded_lines
from starlake_dagster_assets.execution.backends.load_areas import StoredFiles
from starlake_dagster_assets.execution.evidence import Evidence
from starlake_dagster_assets.execution.outcome import Outcome, RunSettings
from starlake_dagster_assets.execution.run_selection import execute_selection

INFO = "26/01/01 00:00:00 INFO"
ERROR = "26/01/01 00:00:00 ERROR"
DONE = [f"{INFO} IngestionWorkflow: All tables loaded successfully", f"{INFO} Main: Successfully load --domains d"]
CONFIG = """version: 1
load: {name: d, metadata: {directory: "{{SL_ROOT}}/datasets/incoming/d"}}
"""
TABLE = """version: 1
table: {{name: {name}, pattern: "{name}.*[.]csv", attributes: [{{name: id, type: int}}]}}
"""


class World:
    """A project of the tables `a` and `b` of the domain `d`, with real files and a scripted program."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.stages = self.audited = True
        self.rows: list[AuditRow] = []
        self.lines: list[str] = []
        self.write("metadata/application.sl.yml", "version: 1\napplication: {}\n")
        self.write("metadata/load/d/_config.sl.yml", CONFIG)
        for name in ("a", "b"):
            self.write(f"metadata/load/d/{name}.sl.yml", TABLE.format(name=name))

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def move(self, source: str, target: str, *names: str) -> None:
        for name in names:
            to = self.root / "datasets" / target / "d" / name
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(self.root / "datasets" / source / "d" / name, to)

    def files(self, area: str) -> list[str]:
        return sorted(path.name for path in (self.root / "datasets" / area / "d").glob("*"))

    def run(
        self, load: Callable[[World], Iterator[str]], code: int | None = 0, **settings: bool
    ) -> dict[str, list[Outcome]]:
        """Returns the outcomes of each table, in their order."""

        def script(command: Command) -> Script:
            if command.name == "stage":
                if self.stages:
                    self.move("incoming", "stage", *self.files("incoming"))
                return Script([f"{INFO} Main: Successfully stage"])
            return Script(load(self), code)  # type: ignore[arg-type]

        project = StarlakeProject(self.root)
        runner = FakeRunner(script, FakeWarehouseReader(audit_rows=self.rows) if self.audited else None)
        runner.capabilities = replace(runner.capabilities, files=StoredFiles(project.model))
        settings_of_run = RunSettings("job", on_line=lambda line: self.lines.append(line.text), **settings)
        found: dict[str, list[Outcome]] = {}
        for item in execute_selection(project, ["d.a", "d.b"], runner, settings_of_run):
            if isinstance(item, Outcome):
                found.setdefault(item.node.id, []).append(item)
        return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.audited = False
    made.write("datasets/incoming/d/a.csv", "1\n")
    made.write("datasets/incoming/d/b.csv", "1\n")
    return made


def load_b(world: World) -> Iterator[str]:
    world.move("stage", "ingesting", "b.csv")
    lines = loaded_lines("d", "b")
    yield from lines[:2]
    world.move("ingesting", "archive", "b.csv")
    yield lines[2]


@pytest.mark.parametrize("code", [0, 1, None], ids=["exit 0", "exit 1", "killed"])
def test_a_summary_is_no_evidence_while_the_file_is_in_ingesting(world: World, code: int | None):
    def load(world: World) -> Iterator[str]:
        world.move("stage", "ingesting", "a.csv")
        yield from loaded_lines("d", "a")[:2]
        yield from load_b(world)
        yield from DONE if code == 0 else ()

    found = world.run(load, code)
    assert [one.status for one in found["d.a"]] == ["failed"], "never materialized before it failed"
    reason = found["d.a"][0].reason
    assert "a.csv left in the area `ingesting`" in reason and "Next: " in reason
    assert [(one.status, one.evidence) for one in found["d.b"]] == [("materialized", Evidence.FILES)]


def test_a_summary_is_evidence_at_the_end_where_no_file_can_be_listed(world: World):
    world.move("incoming", "elsewhere", "a.csv", "b.csv")
    found = world.run(lambda world: iter([*loaded_lines("d", "a"), *DONE]))
    assert [(one.status, one.evidence) for one in found["d.a"]] == [("materialized", Evidence.LOG)]


def test_a_new_file_never_overwrites_one_that_another_load_took(world: World):
    world.write("datasets/ingesting/d/a.csv", "0\n")
    found = world.run(lambda world: iter([*load_b(world), *DONE]))
    assert [one.status for one in found["d.a"]] == ["failed"]
    assert "a new file of that name in the area `stage` would overwrite it" in found["d.a"][0].reason
    assert [one.status for one in found["d.b"]] == ["materialized"]
    texts = {area: (world.root / "datasets" / area / "d" / "a.csv").read_text() for area in ("ingesting", "stage")}
    assert texts == {"ingesting": "0\n", "stage": "1\n"}


@pytest.mark.parametrize(
    ("pattern", "staged"), [("a.*[.]csv", ["a-0.csv", "a.csv"]), ("a[.]csv", ["a.csv"])], ids=["free name", "no name"]
)
def test_a_file_goes_back_under_another_name_where_a_new_one_has_come(world: World, pattern: str, staged: list[str]):
    table = world.root / "metadata/load/d/a.sl.yml"
    table.write_text(table.read_text().replace("a.*[.]csv", pattern))

    def load(world: World) -> Iterator[str]:
        world.move("stage", "ingesting", "a.csv")
        yield loaded_lines("d", "a")[0]
        world.write("datasets/stage/d/a.csv", "2\n")
        yield from load_b(world)
        yield f"{ERROR} IngestionWorkflow: java.sql.SQLException: no"

    found = world.run(load, 1)
    assert [one.status for one in found["d.a"]] == ["failed"]
    assert world.files("stage") == staged
    older = world.root / "datasets" / ("stage/d/a-0.csv" if len(staged) > 1 else "ingesting/d/a.csv")
    assert (older.read_text(), (world.root / "datasets/stage/d/a.csv").read_text()) == ("1\n", "2\n")


def test_files_that_stage_leaves_are_not_nothing(world: World):
    world.stages = False
    world.write("datasets/incoming/d/other.txt", "1\n")
    found = world.run(lambda world: iter([f"{INFO} IngestionWorkflow: No Files Found.", *DONE]))
    for name in ("a", "b"):
        (outcome,) = found[f"d.{name}"]
        assert (outcome.status, outcome.evidence) == ("failed", Evidence.FILES)
        assert f"{name}.csv matches" in outcome.reason and "`stage` left it" in outcome.reason


def test_files_that_stage_rightly_leaves_are_nothing(world: World):
    world.write("metadata/load/d/_config.sl.yml", CONFIG.replace('/d"', '/d", ack: ack'))
    world.stages = False
    found = world.run(lambda world: iter([f"{INFO} IngestionWorkflow: No Files Found.", *DONE]))
    assert [one.status for one in found["d.a"]] == ["nothing"]


def test_a_file_of_two_tables_that_no_load_takes_is_not_nothing(world: World):
    for name in ("a", "b"):
        world.write(f"metadata/load/d/{name}.sl.yml", TABLE.format(name=name).replace(f'"{name}', '"'))
    found = world.run(lambda world: iter(DONE))
    assert [one.status for one in found["d.a"]] == ["failed"]
    assert "a.csv, b.csv matches the pattern of the table and is still in the area `stage`" in found["d.a"][0].reason


@pytest.mark.parametrize(("again", "status"), [(False, "unknown"), (True, "failed")])
def test_a_file_in_ingesting_is_not_nothing(world: World, again: bool, status: str):
    world.move("incoming", "ingesting", "a.csv")
    found = world.run(load_b, again=again)
    assert [one.status for one in found["d.a"]] == [status]
    assert "a.csv in the area `ingesting`" in found["d.a"][0].reason


def test_a_failure_says_where_its_file_is_now(world: World):
    def load(world: World) -> Iterator[str]:
        world.move("stage", "ingesting", "a.csv")
        yield loaded_lines("d", "a")[0]
        yield from load_b(world)

    (outcome,) = world.run(load, 137)["d.a"]
    assert outcome.status == "failed"
    assert "a.csv is back in the area `stage`" in outcome.reason and "ingesting" not in outcome.reason
    assert (world.files("stage"), world.files("ingesting")) == (["a.csv"], [])


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize("audited", [True, False])
def test_a_load_without_a_line_names_what_to_do_or_gives_its_file_back(world: World, audited: bool, code: int):
    def load(world: World) -> Iterator[str]:
        world.move("stage", "ingesting", "a.csv")
        world.move("stage", "archive", "b.csv")
        return iter(())

    world.audited = audited
    if audited:
        world.rows = [AuditRow("", "file:/x/b.csv", "d", "b", True, 1, 1, 0, 1, "", "LOAD")]
    found = world.run(load, code)
    (outcome,) = found["d.a"]
    assert (outcome.status, found["d.b"][-1].status) == ("failed", "materialized")
    assert world.files("stage") == (["a.csv"] if audited else [])
    assert ("Next: check whether its rows are in the table" in outcome.reason) is not audited
    assert ("a.csv was not loaded: moved back to `stage`" in "\n".join(world.lines)) is audited


def test_a_failure_blames_the_file_that_failed(world: World):
    world.write("datasets/incoming/d/a2.csv", "1\n")

    def load(world: World) -> Iterator[str]:
        world.move("stage", "ingesting", "a.csv", "a2.csv")
        yield f"{INFO} IngestionWorkflow: Ingest resolved file : a.csv,a2.csv as table d.a"
        yield loaded_lines("d", "a", file="a.csv")[1]
        world.move("ingesting", "archive", "a.csv")  # and the line that reports it is missing
        yield f"{ERROR} IngestionWorkflow: java.sql.SQLException: Conversion Error"
        yield from load_b(world)

    reason = world.run(load, 1)["d.a"][0].reason
    assert reason.startswith("a2.csv: java.sql.SQLException: Conversion Error"), reason


def test_a_transform_without_an_end_marker_shows_its_error(world: World):
    world.write("metadata/transform/kpi/t.sql", "select 1 as x")
    lines = [f"{INFO} AutoTask: Start", f"{ERROR} AutoTask: java.sql.SQLException: Binder Error"]
    project = StarlakeProject(world.root)
    runner = FakeRunner({"transform": Script(lines)}, reader=None)
    (outcome,) = execute_selection(project, ["kpi.t"], runner, RunSettings("job"))
    assert isinstance(outcome, Outcome) and outcome.status == "unknown"
    assert "Binder Error" in outcome.reason and "the end of the log is missing" in outcome.reason
    assert "no line that is known" not in outcome.reason
