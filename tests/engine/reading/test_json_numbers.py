"""Numbers of JSON files keep all of their digits, in every way of reading a file."""

import json
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import pytest

from starlake_dagster_assets.project.model.project import TypeDef
from tests.engine.reading.factory import Read, attribute, project, table, written

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
