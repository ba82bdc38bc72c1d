from __future__ import annotations

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlake_dagster_assets.project.sql.references import (
    find_references,
    find_starlake_references,
    parse_error,
    read_references,
    split_name,
)

PARITY = [
    ("select x\nfrom a.b\nunion all\nselect 1 from c.d", ("a.b", "c.d")),
    ("select x\nfrom a.b\nunion all select 2 from c.d", ("a.b",)),
    ("select x\nfrom a.b t\nunion all select 2 from c.d", ("a.b", "c.d")),
    ("select 1 from a.b union all select 2 from c.d", ("a.b",)),
    ("select 1 from a.b where x in (select y from c.d)", ("a.b",)),
    ("select 1 from (select x from a.b) t join c.d on true", ("c.d",)),
    ("select 1 from (\nselect x\nfrom a.b\n) t", ("a.b",)),
    ("select 1 from (\nselect x from a.b\n) t", ()),
    ("FROM a.b", ()),
    ("select 1 from a.b x,\nc.d y", ("a.b",)),
    ("select 1 from a.b x, c.d y", ("a.b", "c.d")),
    ('select 1 from "a"."b"', ()),
    ("select 1 from `a`.`b`", ("a.b",)),
    ("select extract(year from ts) from a.b", ("ts", "a.b")),
    ("with x as (\nselect 1 from a.b\n) select 2 from x", ("a.b", "x")),
    ("select 1 from read_csv('f')", ()),
    ("select 1 from 's3://bucket/f'", ()),
    ("select 1 from a.b, lateral unnest(x)", ("a.b", "lateral")),
    ("select 1 from a.b join lateral (select 1) on true", ("a.b", "lateral")),
    ("select 1 FROM a-b.c, , d.e,, Join a-b.c", ("a-b.c", "d.e", "Join")),
    ("select 1 from a.b join c.d on 1=1 left join a.b on 2=2", ("a.b", "c.d")),
    ("", ()),
]


@pytest.mark.parametrize(("sql", "found"), PARITY)
def test_parity_is_that_of_the_engine(sql: str, found: tuple[str, ...]) -> None:
    assert find_starlake_references(sql) == found


SHAPES = [
    ("duckdb", "select 1 from a.b union all select 2 from c.d", ("a.b", "c.d")),
    (
        "duckdb",
        "select 1 from a.b where x in (select y from c.d where exists (select 1 from e.f))",
        ("a.b", "c.d", "e.f"),
    ),
    ("duckdb", "select 1 from (select x from a.b) t join c.d using (x)", ("a.b", "c.d")),
    ("duckdb", "FROM a.b", ("a.b",)),
    ("duckdb", 'select 1 from "a"."b" x,\nc.d y', ("a.b", "c.d")),
    ("duckdb", "select extract(year from ts), trim(both 'x' from name) from a.b", ("a.b",)),
    ("duckdb", "with x as (select 1 from a.b) select * from x join X on true", ("a.b",)),
    ("duckdb", "with orders as (select * from orders) select * from orders", ("orders",)),
    ("duckdb", "with x as (with y as (select * from a.y) select * from y) select * from x, y", ("a.y", "y")),
    ("duckdb", "with a as (select * from b), b as (select * from a) select * from b", ("b",)),
    ("duckdb", "with x as (select 1) select * from s.x", ("s.x",)),
    ("duckdb", "select (with q as (select 1 from a.b) select max(1) from q) from q", ("a.b", "q")),
    ("duckdb", "with recursive t as (select 1 n from a.b union all select n + 1 from t) select * from t", ("a.b",)),
    ("duckdb", "with recursive t as (select * from t) select * from t", ("t",)),
    ("duckdb", "select * from read_csv('f'), 's3://b/f', 'x.parquet', generate_series(1, 2), range(3)", ()),
    ("duckdb", "select u.x from a.b, lateral unnest(b.xs) as u(x)", ("a.b",)),
    ("duckdb", "explain select * from a.b", ("a.b",)),
    ("duckdb", "EXPLAIN ANALYZE with x as (select * from a.b) select * from x", ("a.b",)),
    ("duckdb", "explain (format json) select * from a.b", ("a.b",)),
    ("duckdb", "create table x.y as select * from a.b; select * from c.d;", ("a.b", "c.d")),
    ("duckdb", "insert into x.y select * from a.b", ("a.b",)),
    ("duckdb", "pivot a.b on c using sum(d)", ("a.b",)),
    ("duckdb", "copy (select * from a.b) to 'f.csv'", ("a.b",)),
    ("duckdb", "(select 1 from a.b) except (select 2 from c.d)", ("a.b", "c.d")),
    ("duckdb", "select * from db.s.t asof join a.b using (x)", ("db.s.t", "a.b")),
    ("duckdb", 'select * from "a.b"."c""d"', ('"a.b"."c""d"',)),
    (
        "postgres",
        "merge into t.a using s.b on a.x = b.x when matched then update set y = (select 1 from c.d)",
        ("s.b", "c.d"),
    ),
    ("postgres", "update t.a set x = b.x from s.b where true", ("s.b",)),
    ("postgres", "select * from a.b for update of b", ("a.b",)),
    (
        "bigquery",
        "select * from `p-x.ds.t` t, t.items i, unnest(t.more) where exists (select 1 from t.items)",
        ("p-x.ds.t",),
    ),
    ("bigquery", "select * from ds.orders join orders.items on true", ("ds.orders",)),
    ("bigquery", "select * from kpi.a kpi join `kpi`.b on true", ("kpi.a",)),
    ("bigquery", "from a.b |> where x > 1 |> join c.d using (x)", ("a.b", "c.d")),
    ("snowflake", "select * from a.b, lateral flatten(input => x), table(f(1)), @stage/f", ("a.b",)),
    ("spark", "select * from parquet.`/a/b` join c.d on true lateral view explode(xs) e as x", ("c.d",)),
    ("redshift", "select * from s.customers c, c.orders o", ("s.customers",)),
    ("tsql", "select * into #t from [dbo].[x y]", ("dbo.x y",)),
    ("tsql", "select * from db..t", ("t",)),
    ("snowflake", "select * from db..t", ("t",)),
    ("mysql", "select * from `a`.`b`", ("a.b",)),
    ("databricks", "select * from cat.sch.tab", ("cat.sch.tab",)),
    ("", "select * from `a`.`b`", ("a.b",)),
    ("no such dialect", "select * from a.b", ("a.b",)),
    ("arrow-flight-sql", "select a from b.c", ("b.c",)),
    ("duckdb", "select 1", ()),
    ("duckdb", "", ()),
    ("duckdb", ";;", ()),
]


@pytest.mark.parametrize(("dialect", "sql", "found"), SHAPES)
def test_references_by_the_parser(dialect: str, sql: str, found: tuple[str, ...]) -> None:
    assert parse_error(sql, dialect) is None
    assert find_references(sql, dialect) == found


def test_unparsable_sql_falls_back_and_says_where() -> None:
    sql = "with x as (select 1 from a.b) select from where;\n select 1 from c.d join x using (("
    names, error = read_references(sql, "duckdb")
    assert names == ("a.b", "c.d")
    assert error is not None
    assert error.startswith("line 1, column ")
    assert "<Token" not in error
    assert parse_error(sql, "duckdb") == error


@pytest.mark.parametrize(
    "sql",
    [
        "select * from a.b " + "left join c.d " * 60,
        "select " + "(" * 5000 + "1" + ")" * 5000 + " from a.b",
        "select 'unclosed from a.b",
        "select " + "case when " * 3000,
        "\x00\ud800 from a.b",
        "select 1" + " union all select 1 from a.b" * 3000,
        "select * from a.b where x = 1 " + " or x = 1" * 3000,
    ],
    ids=lambda sql: sql[:25],
)
def test_hostile_sql_is_read_in_bounded_time(sql: str) -> None:
    names, _ = read_references(sql, "duckdb")
    assert set(names) <= {"a.b", "c.d"}


def test_many_joins_with_conditions_are_fine() -> None:
    joins = " ".join(f"left join s.t{i} on t{i}.x = a.x" for i in range(100))
    sql = f"select * from s.a a {joins} cross join s.u natural join s.v"
    assert len(find_references(sql, "duckdb")) == 103


def test_the_parsers_log_is_silent_here_only(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "sqlglot"):
        find_references("explain select 1 from a.b", "duckdb")
        assert not caplog.records
        logging.getLogger("sqlglot").warning("heard")
    assert [record.message for record in caplog.records] == ["heard"]


NAMES = st.one_of(
    st.sampled_from(
        ["select", "from", "order", "group", "table", "$x", "é", "a-b", "a.b", "Ünïcode €", "1a", "x y", 'q"q']
    ),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=8),
).filter(lambda name: name.strip() == name and not set(name) & set("/\\@#`") and "://" not in name)


@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=5))
@settings(deadline=None, max_examples=60)
def test_any_quoted_name_is_found_and_split_back(names: list[tuple[str, str]]) -> None:
    quoted = [".".join('"' + part.replace('"', '""') + '"' for part in pair) for pair in names]
    kept = [p for p in dict.fromkeys(names) if not p[1].lower().endswith((".csv", ".db", ".json", ".txt", ".orc"))]
    sql = "select 1 from " + ", ".join(f"{name} t{i}" for i, name in enumerate(quoted))
    assert [split_name(name) for name in find_references(sql, "duckdb")] == kept


@given(st.text(max_size=60), st.sampled_from(["duckdb", "bigquery", "snowflake", "", "tsql"]))
@settings(deadline=None, max_examples=100)
def test_nothing_raises(text: str, dialect: str) -> None:
    find_references(text, dialect)
    find_references(f"select * from {text}", dialect)
    find_starlake_references(text)
    parse_error(f"with {text} as (select 1) select * from x", dialect)
