"""`a & (b | c)`: reads as Python does, and says where it cannot be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starlake_dagster_assets.automation.policies.expression import (
    ExpressionError,
    joined,
    named_nodes,
    parse_expression,
)
from starlake_dagster_assets.automation.policies.model import AllOf, AnyOf, Condition, Upstream

NAMES = {"a": "s.a", "b": "s.b", "c": "s.c", "my table": "s.my table"}
A, B, C = Upstream("s.a"), Upstream("s.b"), Upstream("s.c")


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("a", A),
        ("((a))", A),
        ("a & (b | c)", AllOf((A, AnyOf((B, C))))),
        ("a & b | c", AnyOf((AllOf((A, B)), C))),
        ("a&b&c", AllOf((A, B, C))),
        ("(a | b) | a", AnyOf((A, B))),
        ('A | "my table"', AnyOf((A, Upstream("s.my table")))),
        ("a & other/place/t", AllOf((A, Upstream("other/place/t")))),
    ],
)
def test_it_reads_as_python_does(text, condition):
    assert parse_expression(text, NAMES) == condition


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("a & (b | c", 4, "not closed"),
        ("a &", 3, "found the end"),
        ("", 0, "found the end"),
        ("a b", 2, "expected `&` or `|`, found `b`"),
        ("a & & b", 4, "found `&`"),
        ("a)", 1, "found `)`"),
        ("a | 'b", 4, "quote is not closed"),
        ("a & my_table", 4, "no asset `my_table`. Did you mean `my table`?"),
        ("(" * 200 + "a", 101, "more than 100"),
    ],
)
def test_it_says_where_it_cannot_be_read(text, position, message):
    with pytest.raises(ExpressionError) as caught:
        parse_expression(text, NAMES)
    assert caught.value.position == position
    assert message in str(caught.value)
    assert str(caught.value).splitlines()[-1] == "    " + " " * position + "^"


def test_a_name_that_two_nodes_have_stands_for_neither():
    names = named_nodes({"s.a": ["a"], "t.a": ["a"], "s.b": ["b"]})
    assert names == {"s.a": "s.a", "t.a": "t.a", "s.b": "s.b", "b": "s.b"}


def conditions() -> st.SearchStrategy[Condition]:
    parts = lambda inner: st.lists(inner, min_size=2, max_size=3)  # noqa: E731
    return st.recursive(
        st.sampled_from([A, B, C]),
        lambda inner: st.builds(joined, st.sampled_from([AllOf, AnyOf]), parts(inner)),
        max_leaves=12,
    )


def written(condition: Condition) -> str:
    if isinstance(condition, Upstream):
        return condition.node[2:]
    sign = " & " if isinstance(condition, AllOf) else "|"
    return f"({sign.join(written(part) for part in condition.parts)})"


@given(conditions())
def test_what_is_written_is_read_again(condition):
    assert parse_expression(written(condition), NAMES) == condition


@given(st.text(alphabet="ab &|()'\"/.", max_size=30))
def test_any_text_is_a_condition_or_an_error_with_a_place(text):
    try:
        parse_expression(text, NAMES)
    except ExpressionError as error:
        assert 0 <= error.position <= len(text)
