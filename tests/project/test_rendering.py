from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlake_dagster_assets.project.files.rendering import (
    Renderer,
    RenderError,
    find_variable_names,
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


def test_macros_by_import(tmp_path: Path):
    macros = {"macros/m.j2": "{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}"}
    renderer = Renderer(tmp_path, macros)
    assert renderer.render("{% import 'macros/m.j2' as m %}{{ m.twice('a') }}", {}) == "aa"
    with pytest.raises(RenderError) as caught:
        renderer.render("a\n{{ twice('b') }}", {})
    assert (caught.value.line, caught.value.code) == (2, "bare-macro")
    assert caught.value.hint == "Add {% import 'macros/m.j2' as m %} at the top of the file, and call m.twice(…)."
    with pytest.raises(RenderError, match=r"the function `rang` does not exist\. Did you mean `range`"):
        renderer.render("{{ rang(2) }}", {})
    assert renderer.render("{% if a %}{{ twice('b') }}{% endif %}{{ x.y() }}{{ x.y.z }}", {}) == ""
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


GROW = "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = "


@pytest.mark.parametrize(
    "text",
    [
        "{% for i in range(10**9) %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro a(n) %}{% if n %}{{ a(n - 1) }}{{ a(n - 1) }}{% endif %}{% endmacro %}{{ a(60) }}",
        "{{ 'a' * 10**10 }}",
        "{{ 10**10 * [0] }}",
        "{{ 9**9**9**9**9 }}",
        "{{ '%0999999999d' % 1 }}",
        "{{ '%*d' | format(10**10, 1) }}",
        "{{ '{:>9999999999}'.format(1) }}",
        "{{ '{:{w}}'.format(1, w=10**10) }}",
        "{{ 'a' | center(10000000000) }}",
        "{{ 'a'.ljust(10**10) }}",
        "{{ (range(99999) | list) | join('b' * 999999) }}",
        f"{GROW}n.x + n.x %}}{{% endfor %}}",
        f"{GROW}n.x ~ n.x %}}{{% endfor %}}",
        f"{GROW}[n.x, n.x] %}}{{% endfor %}}{{{{ n.x }}}}",
        "{% set n = namespace(x=9) %}{% for i in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}",
        "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set b %}{{ n.x }}{{ n.x }}{% endset %}"
        "{% set n.x = b %}{% endfor %}",
    ],
)
def test_a_template_without_an_end_is_one_error(text: str):
    with pytest.raises(RenderError) as caught:
        render(f"a\n{text}", {})
    assert caught.value.line == 2
    assert len(caught.value.message) < 120


def test_limits_change_nothing_within_them():
    text = "{% for i in [3, 1] | sort %}{{ loop.index }}/{{ loop.length }}{{ loop.last }}{% else %}x{% endfor %}"
    assert render(text, {}) == "1/2False2/2True"
    assert render("{% for i in y %}{% else %}none{% endfor %}{% set z | upper %}a{% endset %}{{ z }}", {}) == "noneA"
    assert render("{{ '%05.1f' % 1.5 }} {{ '{:>3}'.format(1) }} {{ 'a,b' | replace(',', ';') }}", {}) == "001.5   1 a;b"
    assert render("{{ 1700000000000 + 1 }} {{ {'a': [1]}['a'] }} {{ 'x' ~ 1 }} {{ 'a' * 3 }}", {}) == (
        "1700000000001 [1] x1 aaa"
    )


def test_imports_stay_inside_the_project(tmp_path: Path):
    (tmp_path / "secret.j2").write_text("{% macro a() %}x{% endmacro %}")
    (tmp_path / "metadata").mkdir()
    with pytest.raises(RenderError):
        Renderer(tmp_path / "metadata").render("{% import '../secret.j2' as s %}{{ s.a() }}", {})


def test_mentioned():
    assert {"a", "b.c", "d"} <= find_variable_names("{{ a | default('x') }} ${b.c} {% if d %}{% endif %} e")
    assert "e" not in find_variable_names("{{ a }} e")


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
