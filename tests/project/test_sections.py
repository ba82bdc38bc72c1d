from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from starlake_dagster_assets.project.sql.sections import (
    find_unclosed_delimiter,
    split_sections,
    split_statements,
    strip_comments,
    temporary_tables,
)


def test_what_is_never_closed():
    assert find_unclosed_delimiter("select '(' || \"(\" || $$ ( $$ || `(`, (1)") is None
    assert find_unclosed_delimiter("select 'it''s',\n'(\n', (") == "the ( of line 3 is never closed"
    assert find_unclosed_delimiter(r"select 'it\'s (', 1", "bigquery") is None
    assert find_unclosed_delimiter("select 1)") == "the ) of line 1 closes nothing"


def test_temporary_tables():
    sql = """create or replace temp view A as select 1; CREATE TEMPORARY TABLE if not exists "b" (x int);
    create table c as select 1; create local temporary table s.d as select 1"""
    assert temporary_tables(sql) == {"a", "b"}


def test_sections():
    found = split_sections("--SL_PRESQL\nset x=1;\n -- SL_SQL \n\n--SL_SQL\nselect 1\n--SL_POSTSQL\ndrop z")
    assert (found.presql, found.sql, found.postsql) == ("set x=1;", "select 1", "drop z")


def test_without_markers_all_is_main_sql():
    assert split_sections("-- a comment\nselect '--SL_SQL' x\n").sql == "-- a comment\nselect '--SL_SQL' x"


def test_comments_go_and_quotes_stay():
    sql = "select 'a -- b', \"c/*d*/\", `e--f` -- x's\n\n  , /* y ' */ 1\nfrom t; -- end\n"
    assert strip_comments(sql) == "select 'a -- b', \"c/*d*/\", `e--f`\n  ,   1\nfrom t"


def test_blank_lines_inside_quotes_stay():
    assert strip_comments("select 'a\n\n  \nb'\n\n\nfrom t") == "select 'a\n\n  \nb'\nfrom t"


def test_backslashes_escape_in_some_dialects():
    assert strip_comments(r"select 'it\'s -- x' -- c", "bigquery") == r"select 'it\'s -- x'"
    assert strip_comments("select 'C:\\' -- c", "duckdb") == "select 'C:\\'"


def test_dollar_quotes():
    assert strip_comments("select $$ -- a $$, $t$ ; /* */ $t$ -- c") == "select $$ -- a $$, $t$ ; /* */ $t$"


def test_statements():
    assert split_statements("insert into t values (';'); \n\n;select 1 -- a;b\n;") == (
        "insert into t values (';')",
        "select 1 -- a;b",
    )


@given(st.text(alphabet=st.sampled_from("ab'\"-/*;$\n `\\"), max_size=30))
@settings(deadline=None, max_examples=100)
def test_stripping_twice_changes_nothing_more_than_once_for_quoted_text(text: str):
    quoted = "'" + text.replace("'", "''") + "'"
    assert strip_comments(f"select {quoted} -- c") == f"select {quoted}"
