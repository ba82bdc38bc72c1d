"""`check --portable`: what Starlake's own program does differently."""

from __future__ import annotations

from pathlib import Path

import pytest

from starlake_dagster_assets.checking.project_check import check_project

ROOT = Path(__file__).parents[2]
APPLICATION = """version: 1
application:
  connectionRef: duckdb
  loader: {loader}
  connections:
    duckdb: {{type: jdbc, options: {{url: "jdbc:duckdb:{{{{SL_ROOT}}}}/d.db"}}}}
"""
TABLE = """version: 1
table:
  name: people
  pattern: people.*
  metadata: {{format: JSON}}
  attributes:
    - {{name: {attribute}}}
"""


def found(root: Path, *, sql: str = "", attribute: str = "id", loader: str = "spark", portable: bool = True):
    files = {
        "application.sl.yml": APPLICATION.format(loader=loader),
        "load/shop/_config.sl.yml": 'version: 1\nload: {name: shop, metadata: {directory: "{{SL_ROOT}}/in"}}\n',
        "load/shop/people.sl.yml": TABLE.format(attribute=attribute),
        "macros/money.j2": "{% macro money(a) %}round({{ a }}, 2){% endmacro %}",
        "transform/kpi/total.sql": sql or "select 1 as n",
    }
    for name, text in files.items():
        path = root / "metadata" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    problems = check_project(root, engine="starlake", portable=portable).problems
    return [(p.code, p.severity, p.line) for p in problems if p.code in {"bare-macro", "not-portable"}]


@pytest.mark.parametrize(
    ("sql", "line"),
    [
        ("select 1 as a,\n{{ money('1') }} as b", 2),
        ("{% set x = money('1') %}select {{ x }} as a", 1),
        ("select 1 as a\n-- {{ money('0') }}", 2),
    ],
)
def test_a_macro_without_an_import_is_named(tmp_path, sql, line):
    assert found(tmp_path, sql=sql) == found(tmp_path, sql=sql, portable=False) == [("bare-macro", "error", line)]


def test_a_macro_in_a_branch_that_is_not_rendered_is_a_warning(tmp_path):
    sql = "select 1 as a\n{% if day %}, {{ money('1') }} as b{% endif %}"
    assert found(tmp_path, sql=sql) == [("bare-macro", "error", 2)]
    assert found(tmp_path, sql=sql, portable=False) == [("bare-macro", "warning", 2)]


@pytest.mark.parametrize(
    "sql",
    [
        "{% import 'macros/money.j2' as m %}select {{ m.money('1') }} as a",
        "{% from 'macros/money.j2' import money %}select {{ money('1') }} as a",
        "{% from 'macros/money.j2' import money as eur %}select {{ eur('1') }} as a",
        "{% macro money(a) %}{{ a }}{% endmacro %}select {{ money('1') }} as a",
        "select money(1) as a",
    ],
)
def test_imported_macros_and_functions_of_sql_are_not(tmp_path, sql):
    assert found(tmp_path, sql=sql) == []


@pytest.mark.parametrize(
    ("attribute", "loader", "count"),
    [
        ("mail, privacy: SHA256", "spark", 1),
        ("mail, privacy: 'SQL: md5(mail)'", "spark", 0),
        ("order", "spark", 1),
        ("order, rename: order_id", "spark", 0),
        ("a, trim: BOTH, default: x", "native", 2),
        ("a, trim: BOTH, default: x", "spark", 0),
        ("a, type: struct, attributes: [{name: b}]", "native", 1),
        ("a, type: struct, attributes: [{name: order}]", "spark", 0),
    ],
)
def test_attributes_that_are_treated_in_another_way(tmp_path, attribute, loader, count):
    expected = [("not-portable", "error", 7)] * count
    assert found(tmp_path, attribute=attribute, loader=loader) == expected
    assert found(tmp_path, attribute=attribute, loader=loader, portable=False) == []


def test_the_example_project_is_portable():
    assert check_project(ROOT / "example_project" / "starbake", env="DUCKDB", portable=True).problems == ()
