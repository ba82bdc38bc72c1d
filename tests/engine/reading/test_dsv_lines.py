"""Lines that are quoted without being taken apart are those that the careful way takes apart to the same fields."""

import csv

from hypothesis import given, settings
from hypothesis import strategies as st

from starlake_dagster_assets.engine.reading.formats.dsv_records import DsvDialect, plain_line, records

DIALECTS = [DsvDialect(",", '"', "\\"), DsvDialect(";", "'", "'"), DsvDialect("|", "", ""), DsvDialect(",", '"', '"')]


@given(st.text(alphabet="ab ,;|\"'\\\t\0", max_size=14), st.sampled_from(DIALECTS), st.integers(2, 4))
@settings(max_examples=400, deadline=None)
def test_plain_lines_have_the_fields_of_the_careful_way(text: str, dialect: DsvDialect, width: int) -> None:
    plain = plain_line(dialect, width)
    assert plain is not None
    found = plain(text + "\n")
    if found is not None:
        (careful,) = records([text + "\n"], dialect, width)
        assert careful.reason is None
        assert tuple(next(csv.reader([found.text]))) == careful.fields


def test_ordinary_lines_are_plain() -> None:
    plain = plain_line(DIALECTS[0], 3)
    assert plain is not None
    for line in ("a,b,c", ",,", 'a,"b, c",d', '"a","b","c"', '"",x,""', 'a,b,"c"'):
        assert plain(line) is not None, line
    for line in ('"a""b",c,d', '"a" ,b,c', 'a, "b",c', 'a,"b,c', "a,b", "a,b,c,d", "a\\,b,c"):
        assert plain(line) is None, line
