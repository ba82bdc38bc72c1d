"""What `check` finds beyond the load of a project: table by table, with its place; and what it must not find."""

from __future__ import annotations

from pathlib import Path

import pytest

from starlake_dagster_assets import StarlakeProject
from starlake_dagster_assets.checking.patterns import sample_names
from starlake_dagster_assets.checking.project_check import check_project
from tests.project.conftest import write
from tests.project.texts import ORDERS

ITEMS = """version: 1
table:
  name: items
  pattern: "items-.*.csv"
  attributes:
    - {name: id, type: int}
    - {name: price, type: double}
    - {name: payload, type: struct, attributes: [{name: color, type: string}]}
"""
SHOP = {"load/shop/orders.sl.yml": ORDERS, "load/shop/items.sl.yml": ITEMS}
MACRO = "{% macro is_unique(x) %}select count(*) from (select {{ x }} from SL_THIS group by 1 having count(*) > 1)"
MACRO += "{% endmacro %}\n{% macro broken(x) %}select from where (= {{ x }}{% endmacro %}\n"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("SL_ENV", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def check(tmp_path: Path, files: dict[str, str], **arguments):
    return check_project(write(tmp_path / "project", {**SHOP, **files}), **arguments).problems


def sql(text: str) -> dict[str, str]:
    return {"transform/kpi/one.sql": text}


def task(strategy: str, text: str = "select id, amount from shop.orders") -> dict[str, str]:
    return {**sql(text), "transform/kpi/one.sl.yml": f"version: 1\ntask:\n  writeStrategy: {strategy}\n"}


@pytest.mark.parametrize(
    ("files", "code", "severity", "place", "words"),
    [
        (sql("select id\nfrom shop.ordres"), "unknown-table", "warning", (2, 11), "Did you mean `shop.orders`?"),
        (sql("select 1 as x from shop.zzz"), "unknown-table", "warning", (1, 25), "not a table of the domain `shop`"),
        (sql("select 1 as x from ordrs"), "unknown-table", "warning", (1, 20), "Did you mean `shop.orders`?"),
        (sql("select 1 as x from shpo.orders"), "unknown-table", "warning", (1, 25), "Did you mean `shop.orders`?"),
        (sql("-- a comment\nSELEC id from shop.orders"), "unparsable-sql", "error", (2, 1), "at or near"),
        (
            sql("--SL_PRESQL\nselect 1\n--SL_SQL\nselect id /* wher id */\nfrom shop.orders\nwhere id = = 1"),
            "unparsable-sql",
            "error",
            (6, 12),
            "DuckDB",
        ),
        (sql("select amuont from shop.orders"), "unknown-column-read", "warning", (1, 8), "Did you mean `amount`?"),
        (
            sql("with o as (select id, amount from shop.orders)\nselect o.id, o.total from o"),
            "unknown-column-read",
            "warning",
            (2, 16),
            "`total`",
        ),
        (
            sql("select i.id from shop.items i join shop.orders o on o.idd = i.id"),
            "unknown-column-read",
            "warning",
            (1, 55),
            "Did you mean `id`?",
        ),
        (
            {
                "transform/kpi/first.sql": "select id, sum(amount) as total from shop.orders group by id",
                **sql("select id, totl from kpi.first"),
            },
            "unknown-column-read",
            "warning",
            (1, 12),
            "Did you mean `total`?",
        ),
        (
            {
                "expectations/ours.j2": MACRO,
                "load/shop/orders.sl.yml": f"{ORDERS}  expectations:\n    - expect: broken(1)\n",
            },
            "broken-expectation",
            "error",
            (11, None),
            "cannot be parsed",
        ),
        (
            {
                "expectations/ours.j2": MACRO,
                "load/shop/orders.sl.yml": f"{ORDERS}  expectations:\n    - expect: is_unique(1, 2)\n",
            },
            "broken-expectation",
            "error",
            (11, None),
            "cannot be rendered",
        ),
        (
            {"load/shop/other.sl.yml": ORDERS.replace("name: orders", "name: other")},
            "duplicate-pattern",
            "error",
            (4, None),
            "metadata/load/shop/orders.sl.yml",
        ),
        (
            {"load/shop/other.sl.yml": ITEMS.replace("name: items", "name: other").replace("items-", "items-[0-9]+")},
            "overlapping-patterns",
            "warning",
            (4, None),
            "such as `items-",
        ),
        (
            {"load/shop/other.sl.yml": ORDERS.replace("orders", "other") + "  metadata: {format: KAFKA}\n"},
            "engine-refuses",
            "warning",
            (2, None),
            "StarlakeShell",
        ),
        (
            {"transform/kpi/one.py": "print(1)\n"},
            "engine-refuses",
            "warning",
            (1, None),
            "needs Spark",
        ),
        (
            sql("select id from shop.orders\nwhere amount > {{ limit }}"),
            "unset-variable",
            "warning",
            (2, 19),
            "nothing in its place",
        ),
        (sql("select '${country}' as c"), "unset-variable", "warning", (1, 11), "keeps the text `${country}`"),
        (sql("select '{{ sl_strat_date }}' as c"), "unset-variable", "warning", (1, 12), "`sl_start_date`?"),
        (
            {**sql("select '{{ country }}' as c"), "env.PROD.sl.yml": "version: 1\nenv:\n  country: FR\n"},
            "unset-variable",
            "warning",
            (1, 12),
            "--env PROD",
        ),
        (
            task("{type: UPSERT_BY_KEY, key: [amuont]}"),
            "unknown-column",
            "error",
            (3, None),
            "Did you mean `amount`?",
        ),
        (
            task("{type: UPSERT_BY_KEY_AND_TIMESTAMP, key: [id], timestamp: at}"),
            "unknown-column",
            "error",
            (3, None),
            "returns id, amount",
        ),
        (
            task("{type: OVERWRITE_BY_PARTITION}\n  sink: {partition: [day]}"),
            "unknown-column",
            "error",
            (4, None),
            "sink.partition: `day`",
        ),
        (task("{type: APPEND}\n  sink: {partition: [day]}"), "unknown-column", "warning", (4, None), "`day`"),
        (task("{type: UPSERT_KEY, key: [id]}"), "unknown-strategy", "error", (3, None), "`UPSERT_BY_KEY`?"),
        (task("{type: zzz}"), "unknown-strategy", "error", (3, None), "metadata/write-strategies/duckdb/zzz.j2"),
        (
            {**task("{type: keep_nwe}"), "write-strategies/duckdb/keep_new.j2": "select 1"},
            "unknown-strategy",
            "error",
            (3, None),
            "Did you mean `keep_new`?",
        ),
        (
            {**task("{type: keep_new}"), "write-strategies/bigquery/keep_new.j2": "select 1"},
            "unknown-strategy",
            "error",
            (3, None),
            "metadata/write-strategies/duckdb/keep_new.j2",
        ),
        (
            task("{type: APPEND}\n  tags: ['partition_colum=id', 'team=shop']"),
            "unknown-tag",
            "warning",
            (4, None),
            "Did you mean `partition_column=`?",
        ),
        (task("{type: APPEND}\n  tags: ['retries=3']"), "unused-tag", "warning", (4, None), "setting of jobs"),
    ],
)  # fmt: skip
def test_each_finding_has_its_place_and_the_next_step(tmp_path, files, code, severity, place, words):
    problems = check(tmp_path, files)
    assert [problem.code for problem in problems] == [code], problems
    (problem,) = problems
    assert (problem.severity, (problem.line, problem.column)) == (severity, place)
    assert words in str(problem)
    assert problem.hint


@pytest.mark.parametrize(
    "text",
    [
        "select * from shop.orders",
        "select o.* from shop.orders o where o.amount > 1",
        "select amount * 2 as double_amount from shop.orders order by double_amount",
        "select id as n, count(*) as c from shop.orders group by n having c > 1 qualify row_number() over (w) = 1 "
        "window w as (partition by n)",
        "select payload.color, i.payload.color as c2 from shop.items i",
        "with recursive r as (select 1 as n union all select n + 1 from r where n < 3) select n from r",
        "select id from shop.orders o where exists (select 1 from shop.items i where i.id = o.id and amount > price)",
        "select id, x from shop.orders, unnest([1, 2]) as t(x)",
        "select list_transform([1], x -> x + 1) as l, id from shop.orders",
        "select o from shop.orders o",
        "select rowid, id from shop.orders",
        "select columns('a.*') from shop.orders",
        "select * exclude (id) from shop.orders",
        "select nope from elsewhere.table1",
        "select a.nope from shop.orders o join elsewhere.table1 a using (id)",
        "select current_date as d, id from shop.orders",
        "from shop.orders select id",
        "select * from (pivot shop.orders on id using sum(amount))",
        "select id, lag(amount) over (order by id) as before from shop.orders",
        "select \"ID\", Amount from Shop.Orders",
        "select name, value from (unpivot shop.orders on id, amount into name name value value)",
        "select s.total from (select id, sum(amount) as total from shop.orders group by id) s",
        "select * from read_csv('x.csv') where nope = 1",
        "select id from shop.orders union all select id from shop.items order by id",
        "select struct_pack(a := id) as s from shop.orders",
        "select interval 1 day as i, id from shop.orders",
        "select cast(id as varchar) as t, amount::int as u, date_trunc('day', current_timestamp) as d from shop.orders",
        "select id from shop.orders where amount > {{ limit | default(3) }}",
        "select id from shop.orders {% if limit %}where amount > {{ limit }}{% endif %}",
        "{% set limit = 3 %}select id from shop.orders where amount > {{ limit }}",
        "select id from shop.orders -- where amount > {{ limit }}",
        "select id from shop.orders where '${sl_start_date}' < '{{ sl_partition_day }}{{ partition_key }}'",
        "select t.id from (values (1, 2)) as t(id, other)",
        "select tables.table_name from information_schema.tables",
        "select id as key, (select max(price) from shop.items where items.id = key) as p from shop.orders",
        "select extract(year from now()) as y, id from shop.orders",
        "select shop.orders.id from shop.orders",
        "select orders.id from shop.orders tablesample 10%",
        "select max(amount) filter (where id > 1) as m from shop.orders",
    ],
)  # fmt: skip
def test_nothing_is_found_where_nothing_is_wrong(tmp_path, text):
    told = [str(problem) for problem in check(tmp_path, sql(text)) if problem.code != "lineage-differs"]
    assert [text for text in told if "appends the rows of an interval" not in text] == []


def test_what_the_chosen_engine_refuses_is_an_error_and_nothing_for_the_real_program(tmp_path):
    files = {"transform/kpi/one.py": "print(1)\n"}
    (problem,) = check(tmp_path, files, engine="duckdb")
    assert (problem.code, problem.severity) == ("engine-refuses", "error")
    assert check(tmp_path, files, engine="starlake") == ()


@pytest.mark.parametrize(
    ("strategy", "text"),
    [
        ("{type: UPSERT_BY_KEY, key: [ID]}", "select * from shop.orders"),
        ("{type: UPSERT_BY_KEY, key: [nope]}", "select * from elsewhere.orders"),
        ("{type: SCD2, key: [id], timestamp: amount}\n  sink: {partition: [sl_start_ts]}", "select * from shop.orders"),
        ("{type: APPEND}\n  sink: {partition: [_PARTITIONTIME]}", "select id from shop.orders"),
        ("{type: UPSERT_BY_KEY, key: [day]}\n  attributes: [{name: day, type: string}]", "select id from shop.orders"),
        ("{type: Keep_New}", "select id from shop.orders"),
    ],
)
def test_columns_and_strategies_that_a_task_has(tmp_path, strategy, text):
    files = {**task(strategy, text), "write-strategies/duckdb/keep_new.j2": "select 1"}
    codes = [problem.code for problem in check(tmp_path, files, engine="starlake")]
    assert [code for code in codes if code != "attribute-not-returned"] == []


def test_a_table_of_an_unknown_strategy_holds_nothing_else_back(tmp_path):
    files = {**SHOP, **sql("select id from shop.items")}
    files["load/shop/orders.sl.yml"] += "  metadata:\n    writeStrategy: {type: OVERWRIET}\n"
    project = StarlakeProject(write(tmp_path / "project", files))
    assert [problem.severity for problem in project.problems] == ["error"]
    assert {"shop.orders", "shop.items", "kpi.one"} <= set(project.graph.nodes)


@pytest.mark.parametrize("pattern", ["orders-.*.csv", r"(?<day>\d{8})_[a-z]+\.json", "(a|b)?c{2,3}", r"\Qa.b\E.*"])
def test_samples_are_matched_by_their_pattern(pattern):
    assert sample_names(pattern)


BROKEN_ORDERS = ORDERS.replace("type: int", "type: imt", 1)


def test_findings_that_depend_on_a_broken_file_are_in_the_same_report(tmp_path: Path) -> None:
    files = {
        "load/shop/orders.sl.yml": BROKEN_ORDERS,
        **task("{type: UPSERT_BY_KEY, key: [idd]}", "select id, amuont from shop.orders"),
    }
    found = {(one.file.rpartition("/")[2], one.code) for one in check(tmp_path, files)}
    assert {("orders.sl.yml", "unknown-type"), ("one.sql", "unknown-column-read")} <= found
    assert ("one.sl.yml", "unknown-column") in found


NESTED = """version: 1
task:
  attributes:
    - name: id
      type: int
    - name: zz
      type: int
  sink:
    partition:
      - dayy
  writeStrategy:
    type: UPSERT_BY_KEY
    key:
      - idd
"""


def test_problems_of_a_key_are_on_its_line(tmp_path: Path) -> None:
    files = {**sql("select id, amount from shop.orders"), "transform/kpi/one.sl.yml": NESTED}
    found = {(one.line, one.key, one.code) for one in check(tmp_path, files) if one.file.endswith("one.sl.yml")}
    assert found == {
        (6, "attributes.1.name", "attribute-not-returned"),
        (9, "sink.partition", "unknown-column"),
        (13, "writeStrategy.key", "unknown-column"),
    }


@pytest.mark.parametrize("text", ["select * from elsewhere.x", "select id as zz, 1 as ID from shop.orders"])
def test_attributes_that_may_be_returned_are_no_problem(tmp_path: Path, text: str) -> None:
    files = {**sql(text), "transform/kpi/one.sl.yml": NESTED[: NESTED.index("  sink")]}
    assert [one.code for one in check(tmp_path, files) if one.code == "attribute-not-returned"] == []


def test_problems_of_patterns_are_on_the_line_of_the_pattern(tmp_path: Path) -> None:
    files = {"load/shop/more.sl.yml": ITEMS.replace("name: items", "name: more")}
    (problem,) = [one for one in check(tmp_path, files) if one.code == "duplicate-pattern"]
    assert problem.line == 4
