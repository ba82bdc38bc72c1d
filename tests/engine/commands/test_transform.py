"""The `transform` command: what tasks make, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

AUDIT = "SELECT PATHS, DOMAIN, SCHEMA, SUCCESS, COUNT, STEP FROM audit.audit ORDER BY rowid"


@pytest.fixture
def kpi(bench: Any) -> Any:
    """A bench with a loaded table `shop.orders` of two rows."""
    bench.table()
    bench.file("orders_1.csv", "1,a,5", "2,b,6")
    bench.ok("load")
    bench.query("DELETE FROM audit.audit")
    return bench


def test_a_task_makes_its_table_and_its_audit_row(kpi: Any) -> None:
    kpi.task("kpi.total", "select sum(ts) as total from shop.orders;", "table: totals")
    kpi.ok("transform", "--name", "KPI.Total", SL_JOB_ID="j")
    assert kpi.query("SELECT * FROM kpi.totals") == [(11,)]
    assert kpi.query(AUDIT) == [("total", "kpi", "totals", True, -1, "TRANSFORM")]
    assert kpi.stderr[-1].endswith("INFO Main: Successfully transform --name KPI.Total")


def test_rows_are_written_by_name(kpi: Any) -> None:
    kpi.task("kpi.t", "select id, v from shop.orders", "writeStrategy: {type: OVERWRITE}")
    kpi.ok("transform", "--name", "kpi.t")
    kpi.task("kpi.t", "select v, id from shop.orders", "writeStrategy: {type: OVERWRITE}")
    kpi.ok("transform", "--name", "kpi.t")
    assert kpi.query("SELECT * FROM kpi.t ORDER BY 1") == [(1, "a"), (2, "b")]


def test_options_reach_the_sql_both_ways(kpi: Any) -> None:
    kpi.task("kpi.t", "select '{{ a }}' as a, '${b}' as b, '{{ c }}' as c")
    kpi.ok("transform", "--name", "kpi.t", "--options", "a=1,b=2", "--options", "c=3")
    assert kpi.query("SELECT * FROM kpi.t") == [("1", "2", "3")]


def test_a_task_may_read_its_own_table(kpi: Any) -> None:
    yaml = "writeStrategy: {type: OVERWRITE}\nattributes: [{name: n, type: long}]"
    kpi.task("kpi.t", "select count(*) as n from kpi.t", yaml)
    for expected in (0, 1, 1):
        kpi.ok("transform", "--name", "kpi.t")
        assert kpi.query("SELECT n FROM kpi.t") == [(expected,)]


SELF_READING = {
    "select id from shop.orders where id > (select coalesce(max(id), 0) from kpi.t)": [(1,), (2,)],
    "select * from shop.orders where id not in (select id from t)": [(1, "a", 5), (2, "b", 6)],
    "select id + (select coalesce(max(id), 0) from kpi.t) as id from shop.orders where id = 1": [(1,), (2,)],
    "select o.id, s.v from shop.orders o left join kpi.t s on s.id = o.id where s.id is null and o.id = 1": [(1, None)],
    "select id, date '2024-01-01' + ts as day from shop.orders where date '2024-01-01' + ts > "
    "(select coalesce(max(day) - interval 0 day, date '1900-01-01') from kpi.t)": 2,
    "select * from kpi.t where false union all select * from shop.orders where id = 1": 2,
}


@pytest.mark.parametrize("sql", SELF_READING)
def test_a_task_without_attributes_may_read_its_own_table_on_the_first_run(kpi: Any, sql: str) -> None:
    kpi.task("kpi.t", sql)
    kpi.ok("transform", "--name", "kpi.t")
    kpi.ok("transform", "--name", "kpi.t")
    found = kpi.query("SELECT * FROM kpi.t ORDER BY 1")
    assert (len(found) if isinstance(SELF_READING[sql], int) else found) == SELF_READING[sql]


def test_a_first_run_whose_columns_cannot_be_derived_says_so(kpi: Any) -> None:
    kpi.task("kpi.t", "select id from shop.orders where id > (select max(nosuch) from kpi.t)")
    assert kpi.run("transform", "--name", "kpi.t") == 1
    assert "kpi.t does not exist yet" in kpi.errors and "attributes" in kpi.errors


@pytest.mark.parametrize("strategy", ["APPEND", "OVERWRITE", "UPSERT_BY_KEY", "DELETE_THEN_INSERT", "SCD2"])
def test_presql_may_name_the_table_of_its_task_on_the_first_run(kpi: Any, strategy: str) -> None:
    yaml = f"presql: ['delete from t where id = 1']\nwriteStrategy: {{type: {strategy}, key: [id]}}"
    kpi.task("kpi.t", "select id from shop.orders where id = 1", yaml)
    for _ in range(2):
        kpi.ok("transform", "--name", "kpi.t")
        assert kpi.query("SELECT id FROM kpi.t") == [(1,)]


def test_presql_may_create_what_the_query_reads(kpi: Any) -> None:
    kpi.task("kpi.t", "select * from some_ids", "presql: ['create temp table some_ids as select 3 as id']")
    kpi.ok("transform", "--name", "kpi.t")
    assert kpi.query("SELECT * FROM kpi.t") == [(3,)]
    kpi.task("kpi.u", "select * from more", "presql: ['create temp table more as select 3 as id', 'delete from u']")
    assert kpi.run("transform", "--name", "kpi.u") == 1
    assert "kpi.u does not exist yet" in kpi.errors


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("select 1 as a; select 2 as a", 1),
        ("select 1 as a;\ndelete from shop.orders;", 1),
        ("delete from shop.orders; select 1 as a", 1),
        ("select ';' as a; -- done; really\n;", 0),
        ("select $$;$$ as a /* ; */;", 0),
    ],
)
def test_the_main_sql_is_one_statement(kpi: Any, sql: str, code: int) -> None:
    kpi.task("kpi.t", sql)
    assert kpi.run("transform", "--name", "kpi.t") == code
    assert ("more than one statement" in kpi.errors) == bool(code)
    assert kpi.query("SELECT count(*) FROM shop.orders") == [(2,)]
    kpi.task("kpi.u", "create or replace table kpi.u as select 1 as a; insert into kpi.u values (2)", "parseSQL: false")
    kpi.ok("transform", "--name", "kpi.u")
    assert kpi.query("SELECT * FROM kpi.u") == [(1,), (2,)]


def test_unqualified_names_find_their_only_table_or_the_own_domain(kpi: Any) -> None:
    kpi.task("kpi.base", "select 7 as n")
    kpi.task(
        "kpi.t", "with orders_cte as (select id from orders) select count(*) as c, min(n) as n from orders_cte, base"
    )
    kpi.ok("transform", "--name", "kpi.base")
    kpi.ok("transform", "--name", "kpi.t")
    assert kpi.query("SELECT * FROM kpi.t") == [(2, 7)]


def test_refs_rename_what_a_task_reads(kpi: Any) -> None:
    kpi.write(
        "metadata/refs.sl.yml",
        "version: 1\nrefs:\n  - input: {domain: old, table: '.*'}\n    output: {domain: shop, table: SL_THIS_TABLE}\n",
    )
    kpi.task("kpi.t", "select count(*) as c from old.orders")
    kpi.ok("transform", "--name", "kpi.t")
    assert kpi.query("SELECT c FROM kpi.t") == [(2,)]


def test_views_and_tables_do_not_replace_each_other(kpi: Any) -> None:
    kpi.task("kpi.v", "select * from shop.orders", "sink: {materializedView: VIEW}")
    kpi.ok("transform", "--name", "kpi.v")
    kpi.ok("transform", "--name", "kpi.v")
    kpi.task("kpi.v", "select 1 as x", "writeStrategy: {type: OVERWRITE}")
    assert kpi.run("transform", "--name", "kpi.v") == 1
    assert "kpi.v is a view" in kpi.errors
    kpi.query("CREATE TABLE kpi.t AS SELECT 1 AS x")
    kpi.task("kpi.t", "select 1 as x", "sink: {materializedView: VIEW}")
    assert kpi.run("transform", "--name", "kpi.t") == 1
    assert "kpi.t is a table" in kpi.errors


def test_presql_main_and_postsql_are_one_transaction(kpi: Any) -> None:
    sql = (
        "--SL_PRESQL\ncreate table kpi.log(x int);\n--SL_SQL\nselect 1 as x\n--SL_POSTSQL\ninsert into log values ('a')"
    )
    kpi.task("kpi.t", sql)
    assert kpi.run("transform", "--name", "kpi.t") == 1
    assert kpi.query("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'kpi'") == [(0,)]
    assert kpi.query("SELECT SUCCESS, COUNT FROM audit.audit") == [(False, -1)]
    kpi.task("kpi.t", sql.replace("'a'", "3"))
    kpi.ok("transform", "--name", "kpi.t")
    assert kpi.query("SELECT * FROM kpi.log") == [(3,)]


def test_statements_of_a_task_without_parsing_are_run_as_they_are(kpi: Any) -> None:
    kpi.task(
        "kpi.t", "create or replace table kpi.free as select 1 as x; insert into kpi.free values (2)", "parseSQL: false"
    )
    kpi.ok("transform", "--name", "kpi.t")
    assert kpi.query("SELECT x FROM kpi.free ORDER BY 1") == [(1,), (2,)]


def test_transactions_belong_to_the_engine(kpi: Any) -> None:
    kpi.task("kpi.t", "create table kpi.free(x int); commit", "parseSQL: false")
    assert kpi.run("transform", "--name", "kpi.t") == 1
    assert "one transaction of its own" in kpi.errors
    assert kpi.query("SELECT count(*) FROM information_schema.schemata WHERE schema_name = 'kpi'") == [(0,)]


def test_truncate_empties_before_an_append(kpi: Any) -> None:
    kpi.task("kpi.t", "select 1 as x")
    for flag, expected in (("false", 1), ("false", 2), ("true", 1)):
        kpi.ok("transform", "--name", "kpi.t", "--truncate", flag)
        assert kpi.query("SELECT count(*) FROM kpi.t") == [(expected,)]


@pytest.mark.parametrize(
    ("strategy", "columns"), [("ADD", ["x", "old", "y"]), ("ALL", ["x", "y"]), ("NONE", ["x", "old"])]
)
def test_attributes_bring_the_table_up_to_date(kpi: Any, strategy: str, columns: list[str]) -> None:
    kpi.query("CREATE SCHEMA kpi; CREATE TABLE kpi.t AS SELECT 1 AS x, 2 AS old")
    yaml = f"syncStrategy: {strategy}\nattributes: [{{name: x, type: int}}, {{name: y, type: string}}]"
    kpi.task("kpi.t", "select 3 as x", yaml)
    kpi.ok("transform", "--name", "kpi.t")
    assert [row[0] for row in kpi.query("DESCRIBE kpi.t")] == columns


def test_a_column_the_table_lacks_is_refused_by_name(kpi: Any) -> None:
    kpi.task("kpi.t", "select 1 as x")
    kpi.ok("transform", "--name", "kpi.t")
    kpi.task("kpi.t", "select 1 as x, 2 as fresh")
    assert kpi.run("transform", "--name", "kpi.t") == 1
    assert "the query gives fresh, which kpi.t does not have" in kpi.errors


def test_recursive_runs_each_upstream_task_once_first(kpi: Any) -> None:
    kpi.task("kpi.a", "select 1 as x")
    kpi.task("kpi.b", "select x from kpi.a")
    kpi.task("kpi.c", "select a.x from kpi.a a join kpi.b b using (x)")
    kpi.ok("transform", "--name", "kpi.c", "--recursive")
    assert [row[0] for row in kpi.query(AUDIT)] == ["a", "b", "c"]
    kpi.task("kpi.b", "select nothere from kpi.a")
    assert kpi.run("transform", "--name", "kpi.c", "--recursive") == 1
    assert kpi.query("SELECT count(*) FROM kpi.c") == [(1,)]


def test_compile_prints_the_sql_and_writes_nothing(kpi: Any) -> None:
    kpi.task("kpi.t", "select count(*) as c from orders")
    kpi.ok("transform", "--name", "kpi.t", "--compile")
    assert 'select count(*) as c from "shop"."orders"' in "\n".join(kpi.stdout)
    assert kpi.query(AUDIT) == []


def test_an_export_writes_a_file(kpi: Any) -> None:
    kpi.task("kpi.t", "select id, v from orders order by 1", "sink: {format: csv, options: {separator: ';'}}")
    kpi.ok("transform", "--name", "kpi.t")
    assert (kpi.root / "datasets/export/kpi/t.csv").read_text() == "id;v\n1;a\n2;b\n"
    assert kpi.query(AUDIT) == [("t", "kpi", "t", True, -1, "TRANSFORM")]


def test_expectations_gate_a_task_as_they_gate_a_load(kpi: Any) -> None:
    kpi.write("metadata/expectations/c.j2", "{% macro bad(n) %}select {{ n }} from sl_this{% endmacro %}")
    kpi.application("expectations: {failOnError: true}")
    kpi.task("kpi.t", "select 1 as x", "expectations: [{expect: 'bad(3)'}]")
    assert kpi.run("transform", "--name", "kpi.t") == 1
    assert "bad(3) (count 3)" in kpi.errors
    assert kpi.query("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'kpi'") == [(0,)]
    kpi.task("kpi.t", "select 1 as x", "expectations: [{expect: 'bad(3)', failOnError: false}]")
    kpi.ok("transform", "--name", "kpi.t")
    assert kpi.query("SELECT NAME, COUNT FROM audit.expectations") == [("bad(3)", 3)] * 2  # the refusal is recorded too


def test_sql_of_another_warehouse_runs_locally(bench: Any) -> None:
    connection = "connections: {bq: {type: bigquery, options: {location: EU}}}"
    bench.write("metadata/application.sl.yml", f"version: 1\napplication:\n  connectionRef: bq\n  {connection}\n")
    bench.task("kpi.t", "select safe_divide(1, 0) as x, date_trunc(date '2024-05-17', month) as m")
    assert bench.run("transform", "--name", "kpi.t") == 1
    assert "connection 'bq' is bigquery" in bench.errors
    bench.ok("transform", "--name", "kpi.t", SL_DUCKDB_MODE="true")
    assert bench.query("SELECT x, m::varchar FROM kpi.t")[0][0] is None
    assert bench.query("SELECT m::date::varchar FROM kpi.t") == [("2024-05-01",)]


@pytest.mark.parametrize(
    ("yaml", "says"),
    [
        ("writeStrategy: {type: UPSERT_BY_KYE, key: [x]}", "did you mean UPSERT_BY_KEY"),
        ("writeStrategy: {type: UPSERT_BY_KEY}", "UPSERT_BY_KEY needs"),
        ("writeStrategy: {type: UPSERT_BY_KEY, key: [z]}", "uses column 'z'"),
        ("sink: {materializedView: MATERIALIZED_VIEW}", "MATERIALIZED_VIEW"),
        ("sink: {format: xls}", "sink.format xls"),
    ],
)
def test_what_is_not_done_is_refused_by_name(bench: Any, yaml: str, says: str) -> None:
    bench.task("kpi.t", "select 1 as x", yaml)
    assert bench.run("transform", "--name", "kpi.t") == 1
    assert says in bench.errors


def test_unknown_tasks_suggest_the_nearest(bench: Any) -> None:
    bench.task("kpi.total", "select 1 as x")
    assert bench.run("transform", "--name", "kpi.totl") == 1
    assert "Invalid task name kpi.totl; did you mean kpi.total?" in bench.errors


WAREHOUSES = {
    "snowflake": (
        '{type: jdbc, options: {url: "jdbc:snowflake://x", sfUrl: x}}',
        "select iff(id > 1, nvl(v, '-'), 'one') as v, dateadd(day, 1, '2024-01-01'::date) as d, "
        "to_varchar('2024-01-02'::date, 'YYYY-MM') as m from shop.orders qualify row_number() over (order by id) = 1",
    ),
    "redshift": (
        '{type: jdbc, options: {url: "jdbc:redshift://h/db"}}',
        "select nvl(min(v), 'one') as v, dateadd(day, 1, date '2024-01-01') as d, '2024-01' as m from shop.orders "
        "where getdate() > date '2024-01-01' and id = 0",
    ),
    "postgres": (
        '{type: jdbc, options: {url: "jdbc:postgresql://h/db"}}',
        "select 'one' as v, (date '2024-01-01' + interval '1 day')::date as d, "
        "to_char(date '2024-01-02', 'YYYY-MM') as m "
        "from shop.orders where v ~ '^a' and id::text ilike '1'",
    ),
    "spark": (
        "{type: fs}",
        "select `v` as v, date_add(to_date('2024-01-01'), 1) as d, date_format(to_date('2024-01-02'), 'yyyy-MM') as m "
        "from (select nvl(null, 'one') as v, count(id) as n from shop.orders) where n = 1",
    ),
    "databricks": (
        "{type: databricks}",
        "select 'one' as v, date_add(to_date('2024-01-01'), 1) as d, '2024-01' as m",
    ),
    "bigquery": (
        "{type: bigquery}",
        "select if(safe_cast(v as int64) is null, 'one', v) as v, date_add(date '2024-01-01', interval 1 day) as d, "
        "format_date('%Y-%m', date '2024-01-02') as m from `shop.orders`",
    ),
}


@pytest.mark.parametrize("warehouse", WAREHOUSES)
def test_sql_of_a_warehouse_runs_on_duckdb(bench: Any, warehouse: str) -> None:
    connection, sql = WAREHOUSES[warehouse]
    text = f"version: 1\napplication:\n  connectionRef: wh\n  connections:\n    wh: {connection}\n"
    bench.write("metadata/application.sl.yml", text)
    bench.table()
    bench.file("orders_1.csv", "1,a,1")
    assert bench.run("load") == 1
    assert bench.files("stage") == ["orders_1.csv"]
    bench.ok("load", SL_DUCKDB_MODE="true")
    bench.task("kpi.tt", sql)
    bench.ok("transform", "--name", "kpi.tt", SL_DUCKDB_MODE="true")
    assert bench.query("SELECT v, d::varchar, m FROM kpi.tt") == [("one", "2024-01-02", "2024-01")]
    assert bench.query("SELECT typeof(d) FROM kpi.tt") == [("DATE",)]
    bench.task("kpi.bad", "select no_such as x")
    assert bench.run("transform", "--name", "kpi.bad", SL_DUCKDB_MODE="true") == 1
    told = "\n".join(bench.stderr).lower()
    assert f"(metadata/transform/kpi/bad.sql:1, translated from {warehouse}: select no_such as x)" in told
