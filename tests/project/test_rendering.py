from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlake_dagster_assets.project.rendering import (
    Renderer,
    RenderError,
    mentioned,
    render,
    source_line,
    substitute,
)


def test_jinja_then_text():
    assert render("{{ a }} ${a} ${ b } {{ b }}|", {"a": "1"}) == "1 1 ${ b } |"


def test_a_value_may_hold_a_placeholder():
    assert render("{{ a }}", {"a": "${b}-{{ b }}", "b": "2"}) == "2-2"


def test_unknown_names_are_empty_whatever_is_done_with_them():
    assert render("[{{ x.y.z(1)['k'] }}][{{ x|upper }}][{{ x + 1 }}][{% if x > 3 %}no{% endif %}]", {}) == "[][][][]"


def test_nested_jinja():
    text = "{% for c in cols.split(',') %}{{ c }}{% if not loop.last %}, {% endif %}{% endfor %}"
    assert render(text, {"cols": "a,b"}) == "a, b"


def test_names_that_are_no_identifiers():
    variables = {"a.b": "1", "a-b": "2", "été": "3", "a$": "4"}
    assert render("${a.b} ${a-b} {{ été }} {{ a-b }} {{a.b}} ${a$}", variables) == "1 2 3 2 1 4"


def test_macros_by_import_and_by_name(tmp_path: Path):
    macros = {"macros/m.j2": "{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}"}
    renderer = Renderer(tmp_path, macros)
    assert renderer.render("{% import 'macros/m.j2' as m %}{{ m.twice('a') }}", {}) == "aa"
    assert renderer.render("{{ twice('b') }}", {}) == "bb"
    assert renderer.render("{{ twice }}", {"twice": "variable"}) == "variable"


@pytest.mark.parametrize(
    ("text", "line"), [("a\n{% if %}", 2), ("a\nb\n{{ 1/0 }}", 3), ("{{ x|nofilter }}", 1), ("{{", 1)]
)
def test_errors_have_their_line(text: str, line: int):
    with pytest.raises(RenderError) as caught:
        render(text, {})
    assert caught.value.line == line


def test_the_sandbox_holds():
    assert render("[{{ ''.__class__.__mro__[1].__subclasses__() }}]", {}) == "[]"


def test_imports_stay_inside_the_project(tmp_path: Path):
    (tmp_path / "secret.j2").write_text("{% macro a() %}x{% endmacro %}")
    (tmp_path / "metadata").mkdir()
    with pytest.raises(RenderError):
        Renderer(tmp_path / "metadata").render("{% import '../secret.j2' as s %}{{ s.a() }}", {})


def test_mentioned():
    assert {"a", "b.c", "d"} <= mentioned("{{ a | default('x') }} ${b.c} {% if d %}{% endif %} e")
    assert "e" not in mentioned("{{ a }} e")


def test_substitute_leaves_jinja_alone():
    assert substitute("{{ a|upper }} {{a}} ${a} ${z}", {"a": "x"}) == "{{ a|upper }} x x ${z}"


def test_source_line_behind_a_loop():
    source = "a\n{% for i in [1,2,3] %}\nx{{ i }}\n{% endfor %}\nlast: 1\n"
    rendered = render(source, {})
    at = rendered.splitlines().index("last: 1") + 1
    assert source_line(source, rendered, at) == 5


@given(st.text(alphabet=st.sampled_from("ab{}%#$ |.('\")\n+é"), max_size=40))
@settings(deadline=None, max_examples=100)
def test_any_template_renders_or_says_why(text: str):
    try:
        render(text, {"a": "1"})
    except RenderError as error:
        assert error.message


@given(st.text(alphabet="abc é.-", max_size=20).filter(lambda text: "{" not in text))
@settings(deadline=None, max_examples=30)
def test_text_without_templates_stays(text: str):
    assert render(text, {"a": "1"}) == text
