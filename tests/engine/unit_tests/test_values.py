"""Values of the files of unit tests are compared exactly, whatever the types of the columns."""

from pathlib import Path

import duckdb
import pytest

from starlake_dagster_assets.engine.unit_tests.comparison import compare, insert_texts
from starlake_dagster_assets.engine.unit_tests.files import read_rows

COMPARED = [
    ("2", "1.6", False),
    ("2", "2.0", True),
    ("true", "TRUE", True),
    ("1.5::DECIMAL(3,1)", "1.54", False),
    ("1.5::DECIMAL(3,1)", "1.50", True),
    ("1234567890123456.78::DECIMAL(18,2)", "1234567890123456.780", True),
    ("1234567890123456.78::DECIMAL(18,2)", "1234567890123456.79", False),
    ("9007199254740993", "9007199254740992.0", False),
    ("123456789012345678901234567890::HUGEINT", "123456789012345678901234567890", True),
    ("1.0::FLOAT", "1.00000001", False),
    ("0.1::FLOAT", "0.1", True),
    ("16777217::FLOAT", "16777217", False),
    ("0.1::DOUBLE", "0.1000", True),
    ("0.1::DOUBLE", "0.10000000000000001", False),
    ("1e20::DOUBLE", "100000000000000000000", True),
    ("'NaN'::DOUBLE", "NaN", True),
    ("DATE '2024-01-01'", "2024-01-01 12:00:00", False),
    ("DATE '2024-01-01'", "2024-01-01T00:00:00", True),
    ("TIMESTAMP '2024-01-01 12:00:00.123456'", "2024-01-01 12:00:00.1234567", False),
    ("TIMESTAMP '2024-01-01 12:00:00.5'", "2024-01-01T12:00:00.500", True),
    ("TIME '12:00:00'", "2024-01-01 12:00:00", False),
    ("TIME '12:00:00.5'", "12:00:00.50", True),
    ("'007'", "7", False),
    ("DATE 'infinity'", "infinity", True),
]
DOCUMENTS = [
    ("{'a': 2}", '{"a": 1.6}', False),
    ("{'a': 2}", '{"a": 2.0}', True),
    ("[1, 2]", "[1, 2.4]", False),
    ("[{'m': 1234567890123456.78::DECIMAL(18,2)}]", '[{"m": 1234567890123456.78}]', True),
    ("[{'m': 1234567890123456.78::DECIMAL(18,2)}]", '[{"m": 1234567890123456.80}]', False),
    ("{'s': '1.10'}", '{"s": 1.10}', True),
    ("{'d': DATE '2024-01-01'}", '{"d": "2024-01-01 12:00:00"}', False),
    ("MAP {'a': 1}", '{"a": 1}', True),
    ("""'{"a":1, "b":1.10}'::JSON""", '{"a": 1, "b": 1.1}', True),
    ("""'{"a":12345678901234567.25}'::JSON""", '{"a": 12345678901234567.5}', False),
    ("""'{"a":12345678901234567.25}'::JSON""", '{"a": 12345678901234567.25}', True),
    ("1234567890123456.78::DECIMAL(18,2)", "1234567890123456.78", True),
    ("9007199254740993", "9007199254740993", True),
    ("9007199254740993", "9007199254740993.0", True),
    ("9007199254740993", "9007199254740992.9", False),
]


@pytest.mark.parametrize(("sql", "expected", "same"), COMPARED)
def test_csv(tmp_path: Path, sql: str, expected: str, same: bool) -> None:
    assert _difference(tmp_path / "_expected.csv", sql, f"v\n{expected}\n") is not same


@pytest.mark.parametrize(("sql", "expected", "same"), DOCUMENTS)
def test_json(tmp_path: Path, sql: str, expected: str, same: bool) -> None:
    assert _difference(tmp_path / "_expected.json", sql, f'[{{"v": {expected}}}]') is not same


def _difference(file: Path, sql: str, text: str) -> bool:
    file.write_text(text)
    with duckdb.connect(config={"threads": 1}) as con:
        con.execute("SET TimeZone = 'UTC'")
        return bool(compare(con, "_expected", f"SELECT {sql} AS v", read_rows(file)))


def test_a_value_that_a_column_cannot_hold_is_shown_as_it_is_written(tmp_path: Path) -> None:
    file = tmp_path / "_expected.csv"
    file.write_text("id,v\n1,1.6\n")
    with duckdb.connect() as con:
        found = compare(con, "_expected", "SELECT 1 AS id, 2 AS v", read_rows(file))
        assert list(found.lines()) == ["differing rows (1):", "  id=1: v is 2, expected 1.6"]


def test_a_row_that_a_given_table_cannot_hold_is_named() -> None:
    with duckdb.connect() as con:
        con.execute("CREATE TABLE t (id BIGINT)")
        (value,) = insert_texts(con, "t", {"id": "BIGINT"}, [["1"], ["1.6"]])
    assert str(value) == "row 2: the column id (BIGINT) cannot hold '1.6' exactly: it would be 2"
