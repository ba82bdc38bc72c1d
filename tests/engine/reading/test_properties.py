"""Any record and any date: what can be meant is read as it is, and nothing is moved to something else."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model.project import TypeDef
from tests.engine.reading.factory import Read, attribute, project, table, written
from tests.engine.reading.test_types import read_one

VALUES = st.text(alphabet='ab;"\\\n\r ,é\t', max_size=10)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])
LONG = "\r\n".join(f'{number};line{number} "q"' for number in range(1500))


@settings(deadline=None, max_examples=40)
@example(rows=[(LONG, "a"), ("b", "c")], end="\r\n", last=True)
@example(rows=[("a\r\nb", "c"), ("d", "e")], end="\n", last=False)
@example(rows=[("a\rb", "c"), ("d", "e\nf")], end="\n", last=True)
@example(rows=[("x" * 3_000_000 + "\n", "c"), ("d", "e")], end="\r", last=True)
@given(
    rows=st.lists(st.tuples(VALUES, VALUES), max_size=6), end=st.sampled_from(["\n", "\r\n", "\r"]), last=st.booleans()
)
def test_values_in_quotes_are_read_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], end: str, last: bool
) -> None:
    lines = ["x;y", *(";".join('"' + value.replace('"', '""') + '"' for value in row) for row in rows)]
    file = tmp_path_factory.mktemp("p") / "f.csv"
    file.write_bytes((end.join(lines) + (end if last else "")).encode())
    target = table(attribute("x"), attribute("y"), separator=";", escape='"', multiline=True)
    read = Read(target, file)
    assert read.rows == [(x or None, y or None) for x, y in rows]
    assert read.incoming.rejected == 0


@pytest.mark.parametrize("multiline", [True, False])
def test_a_record_that_cannot_be_read_is_one_rejected_record(tmp_path: Any, multiline: bool) -> None:
    inner = "\n".join(f"{number};v{number}" for number in range(30))
    file = written(tmp_path / "f.csv", f'x;y\n1;"{inner}" and more\n2;ok\n')
    read = Read(table(attribute("x", "int"), attribute("y"), separator=";", multiline=multiline), file)
    if multiline:
        assert (read.rows, read.reasons) == ([(2, "ok")], ["text after a closing quote"])
    else:  # each line is a record, as it is declared
        assert read.incoming.input == 31


def test_a_quote_that_is_never_closed_fails_the_file(tmp_path: Any) -> None:
    file = written(tmp_path / "f.csv", 'x;y\n1;a\n2;"b\n3;c\n4;d\n')
    with pytest.raises(EngineError, match="a quote that opens in line 3 is not closed in the next 2 lines"):
        Read(table(attribute("x", "int"), attribute("y"), separator=";", multiline=True), file)
    read = Read(table(attribute("x", "int"), attribute("y"), separator=";"), file)
    assert (read.rows, read.reasons) == ([(1, "a"), (3, "c"), (4, "d")], ["a quote is not closed"])


def _date(*parts: int) -> date | None:
    try:
        return date(*parts)
    except ValueError:
        return None


def _week(year: int, week: int, day: int) -> date | None:
    try:
        return date.fromisocalendar(year, week, day)
    except ValueError:
        return None


def _ordinal(year: int, day: int) -> date | None:
    found = date(year, 1, 1) + timedelta(day - 1) if 0 < day <= 366 and year < 9999 else None
    return found if found is not None and found.year == year else None


LATER = st.dates(date(2, 1, 1), date(9998, 1, 1))
YEARS, DAYS = st.integers(1, 9998), ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
KINDS: dict[str, Any] = {
    "yyyy-DDD": st.builds(lambda y, d: (f"{y:04}-{d:03}", _ordinal(y, d)), YEARS, st.integers(0, 370)),
    "YYYY-'W'ww-e": st.builds(
        lambda y, w, e: (f"{y:04}-W{w:02}-{e}", _week(y, w, e)), YEARS, st.integers(0, 54), st.integers(1, 7)
    ),
    "dd/MM/yy": st.builds(
        lambda d, m, y: (f"{d:02}/{m:02}/{y:02}", _date(2000 + y, m, d)),
        st.integers(0, 32),
        st.integers(0, 13),
        st.integers(0, 99),
    ),
    "d MMM yy": st.builds(
        lambda d, m, y: (f"{d} {MONTHS[m]} {y:02}", _date(2000 + y, m + 1, d)),
        st.integers(0, 32),
        st.integers(0, 11),
        st.integers(0, 99),
    ),
    "yyyyMMdd": st.builds(
        lambda y, m, d: (f"{y:04}{m:02}{d:02}", _date(y, m, d) if y else None),
        st.integers(0, 9998),
        st.integers(0, 13),
        st.integers(0, 32),
    ),
    "EEE dd MMM yyyy": st.builds(
        lambda day, w: (
            f"{DAYS[w]} {day.day:02} {MONTHS[day.month - 1]} {day.year:04}",
            day if day.weekday() == w else None,
        ),
        st.dates(max_value=date(9998, 12, 31)),
        st.integers(0, 6),
    ),
}


@pytest.mark.parametrize("pattern", KINDS)
@settings(deadline=None, max_examples=8)
@given(data=st.data())
def test_dates_are_those_of_the_calendar_or_rejected(
    tmp_path_factory: pytest.TempPathFactory, pattern: str, data: st.DataObject
) -> None:
    found = data.draw(st.lists(KINDS[pattern], min_size=1, max_size=60))
    kind = TypeDef(name="x", primitive_type="date", pattern=pattern, ddl_mapping={"duckdb": "DATE"})
    read = read_one(tmp_path_factory.mktemp("d"), [text for text, _ in found], kind)
    assert [row[1] for row in read.rows] == [day for _, day in found if day is not None]
    assert read.incoming.rejected == sum(day is None for _, day in found)


@settings(deadline=None, max_examples=10)
@given(
    st.lists(
        st.tuples(
            st.dates(date(2, 1, 1), date(9998, 1, 1)), st.sampled_from("+-"), st.integers(0, 20), st.integers(0, 61)
        ),
        min_size=1,
        max_size=60,
    )
)
def test_an_offset_is_applied_whatever_else_the_pattern_tells(
    tmp_path_factory: pytest.TempPathFactory, found: list[tuple[date, str, int, int]]
) -> None:
    texts = [f"{day.year:04}-{day:%m-%d}{sign}{hours:02}:{minutes:02}" for day, sign, hours, minutes in found]
    moments = [
        datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
        - timedelta(minutes=(hours * 60 + minutes) * (1 if sign == "+" else -1))
        for day, sign, hours, minutes in found
        if minutes < 60 and hours * 60 + minutes <= 18 * 60
    ]
    kind = TypeDef(name="x", primitive_type="timestamp", pattern="yyyy-MM-ddXXX", ddl_mapping={"duckdb": "TIMESTAMPTZ"})
    read = read_one(tmp_path_factory.mktemp("o"), texts, kind)
    assert [row[1] for row in read.rows] == moments


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("YYYY-MM-dd", "the year of a date is 'y'"),
        ("dd/MM/yyyy hh:mm", "'h' and 'a' need each other"),
        ("yyyy-MM-dd yyyy", "has 'y' twice"),
        ("dd MM (MMM) yyyy", "its month"),
        ("dd HH:mm", "no complete date"),
        ("yyyy-MM-dd OOOO", "'OOOO'"),
    ],
)
def test_patterns_that_mean_no_moment_are_refused_by_name(tmp_path: Any, pattern: str, message: str) -> None:
    kind = TypeDef(name="x", primitive_type="timestamp", pattern=pattern)
    with pytest.raises(EngineError, match=r"type 'x'.*") as found:
        read_one(tmp_path, ["1"], kind)
    assert message in str(found.value)


def test_a_byte_is_a_character_or_a_digit(tmp_path: Any) -> None:
    read = Read(table(attribute("v", "byte")), written(tmp_path / "f.csv", "v\nC\nx\n7\né\n77\n"))
    assert read.rows == [(67,), (120,), (7,)]
    assert len(read.errors) == 2


@pytest.mark.parametrize(
    ("side", "kept"), [("BOTH", "a b"), ("LEFT", "a b\t"), ("RIGHT", "\ta b"), ("NONE", "\ta b\t")]
)
def test_trim_takes_away_what_java_does(tmp_path: Any, side: str, kept: str) -> None:
    read = Read(
        table(attribute("v", trim=side), attribute("w", trim=side)),
        written(tmp_path / "f.csv", "v,w\n\ta b\t,\u00a0x\u00a0\n"),
    )
    assert read.rows == [(kept, "\u00a0x\u00a0")]


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("id\n1\n".encode("utf-16"), "UTF-8"),
        (b"\xef\xbb\xbfid\n1\n", "ISO-8859-1"),
        (b"\xef\xbb\xbfid\n1\n", "UTF-16"),
        (b"\xfe\xff" + "id\n1\n".encode("utf-16-be"), "UTF-16LE"),
    ],
)
def test_a_mark_that_contradicts_the_encoding_is_an_error(tmp_path: Any, content: bytes, encoding: str) -> None:
    with pytest.raises(EngineError, match=r"f\.csv: the file begins with the byte order mark of UTF-"):
        Read(table(attribute("id", "int"), encoding=encoding), written(tmp_path / "f.csv", content))


@pytest.mark.parametrize(
    "content",
    ["NAME CITY\nJohn Paris\n", "NAME CITY\r\nJohn Paris\r\n", "\nNAME CITY\nJohn Paris", "\0NAME\nJohn Paris\n"],
)
def test_the_header_of_a_fixed_width_file_is_skipped(tmp_path: Any, content: str) -> None:
    attributes = [
        attribute("n", position={"first": 0, "last": 3}),
        attribute("c", position={"first": 5, "last": 9}),
    ]
    target = table(*attributes, format="POSITION", with_header=True)
    assert Read(target, written(tmp_path / "f.txt", content), within=project()).rows == [("John", "Paris")]
