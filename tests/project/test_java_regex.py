from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlake_dagster_assets.project.resolve.java_regex import compile_java


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("orders-.*.csv", "orders-1.csv", True),
        ("orders-.*.csv", "xorders-1.csv", False),
        (r"\p{Alpha}+-(?<day>\d{8})\.csv", "Sales-20240101.csv", True),
        (r"\p{Alpha}++\d*+", "abc12", True),
        (r"(?i)orders\.csv", "ORDERS.CSV", True),
        (r"a(?i)b|c", "aB", True),
        (r"a(?i)b|c", "aC", True),
        (r"a(?i)b|c", "A", False),
        (r"\Qa.b\E\d", "a.b1", True),
        (r"\Qa.b\E\d", "axb1", False),
        (r"[\p{Upper}\d_]+", "AB_1", True),
        (r"[^\p{Lower}]+", "AB", True),
        (r"[\P{Digit}]+", "ab", True),
        (r"\p{L}+", "été", True),
        (r"\d+", "١", False),
        (r"(?<a>x)\k<a>", "xx", True),
        (r"[-|\+|0-9][0-9]*", "-12", True),
        (r"x{2,3}+y", "xxxy", True),
        (r"\x{41}\h\/", "A /", True),
        (r"a\z", "a", True),
        (r"(?:ab|c)+$", "abc", True),
        (r"a-été-\w.csv", "a-été-1.csv", True),
    ],
)
def test_matches(pattern: str, text: str, matches: bool):
    assert bool(compile_java(pattern).fullmatch(text)) is matches


@pytest.mark.parametrize("pattern", ["(", "*a", "[a", r"\p{Nothing}", "[a&&[b]]", "a{99999999999}", "(?<1>a)"])
def test_what_is_no_pattern(pattern: str):
    with pytest.raises(ValueError, match=r"."):
        compile_java(pattern)


@given(st.text(alphabet=st.sampled_from(r"ab[]()\pPQEkKxX{}*+?^$|-&<>:!=,0129éiuz"), max_size=14))
@settings(deadline=None, max_examples=100)
def test_any_text_compiles_or_says_why(text: str):
    try:
        compile_java(text)
    except ValueError as error:
        assert str(error)
