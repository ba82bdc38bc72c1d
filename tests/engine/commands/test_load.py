"""The `load` command: what becomes of tables, files and the audit."""

from __future__ import annotations

import os
from typing import Any

import duckdb
import pytest

AUDIT = "SELECT PATHS, SUCCESS, COUNT, COUNTACCEPTED, COUNTREJECTED, STEP FROM audit.audit ORDER BY rowid"


def test_a_file_lands_with_its_markers_and_its_audit_row(bench: Any) -> None:
    bench.table()
    bench.file("orders_1.csv", "1,a,5")
    bench.ok("load", "--domains", "shop", SL_JOB_ID="job-1")
    assert bench.query("SELECT * FROM shop.orders") == [(1, "a", 5)]
    path = f"file:{bench.root}/datasets/ingesting/shop/orders_1.csv"
    assert bench.query("SELECT JOBID, DOMAIN, SCHEMA, MESSAGE, PATHS FROM audit.audit") == [
        ("job-1", "shop", "orders", "success", path)
    ]
    text = "\n".join(bench.stderr)
    assert "INFO IngestionWorkflow: Ingest resolved file : orders_1.csv as table shop.orders" in text
    summary = f"files: [{path}], domain: shop, schema: orders, input: 1, accepted: 1, rejected:0"
    assert f"INFO DsvIngestionJob: ingestion-summary -> {summary}" in text
    assert f"INFO IngestionWorkflow: Backing up file {path} to file:{bench.root}/datasets/archive/shop/" in text
    assert bench.stdout[-5:] == [
        "Load summary:",
        "Input records: 1",
        "Accepted: 1",
        "Rejected: 0",
        f"Data successfully loaded from {path}",
    ]
    assert (bench.files("archive"), bench.files("ingesting")) == (["orders_1.csv"], [])


def test_a_failed_file_goes_back_to_stage_and_the_others_land(bench: Any) -> None:
    bench.table("orders", extra="postsql: ['select error(''boom'')']")
    bench.table("lines")
    bench.file("orders_1.csv", "1,a,5")
    bench.file("lines_1.csv", "1,a,5")
    assert bench.run("load") == 1
    assert (bench.files("stage"), bench.files("archive"), bench.files("ingesting")) == (
        ["orders_1.csv"],
        ["lines_1.csv"],
        [],
    )
    assert [row[1:] for row in bench.query(AUDIT)] == [(True, 1, 1, 0, "LOAD"), (False, 0, 0, 0, "LOAD")]
    assert bench.query("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'shop'") == [(1,)]
    assert any(line.startswith("Starlake failed to execute command with args load") for line in bench.stderr)
    bench.table("orders")
    bench.ok("load")
    assert bench.query("SELECT id FROM shop.orders") == [(1,)]


def test_rejected_rows_are_told_and_do_not_stop_the_file(bench: Any) -> None:
    bench.table()
    bench.file("orders_1.csv", "1,a,5", "x,b,6", "3,c,y")
    bench.ok("load")
    assert bench.query("SELECT id FROM shop.orders") == [(1,)]
    assert bench.query("SELECT count(*), min(DOMAIN), min(SCHEMA) FROM audit.rejected") == [(2, "shop", "orders")]
    assert [row[1:] for row in bench.query(AUDIT)] == [(True, 3, 1, 2, "LOAD")]


def test_reject_all_on_error_refuses_the_file(bench: Any) -> None:
    bench.application("rejectAllOnError: true")
    bench.table()
    bench.file("orders_1.csv", "1,a,5", "x,b,6")
    assert bench.run("load") == 1
    assert bench.files("stage") == ["orders_1.csv"]
    assert [row[1:] for row in bench.query(AUDIT)] == [(False, 2, 1, 1, "LOAD")]
    assert bench.query("SELECT MESSAGE FROM audit.audit") == [("1 invalid records",)]
    assert not any("ingestion-summary" in line for line in bench.stderr)


def test_files_go_in_order_of_time_or_of_name(bench: Any) -> None:
    bench.table(metadata="writeStrategy: {type: OVERWRITE}")
    for name, when in (("orders_a.csv", 200), ("orders_b.csv", 100)):
        os.utime(bench.file(name, f"{when},x,1"), (when, when))
    bench.ok("load")
    assert bench.query("SELECT id FROM shop.orders") == [(200,)]
    bench.application("loadStrategyClass: ai.starlake.job.load.IngestionNameStrategy")
    for name, when in (("orders_a.csv", 200), ("orders_b.csv", 100)):
        os.utime(bench.file(name, f"{when},x,1"), (when, when))
    bench.ok("load")
    assert bench.query("SELECT id FROM shop.orders") == [(100,)]


def test_grouped_files_are_one_job(bench: Any) -> None:
    bench.application("grouped: true")
    bench.table(metadata="writeStrategy: {type: OVERWRITE}")
    bench.file("orders_1.csv", "1,a,5")
    bench.file("orders_2.csv", "2,b,6")
    bench.ok("load")
    assert bench.query("SELECT id FROM shop.orders ORDER BY 1") == [(1,), (2,)]
    folder = f"file:{bench.root}/datasets/ingesting/shop"
    assert bench.query(AUDIT) == [(f"{folder}/orders_1.csv,{folder}/orders_2.csv", True, 2, 2, 0, "LOAD")]


def test_only_the_tables_asked_for(bench: Any) -> None:
    bench.table("orders")
    bench.table("lines")
    bench.file("orders_1.csv", "1,a,5")
    bench.file("lines_1.csv", "1,a,5")
    bench.file("readme.md")
    bench.ok("load", "--domains", "shop", "--tables", "lines")
    assert bench.files("stage") == ["orders_1.csv", "readme.md"]
    bench.ok("load")
    assert (bench.files("stage"), bench.files("unresolved")) == ([], ["readme.md"])


def test_unknown_names_are_told_and_do_nothing(bench: Any) -> None:
    bench.table()
    bench.ok("load", "--domains", "shopp", "--tables", "orderss")
    text = "\n".join(bench.stderr)
    assert "Domain shopp not found; did you mean shop?" in text
    assert "Table orderss not found; did you mean orders?" in text
    assert bench.stdout[:2] == ["Load summary:", "Input records: 0"]


def test_given_files_are_copied_to_stage_first(bench: Any) -> None:
    bench.table()
    given = bench.write("elsewhere/orders_9.csv", "id,v,ts\n9,z,9\n")
    bench.ok("load", "--domains", "shop", "--tables", "orders", "--files", str(given))
    assert given.exists()
    assert bench.query("SELECT id FROM shop.orders") == [(9,)]
    assert bench.run("load", "--files", str(bench.root / "no.csv")) == 1
    assert "is not a file" in bench.errors


def test_archive_false_deletes(bench: Any) -> None:
    bench.application("archive: false")
    bench.table()
    bench.file("orders_1.csv", "1,a,5")
    bench.ok("load")
    assert (bench.files("archive"), bench.files("ingesting"), bench.files("stage")) == ([], [], [])


def test_audit_can_be_off(bench: Any) -> None:
    bench.application("audit: {active: false}")
    bench.table()
    bench.file("orders_1.csv", "1,a,5", "x,b,1")
    bench.ok("load")
    assert bench.query("SELECT table_name FROM information_schema.tables ORDER BY 1") == [("orders",), ("rejected",)]


@pytest.mark.parametrize("kind", ["OVERWRITE_BY_KEY", "adaptative", "UPSERT_BY_KYE"])
def test_an_unknown_strategy_is_refused_at_the_first_run(bench: Any, kind: str) -> None:
    bench.table(metadata=f"writeStrategy: {{type: {kind}, key: [id]}}")
    bench.file("orders_1.csv", "1,a,5")
    assert bench.run("load") == 1
    assert (bench.files("stage"), bench.files("ingesting")) == (["orders_1.csv"], [])


def test_own_templates_write(bench: Any) -> None:
    bench.write(
        "metadata/write-strategies/duckdb/keep_new.j2",
        """
        DELETE FROM {{ tableFullName }} WHERE id < {{ floor }};
        INSERT INTO {{ tableFullName }} ({{ tableColumnsCsv }}) {{ selectStatement }}
        """,
    )
    bench.write("metadata/env.sl.yml", "version: 1\nenv: {floor: '2'}\n")
    bench.table(metadata="writeStrategy: {type: Keep_New}")
    bench.file("orders_1.csv", "1,a,5", "2,b,5")
    bench.ok("load")
    bench.file("orders_2.csv", "3,c,5")
    bench.ok("load")
    assert bench.query("SELECT id FROM shop.orders ORDER BY 1") == [(2,), (3,)]


def test_presql_and_postsql_run_in_the_schema_of_the_table(bench: Any) -> None:
    extra = "presql: ['create table if not exists seen(x varchar)']\npostsql: [\"insert into seen values ('${who}')\"]"
    bench.table(extra=extra)
    bench.file("orders_1.csv", "1,a,5")
    bench.ok("load", "--options", "who=me")
    assert bench.query("SELECT * FROM shop.seen") == [("me",)]


@pytest.mark.parametrize(
    ("found", "wanted", "kept"),
    [
        ("INTEGER", "long", "BIGINT"),
        ("BIGINT", "int", "BIGINT"),
        ("VARCHAR", "int", "VARCHAR"),
        ("INTEGER", "string", "VARCHAR"),
    ],
)
def test_a_column_is_widened_where_nothing_is_lost(bench: Any, found: str, wanted: str, kept: str) -> None:
    bench.table(attributes=f"[{{name: id, type: {wanted}}}]")
    bench.file("orders_1.csv", "7", header="id")
    bench.query(f"CREATE SCHEMA shop; CREATE TABLE shop.orders (id {found}, old INTEGER)")
    bench.ok("load")
    assert bench.query("SELECT data_type FROM duckdb_columns() WHERE table_name = 'orders' ORDER BY column_index") == [
        (kept,),
        ("INTEGER",),
    ]
    assert "columns that the project does not describe: old; kept" in "\n".join(bench.stderr)


def test_a_type_that_cannot_hold_the_rows_is_refused_with_both_types(bench: Any) -> None:
    bench.table(attributes="[{name: id, type: date}]")
    bench.file("orders_1.csv", "2024-01-01", header="id")
    bench.query("CREATE SCHEMA shop; CREATE TABLE shop.orders (id INTEGER)")
    assert bench.run("load") == 1
    assert "shop.orders.id is INTEGER in the database and DATE in the project" in bench.errors


def test_a_failing_expectation_blocks_only_where_the_project_says_so(bench: Any) -> None:
    bench.write(
        "metadata/expectations/c.j2",
        "{% macro above(n, t='sl_this') %}select count(*) - {{ n }} from {{ t }}{% endmacro %}",
    )
    bench.table(extra="expectations: [{expect: 'above(0)'}]")
    bench.file("orders_1.csv", "1,a,5")
    bench.application("expectations: {failOnError: true}")
    assert bench.run("load") == 1
    assert (bench.files("stage"), bench.query("SELECT count(*) FROM audit.audit WHERE SUCCESS")) == (
        ["orders_1.csv"],
        [(0,)],
    )
    bench.table(extra="expectations: [{expect: 'above(0)', failOnError: false}]")
    bench.ok("load")
    # the run that was refused has recorded why
    assert bench.query("SELECT NAME, COUNT, SUCCESS FROM audit.expectations") == [("above(0)", 1, False)] * 2


@pytest.mark.parametrize(
    ("application", "item", "code"),
    [("false", "true", 1), ("true", "true", 1), ("true", None, 1), ("false", None, 0), ("true", "false", 0)],
)
def test_blocking_means_the_same_wherever_it_is_set(bench: Any, application: str, item: str | None, code: int) -> None:
    bench.write("metadata/expectations/c.j2", "{% macro bad() %}select count(*) from sl_this{% endmacro %}")
    bench.application(f"expectations: {{failOnError: {application}}}")
    written = f", failOnError: {item}" if item else ""
    bench.table(extra=f"expectations: [{{expect: 'bad()'{written}}}]")
    bench.file("orders_1.csv", "1,a,5")
    bench.task("kpi.t", "select 1 as x", f"expectations: [{{expect: 'bad()'{written}}}]")
    assert (bench.run("load"), bench.run("transform", "--name", "kpi.t")) == (code, code)
    there = bench.query("SELECT table_name FROM information_schema.tables WHERE table_schema IN ('shop', 'kpi')")
    assert sorted(there) == ([] if code else [("orders",), ("t",)])
    assert (bench.files("stage"), bench.files("archive")) == (
        (["orders_1.csv"], []) if code else ([], ["orders_1.csv"])
    )


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("select max(id) from sl_this where id > 9", "NULL"),
        ("select v from sl_this", "a value of type"),
        ("select 1 where false", "no row"),
        ("select 1 union all select 2", "several rows"),
        ("select true", "a value of type"),
    ],
)
def test_a_result_that_is_no_number_is_an_exception(bench: Any, sql: str, found: str) -> None:
    bench.write("metadata/expectations/c.j2", f"{{% macro odd() %}}{sql}{{% endmacro %}}")
    bench.table(extra="expectations: [{expect: 'odd()'}]")
    bench.file("orders_1.csv", "1,secret,5")
    bench.ok("load")
    ((count, exception, success),) = bench.query("SELECT COUNT, EXCEPTION, SUCCESS FROM audit.expectations")
    assert (count, success) == (0, False)
    assert exception.startswith(f"the query returns {found}") and "secret" not in exception


def test_messages_of_the_audit_keep_their_quotes(bench: Any) -> None:
    bench.table(extra="expectations: [{expect: \"nosuch('id') => result(0) == 1\"}]")
    bench.file("orders_1.csv", "1,a,5")
    bench.ok("load")
    ((exception,),) = bench.query("SELECT EXCEPTION FROM audit.expectations")
    assert "nosuch('id') => result(0) == 1" in exception


def test_an_expectation_that_ends_the_transaction_keeps_the_rows(bench: Any) -> None:
    bench.write(
        "metadata/expectations/c.j2",
        "{% macro bad() %}select cast(v as int) from sl_this{% endmacro %}{% macro fine() %}select 0{% endmacro %}",
    )
    bench.table(extra="expectations: [{expect: 'bad()'}, {expect: 'fine()'}, {expect: 'nosuch()'}]")
    bench.file("orders_1.csv", "1,a,5")
    bench.ok("load")
    assert bench.query("SELECT count(*) FROM shop.orders") == [(1,)]
    assert bench.query("SELECT NAME, SUCCESS, EXCEPTION <> '' FROM audit.expectations ORDER BY rowid") == [
        ("bad()", False, True),
        ("fine()", True, False),
        ("nosuch()", False, True),
    ]


def test_adaptive_strategies_choose_by_the_file(bench: Any) -> None:
    types = """
    writeStrategy:
      types: {OVERWRITE: 'group(1) == "full"', APPEND: 'group("mode") == "part" && fileSize > 3'}
    """
    bench.table(metadata=types)
    text = (bench.root / "metadata/load/shop/orders.sl.yml").read_text()
    pattern = r"pattern: 'orders_(?<mode>full|part|both)_.*\.csv'"
    bench.write("metadata/load/shop/orders.sl.yml", text.replace(r"pattern: 'orders.*\.csv'", pattern))
    for number, mode in enumerate(("part", "full", "part")):
        os.utime(bench.file(f"orders_{mode}_{number}.csv", f"{number},a,5"), (number + 1, number + 1))
    bench.file("orders_both_1.csv", "9,z,9")
    assert bench.run("load") == 1
    assert "exactly one condition must hold for orders_both_1.csv, none holds" in bench.errors
    assert bench.query("SELECT id FROM shop.orders ORDER BY 1") == [(1,), (2,)]
    assert bench.files("stage") == ["orders_both_1.csv"]


def with_other(bench: Any, extra: str = "") -> None:
    bench.application(extra)
    text = bench.write("metadata/application.sl.yml", (bench.root / "metadata/application.sl.yml").read_text())
    other = '    other: {type: jdbc, options: {url: "jdbc:duckdb:{{SL_ROOT}}/datasets/other.db"}}\n'
    text.write_text(text.read_text().replace("  connections:\n", "  connections:\n" + other))


def in_other(bench: Any, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(bench.root / "datasets/other.db")) as con:
        return con.execute(sql).fetchall()


def test_a_table_of_another_file_is_audited_where_the_project_says(bench: Any) -> None:
    with_other(bench, "audit: {sink: {connectionRef: duckdb}}")
    bench.write("metadata/expectations/c.j2", "{% macro only_one() %}select count(*) - 1 from sl_this{% endmacro %}")
    bench.table(metadata="sink: {connectionRef: other}", extra="expectations: [{expect: 'only_one()'}]")
    bench.file("orders_1.csv", "1,a,1", "x,b,1")
    bench.ok("load")
    assert in_other(bench, "SELECT table_schema, table_name FROM information_schema.tables") == [("shop", "orders")]
    assert bench.query("SELECT DOMAIN, COUNT, COUNTREJECTED FROM audit.audit") == [("shop", 2, 1)]
    assert bench.query("SELECT count(*) FROM audit.rejected") == [(1,)]
    assert bench.query("SELECT SUCCESS FROM audit.expectations") == [(True,)]
    bench.table(metadata="sink: {connectionRef: other}", extra="presql: [\"select error('no')\"]")
    bench.file("orders_2.csv", "2,a,1")
    assert bench.run("load") == 1
    assert bench.query("SELECT SUCCESS FROM audit.audit ORDER BY rowid") == [(True,), (False,)]
    assert in_other(bench, "SELECT count(*) FROM shop.orders") == [(1,)]
    assert bench.files("stage") == ["orders_2.csv"]


@pytest.mark.parametrize("loader", ["native", "spark"])
def test_a_file_refused_for_its_rows_has_them_recorded(bench: Any, loader: str) -> None:
    bench.application(f"rejectAllOnError: true\nloader: {loader}")
    bench.table()
    bench.file("orders_1.csv", "1,a,5", "x,b,1", "y,b,1")
    assert bench.run("load") == 1
    assert "Fail on rejected count requested" in bench.errors
    assert bench.query("SELECT SUCCESS, COUNT, COUNTACCEPTED, COUNTREJECTED, MESSAGE FROM audit.audit") == [
        (False, 3, 1, 2, "2 invalid records")
    ]
    assert bench.query("SELECT count(*) FROM audit.rejected") == [(2,)]
    assert bench.query("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'shop'") == [(0,)]
    assert bench.files("stage") == ["orders_1.csv"]


@pytest.mark.parametrize("error", [LookupError("unknown encoding"), duckdb.OutOfMemoryException("full")])
def test_a_replay_file_that_fails_does_not_fail_the_load(
    bench: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("starlake_dagster_assets.engine.writing.replay.write_replay", fail)
    bench.application("sinkReplayToFile: true")
    bench.table()
    bench.file("orders_1.csv", "1,a,5", "x,b,1")
    bench.ok("load")
    assert f"sinkReplayToFile: no replay file was written: {error}" in "\n".join(bench.stderr)
    assert [row[1:] for row in bench.query(AUDIT)] == [(True, 2, 1, 1, "LOAD")]
    assert bench.files("archive") == ["orders_1.csv"]


def test_an_error_names_its_table_once(bench: Any) -> None:
    bench.table(extra="filter: 'nosuch > 1'")
    bench.file("orders_1.csv", "1,a,1")
    assert bench.run("load") == 1
    assert "orders.sl.yml:2: table 'shop.orders', filter: `nosuch > 1` cannot be used" in bench.errors
    bench.table(extra="presql: ['SELECT nosuch']")
    assert bench.run("load") == 1
    assert "orders.sl.yml:2: shop.orders: Binder Error" in bench.errors
