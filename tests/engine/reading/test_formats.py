import gzip
import json
from datetime import date, datetime, timezone
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model.project import TypeDef
from tests.engine.reading.factory import Read, attribute, project, table, written

COLUMNS = (attribute("id", "int"), attribute("label"), attribute("on_sale", "boolean"), attribute("day", "date"))
LINES = (
    '{"id":1,"label":"a","on_sale":true,"day":"2024-03-01"}\n{"id":2,"label":null}\n\n'
    '{"id":3,"label":"c","on_sale":false,"day":"2024-03-03","unknown":5}'
)
ROWS = [(1, "a", True, date(2024, 3, 1)), (2, None, None, None), (3, "c", False, date(2024, 3, 3))]


@pytest.mark.parametrize("kind", ["JSON", "JSON_FLAT"])
@pytest.mark.parametrize(
    "content",
    [
        LINES,
        LINES.replace("\n", "\r\n"),
        LINES.replace("\n", " "),
        "\n\n" + LINES,
        "\ufeff" + LINES,
        LINES.replace(",", ",\n"),
        "[" + ",\n".join(LINES.split("\n")).replace(",\n,", ",") + "]",
    ],
)
def test_json_documents(tmp_path: Path, kind: str, content: str) -> None:
    read = Read(table(*COLUMNS, format=kind), written(tmp_path / "f.json", content))
    assert (read.rows, read.errors) == (ROWS, [])


def test_json_array(tmp_path: Path) -> None:
    target = table(*COLUMNS, format="JSON", array=True)
    content = "[" + LINES.replace("\n\n", "\n").replace("\n", ",\n") + "]\n"
    assert Read(target, written(tmp_path / "f.json", content)).rows == ROWS
    assert Read(target, written(tmp_path / "f.json.gz", gzip.compress(content.encode()))).rows == ROWS
    assert Read(target, written(tmp_path / "f.json", "[]")).rows == []
    assert Read(target, written(tmp_path / "f.json", "")).rows == []
    read = Read(target, written(tmp_path / "f.json", '[{"id":1}, 5, {"id":"x"}]'))
    assert read.reasons[0] == "not a JSON object"
    assert (len(read.rows), len(read.reasons)) == (1, 2)


@pytest.mark.parametrize(
    "content", ['[{"id":1}', '[{"id":1},]', '{"id":1}', '[{"id":1} {"id":2}]', "[1] x", '[{"id":}]']
)
def test_a_broken_json_array_is_an_error_with_its_file(tmp_path: Path, content: str) -> None:
    with pytest.raises(EngineError, match=r"f\.json"):
        Read(table(*COLUMNS, format="JSON", array=True), written(tmp_path / "f.json", content))


def test_json_values_of_the_wrong_kind(tmp_path: Path) -> None:
    lines = ['{"id":1}', '{"id":"2","label":7}', '{"id":1.5}', '{"id":{"a":1}}', "{broken", '{"on_sale":1}', "[1]", "5"]
    read = Read(table(*COLUMNS, format="JSON"), written(tmp_path / "f.json", "\n".join(lines)))
    assert read.rows == [(1, None, None, None), (2, "7", None, None), (None, None, True, None)]
    assert read.reasons == [
        "`id` (int) doesn't match pattern `[-|\\+|0-9][0-9]*`",
        "`id` is not a int",
        "not valid JSON",
        "not a JSON object",
        "not a JSON object",
    ]


def test_json_structs_arrays_and_variants(tmp_path: Path) -> None:
    target = table(
        attribute("id", "int"),
        attribute(
            "who", "struct", attributes=(attribute("name", required=True), attribute("age", "int", rename="years"))
        ),
        attribute("tags", array=True),
        attribute("items", "struct", array=True, attributes=(attribute("sku"), attribute("qty", "int"))),
        attribute("extra", "variant"),
        format="JSON",
    )
    good = {
        "id": 1,
        "who": {"name": "é", "age": "7"},
        "tags": ["a", "b"],
        "items": [{"sku": "x", "qty": 2}, {"sku": "y"}],
        "extra": {"k": [1, None]},
    }
    bad = {"id": 2, "who": {"age": "x"}, "tags": "a", "items": [{"qty": 1}, {"qty": "z"}, {"qty": [1]}]}
    text = "\n".join(json.dumps(item) for item in (good, bad, {"id": 3}, {"id": 4, "tags": [], "who": 5}))
    read = Read(target, written(tmp_path / "f.json", text))
    assert read.types[1:] == [
        'STRUCT("name" VARCHAR, "years" INTEGER)',
        "VARCHAR[]",
        "STRUCT(sku VARCHAR, qty INTEGER)[]",
        "JSON",
    ]
    assert read.rows == [
        (
            1,
            {"name": "é", "years": 7},
            ["a", "b"],
            [{"sku": "x", "qty": 2}, {"sku": "y", "qty": None}],
            '{"k":[1,null]}',
        ),
        (3, None, None, None, None),
    ]
    pattern = "(int) doesn't match pattern `[-|\\+|0-9][0-9]*`"
    assert read.reasons == [
        "`who.name`  can't be null\n"
        f"`who.age` {pattern}\n"
        "`tags` is not an array\n"
        f"`items[1].qty` {pattern}\n"
        "`items[2].qty` is not a int",
        "`who` is not a struct",
    ]


def test_a_variant_type_of_the_project(tmp_path: Path) -> None:
    own = TypeDef(name="any", primitive_type="variant", pattern=".+", ddl_mapping={"duckdb": "JSON"})
    target = table(attribute("v", "any"), format="JSON")
    read = Read(target, written(tmp_path / "f.json", '{"v":{"a":1}}\n{"v":"x"}\n{}'), within=project(own))
    assert read.rows == [('{"a":1}',), ('"x"',), (None,)]


def test_positions_count_characters(tmp_path: Path) -> None:
    target = table(
        attribute("code", position={"first": 0, "last": 3}),
        attribute("name", trim="BOTH", position={"first": 4, "last": 13}),
        attribute("amount", "int", position={"first": 14, "last": 18}),
        format="POSITION",
    )
    content = "A001Alpha     00012\nA002Éé  🙂     00345\r\nA005Short\n\nA006          x\n"
    read = Read(target, written(tmp_path / "f.txt", content))
    assert read.rows == [("A001", "Alpha", 12), ("A002", "Éé  🙂", 345), ("A005", "Short", None)]
    assert len(read.reasons) == 1
    assert Read(target, written(tmp_path / "f.txt", content.encode() + b"A\xff\n")).incoming.rejected == 2
    with pytest.raises(EngineError, match="needs position"):
        Read(table(attribute("a"), format="POSITION"), written(tmp_path / "f.txt", "x"))


XML = """<?xml version="1.0" encoding="{encoding}"?>
<books xmlns:x="urn:x"><book id="1"><title lang="fr">L'été &amp; la mer</title><tag>a</tag><price>5.5</price></book>
<other/><book id="2"><title>B</title><tag>a</tag><tag>b</tag><author><name>N</name></author></book>
<book id="z"/></books>"""


@pytest.mark.parametrize("encoding", ["UTF-8", "ISO-8859-1"])
def test_xml(tmp_path: Path, encoding: str) -> None:
    target = table(
        attribute("_id", "int", rename="id"),
        attribute("title"),
        attribute("tag", array=True),
        attribute("author", "struct", attributes=(attribute("name"),)),
        attribute("price", "double"),
        format="XML",
        options={"rowTag": "book"},
        encoding=encoding,
    )
    read = Read(target, written(tmp_path / "f.xml", XML.format(encoding=encoding).encode(encoding)))
    assert read.rows == [(1, "L'été & la mer", ["a"], None, 5.5), (2, "B", ["a", "b"], {"name": "N"}, None)]
    assert len(read.reasons) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<a><book>", "no element found"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "entity 'x'"),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "entity 'x'"),
        ("nothing", "not well-formed"),
    ],
)
def test_xml_that_is_broken_or_dangerous(tmp_path: Path, content: str, message: str) -> None:
    target = table(attribute("a"), format="XML", options={"rowTag": "book"})
    with pytest.raises(EngineError, match=message):
        Read(target, written(tmp_path / "f.xml", content))


def test_parquet(tmp_path: Path) -> None:
    file = tmp_path / "f.parquet"
    duckdb.execute(
        "COPY (SELECT * FROM (VALUES (1::BIGINT, 'a', DATE '2024-01-02', 1.5::DECIMAL(5,2), [1, 2], {'k': 'v'}, "
        "TIMESTAMP '2024-01-02 03:04:05'), (3000000000, 'b', NULL, NULL, NULL, NULL, NULL)) "
        f"t(id, label, day, price, list, rec, \"at\")) TO '{file}' (FORMAT PARQUET)"
    )
    target = table(
        attribute("id", "int"),
        attribute("label"),
        attribute("day", "date"),
        attribute("price", "double"),
        attribute("list", "int", array=True),
        attribute("rec", "struct", attributes=(attribute("k"),)),
        attribute("at", "timestamp"),
        attribute("missing", "int"),
        format="PARQUET",
    )
    read = Read(target, file)
    moment = datetime(2024, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    assert [tuple(row) for row in read.rows] == [(1, "a", date(2024, 1, 2), 1.5, [1, 2], {"k": "v"}, moment, None)]
    assert read.reasons == ["`id` cannot be converted to `long` with sl type `int`"]
    with pytest.raises(EngineError, match=r"g\.parquet"):
        Read(target, written(tmp_path / "g.parquet", b"not parquet"))


@settings(deadline=None, max_examples=80)
@given(
    lines=st.lists(
        st.one_of(
            st.binary(max_size=20),
            st.sampled_from([b'{"id":1}', b'{"id":"x"}', b"{", b'{"id":', b'"', b"[", b"]", b"1}", b'{"id":{}}', b""]),
            st.recursive(
                st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
                lambda inner: st.dictionaries(st.sampled_from(["id", "label", "x"]), inner, max_size=3),
                max_leaves=4,
            ).map(lambda value: json.dumps(value).encode()),
        ),
        max_size=8,
    )
)
def test_any_bytes_as_json_are_accounted_for(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    file = written(tmp_path_factory.mktemp("j") / "f.json", b"\n".join(lines))
    Read(table(attribute("id", "int"), attribute("label"), format="JSON"), file)


@settings(deadline=None, max_examples=50)
@given(good=st.lists(st.booleans(), max_size=12))
def test_each_bad_json_line_costs_one_row(tmp_path_factory: pytest.TempPathFactory, good: list[bool]) -> None:
    lines = [f'{{"id":{index}}}' if fine else f'{{"id":{index}' for index, fine in enumerate(good)]
    file = written(tmp_path_factory.mktemp("j") / "f.json", "\n".join(lines))
    read = Read(table(attribute("id", "int"), format="JSON"), file)
    assert [row[0] for row in read.rows] == [index for index, fine in enumerate(good) if fine]
    assert read.incoming.rejected == good.count(False)
