"""From an expectation's count to the rows that it counts."""

import duckdb
import pytest

from starlake_dagster_assets.execution.failing_row_queries import failing_rows

ROWS = "create table t as select * from (values (1, 'a', 'x@a'), (2, 'a', 'x@b'), (null, 'b', null)) v(id, name, mail)"
SHOWN = {
    "select count(*) from t where name = 'a'": [(1, "a", "x@a"), (2, "a", "x@b")],
    "SELECT COUNT(1) AS wrong FROM t WHERE id IS NULL": [(None, "b", None)],
    "select count(*) - count(distinct name) from t": [(1, "a", "x@a"), (2, "a", "x@b")],
    "select count(*) - count(distinct id) from t": [(None, "b", None)],
    "select count(*) from (select name from t group by name having count(*) > 1)": [("a",)],
    "with w as (select id from t) select count(*) from w where id > 1": [(2,)],
    "select count(*) filter (where id is null) from t": [(None, "b", None)],
    "select coalesce(sum(case when id = 2 then 1 else 0 end), 0) from t": [(2, "a", "x@b")],
    "select count(case when id = 2 then 1 end) from t where name = 'a'": [(2, "a", "x@b")],
    "select count(*) - count(mail) from t": [(None, "b", None)],
    "select case when exists (select 1 from t where id > 1) then 1 else 0 end": [(2, "a", "x@b")],
    "select case when not exists (select 1 from t where id > 1) then 0 else 1 end": [(2, "a", "x@b")],
    "select case when exists (select 1 from t group by name having count(*) > 1) then 1 else 0 end": [("a",)],
    "select case when count(*) > 0 then 1 else 0 end from t where id is null": [(None, "b", None)],
    "select case when count(*) = 0 then 0 else 1 end from t where id is null": [(None, "b", None)],
    "select case when (select count(*) from t where id = 1) = 0 then 0 else 1 end": [(1, "a", "x@a")],
    "select cast(exists (select 1 from t where id = 1) as int)": [(1, "a", "x@a")],
    "with w as (select * from t) select if(exists (select 1 from w where id = 1), 1, 0)": [(1, "a", "x@a")],
    "select count(*) from t join t as o on t.id = o.id where t.id = 1": [(1, "a", "x@a", 1, "a", "x@a")],
}
OTHERS = [
    "select case when count(*) > 3 then 0 else 1 end from t",
    "select count(*), 1 from t",
    "select sum(id) from t",
    "select count(distinct id) from t",
    "select count(name) from t",
    "select case when exists (select 1 from t) then 0 else 1 end",
    "select case when not exists (select 1 from t) then 1 else 0 end",
    "select case when count(*) = 0 then 1 else 0 end from t",
    "select case when max(id) > 1 then 1 else 0 end from t",
    "select count(*) from t group by name",
    "select count(*) from t limit 1",
    "delete from t",
    "select count(*) from t; drop table t",
    "select select",
    "",
]


@pytest.mark.parametrize("sql", SHOWN)
def test_the_rows_are_those_that_are_counted(sql):
    found = failing_rows(sql, "duckdb")
    assert found is not None
    with duckdb.connect() as con:
        con.execute(ROWS)
        assert sorted(con.execute(found.sql).fetchall(), key=str) == sorted(SHOWN[sql], key=str)


@pytest.mark.parametrize("sql", OTHERS)
def test_a_query_that_does_not_say_which_rows_are_wrong_has_none(sql):
    assert failing_rows(sql, "duckdb") is None


RENAMED = {
    "select count(*) from t where mail like '%@a' order by mail": set(),
    "select count(*) from (select mail from t)": set(),
    "select count(*) from (select Mail as name from t)": {"mail"},
    "select count(*) from (select upper(mail) as m, id from t where name = 'a')": {"mail"},
    "select count(*) from (select max(mail) as m from t group by id)": {"mail"},
    "select count(*) from t as v(a, b, c) where b = 'a'": {"b", "*"},
    "select count(*) from t, unnest([mail]) as u(m)": {"mail", "*"},
    "with w(a) as (select mail from t) select count(*) from w": {"mail", "*"},
}


@pytest.mark.parametrize("sql", RENAMED)
def test_columns_that_a_query_computes_with_are_named(sql):
    found = failing_rows(sql, "duckdb")
    assert found is not None and found.renamed == RENAMED[sql]
