"""Refused records as files that can be mended and loaded again (`application.sinkReplayToFile`)."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from starlake_dagster_assets.engine.commands.program import execute_command
from starlake_dagster_assets.engine.writing.replay import replay_path, write_replay
from starlake_dagster_assets.project.model.project import Position, Project, Table
from tests.engine.reading.factory import Read, attribute, project, table, written

ASKED = project(sink_replay_to_file=True)
ID_NOTE = (attribute("id", "int"), attribute("note"))


def replayed(target: Table, folder: Path, *files: Path, within: Project = ASKED) -> list[str]:
    read = Read(target, *files, within=within)
    path = folder / "replay" / "d.t.replay"
    assert write_replay(read.con, read.incoming, path, target) == read.incoming.rejected
    if not path.parent.exists():
        return []
    return [item.read_bytes().decode(target.metadata.encoding) for item in sorted(path.parent.iterdir())]


@pytest.mark.parametrize(
    ("content", "metadata", "expected"),
    [
        ("id,note\n1,a\nx,b\ny,\n", {}, "id,note\nx,b\ny,\n"),
        ('note,other,id\n"a, b",é,x\nc,"d ""e""",y\nf,g,1\n', {}, 'note,other,id\n"a, b",é,x\nc,"d \\"e\\"",y\n'),
        ("x|a b\n1|c\n", {"separator": "|", "with_header": False}, "x|a b\n"),
        ('id,note\nx,"two\nlines"\n2,b\n', {"multiline": True}, 'id,note\nx,"two\nlines"\n'),
        ('id,note\n1,"a"b\nx,c\n3,d,e,f\n4,ok\n', {}, 'id,note\n1,"a"b\nx,c\n3,d,e,f\n'),
        ("id,note\nx,été\n", {"encoding": "ISO-8859-1"}, "id,note\nx,été\n"),
        ("id,note\nx,a'b\\\n", {"quote": "'", "escape": "'"}, "id,note\nx,'a''b\\'\n"),
    ],
)
def test_delimited_records_come_back(tmp_path: Path, content: str, metadata: dict[str, Any], expected: str) -> None:
    target = table(*ID_NOTE, **metadata)
    file = written(tmp_path / "f.csv", content.encode(target.metadata.encoding))
    files = replayed(target, tmp_path, file)
    assert files == [expected]


def test_a_replay_file_is_refused_for_the_same_reasons(tmp_path: Path) -> None:
    target = table(*ID_NOTE)
    file = written(tmp_path / "f.csv", 'id,note\n1,"a, ""b"""\nx,"c, \\"d\\""\ny, padded \n2,"e"f\n')
    first = Read(target, file, within=ASKED)
    (text,) = replayed(target, tmp_path, file)
    assert Read(target, written(tmp_path / "again.csv", text)).reasons == first.reasons


def test_other_formats(tmp_path: Path) -> None:
    lines = written(tmp_path / "f.json", '{"id":1}\n{"id":"x", "extra":2}\nnot json\n')
    assert replayed(table(*ID_NOTE, format="JSON"), tmp_path / "a", lines) == ['{"id":"x", "extra":2}\nnot json\n']
    array = written(tmp_path / "g.json", '[{"id":"x"},{"id":1},{"id":"y"}]')
    (text,) = replayed(table(*ID_NOTE, format="JSON", array=True), tmp_path / "b", array)
    assert json.loads(text) == [{"id": "x"}, {"id": "y"}]
    place = attribute("id", "int", position=Position(first=0, last=1))
    fixed = written(tmp_path / "f.txt", "01abc\nxxdef\n")
    assert replayed(table(place, format="POSITION"), tmp_path / "c", fixed) == ["xxdef\n"]
    xml = written(tmp_path / "f.xml", "<r><row><id>1</id></row><row><id>x</id></row></r>")
    (text,) = replayed(table(*ID_NOTE, format="XML", options={"rowTag": "row"}), tmp_path / "d", xml)
    assert json.loads(text) == {"id": "x"}
    duckdb.sql(f"COPY (SELECT 'x' AS id, 7 AS n UNION ALL SELECT '1', 8) TO '{tmp_path / 'f.parquet'}'")
    (text,) = replayed(table(*ID_NOTE, format="PARQUET"), tmp_path / "e", tmp_path / "f.parquet")
    assert json.loads(text) == {"id": "x", "n": 7}


def test_without_refused_rows_there_is_no_file_and_without_the_setting_no_text(tmp_path: Path) -> None:
    good, bad = written(tmp_path / "g.csv", "id,note\n1,a\n"), written(tmp_path / "b.csv", "id,note\nx,a\n")
    assert replayed(table(*ID_NOTE), tmp_path, good) == []
    read = Read(table(*ID_NOTE), bad)
    assert [row[0] for row in read.con.execute(f"DESCRIBE {read.incoming.rejects}").fetchall()] == ["ERROR", "PATH"]


def test_headers_that_differ_make_files_that_differ(tmp_path: Path) -> None:
    one, two = written(tmp_path / "1.csv", "id,note\nx,a\n"), written(tmp_path / "2.csv", "note,id\nb,y\n")
    assert replayed(table(*ID_NOTE), tmp_path, one, two) == ["note,id\nb,y\n", "id,note\nx,a\n"]


def test_the_load_command_writes_it(tmp_path: Path) -> None:
    folder, stage = tmp_path / "metadata" / "load" / "d", tmp_path / "datasets" / "stage" / "d"
    folder.mkdir(parents=True)
    stage.mkdir(parents=True)
    written(
        tmp_path / "metadata" / "application.sl.yml",
        "version: 1\napplication:\n  sinkReplayToFile: true\n  connectionRef: duckdb\n  connections:\n    duckdb:\n"
        '      {type: jdbc, options: {url: "jdbc:duckdb:{{SL_ROOT}}/store.db", driver: org.duckdb.DuckDBDriver}}\n',
    )
    written(
        folder / "t.sl.yml",
        'version: 1\ntable:\n  {name: t, pattern: "t.*", metadata: {separator: ","},'
        " attributes: [{name: id, type: int}]}\n",
    )
    written(stage / "t1.csv", "id\n1\nx\n")
    written(stage / "t2.csv", "id\n2\n")
    lines: list[str] = []
    assert execute_command(["load"], {"SL_ROOT": str(tmp_path)}, lambda line: lines.append(line.text)) == 0, lines
    (file,) = (tmp_path / "datasets" / "replay" / "d").iterdir()
    assert file.read_text() == "id\nx\n"
    assert file.name[:4] == "d.t."
    assert file.suffix == ".replay"
    assert any(str(file) in line for line in lines)


def test_the_name_of_the_file() -> None:
    path = replay_path(project(datasets="/data"), table(*ID_NOTE), datetime(2024, 3, 1, 9, 5, 7))
    assert path == Path("/data/replay/d/d.t.20240301090507.replay")
