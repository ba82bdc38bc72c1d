import re
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from starlake_dagster_assets.engine.reading.column_types import column_type
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model.project import TypeDef
from tests.engine.reading.factory import NUMBER, Read, attribute, packaged_types, project, table, written


def read_one(folder: Path, texts: list[str], definition: TypeDef) -> Read:
    """A one-column JSON file, so that any text may stand in it."""
    import json

    content = "\n".join(json.dumps({"v": text}) for text in texts)
    target = table(attribute("n", "int"), attribute("v", definition.name), format="JSON")
    return Read(target, written(folder / "f.json", content), within=project(definition))


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=timezone.utc)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("kind", "pattern", "zone", "ddl", "text", "value"),
    [
        ("date", "dd/MM/yyyy", None, "DATE", "31/12/2024", date(2024, 12, 31)),
        ("date", "yyyyMMdd", None, "DATE", "20240131", date(2024, 1, 31)),
        ("date", "yyyy-MM", None, "DATE", "2024-02", date(2024, 2, 1)),
        ("date", "d.M.yy", None, "DATE", "1.2.75", date(2075, 2, 1)),
        ("date", "dd MMM yyyy", None, "DATE", "05 Jan 2024", date(2024, 1, 5)),
        ("date", "yyyy-DDD", None, "DATE", "2024-060", date(2024, 2, 29)),
        ("timestamp", "dd.MM.yyyy HH:mm", None, "TIMESTAMP", "31.12.2024 08:30", datetime(2024, 12, 31, 8, 30)),
        ("timestamp", "yyyy-MM-dd HH:mm:ss", None, "TIMESTAMPTZ", "2024-01-31 10:11:12", utc(2024, 1, 31, 10, 11, 12)),
        (
            "timestamp",
            "yyyy-MM-dd HH:mm:ss.SSS",
            None,
            "",
            "2024-01-31 10:11:12.345",
            datetime(2024, 1, 31, 10, 11, 12, 345000),
        ),
        ("timestamp", "yyyy-MM-dd HH:mm:ss", "Europe/Paris", "TIMESTAMPTZ", "2024-07-01 10:00:00", utc(2024, 7, 1, 8)),
        (
            "timestamp",
            "yyyy-MM-dd HH:mm:ss",
            "Europe/Paris",
            "TIMESTAMP",
            "2024-07-01 10:00:00",
            datetime(2024, 7, 1, 8),
        ),
        ("timestamp", "MM/dd/yyyy hh:mm a", None, "TIMESTAMP", "07/01/2024 03:05 PM", datetime(2024, 7, 1, 15, 5)),
        (
            "timestamp",
            "yyyy-MM-dd'T'HH:mm:ssXXX",
            None,
            "TIMESTAMPTZ",
            "2024-01-31T10:00:00+02:00",
            utc(2024, 1, 31, 8),
        ),
        ("timestamp", "HH:mm:ss", None, "TIMESTAMP", "10:11:12", datetime(1970, 1, 1, 10, 11, 12)),
        ("timestamp", "epoch_second", None, "TIMESTAMP", "1700000000", datetime(2023, 11, 14, 22, 13, 20)),
        (
            "timestamp",
            "epoch_milli",
            None,
            "TIMESTAMPTZ",
            "1700000000123",
            datetime(2023, 11, 14, 22, 13, 20, 123000, timezone.utc),
        ),
        ("timestamp", "BASIC_ISO_DATE", None, "TIMESTAMPTZ", "20240131", utc(2024, 1, 31)),
        ("timestamp", "ISO_LOCAL_DATE", None, "TIMESTAMPTZ", "2024-01-31", utc(2024, 1, 31)),
        ("timestamp", "ISO_DATE", None, "TIMESTAMPTZ", "2024-01-31", utc(2024, 1, 31)),
        ("timestamp", "ISO_LOCAL_DATE_TIME", None, "TIMESTAMPTZ", "2024-01-31T10:11", utc(2024, 1, 31, 10, 11)),
        (
            "timestamp",
            "ISO_OFFSET_DATE_TIME",
            None,
            "TIMESTAMPTZ",
            "2024-01-31T10:11:12+02:00",
            utc(2024, 1, 31, 8, 11, 12),
        ),
        ("timestamp", "ISO_DATE_TIME", None, "TIMESTAMPTZ", "2024-01-31T10:11:12Z", utc(2024, 1, 31, 10, 11, 12)),
        (
            "timestamp",
            "ISO_ZONED_DATE_TIME",
            None,
            "TIMESTAMPTZ",
            "2024-01-31T10:11:12+01:00[Europe/Paris]",
            utc(2024, 1, 31, 9, 11, 12),
        ),
        ("timestamp", "ISO_ORDINAL_DATE", None, "TIMESTAMPTZ", "2024-060", utc(2024, 2, 29)),
        ("timestamp", "ISO_WEEK_DATE", None, "TIMESTAMPTZ", "2024-W01-1", utc(2024, 1, 1)),
        (
            "timestamp",
            "ISO_INSTANT",
            None,
            "TIMESTAMPTZ",
            "2024-01-31T10:11:12.5Z",
            utc(2024, 1, 31, 10, 11, 12, 500000),
        ),
        (
            "timestamp",
            "RFC_1123_DATE_TIME",
            None,
            "TIMESTAMPTZ",
            "Tue, 3 Jun 2008 11:05:30 GMT",
            utc(2008, 6, 3, 11, 5, 30),
        ),
        (
            "timestamp",
            "RFC_1123_DATE_TIME",
            None,
            "TIMESTAMPTZ",
            "3 Jun 2008 11:05:30 +0200",
            utc(2008, 6, 3, 9, 5, 30),
        ),
        ("boolean", "oui<-TF->non", None, "BOOLEAN", "oui", True),
        ("boolean", "(?i)o<-TF->(?i)n", None, "BOOLEAN", "N", False),
        ("double", r"-?[\d.]+(,\d+)?", "de_DE", "DOUBLE", "1.234,5", 1234.5),
        ("decimal", NUMBER, None, "DECIMAL", "1.123456789", Decimal("1.123456789")),
        ("decimal", NUMBER, "10,2", "", "1.50", Decimal("1.50")),
        ("string", "[A-Z]{3}", None, "VARCHAR", "ABC", "ABC"),
        ("string", "(?=.*a).{3}", None, "VARCHAR", "bab", "bab"),
        ("string", r"\p{Alpha}++", None, "VARCHAR", "abc", "abc"),
        ("string", ".*", None, "VARCHAR", "two\nlines", "two\nlines"),
    ],
)
def test_values(tmp_path: Path, kind: str, pattern: str, zone: str | None, ddl: str, text: str, value: object) -> None:
    if pattern in {"(?=.*a).{3}", r"\p{Alpha}++"}:
        pytest.importorskip("numpy")  # DuckDB needs it to run a Python function
    mapping = {"duckdb": ddl} if ddl else {}
    definition = TypeDef(name="x", primitive_type=kind, pattern=pattern, zone=zone, ddl_mapping=mapping)
    read = read_one(tmp_path, [text, "?!"], definition)
    assert read.rows[0][1] == value
    if pattern != ".*":
        assert read.reasons == [f"`v` (x) doesn't match pattern `{pattern}`"]


@pytest.mark.parametrize("text", ["2024-02-30", "2024-2-3", "2024-13-01", "24-01-01", "2024/01/01", "x", "2024-01-01 "])
def test_impossible_or_misspelled_dates(tmp_path: Path, text: str) -> None:
    read = read_one(tmp_path, [text], packaged_types()["date"])
    assert len(read.rows) == (1 if text.endswith(" ") else 0)


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        (TypeDef(name="x", primitive_type="boolean", pattern="true"), "<-TF->"),
        (TypeDef(name="x", primitive_type="string", pattern="(["), "regular expression"),
        (TypeDef(name="x", primitive_type="date", pattern="qqq"), "qqq"),
        (TypeDef(name="x", primitive_type="date", pattern="[[yyyy"), "brackets"),
        (TypeDef(name="x", primitive_type="double", pattern=".*", zone="xx_XX"), "xx_XX"),
        (TypeDef(name="x", primitive_type="whatever", pattern=".*"), "whatever"),
    ],
)
def test_types_that_cannot_be_used(tmp_path: Path, definition: TypeDef, message: str) -> None:
    with pytest.raises(EngineError, match=re.escape(message)):
        read_one(tmp_path, ["1"], definition)


def test_column_types() -> None:
    types = project(TypeDef(name="plain", primitive_type="timestamp", pattern="epoch_milli"))
    assert column_type(attribute("a", "decimal"), types) == "DECIMAL(38,9)"
    assert column_type(attribute("a", "plain"), types) == "TIMESTAMP"
    assert column_type(attribute("a", "int", array=True), types) == "INTEGER[]"


# ------------------------------------------------------ the regular expressions of the types, in Python, as oracle

TEXTS = st.lists(
    st.one_of(
        st.text(alphabet="0123456789+-.eE|_ yYtTfFnN", max_size=12),
        st.integers().map(str),
        st.floats().map(str),
        st.dates().map(str),
        st.booleans().map(str),
        st.sampled_from(
            ["true", "NO", "yeſ", "inf", "NaN", "1_000", "0x1F", "٣", "1e3", " 1", "1.5", "|5", "+7", "00012"]
        ),
    ).filter(lambda text: text != ""),
    min_size=1,
    max_size=25,
)
INTEGER = re.compile(r"\s*[-+]?[0-9]+\s*", re.ASCII)
TRIMMED = "".join(map(chr, range(33)))
"""What `String.trim` of Java takes away."""
LIMITS = {"int": 31, "long": 63, "short": 15}


def accepted(kind: str, text: str) -> bool:
    pattern = packaged_types()[kind].pattern
    if kind == "boolean":
        return any(re.fullmatch(part, text.strip(TRIMMED), re.ASCII) for part in pattern.split("<-TF->"))
    if kind == "date":
        try:
            return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", text.strip(TRIMMED), re.ASCII)) and bool(
                date.fromisoformat(text.strip(TRIMMED))
            )
        except ValueError:
            return False
    if not re.fullmatch(pattern, text, re.ASCII | re.DOTALL):
        return False
    if kind in LIMITS:
        return bool(INTEGER.fullmatch(text)) and -(2 ** LIMITS[kind]) <= int(text) < 2 ** LIMITS[kind]
    try:
        return abs(float(text)) != float("inf")
    except ValueError:
        return False


@pytest.mark.parametrize("kind", ["int", "long", "short", "double", "boolean", "date"])
@settings(deadline=None, max_examples=30)
@example(texts=["2024-02-30", "10000-01-01", "-001-01-01", "0001-01-01", "2024-1-05", "1", "t", "\t1", "1\n"])
@given(texts=TEXTS)
def test_packaged_types_accept_what_their_patterns_do(
    tmp_path_factory: pytest.TempPathFactory, kind: str, texts: list[str]
) -> None:
    read = read_one(tmp_path_factory.mktemp("t"), texts, packaged_types()[kind])
    expected = [text for text in texts if accepted(kind, text)]
    assert len(read.rows) == len(expected), (read.rows, expected)
    for row, text in zip(read.rows, expected, strict=True):
        value = row[1]
        if kind in LIMITS:
            assert value == int(text)
        elif kind == "double":
            assert value == float(text)
        elif kind == "date":
            assert str(value) == text.strip(TRIMMED)


def test_names_of_months_in_another_language_are_refused_by_name(tmp_path: Path) -> None:
    french = TypeDef(name="fr", primitive_type="date", pattern="d MMMM yyyy", zone="fr_FR")
    with pytest.raises(EngineError, match=r"English only.*d MMMM yyyy.*fr_FR"):
        Read(table(attribute("v", "fr")), written(tmp_path / "f.csv", "v\n3 mai 2024\n"), within=project(french))
    digits = TypeDef(name="fr", primitive_type="timestamp", pattern="dd/MM/yyyy HH:mm", zone="fr_FR")
    read = Read(
        table(attribute("v", "fr")), written(tmp_path / "f.csv", "v\n03/05/2024 10:00\n"), within=project(digits)
    )
    assert read.rows == [(datetime(2024, 5, 3, 10),)]


def test_booleans_are_exactly_those_of_the_pattern(tmp_path: Path) -> None:
    texts = [
        "true",
        "YES",
        "y",
        "1",
        "T",
        "False",
        "no",
        "N",
        "0",
        "f",
        " true ",
        "on",
        "off",
        "2",
        "01",
        "tru",
        "yess",
    ]
    read = Read(table(attribute("v", "boolean")), written(tmp_path / "f.csv", "v\n" + "\n".join(texts) + "\n"))
    assert [row[0] for row in read.rows] == [True] * 5 + [False] * 5 + [True]
    assert len(read.errors) == 6
