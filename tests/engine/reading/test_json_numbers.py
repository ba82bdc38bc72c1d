"""Numbers of JSON files keep all of their digits, in every way of reading a file."""

import json
from decimal import Context, Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlake_dagster_assets.engine.reading.formats.json_numbers import LongNumberSearch
from starlake_dagster_assets.project.model.project import TypeDef
from tests.engine.reading.factory import NUMBER, Read, attribute, project, table, written

MONEY = TypeDef(name="money", primitive_type="decimal", pattern=r"-?.*", ddl_mapping={"duckdb": "DECIMAL(38,10)"})
NUMBERS = [
    "1234567890123456.78",
    "-90071992547409.93",
    "0.1234567890123456789e1",
    "12345678901234567890.5E-3",
    "1.2345678901234567e+5",
    "0.000012345678901234567",
    "1.10",
    "123456789012345678901",
    "1e3",
]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("way", ["lines", "one document over lines", "array", "replay"])
def test_digits(tmp_path: Path, way: str, number: str) -> None:
    nested = table(
        attribute("m", "money"),
        attribute("o", "struct", attributes=(attribute("m", "money"), attribute("v", "variant"))),
        attribute("l", "money", array=True),
        attribute("v", "variant"),
        attribute("s"),
        format="JSON",
        array=way == "array",
    )
    text = json.dumps(f'9\\"9 {number}e9 \\')
    document = f'{{"m": {number}, "o": {{"m":{number},"v":[{number}]}}, "l":[{number}], "v":{number},"s":{text}}}'
    if way == "one document over lines":
        document = document.replace(", ", ",\n")
    elif way == "array":
        document = f"[{document}]"
    read = Read(
        nested,
        written(tmp_path / "f.json", document + "\n"),
        within=project(MONEY, sink_replay_to_file=way == "replay"),
    )
    exact = _rounded(number)
    (row,) = read.rows
    assert (row[0], row[1]["m"], row[2]) == (exact, exact, [exact])
    assert [_exact(row[1]["v"])[0], _exact(row[3])] == [Decimal(number), Decimal(number)]
    assert row[4] == json.loads(text)


@pytest.mark.parametrize("number", [number for number in NUMBERS if len(number) > 16])
def test_rejected_rows_have_the_text_of_the_file(tmp_path: Path, number: str) -> None:
    file = written(tmp_path / "f.json", f'{{"m":{number}}}\n{{"m":[{number}]}}\n')
    own = project(MONEY, reject_with_value=True, sink_replay_to_file=True)
    read = Read(table(attribute("m", "money"), format="JSON"), file, within=own)
    assert [row[0] for row in read.rows] == [_rounded(number)]
    assert read.reasons == [f"`m` is not a money: [{number}]"]
    lines = read.con.execute(f"SELECT LINE FROM {read.incoming.rejects}").fetchall()
    assert lines == [(f'{{"m":[{number}]}}',)]


def _rounded(number: str) -> Decimal:
    return Decimal(number).quantize(Decimal("1e-10"), context=Context(prec=50))


def _exact(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


CENTS = TypeDef(name="cents", primitive_type="decimal", pattern=NUMBER, zone="12,2")
COUNT = TypeDef(name="count", primitive_type="int", pattern="[0-9]{1,3}")
COLUMNS = [attribute("key", "long", required=True), attribute("n", "int", trim="BOTH"), attribute("h", "short")]
COLUMNS += [attribute("d", "double", default="0.5"), attribute("p", "decimal"), attribute("c", "cents")]
COLUMNS += [attribute("o", "count"), attribute("m", "money")]
ODD = ["0", "-0", "7", "-7", "1.0", "1.5", "-0.5", "1e3", "1E+2", "1.5e-7", "1e20", "1e400", "32768", "2147483648"]
ODD += ["9223372036854775808", "1234567890.125", "0.1234567890123456789", "12345678901234567890.5"]
ODD += ["NaN", "Infinity", "-Infinity", "true", "false", "null", "{}", "[]", "[1]"]
TEXTS = [
    "",
    " ",
    "1",
    " 1",
    "1 ",
    "+1",
    "1_0",
    "1e3",
    ".5",
    "5.",
    "5.e3",
    "1.5",
    "007",
    "0x1F",
    "inf",
    "nan",
    "true",
    "[1]",
]
TEXTS += ["{", "null", "1,5", "-", "12345678901234567.8", '"1"']
values = (
    st.sampled_from([*ODD, *map(json.dumps, TEXTS)])
    | st.floats(width=64).map(json.dumps)
    | st.integers(-(10**20), 10**20).map(str)
)


LONG = ["100000000000000.0", "-100000000000000.5", "123456789012345.678", "0.0000000000000000", "1234567890123456e-3"]


def compare(lines: list[str], null: str) -> None:
    """Compares the rows and errors of columns that DuckDB parses with those of whole documents."""
    target = table(*COLUMNS, format="JSON", nullValue=null)
    with TemporaryDirectory() as folder:
        file = written(Path(folder) / "f.json", "".join(f"{line}\n" for line in ['{"key":1}', *lines]))
        types = (MONEY, CENTS, COUNT)
        columns, whole = (Read(target, file, within=project(*types, sinkReplayToFile=way)) for way in (False, True))
        assert columns.rows == whole.rows
        assert columns.errors == whole.errors


@pytest.mark.parametrize("null", ["", "0"])
@pytest.mark.parametrize("column", [item.name for item in COLUMNS])
@pytest.mark.parametrize("given", [[*ODD, *LONG, *map(json.dumps, TEXTS)], [*ODD, *map(json.dumps, TEXTS)], LONG])
def test_each_number_is_that_of_whole_documents(given: list[str], column: str, null: str) -> None:
    others = "" if column == "key" else '"key":1,'
    compare([f'{{{others}"{column}":{value}}}' for value in given], null)


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.dictionaries(st.sampled_from([item.name for item in COLUMNS]), values, min_size=1), max_size=12),
    st.sampled_from(["", "0", "1.5"]),
)
def test_numbers_are_those_of_whole_documents(documents: list[dict[str, str]], null: str) -> None:
    compare(["{" + ",".join(f'"{name}":{value}' for name, value in row.items()) + "}" for row in documents], null)


@pytest.mark.parametrize("size", [1, 3, 17, 18, 40, 1000])
def test_long_numbers_are_found_wherever_pieces_of_a_file_end(size: int) -> None:
    for number, found in (("0.123456789012345", True), ("0.12345678901234", False)):
        for before in range(20):
            text = b'{"x":' + b" " * before + f'"2024-01-01 00:00:00 {"ab" * before}":{number}}}'.encode()
            search = LongNumberSearch()
            for start in range(0, len(text), size):
                search.feed(text[start : start + size])
            assert search.found is found
