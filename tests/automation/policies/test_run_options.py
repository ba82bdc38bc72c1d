"""Variables of runs in their tags: read, merged, refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starlake_dagster_assets.automation.policies.run_options import (
    OPTIONS,
    merged_options,
    options_in,
    options_of,
    tag_of,
    unknown_sections,
)
from starlake_dagster_assets.errors import CommandError

names = st.text(min_size=1, max_size=8)
sections = st.dictionaries(names, st.dictionaries(names, st.text(max_size=8), min_size=1), max_size=4)


@given(sections)
def test_what_a_tag_says_is_read_back(options):
    assert options_in(tag_of(options)) == options


@given(st.text(max_size=40))
def test_any_other_text_is_read_or_refused_with_what_is_expected(text):
    try:
        options_in({OPTIONS: text})
    except CommandError as error:
        assert "expected" in str(error) and "starlake/options" in str(error)


@given(sections, sections)
def test_a_merge_holds_all_of_both_or_names_what_contradicts(one, two):
    found, conflict = merged_options({"run1": tag_of(one), "run2": tag_of(two)})
    pairs = {(s, k): v for s, values in one.items() for k, v in values.items()}
    others = {(s, k): v for s, values in two.items() for k, v in values.items()}
    wrong = [key for key in pairs if key in others and pairs[key] != others[key]]
    assert bool(conflict) == bool(wrong)
    for section, name in wrong:
        assert f"`{name}` of `{section}`" in conflict
    if not wrong:
        assert {(s, k): v for s, values in found.items() for k, v in values.items()} == {**pairs, **others}


def test_the_options_of_a_task_win_over_those_of_all():
    options = options_in({OPTIONS: '{"all": {"a": 1, "b": true}, "kpi.x": {"a": "2"}}'})
    assert options_of(options, "kpi.x") == {"a": "2", "b": "true"}
    assert options_of(options, "kpi.y") == {"a": "1", "b": "true"}


@pytest.mark.parametrize("text", ["[1]", '{"all": 3}', '{"all": {"a": [1]}}', '{"all": {"a": null}}', "all=1"])
def test_another_form_is_refused(text):
    with pytest.raises(CommandError, match="expected"):
        options_in({OPTIONS: text})


def test_a_section_that_nobody_knows_is_said_with_the_nearest():
    (said,) = unknown_sections({"all": {}, "kpi.revenu": {}}, ["kpi.revenue", "kpi.other"])
    assert "`kpi.revenu`; did you mean `kpi.revenue`?" in said
