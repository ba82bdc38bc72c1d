"""What the embedded engine does not do is refused by name before data is touched; names that DuckDB mixes up work."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from starlake_dagster_assets.execution.backends.duckdb.runner import EmbeddedRunner


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ("sink: {materializedView: VIEW}", "sink.materializedView VIEW: a load writes a table"),
        ("sink: {materializedView: MATERIALIZED_VIEW}", "sink.materializedView MATERIALIZED_VIEW"),
        ("sink: {materializedView: HYBRID}", "sink.materializedView HYBRID"),
        ("sink: {format: parquet}", "sink.format parquet: connection 'duckdb' is DuckDB"),
        ("sink: {sharding: [v]}", "sink.sharding"),
        ("writeStrategy: {type: UPSERT_BY_KYE, key: [id]}", "did you mean UPSERT_BY_KEY"),
    ],
)
def test_a_sink_that_a_load_does_not_write_is_refused_before_a_file_moves(bench: Any, metadata: str, says: str) -> None:
    bench.table(metadata=metadata)
    bench.file("orders_1.csv", "1,a,5")
    assert bench.run("load") == 1
    assert says in bench.errors
    assert "metadata/load/shop/orders.sl.yml" in bench.errors
    assert (bench.files("stage"), bench.files("ingesting"), bench.files("archive")) == (["orders_1.csv"], [], [])
    assert bench.query("SELECT count(*) FROM information_schema.tables") == [(0,)]


@pytest.mark.parametrize(
    ("yaml", "says"),
    [
        ("sink: {materializedView: HYBRID}", "sink.materializedView HYBRID"),
        ("sink: {materializedView: MATERIALIZED_VIEW}", "sink.materializedView MATERIALIZED_VIEW"),
        ("sink: {format: parquet}", "sink.format parquet: connection 'duckdb' is DuckDB"),
        ("sink: {format: xlsx}", "sink.format xlsx: the embedded engine exports csv only"),
        ("sink: {format: csv, options: {separater: ';'}}", "sink.options.separater"),
        ("sink: {format: csv, options: {header: 'x,y'}}", "sink.options.header 'x,y': true or false"),
        ("sink: {format: csv}\nexpectations: [{expect: 'x()'}]", "expectations look at a table"),
        ("sink: {sharding: [x]}", "sink.sharding"),
        ("writeStrategy: {types: {APPEND: 'true'}}", "task.writeStrategy.types"),
    ],
)
def test_a_task_that_is_not_done_is_refused_before_anything_is_written(bench: Any, yaml: str, says: str) -> None:
    bench.task("kpi.t", "select 1 as x", yaml)
    assert bench.run("transform", "--name", "kpi.t") == 1
    assert says in bench.errors
    assert "metadata/transform/kpi/t.sl.yml" in bench.errors
    assert bench.query("SELECT count(*) FROM information_schema.tables") == [(0,)]


def test_a_format_of_files_is_a_table_where_another_warehouse_is_played(bench: Any) -> None:
    text = "version: 1\napplication:\n  connectionRef: lake\n  connections: {lake: {type: fs}}\n"
    bench.write("metadata/application.sl.yml", text)
    bench.table(metadata="sink: {format: parquet}")
    bench.file("orders_1.csv", "1,a,5")
    bench.ok("load", SL_DUCKDB_MODE="true")
    bench.task("kpi.t", "select id from shop.orders", "sink: {format: delta}")
    bench.ok("transform", "--name", "kpi.t", SL_DUCKDB_MODE="true")
    assert bench.query("SELECT id FROM kpi.t") == [(1,)]


def test_grants_are_left_out_with_one_warning(bench: Any) -> None:
    bench.table(extra="acl: [{role: SELECT, grants: [me]}]\nrls: [{name: r, predicate: 'id = 1', grants: [me]}]")
    bench.file("orders_1.csv", "1,a,5")
    bench.ok("load")
    assert ["WARN" in line for line in bench.stderr if "acl and rls" in line] == [True]


def test_load_errors_name_the_file_of_the_table(bench: Any) -> None:
    bench.table(extra="presql: ['select nothere']")
    bench.file("orders_1.csv", "1,a,5")
    assert bench.run("load") == 1
    assert "ERROR IngestionWorkflow: metadata/load/shop/orders.sl.yml:2: shop.orders: Binder Error" in bench.errors
    bench.application("rejectAllOnError: true")
    bench.table()
    bench.file("orders_1.csv", "x,a,5")
    assert bench.run("load") == 1
    assert "ERROR IngestionWorkflow: metadata/load/shop/orders.sl.yml:2: shop.orders: no row of" in bench.errors


@pytest.mark.parametrize("loader", ["spark", "native"])
def test_a_domain_may_bear_the_name_of_the_file(bench: Any, loader: str) -> None:
    text = (bench.root / "metadata/application.sl.yml").read_text().replace("datasets/duckdb.db", "datasets/Shop.db")
    other = '    other: {type: jdbc, options: {url: "jdbc:duckdb:{{SL_ROOT}}/datasets/other.db"}}\n'
    text = text.replace("  connections:\n", f"  loader: {loader}\n  connections:\n" + other)
    bench.write("metadata/application.sl.yml", text)
    bench.write("metadata/expectations/c.j2", "{% macro rows(n) %}select count(*) - {{ n }} from sl_this{% endmacro %}")
    bench.table(
        metadata="writeStrategy: {type: UPSERT_BY_KEY, key: [id]}",
        extra="expectations: [{expect: 'rows(2)'}]\npostsql: ['update shop.orders set v = upper(v)']",
    )
    for number, rows in enumerate((["1,a,5", "x,b,1"], ["1,c,6", "2,d,7"])):
        bench.file(f"orders_{number}.csv", *rows)
        bench.ok("load", SL_JOB_ID=f"j{number}")
    bench.task("kpi.v", "select v from shop.orders where v <> 'D'", "sink: {materializedView: VIEW}")
    bench.task("shop.n", "select count(*) as n from kpi.v join orders using (v)")
    for name in ("kpi.v", "shop.n"):
        bench.ok("transform", "--name", name, SL_JOB_ID=name)
    reader = EmbeddedRunner(bench.root).warehouse_reader()
    assert (reader.row_count("shop", "orders"), reader.row_count("kpi", "v")) == (2, 1)
    assert [row.step for row in reader.audit("kpi.v")] == ["TRANSFORM"]
    (bench.root / "datasets/Shop.db").rename(bench.root / "datasets/duckdb.db")
    assert bench.query("SELECT id, v FROM shop.orders ORDER BY 1") == [(1, "C"), (2, "D")]
    assert bench.query("SELECT n FROM shop.n") == [(1,)]
    assert bench.query("SELECT v FROM kpi.v") == [("C",)]
    assert bench.query("SELECT SUCCESS FROM audit.expectations ORDER BY rowid") == [(False,), (True,)]
    assert bench.query("SELECT count(*) FROM audit.rejected") == [(1,)]
    assert bench.query("SELECT bool_and(SUCCESS) FROM audit.audit") == [(True,)]


def test_the_audit_domain_may_bear_the_name_of_the_file(bench: Any) -> None:
    text = (bench.root / "metadata/application.sl.yml").read_text().replace("datasets/duckdb.db", "datasets/audit.db")
    bench.write("metadata/application.sl.yml", text)
    bench.table()
    bench.file("orders_1.csv", "1,a,5")
    bench.ok("load")
    with duckdb.connect(str(bench.root / "datasets/audit.db")) as con:
        assert con.execute("SELECT SUCCESS FROM audit.audit.audit").fetchall() == [(True,)]


@pytest.mark.parametrize("name", ["temp", "system", "side"])
def test_a_schema_that_duckdb_cannot_tell_from_a_database_is_refused(bench: Any, name: str) -> None:
    actions = "        preActions: \"ATTACH ':memory:' AS side\"\n"
    text = bench.root / "metadata/application.sl.yml"
    bench.write("metadata/application.sl.yml", text.read_text() + actions)
    config = (bench.root / "metadata/load/shop/_config.sl.yml").read_text()
    bench.write("metadata/load/shop/_config.sl.yml", config + f"  rename: {name}\n")
    bench.table()
    bench.file("orders_1.csv", "1,a,5")
    assert bench.run("load") == 1
    assert "metadata/load/shop/orders.sl.yml:" in bench.errors
    assert f"schema '{name}': DuckDB also gives that name to" in bench.errors
    assert bench.files("stage") == ["orders_1.csv"]
    bench.task(f"{name}.t", "select 1 as x")
    assert bench.run("transform", "--name", f"{name}.t") == 1
    assert f"schema '{name}': DuckDB also gives that name to" in bench.errors
