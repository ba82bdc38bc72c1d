from pathlib import Path

import pytest

from starlake_dagster_assets.commands.model import Line
from starlake_dagster_assets.engine.areas import area, move_file
from starlake_dagster_assets.engine.command_output import CommandOutput
from starlake_dagster_assets.engine.commands.stage import run_stage, stageable
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model.project import Areas, Domain, Location, Project, Table
from tests.engine.reading.factory import attribute, project, table


def project_of(root: Path, *tables: Table, **domain: object) -> Project:
    given = {"incoming": str(root / "incoming"), **domain}
    item = Domain(
        directory="d",
        name="d",
        final_name="d",
        tables=tables,
        location=Location(file="metadata/load/d/_config.sl.yml"),
        **given,
    )
    return project(datasets=str(root / "datasets")).model_copy(update={"domains": (item,), "root": str(root)})


def drop(root: Path, *names: str) -> None:
    (root / "incoming").mkdir(exist_ok=True)
    for name in names:
        (root / "incoming" / name).write_text(name)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def run(within: Project, *tables: str) -> list[str]:
    lines: list[Line] = []
    run_stage(within, None, tables or None, CommandOutput(lines.append), lambda event: None)
    return [line.text for line in lines if line.stream == "stdout"]


A = table(attribute("id"), name="a", pattern=r"a_[0-9]+\.csv")
B = table(attribute("id"), name="b", pattern=r"b.*\.csv", ack="ok")


def test_files_move_and_acks_are_used_up(tmp_path: Path) -> None:
    drop(tmp_path, "a_1.csv", "a_x.csv", ".a_2.csv", "b1.csv", "b1.ok", "b2.csv", "readme.md")
    (tmp_path / "incoming" / "sub").mkdir()
    (tmp_path / "incoming" / "sub" / "a_9.csv").write_text("")
    within = project_of(tmp_path, A, B)
    target = tmp_path / "datasets" / "stage" / "d"
    assert [path.name for path in stageable(within, within.domains[0], B)] == ["b1.csv"]
    assert run(within) == [
        f"Moving 2 file(s) from {tmp_path / 'incoming'} to file:{target}",
        "Moving a_1.csv",
        "Moving b1.csv",
    ]
    assert names(target) == ["a_1.csv", "b1.csv"]
    assert names(tmp_path / "incoming") == [".a_2.csv", "a_9.csv", "a_x.csv", "b2.csv", "readme.md"]
    assert run(within) == []


def test_tables_restrict(tmp_path: Path) -> None:
    drop(tmp_path, "a_1.csv", "b1.csv", "b1.ok")
    assert run(project_of(tmp_path, A, B), "b")[1:] == ["Moving b1.csv"]


def test_a_file_of_two_tables_stays_alone(tmp_path: Path) -> None:
    drop(tmp_path, "a_1.csv", "b1.csv")
    with pytest.raises(EngineError, match=r"a_1\.csv matches tables 'd\.a' .* and 'd\.z'"):
        run(project_of(tmp_path, A, B, table(attribute("id"), name="z", pattern=r".*1\.csv")))
    assert names(tmp_path / "incoming") == ["a_1.csv"]


def test_a_name_that_waits_in_stage_is_not_overwritten(tmp_path: Path) -> None:
    within = project_of(tmp_path, A)
    drop(tmp_path, "a_1.csv")
    run(within)
    (tmp_path / "incoming" / "a_1.csv").write_text("newer")
    assert run(within) == []
    assert (tmp_path / "datasets/stage/d/a_1.csv").read_text() == "a_1.csv"
    assert (tmp_path / "incoming/a_1.csv").read_text() == "newer"


def test_missing_and_undeclared_directories(tmp_path: Path) -> None:
    assert run(project_of(tmp_path, A)) == []
    with pytest.raises(EngineError, match=r"no metadata\.directory"):
        run(project_of(tmp_path, A, incoming=None))
    with pytest.raises(EngineError, match="gs://bucket"):
        run(project_of(tmp_path, A, incoming="gs://bucket/x"))


def test_areas(tmp_path: Path) -> None:
    areas = Areas(stage="/elsewhere/stage", archive="file:///old", replay="s3://b/r")
    within = project(datasets=str(tmp_path), areas=areas)
    assert area(within, "stage", "d") == Path("/elsewhere/stage/d")
    assert area(within, "archive", "d") == Path("/old/d")
    assert area(within, "ingesting", "d") == tmp_path / "ingesting" / "d"
    with pytest.raises(EngineError, match=r"application\.area\.replay"):
        area(within, "replay", "d")


def test_a_move_across_file_systems_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import os

    real = os.replace

    def replace(source: Path, target: Path) -> None:
        if not str(source).endswith(".part"):
            raise OSError(errno.EXDEV, "cross-device")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    (tmp_path / "a").write_text("x")
    move_file(tmp_path / "a", tmp_path / "to" / "b")
    assert names(tmp_path) == ["b"]
