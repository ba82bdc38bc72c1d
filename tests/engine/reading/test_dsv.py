import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlake_dagster_assets.engine.reading.formats.dsv import DsvFile, dsv_dialect
from starlake_dagster_assets.engine.reading.read import read_incoming
from starlake_dagster_assets.engine.reading.scratch import drop_temporary_tables
from starlake_dagster_assets.errors import EngineError
from tests.engine.reading.factory import Read, attribute, project, table, written

ID_NOTE = (attribute("id", "int"), attribute("note"))


def test_bad_rows_are_refused_with_the_words_of_the_engine(tmp_path: Path) -> None:
    target = table(attribute("id", "int", required=True), attribute("temp", "double"), attribute("day", "date"))
    file = written(
        tmp_path / "r.csv",
        "id,temp,day\n1,20.5,2024-05-01\nx,21.5,2024-05-01\n3,hot,2024-05-02\n4,19,05/02/2024\n,18,2024-05-03\n"
        "5,1,2024-02-31\ny,z,2024-05-04\n",
    )
    read = Read(target, file)
    assert [row[0] for row in read.rows] == [1]
    assert read.types == ["INTEGER", "DOUBLE", "DATE"]
    assert read.errors[0] == (f"ERR -> \n`id` (int) doesn't match pattern `[-|\\+|0-9][0-9]*`\n\nFILE -> {file}")
    number = "(double) doesn't match pattern `[-+]?\\d*\\.?\\d+[Ee]?[-+]?\\d*`"
    assert read.reasons[1:] == [
        f"`temp` {number}",
        "`day` (date) doesn't match pattern `yyyy-MM-dd`",
        "`id`  can't be null",
        "`day` (date) doesn't match pattern `yyyy-MM-dd`",
        f"`id` (int) doesn't match pattern `[-|\\+|0-9][0-9]*`\n`temp` {number}",
    ]


def test_overflow_is_refused_and_not_wrapped(tmp_path: Path) -> None:
    file = written(tmp_path / "r.csv", "id,s,d\n3000000000,1,1\n1,40000,1\n1,1,1e999\n-5,-5,5e3\n-,1,1\n")
    read = Read(table(attribute("id", "int"), attribute("s", "short"), attribute("d", "double")), file)
    assert read.rows == [(-5, -5, 5000.0)]
    assert read.reasons[0] == "`id` cannot be converted to `long` with sl type `int`"
    assert read.reasons[1] == "`s` cannot be converted to `short` with sl type `short`"
    assert len(read.reasons) == 4


@pytest.mark.parametrize(
    ("content", "metadata", "expected"),
    [
        ("id|note\n1|plain\n2|\n3| padded \n", {"separator": "|"}, [(1, "plain"), (2, None), (3, " padded ")]),
        ("id\tnote\n1\t'a\tb'\n2\tc\n", {"separator": "\\t", "quote": "'"}, [(1, "a\tb"), (2, "c")]),
        ("id||note\n1||a|b\n", {"separator": "||"}, [(1, "a|b")]),
        ("id,note\r\n1,a\r\n2,b\r\n", {}, [(1, "a"), (2, "b")]),
        ("\ufeffid,note\n1,a\n", {}, [(1, "a")]),
        ("\ufeff1,a\n", {"with_header": False}, [(1, "a")]),
        ("1,a\n2\n", {"with_header": False}, [(1, "a"), (2, None)]),
        ("1,a,extra\n2,b,\n", {"with_header": False}, [(1, "a"), (2, "b")]),
        ("note,other,id\na,x,1\n", {}, [(1, "a")]),
        ("id\n1\n\n2\n   \n", {}, [(1, None), (2, None)]),
        ('id,note\n1,"a ""b"" c"\n', {}, [(1, 'a "b" c')]),
        ('id,note\n1,"a \\"b\\" c"\n2,5" pipe\n', {}, [(1, 'a "b" c'), (2, '5" pipe')]),
        ('id,note\n1,"two\nlines"\n2,x\n', {"multiline": True}, [(1, "two\nlines"), (2, "x")]),
        ('id,note\n1,"two\nlines"\n2,x\n', {}, [(1, "two\nlines"), (2, "x")]),
        ('id,note\n1, "a"\n', {}, [(1, ' "a"')]),
        ('id,note\n1,""\n,x\n', {"empty_is_null": False}, [(1, ""), (None, "x")]),
        ("id,note\n1,NA\nNA,x\n", {"null_value": "NA"}, [(1, None), (None, "x")]),
        ("# c\nid,note\n1,a\n", {"options": {"comment": "#"}}, [(1, "a")]),
        ("id,note\n1,a,\n2,b,,\n", {}, [(1, "a"), (2, "b")]),
        ("id,note\n", {}, []),
        ("", {}, []),
    ],
)
def test_dialects(tmp_path: Path, content: str, metadata: dict[str, object], expected: list[object]) -> None:
    read = Read(table(*ID_NOTE, **metadata), written(tmp_path / "f.csv", content))
    assert (read.rows, read.errors) == (expected, [])


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "latin1", "UTF-16", "windows-1252", "UTF-8", "cp1252", "UTF-16LE"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    file = written(tmp_path / "f.csv", "id,note\n1,été\n2,ç".encode(encoding))
    assert Read(table(*ID_NOTE, encoding=encoding), file).rows == [(1, "été"), (2, "ç")]


def test_lines_that_cannot_be_read_cost_only_themselves(tmp_path: Path) -> None:
    file = written(tmp_path / "f.csv", b'id,note\n1,a\n2,\xff\n3,"open\n4,x,y,z\n5,a\0b\n6,"a"b\n7,ok\n')
    read = Read(table(*ID_NOTE), file)
    assert read.rows == [(1, "a"), (7, "ok")]
    assert read.incoming.input == 7
    assert read.reasons == [
        "the line holds bytes that are not text in the table's encoding",
        "a quote is not closed",
        "4 columns found, 2 expected",
        "the line holds bytes that are not text in the table's encoding",
        "text after a closing quote",
    ]


def test_missing_columns(tmp_path: Path) -> None:
    target = table(attribute("id", "int"), attribute("req", required=True), attribute("d", default="x"))
    read = Read(target, written(tmp_path / "f.csv", "id\n1\n"))
    assert read.reasons == ["`req` is required"]
    target = table(attribute("id", "int"), attribute("n", "double"), attribute("d", "int", default="7"))
    assert Read(target, written(tmp_path / "f.csv", "id\n1\n")).rows == [(1, None, 7)]


def test_a_header_without_any_column_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="none of the columns"):
        Read(table(*ID_NOTE, separator=";"), written(tmp_path / "f.csv", "id,note\n1,a\n"))


@pytest.mark.parametrize("name", ["f.csv.gz", "f.zip", "f.tgz", "f.tar.gz"])
def test_archives(tmp_path: Path, name: str) -> None:
    path, content = tmp_path / name, b"id,note\n1,a\nx,b\n"
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.csv", content)
            archive.writestr("dir/b.csv", content)
            archive.writestr("dir/.hidden", b"no")
    elif name.endswith(("tgz", "tar.gz")):
        with tarfile.open(path, "w:gz") as archive:
            for member in ("a.csv", "dir/b.csv"):
                info = tarfile.TarInfo(member)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    else:
        path.write_bytes(gzip.compress(content))
    read = Read(table(*ID_NOTE), path)
    count = 1 if name.endswith("csv.gz") else 2
    assert (read.incoming.accepted, read.incoming.rejected) == (count, count)
    assert all(error.endswith(f"FILE -> {path}") for error in read.errors)


@pytest.mark.parametrize("name", ["f.gz", "f.zip", "f.tgz"])
def test_broken_archives_name_themselves(tmp_path: Path, name: str) -> None:
    with pytest.raises(EngineError, match=name):
        Read(table(*ID_NOTE), written(tmp_path / name, gzip.compress(b"id,note\n1,a\n" * 99)[:-20]))


def test_several_files_are_one_reading(tmp_path: Path) -> None:
    one = written(tmp_path / "1.csv", "id,note\n1,a\nx,b\n")
    two = written(tmp_path / "2.csv", "note,id\nc,2\nd,y\n")
    read = Read(table(*ID_NOTE), one, two)
    assert read.rows == [(1, "a"), (2, "c")]
    paths = read.con.execute(f"SELECT PATH FROM {read.incoming.rejects}").fetchall()
    assert paths == [(str(one),), (str(two),)]


def test_names_that_need_quotes(tmp_path: Path) -> None:
    names = ["order", 'a"b', "a b", "a.b", "é", "group"]
    target = table(*[attribute(name) for name in names])
    read = Read(target, written(tmp_path / "f.csv", 'order;a"b;a b;a.b;é;group\n1;2;3;4;5;6\n'.replace(";", ",")))
    assert [column.name for column in read.incoming.columns] == names
    assert read.rows == [("1", "2", "3", "4", "5", "6")]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (table(attribute("a"), attribute("A")), "upper and lower"),
        (table(attribute("a"), attribute("b", rename="A")), "upper and lower"),
        (table(attribute("a"), format="KAFKA"), "KAFKA"),
        (table(attribute("a"), format="GENERIC"), "GENERIC"),
        (table(attribute("a", "strin")), "Did you mean 'string'"),
        (table(attribute("a", privacy="md6")), "Did you mean 'md5'"),
        (table(attribute("a"), encoding="utf-99"), "utf-99"),
        (table(attribute("a"), options={"delimiterr": "x"}), "Did you mean 'delimiter'"),
        (table(attribute("a"), quote="ab"), "one character"),
        (table(attribute("a", ignore=True)), "stores no column"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(tmp_path: Path, target: object, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        Read(target, written(tmp_path / "f.csv", "a\n1\n"))  # type: ignore[arg-type]


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    file = written(tmp_path / "f.csv", "id,note\n1,a\nx,b\n")
    for target in (table(*ID_NOTE), table(*ID_NOTE, filter="id > 0")):
        read = Read(target, file)
        drop_temporary_tables(read.con, read.incoming)
        assert read.con.execute("SHOW ALL TABLES").fetchall() == []


def test_a_file_larger_than_memory(tmp_path: Path) -> None:
    import duckdb

    path = tmp_path / "big.csv"
    with path.open("w") as file:
        file.write("id,note\n")
        for index in range(400_000):
            file.write(f"{index},{'abcdefghij' * 25}{index}\n")
    con = duckdb.connect(str(tmp_path / "x.db"), config={"memory_limit": "64MB", "threads": 2})
    con.execute(f"SET temp_directory = '{tmp_path}/spill'")
    assert path.stat().st_size > 100 << 20
    found = read_incoming(con, project(), table(*ID_NOTE), [path])
    assert found.accepted == 400_000
    con.execute(f"CREATE TABLE t AS SELECT * FROM {found.relation}")


# --------------------------------------------------------------------------------------------- open input

BYTES = st.one_of(
    st.binary(max_size=80),
    st.text(alphabet='a1,;"\\\n\r \t', max_size=60).map(str.encode),
    st.lists(st.sampled_from([b'"', b",", b"\n", b"\r\n", b"1", b"ab", b"\\", b"\0", b"\xff", b" "]), max_size=30).map(
        b"".join
    ),
)


@settings(deadline=None, max_examples=100)
@given(content=BYTES, header=st.booleans(), multiline=st.booleans(), escape=st.sampled_from(["\\", '"']))
def test_every_row_of_any_bytes_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, header: bool, multiline: bool, escape: str
) -> None:
    file = written(tmp_path_factory.mktemp("b") / "f.csv", (b"id,note\n" if header else b"") + content)
    try:
        read = Read(table(*ID_NOTE, with_header=header, multiline=multiline, escape=escape), file)
    except EngineError as error:
        assert multiline and b'"' in content and "is not closed" in str(error)
        return
    if b'"' not in content:
        text = content.decode("utf-8", "replace")
        for mark in ("\r\n", "\r"):
            text = text.replace(mark, "\n")
        text = text if header else text.removeprefix("\ufeff")
        assert read.incoming.input == sum(1 for line in text.split("\n") if line.strip(" \t\x0b\x0c"))


@settings(deadline=None, max_examples=100)
@given(
    content=st.text(alphabet='ab,"\\\n ', max_size=40),
    multiline=st.booleans(),
    escape=st.sampled_from(["\\", '"']),
)
def test_where_duckdb_is_trusted_it_reads_what_the_careful_way_reads(
    tmp_path_factory: pytest.TempPathFactory, content: str, multiline: bool, escape: str
) -> None:
    import duckdb

    folder = tmp_path_factory.mktemp("f")
    target = table(attribute("a"), attribute("b"), with_header=False, multiline=multiline, escape=escape)
    reader = DsvFile(written(folder / "f.csv", content), target, dsv_dialect(target), "f.csv")
    try:
        fast = reader.duckdb_source()
    except EngineError as error:
        assert multiline and "is not closed" in str(error)
        return
    if fast is None:
        return
    con = duckdb.connect(config={"threads": 1})
    columns = "nullif(sl_c0, ''), nullif(sl_c1, '')"
    try:
        quick = con.execute(f"SELECT {columns} FROM {fast.sql}").fetchall()
    except duckdb.Error:
        return
    if fast.expected_rows not in (None, len(quick)):
        return
    careful = reader.python_source(folder / "plain.csv")
    assert not careful.expected_rows or fast.expected_rows == careful.expected_rows
    assert quick == con.execute(f"SELECT {columns} FROM {careful.sql}").fetchall()


@pytest.mark.parametrize("header", ["id,note,note", "id,Note,NOTE", "note,id,note"])
def test_a_repeated_column_of_the_header_fails_the_file(tmp_path: Path, header: str) -> None:
    file = written(tmp_path / "f.csv", f"{header}\n1,2,3\n")
    with pytest.raises(EngineError, match=r"f\.csv: the header has the column note 2 times\. Found: "):
        Read(table(attribute("id", "int"), attribute("note")), file)


def test_a_repeated_column_that_no_attribute_reads_is_left_out(tmp_path: Path) -> None:
    file = written(tmp_path / "f.csv", "id,other,other\n1,2,3\n")
    assert Read(table(attribute("id", "int")), file).rows == [(1,)]
