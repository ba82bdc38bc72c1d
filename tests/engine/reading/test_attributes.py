import hashlib
from pathlib import Path

import pytest

from starlake_dagster_assets.errors import EngineError
from tests.engine.reading.factory import Read, attribute, project, table, written


def csv(path: Path, header: str, *lines: str) -> Path:
    return written(path / "f.csv", "\n".join([header, *lines]) + "\n")


def test_trim_default_rename_ignore(tmp_path: Path) -> None:
    target = table(
        attribute("id", "int"),
        attribute("l", trim="LEFT"),
        attribute("r", trim="RIGHT"),
        attribute("b", trim="BOTH", default="none"),
        attribute("n", "int", default="7", rename="final"),
        attribute("secret", ignore=True),
    )
    read = Read(target, csv(tmp_path, "id,l,r,b,n,secret", '1,"  x  ","  x  ","    ",,s', "2,a,b, given ,9,t"))
    assert [column.name for column in read.incoming.columns] == ["id", "l", "r", "b", "final"]
    assert read.rows == [(1, "x  ", "  x", "none", 7), (2, "a", "b", "given", 9)]


def test_required(tmp_path: Path) -> None:
    target = table(attribute("id", "int", required=True), attribute("v"))
    read = Read(target, csv(tmp_path, "id,v", "1,a", ",b", "3,"))
    assert read.rows == [(1, "a"), (3, None)]
    assert read.reasons == ["`id`  can't be null"]


def test_scripts_see_raw_and_final_names_earlier_scripts_and_the_file(tmp_path: Path) -> None:
    target = table(
        attribute("id", "int"),
        attribute("a", "int", rename="first"),
        attribute("total", "int", script="SQL: a + first"),
        attribute("big", script="upper(concat('x', total))"),
        attribute("file", script="sl_input_file_name"),
        attribute("spark", script="date_format(date'2024-01-31', 'yyyy')"),
    )
    file = csv(tmp_path, "id,a", "1,2", "x,3")
    read = Read(target, file)
    assert read.rows == [(1, 2, 4, "X4", str(file), "2024")]
    assert read.incoming.rejected == 1


def test_a_filter_leaves_valid_rows_out(tmp_path: Path) -> None:
    target = table(attribute("id", "int"), attribute("v", rename="w"), filter="id > 1 AND v <> 'c'")
    read = Read(target, csv(tmp_path, "id,v", "1,a", "2,b", "3,c", "x,d"))
    assert read.rows == [(2, "b")]
    found = read.incoming
    assert (found.input, found.accepted, found.rejected, found.filtered) == (4, 3, 1, 2)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (table(attribute("id"), attribute("s", script="nothing + 1")), "attribute 's': script"),
        (table(attribute("id"), filter="nothing = 1"), "filter"),
        (table(attribute("id", privacy="SQL: nothing(id)")), "attribute 'id': privacy"),
    ],
)
def test_expressions_that_fail_name_their_attribute(tmp_path: Path, target: object, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        Read(target, csv(tmp_path, "id", "1"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("NONE", "Jean Le Bon"),
        ("hide", ""),
        ("HIDE10X", "XXXXXXXXXX"),
        ("md5", hashlib.md5(b"Jean Le Bon").hexdigest()),
        ("SHA1", hashlib.sha1(b"Jean Le Bon").hexdigest()),
        ("sha256", hashlib.sha256(b"Jean Le Bon").hexdigest()),
        ("initials", "J.L.B."),
        ("SQL: upper(v)", "JEAN LE BON"),
        ("mine", "J****n"),
    ],
)
def test_privacy(tmp_path: Path, key: str, value: str) -> None:
    within = project(privacy_options={"mine": "ai.starlake.privacy.Mask('*', 4, 1, 1)", "bad": "com.acme.Secret"})
    read = Read(table(attribute("v", privacy=key)), csv(tmp_path, "v", "Jean Le Bon"), within=within)
    assert read.rows == [(value,)]
    with pytest.raises(EngineError, match=r"com\.acme\.Secret"):
        Read(table(attribute("v", privacy="bad")), csv(tmp_path, "v", "x"), within=within)


def test_sha512(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    read = Read(table(attribute("v", privacy="sha512")), csv(tmp_path, "v", "é"))
    assert read.rows == [(hashlib.sha512("é".encode()).hexdigest(),)]


def test_privacy_and_types(tmp_path: Path) -> None:
    target = table(attribute("n", "long", privacy="approxLong20"), attribute("h", "int", privacy="hide"))
    read = Read(target, csv(tmp_path, "n,h", "1000,5", ",6", "x,7"))
    assert 800 <= read.rows[0][0] <= 1200
    assert [row[1] for row in read.rows] == [None, None]
    assert read.rows[1][0] is None
    assert read.incoming.rejected == 1
    read = Read(table(attribute("n", "int", privacy="md5")), csv(tmp_path, "n", "1"))
    assert read.reasons == ["`n` input and privacy output type are not compatible"]


def test_reject_with_value(tmp_path: Path) -> None:
    read = Read(table(attribute("n", "short")), csv(tmp_path, "n", "x"), within=project(reject_with_value=True))
    assert read.reasons == ["`n` (short) doesn't match pattern `-?\\d+`: x"]


def test_names_in_a_header_may_differ_in_case(tmp_path: Path) -> None:
    target = table(attribute("id", "int"), attribute("Note"))
    assert Read(target, written(tmp_path / "f.csv", "ID,NOTE\n1,a\n")).rows == [(1, "a")]
    assert Read(target, written(tmp_path / "f.csv", "ID,id,Note,note\n1,2,a,b\n")).rows == [(2, "a")]
