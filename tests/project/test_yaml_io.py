from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlake_dagster_assets.project.files.yaml_io import YamlError, key_line, parse_yaml


def test_scalars_stay_as_written():
    text = "a: on\nb: 012\nc: 2024-01-01\nd: 1:30\ne: yes\nf: 'null'\ng:\nh: ~\ni: 1.50\nj: True"
    assert parse_yaml(text).value == {
        "a": "on",
        "b": "012",
        "c": "2024-01-01",
        "d": "1:30",
        "e": "yes",
        "f": "null",
        "g": None,
        "h": None,
        "i": "1.50",
        "j": "True",
    }


def test_anchors_and_merges():
    document = parse_yaml("base: &b {x: 1, y: 2}\nmore:\n  <<: *b\n  y: 3\nlist: [*b]\n")
    assert document.value["more"] == {"x": "1", "y": "3"}
    assert document.value["list"] == [{"x": "1", "y": "2"}]


def test_duplicates_have_their_line():
    assert parse_yaml("a:\n  b: 1\n  c: 2\n  b: 3\n").duplicates == ((("a", "b"), 4),)


@pytest.mark.parametrize(
    ("text", "line"),
    [("a: 1\nb: [\n", 3), ("a: b: c", 1), ("a: 1\n? [x]\n: 2", 2), ("a: &x [*x]", 1), ("a: 1\n--- \nb: 2\n", 2)],
)
def test_errors_have_their_line(text: str, line: int):
    with pytest.raises(YamlError) as caught:
        parse_yaml(text)
    assert caught.value.line == line


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a:\n\tb: 1\n", 2, "a tab where spaces are expected"),
        ("a: @x\n", 1, "`@`; quote the text"),
        ("a: 1\n---\nb: 2\n", 2, "a second document"),
        ("a: [x,\nb: 1\nc", 4, "a flow sequence that begins on line 1"),
        ("a: [", 2, "not valid YAML"),
        ("a: 'x\n\nb: 1\n", 4, "that begins on line 1"),
    ],
)
def test_errors_say_what_to_look_for(text: str, line: int, message: str):
    with pytest.raises(YamlError, match=message) as caught:
        parse_yaml(text)
    assert caught.value.line in {line, line - 1}


def test_aliases_cannot_explode():
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 12))
    with pytest.raises(YamlError, match="too large"):
        parse_yaml(f"l0: &l0 [x]\n{levels}")


@pytest.mark.parametrize("text", ["[" * 100_000, "a: " + "{b: " * 100_000, "- " * 100_000])
def test_deep_nesting_is_refused(text: str):
    with pytest.raises(YamlError, match="deeply"):
        parse_yaml(text)


def test_key_line():
    text = "version: 1\ntable:\n  attributes:\n    - name: a\n    - name: b\n      type: int\n"
    assert key_line(text, ("table", "attributes", 1, "type")) == 6
    assert key_line(text, ("table", "attributes", 1, "nothing")) == 5
    assert key_line(text, ("table",)) == 2


@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"#%@`? \n\t0é\x00\ufeff~<"), max_size=60))
@settings(deadline=None, max_examples=100)
def test_any_text_parses_or_says_why(text: str):
    try:
        parse_yaml(text)
    except YamlError as error:
        assert error.message
        assert error.line is None or error.line >= 1
