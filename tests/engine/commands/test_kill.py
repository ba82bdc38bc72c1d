"""A killed load: after the next run every row is in the table once."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from typing import Any

import pytest

from tests.engine import killed

POINTS = {
    "before the ticket": ("before", "writing.file_moves", "_write", 1),
    "between ticket and move": ("after", "writing.file_moves", "_write", 1),
    "between move and transaction": ("before", "commands.load", "run_load", 1),
    "before the transaction": ("before", "writing.ingest", "in_transaction", 1),
    "after the rows were read": ("after", "writing.ingest", "read_incoming", 1),
    "after the write": ("after", "writing.ingest", "write", 1),
    "after the audit row": ("after", "writing.audit", "Auditor.record", 1),
    "before the second commit": ("before", "commands.load", "run_load", 2),
    "between commit and archive": ("after", "commands.load", "run_load", 1),
    "between second commit and archive": ("after", "commands.load", "run_load", 2),
    "between archive and the end of the marker": ("after", "writing.file_moves", "move_file", 2),
    "between the marker and the end of the ticket": ("after", "writing.file_moves", "run_uninterrupted", 1),
}
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.engine.killed", "duckdb"])
ROWS = 40


def fill(bench: Any, loader: str, metadata: str = "") -> None:
    bench.application(f"loader: {loader}")
    bench.table(metadata=metadata)
    for number in range(4):
        rows = [f"{number * ROWS + row},x,1" for row in range(ROWS)]
        os.utime(bench.file(f"orders_{number}.csv", *rows), (number + 1, number + 1))


def child(bench: Any, point: tuple[str, str, str, int] | None) -> Any:
    """A load in a process of its own, begun."""
    environ = {**bench.environ, "XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"]}
    ready = SERVER.Event()
    process = SERVER.Process(target=killed.command, args=(["load", "--domains", "shop"], environ, point, ready))
    process.start()
    while not ready.wait(1):
        assert process.is_alive(), f"the command ended before it began: {process.exitcode}"
    return process


def kill_at(bench: Any, point: tuple[str, str, str, int]) -> None:
    process = child(bench, point)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def assert_whole(bench: Any) -> None:
    bench.ok("load", "--domains", "shop")
    assert bench.query("SELECT count(*), count(DISTINCT id), max(id) FROM shop.orders") == [
        (4 * ROWS, 4 * ROWS, 4 * ROWS - 1)
    ]
    assert bench.query("SELECT count(*), count(DISTINCT PATHS) FROM audit.audit WHERE STEP = 'LOAD' AND SUCCESS") == [
        (4, 4)
    ]
    assert (bench.files("stage"), bench.files("ingesting"), len(bench.files("archive"))) == ([], [], 4)
    bench.ok("load", "--domains", "shop")
    assert bench.query("SELECT count(*) FROM shop.orders") == [(4 * ROWS,)]
    assert bench.query("SELECT count(*) FROM information_schema.tables WHERE table_name LIKE 'zztmp%'") == [(0,)]


@pytest.mark.parametrize("point", POINTS)
def test_a_load_killed_at_a_point_loses_no_row_and_doubles_none(bench: Any, point: str) -> None:
    keyed = "writeStrategy: {type: UPSERT_BY_KEY, key: [id]}" if "read" in point else ""
    fill(bench, "native" if "commit" in point else "spark", keyed)
    kill_at(bench, POINTS[point])
    assert_whole(bench)


def test_a_ticket_that_a_killed_load_did_not_finish_is_removed(bench: Any) -> None:
    fill(bench, "spark")
    bench.file(".sl-0123456789abcdef.part", "{", area="ingesting")
    assert_whole(bench)


def test_a_native_overwrite_whose_audit_row_the_engine_leaves_out_is_recovered(bench: Any) -> None:
    bench.application("loader: native")
    bench.table(metadata="writeStrategy: {type: OVERWRITE}")
    bench.file("orders_1.csv", "1,a,1", "2,b,1")
    bench.ok("load")
    bench.file("orders_2.csv", "3,c,1")
    kill_at(bench, ("after", "commands.load", "run_load", 1))
    assert bench.files("ingesting") != []
    bench.ok("load")
    assert bench.query("SELECT count(*) FROM audit.audit WHERE STEP = 'TRANSFORM'") == [(2,)]
    assert (bench.files("ingesting"), bench.files("archive")) == ([], ["orders_1.csv", "orders_2.csv"])


def test_loads_killed_at_any_time_lose_no_row_and_double_none(bench: Any) -> None:
    fill(bench, "spark")
    choice = random.Random(7)
    for _ in range(4):
        process = child(bench, None)
        # not a wait for something to happen: the moment of the kill is what is tried
        time.sleep(choice.uniform(0.0, 0.25))
        process.kill()
        process.join(60)
    assert_whole(bench)


@pytest.mark.parametrize("audit", ["audit: {active: false}", "audit: {sink: {connectionRef: other}}", "loader: native"])
def test_a_load_killed_before_its_archive_is_told_by_the_next_one(bench: Any, audit: str) -> None:
    bench.application(audit)
    text = (bench.root / "metadata/application.sl.yml").read_text()
    other = '    other: {type: jdbc, options: {url: "jdbc:duckdb:{{SL_ROOT}}/datasets/other.db"}}\n'
    bench.write("metadata/application.sl.yml", text.replace("  connections:\n", "  connections:\n" + other))
    bench.write("metadata/expectations/c.j2", "{% macro two() %}select count(*) - 2 from sl_this{% endmacro %}")
    bench.table(extra="expectations: [{expect: 'two()'}]")
    bench.file("orders_1.csv", "1,a,1", "2,b,1")
    kill_at(bench, ("after", "commands.load", "run_load", 1))
    assert [name for name in bench.files("ingesting") if name[0] != "."] == ["orders_1.csv"]
    bench.file("orders_2.csv", "3,c,1")
    bench.ok("load", SL_JOB_ID="second")
    told = "\n".join(bench.stderr)
    assert "Ingest resolved file : orders_1.csv,orders_2.csv as table shop.orders" in told
    assert told.index("orders_1.csv], domain: shop, schema: orders, input: 2, accepted: 2, rejected:0") < told.index(
        "orders_2.csv], domain: shop, schema: orders, input: 1, accepted: 1, rejected:0"
    )
    assert bench.query("SELECT count(*) FROM shop.orders") == [(3,)]
    names = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'shop'"
    assert bench.query(names) == [("orders",)]
    assert (bench.files("ingesting"), bench.files("archive")) == ([], ["orders_1.csv", "orders_2.csv"])
    if "sink" not in audit:
        assert bench.query("SELECT count(*) FROM audit.expectations WHERE JOBID = 'second'") == [(2,)]


@pytest.mark.parametrize(("success", "rows"), [(True, 1), (False, 2)])
def test_what_the_real_engine_left_in_ingesting_is_taken_up(bench: Any, success: bool, rows: int) -> None:
    bench.table()
    bench.file("orders_1.csv", "1,a,1")
    bench.ok("load")
    left = bench.file("orders_2.csv", "2,a,1", area="ingesting")
    bench.query(
        f"INSERT INTO audit.audit SELECT * REPLACE ('file:{left}' AS PATHS, {success} AS SUCCESS, "
        "TIMESTAMP + INTERVAL 1 HOUR AS TIMESTAMP) FROM audit.audit"
    )
    bench.ok("load")
    assert bench.query("SELECT count(*) FROM shop.orders") == [(rows,)]
    assert (bench.files("ingesting"), bench.files("archive")) == ([], ["orders_1.csv", "orders_2.csv"])


def test_a_file_left_in_ingesting_and_a_newer_one_of_its_name_are_both_loaded(bench: Any) -> None:
    bench.table()
    os.utime(bench.file("orders_1.csv", "1,a,1", area="ingesting"), (1, 1))
    bench.file("orders_1.csv", "2,b,1")
    bench.ok("load")
    assert bench.query("SELECT id FROM shop.orders ORDER BY 1") == [(1,), (2,)]
    assert (bench.files("stage"), bench.files("ingesting")) == ([], [])


def test_expectations_of_a_recovered_file_are_all_recorded(bench: Any) -> None:
    bench.application("expectations: {failOnError: true}")
    bench.write("metadata/expectations/c.j2", "{% macro rows(n) %}select count(*) - {{ n }} from sl_this{% endmacro %}")
    bench.table(extra="expectations: [{expect: 'rows(1)'}, {expect: 'rows(5)', failOnError: false}]")
    bench.file("orders_1.csv", "1,a,1")
    kill_at(bench, ("after", "commands.load", "run_load", 1))
    bench.ok("load", SL_JOB_ID="second")
    sql = "SELECT NAME, SUCCESS FROM audit.expectations WHERE JOBID = 'second' ORDER BY rowid"
    assert bench.query(sql) == [("rows(1)", True), ("rows(5)", False)]
