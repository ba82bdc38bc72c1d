"""Rows written as they are read are those of a reading that keeps them first: same rows, same order, same refusals."""

from __future__ import annotations

import gzip
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlake_dagster_assets.engine.reading.single_pass import StreamError, stream_incoming
from starlake_dagster_assets.project.model.project import Project, Table, TypeDef
from tests.engine.reading.factory import Read, attribute, project, table, written

PLAIN = (
    attribute("id", "long", required=True),
    attribute("n", "int"),
    attribute("d", "double", default="1.5"),
    attribute("p", "decimal"),
    attribute("day", "date"),
    attribute("at", "timestamp"),
)
COLUMNS = (
    *PLAIN,
    attribute("b", "boolean", trim="BOTH"),
    attribute("s", trim="LEFT", rename="text"),
    attribute("secret", privacy="MD5"),
    attribute("gone", "short", ignore=True),
)
GOOD = ("1", "-7", "2.5", "10.25", "2024-02-29", "2024-02-29 23:59:59", "true", "é, b", "x", "3")
ODD = (
    *(
        "",
        " ",
        "NULL",
        "null",
        "+1",
        "1e3",
        "1.50",
        ".5",
        "5.",
        "007",
        "-0",
        "99999999999",
        "1_000",
        "0x1F",
        "inf",
        "nan",
    ),
    *(
        "2024-02-30",
        "2024-2-1",
        " 2024-01-01",
        "2024-01-01 24:00:00",
        "2024-01-01T00:00:00",
        "Y",
        "no",
        "tru",
        "'",
        "''",
    ),
    *('"', '""', 'a"b', "\\", "\\n", "\u00a0", "\u2028", "𝄞", "a\tb", "#x", "{", "[1]"),
)
cells = st.sampled_from(ODD) | st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=4)
lines = st.tuples(*(st.just(good) | st.just(good) | st.just(good) | cells for good in GOOD))
rows = st.lists(lines | lines | lines | st.lists(cells, max_size=11), max_size=6)


def streamed(target: Table, file: Path, within: Project | None = None) -> tuple[Any, ...] | None:
    """Counts, rows in order, errors and types of what is written as it is read; None where that is given up."""
    con = duckdb.connect(config={"threads": 2})
    con.execute("SET TimeZone = 'UTC'")
    with stream_incoming(con, within or project(), target, file) as stream:
        if stream is None:
            return None
        con.execute("CREATE TABLE t (" + ", ".join(f'"{item.name}" {item.type}' for item in stream.columns) + ")")
        insert = f"INSERT INTO t BY NAME SELECT * FROM {stream.relation}"
        try:
            found = stream.written(lambda: int(con.execute(insert).fetchall()[0][0]))
        except StreamError:
            return None
        errors = con.execute(f"SELECT * FROM {found.rejects}").fetchall() if found.rejects else []
        counts = (found.input, found.accepted, found.rejected, found.filtered, found.columns, found.files)
        return counts, con.execute("SELECT * FROM t ORDER BY rowid").fetchall(), errors


def kept(target: Table, file: Path, within: Project | None = None) -> tuple[Any, ...]:
    read = Read(target, file, within=within)
    found = read.incoming
    errors = read.con.execute(f"SELECT * FROM {found.rejects}").fetchall() if found.rejects else []
    return (
        (found.input, found.accepted, found.rejected, found.filtered, found.columns, found.files),
        read.rows,
        errors,
    )


def csv_line(fields: tuple[str, ...] | list[str], quoted: bool) -> str:
    if quoted:
        return ",".join('"' + field.replace('"', '""') + '"' if field != "" else "" for field in fields)
    return ",".join(field.replace('"', "").replace(",", "") for field in fields)


@settings(deadline=None, max_examples=100)
@given(rows, st.booleans(), st.booleans(), st.sampled_from([False] * 4 + [True]), st.sampled_from(["", "NULL"]))
def test_delimited_text(lines: list[Any], quoted: bool, empty: bool, multiline: bool, null: str) -> None:
    target = table(*COLUMNS, emptyIsNull=empty, multiline=multiline, nullValue=null)
    within = project(sinkReplayToFile=True)
    with TemporaryDirectory() as folder:
        text = [",".join(item.name for item in COLUMNS), *(csv_line(line, quoted) for line in [GOOD, *lines, GOOD])]
        file = written(Path(folder) / "f.csv", "\n".join(text) + "\n")
        found = streamed(target, file, within)
        assert found is None or found == kept(target, file, within)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_refused_rows_do_not_keep_the_others_from_being_written_as_they_are_read(tmp_path: Path, packed: bool) -> None:
    lines = [csv_line((str(number), *GOOD[1:]), True) for number in range(5000)]
    lines[2500] = lines[2500].replace("2024-02-29", "2024-02-30", 1)
    text = "\n".join([",".join(item.name for item in COLUMNS), *lines])
    path = tmp_path / ("f.csv.gz" if packed else "f.csv")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    found = streamed(table(*COLUMNS), path)
    assert found is not None
    assert found[0][:4] == (5000, 4999, 1, 0)
    assert found == kept(table(*COLUMNS), path)


@pytest.mark.parametrize(
    ("more", "content"),
    [
        ({"filter": "n > 0"}, "id,n\n1,2\n"),
        ({}, 'id,n\n1,2\n"3,4\n5,6\n'),
        ({}, "id,n\n1,2\n3,4,5\n6,7\n"),
        ({"multiline": True}, 'id,s\n1,"a\nb"\n'),
        ({}, b"id,s\n1,a\n2,\xff\n"),
    ],
    ids=["a filter", "an open quote", "a field too many", "records over lines", "bytes that are no text"],
)
def test_what_has_to_be_read_first_is_given_up(tmp_path: Path, more: dict[str, Any], content: str | bytes) -> None:
    assert streamed(table(*COLUMNS, **more), written(tmp_path / "f.csv", content)) is None


def test_several_files_in_one_archive_are_given_up(tmp_path: Path) -> None:
    assert streamed(table(*COLUMNS), tmp_path / "f.zip") is None


def test_parquet(tmp_path: Path) -> None:
    values = "i AS id, (i % 5)::INTEGER AS n, nullif(i, 7) AS d, CASE i WHEN 3 THEN 'x' ELSE '2024-01-01' END AS day"
    duckdb.sql(f"COPY (SELECT {values} FROM range(3000) r(i)) TO '{tmp_path}/f.parquet'")
    target = table(*COLUMNS, format="PARQUET")
    found = streamed(target, tmp_path / "f.parquet")
    assert found is not None
    assert found[0][:3] == (3000, 2999, 1)
    assert found == kept(target, tmp_path / "f.parquet")


LEAVES = (
    *(
        "0",
        "-0",
        "1",
        "1.0",
        "1.50",
        "1e3",
        "-1E-7",
        "3e-6",
        "1e-5",
        "100000000000000000000.5",
        "1e400",
        "NaN",
        "Infinity",
    ),
    *("9007199254740993", "12345678901234567890123", "0.1234567890123456789", "true", "false", "null", '""', '" 1"'),
    *(
        '"2024-02-29"',
        '"2024-02-29 10:00:00"',
        '"1"',
        '"1.5"',
        '"{"',
        '"[1]"',
        '"a\\"b"',
        '"\\u00e9\\ud834\\udd1e"',
        '"\\\\n"',
    ),
    *(
        '"null"',
        '"\\u0000"',
        '"\\ud800"',
        '{"a": 1 , "b": "x"}',
        '{"a": "y"}',
        "{}",
        "[]",
        "[1, 2]",
        '[ {"a": null} ]',
        "[[1.0]]",
    ),
)
DOCUMENT = (
    *PLAIN,
    attribute("b", "boolean"),
    attribute("s", trim="BOTH", rename="text"),
    attribute("secret", privacy="MD5"),
    attribute("any", "variant"),
    attribute("own", "anything"),
    attribute("one", "struct", attributes=(attribute("a", "int"), attribute("b"))),
    attribute("many", "int", array=True),
)
OWN = TypeDef(name="anything", primitive_type="variant", pattern=".*", ddl_mapping={"duckdb": "JSON"})
NAMES = [item.name for item in DOCUMENT]
FITTING = ("1", "2", "2.5", "1", '"2024-02-29"', '"2024-02-29 10:00:00"', "true", '"é"', '"x"', '{"a" : [1]}', "1.0")
FITTING += ('{"a": 1}', "[1, null]")
members = st.tuples(*(st.just(good) | st.just(good) | st.sampled_from(LEAVES) for good in FITTING)).map(
    lambda values: "{" + ", ".join(f'"{name}": {value}' for name, value in zip(NAMES, values, strict=True)) + "}"
)
some = st.lists(st.tuples(st.sampled_from([*NAMES, "ID", "other"]), st.sampled_from(LEAVES)), max_size=4).map(
    lambda pairs: "{" + " ,".join(f'"{name}":{value}' for name, value in pairs) + "}"
)
broken = st.sampled_from(
    ["", " ", "[1]", "null", '{"id": 1} {"id": 2}', '{"id": 1', '"x"', "{'id': 1}", '{"id": 1,}', "\t{}"]
)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(members | members | members | members | some | broken, max_size=5),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_json(lines: list[str], end: str, own: bool) -> None:
    # scalars are read as texts if no type of the project's own can be a variant
    target = table(*(item for item in DOCUMENT if own or item.name != "own"), format="JSON")
    with TemporaryDirectory() as folder:
        file = written(Path(folder) / "f.json", end.join(['{"id": 7}', *lines]))
        documents = kept(target, file, project(OWN, sinkReplayToFile=True))
        counts, found, errors = kept(target, file, project(OWN))
        assert (counts, found, errors) == (*documents[:2], [row[:2] for row in documents[2]])
        at_once = streamed(target, file, project(OWN))
        assert at_once is None or at_once == (counts, found, errors)


def test_a_refusal_that_quotes_half_a_letter(tmp_path: Path) -> None:
    line = '{"id":0 ,"day":Infinity ,"day":Infinity ,"day":"\\u00e9\\ud834\\udd1e"}'
    file, target = written(tmp_path / "f.json", line), table(*DOCUMENT, format="JSON")
    assert streamed(target, file, project(OWN)) is None
    assert kept(target, file, project(OWN))[0][:3] == (1, 0, 1)


def test_a_json_text_that_looks_like_an_array_stays_a_text(tmp_path: Path) -> None:
    values = ['"a"'] * 3000 + ['"[1]"', '"{"', "[1]", '{"a": 1}', "1"]
    text = "".join(f'{{"id": {number}, "s": {value}}}\n' for number, value in enumerate(values))
    target = table(attribute("id", "long"), attribute("s"), format="JSON")
    counts, found, errors = kept(target, written(tmp_path / "f.json", text))
    assert counts[:3] == (3005, 3003, 2)
    assert found[3000:] == [(3000, "[1]"), (3001, "{"), (3004, "1")]
    assert [error.split("\n")[1] for error, _ in errors] == ["`s` is not a string"] * 2


def test_json_keeps_its_order_over_many_lines(tmp_path: Path) -> None:
    file = written(
        tmp_path / "f.json", "".join(f'{{"id": {number}, "s": "{number:0400}"}}\n' for number in range(40000))
    )
    target = table(attribute("id", "long"), attribute("s"), format="JSON")
    found = streamed(target, file)
    assert found is not None
    assert [row[0] for row in found[1]] == list(range(40000))
