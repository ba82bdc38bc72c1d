"""Settings of the application, as loads and tasks follow them."""

from __future__ import annotations

import json
import os
from typing import Any

import duckdb
import pytest

from starlake_dagster_assets.engine.commands.console import console

ROWS = "{% macro rows(n) %}select count(*) - {{ n }} from sl_this{% endmacro %}"


def test_a_group_has_at_most_as_many_files_as_the_project_says(bench: Any) -> None:
    bench.application("grouped: true\ngroupedMax: 2")
    bench.table(metadata="writeStrategy: {type: OVERWRITE}")
    for number in (1, 2, 3):
        os.utime(bench.file(f"orders_{number}.csv", f"{number},a,5"), (number, number))
    bench.ok("load")
    assert bench.query("SELECT len(string_split(PATHS, ',')), COUNT FROM audit.audit ORDER BY rowid") == [
        (2, 2),
        (1, 1),
    ]
    assert bench.query("SELECT id FROM shop.orders") == [(3,)]


def test_an_order_of_files_of_ones_own_is_refused(bench: Any) -> None:
    bench.application("loadStrategyClass: com.acme.Mine")
    bench.table()
    bench.file("orders_1.csv", "1,a,5")
    assert bench.run("load") == 1
    assert "loadStrategyClass 'com.acme.Mine': the embedded engine has" in bench.errors
    assert bench.files("stage") == ["orders_1.csv"]


def test_two_conditions_that_hold_leave_the_file_in_stage(bench: Any) -> None:
    bench.table(metadata="writeStrategy: {types: {OVERWRITE: 'fileSize > 1', APPEND: 'fileSize > 2'}}")
    bench.file("orders_1.csv", "1,a,5")
    assert bench.run("load") == 1
    assert "exactly one condition must hold for orders_1.csv, OVERWRITE and APPEND hold" in bench.errors
    assert "metadata/load/shop/orders.sl.yml" in bench.errors
    assert (bench.files("stage"), bench.files("ingesting")) == (["orders_1.csv"], [])


@pytest.mark.parametrize("loader", ["native", "spark"])
def test_tenant_and_database_are_audited(bench: Any, loader: str) -> None:
    bench.application(f"tenant: acme\ndatabase: lake\nloader: {loader}")
    bench.write("metadata/expectations/c.j2", ROWS)
    bench.table(extra="expectations: [{expect: 'rows(1)'}]")
    bench.file("orders_1.csv", "1,a,5")
    bench.ok("load")
    bench.task("kpi.t", "select 1 as x")
    bench.ok("transform", "--name", "kpi.t")
    assert bench.query("SELECT DISTINCT TENANT, DATABASE FROM audit.audit") == [("acme", "lake")]
    assert bench.query("SELECT DATABASE FROM audit.expectations") == [("lake",)]


def test_refused_rows_are_kept_up_to_the_limit_and_counted_beyond_it(bench: Any) -> None:
    bench.application("audit: {maxErrors: 2}")
    bench.table()
    bench.file("orders_1.csv", *(f"x{number},a,5" for number in range(5)), "1,a,5")
    bench.ok("load")
    assert bench.query("SELECT count(*) FROM audit.rejected") == [(2,)]
    assert bench.query("SELECT COUNT, COUNTREJECTED FROM audit.audit") == [(6, 5)]


def test_without_the_audit_refused_rows_and_expectations_are_still_written(bench: Any) -> None:
    bench.application("audit: {active: false}")
    bench.write("metadata/expectations/c.j2", ROWS)
    bench.table(extra="expectations: [{expect: 'rows(1)'}]")
    bench.file("orders_1.csv", "1,a,5", "x,b,1")
    bench.ok("load", SL_JOB_ID="j")
    bench.task("kpi.t", "select 1 as x", "expectations: [{expect: 'rows(1)'}]")
    bench.ok("transform", "--name", "kpi.t", SL_JOB_ID="j")
    names = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'audit' ORDER BY 1"
    assert bench.query(names) == [("expectations",), ("rejected",)]
    assert bench.query("SELECT JOBID, SCHEMA, SUCCESS FROM audit.expectations ORDER BY rowid") == [
        ("j", "orders", True),
        ("j", "t", True),
    ]


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("2024-03-01T10:00:00Z", "2024-03-01 10:00:00"),
        ("2024-03-01 10:00:00", "2024-03-01 10:00:00"),
        ("2024-03-01T10:00:00+02:00", "2024-03-01 08:00:00"),
        ("2024-03-01", "2024-03-01 00:00:00"),
    ],
)
def test_the_scheduled_date_is_audited_in_utc(bench: Any, given: str, stored: str) -> None:
    bench.table()
    bench.file("orders_1.csv", "1,a,5")
    bench.ok("load", "--scheduledDate", given)
    bench.task("kpi.t", "select 1 as x")
    bench.ok("transform", "--name", "kpi.t", "--scheduledDate", given)
    assert bench.query("SELECT SCHEDULED_DATE::VARCHAR FROM audit.audit") == [(stored,)] * 2
    assert bench.run("transform", "--name", "kpi.t", "--scheduledDate", "soon") == 1
    assert "--scheduledDate 'soon' is not a date" in bench.errors
    assert bench.query("SELECT count(*) FROM kpi.t") == [(1,)]


def test_macros_of_the_project_are_at_hand_in_sql(bench: Any) -> None:
    bench.write("metadata/macros/m.j2", "{% macro twice(x) %}({{ x }} * 2){% endmacro %}")
    bench.task("kpi.t", "{% import 'macros/m.j2' as m %}select {{ m.twice(21) }} as x")
    bench.ok("transform", "--name", "kpi.t")
    assert bench.query("SELECT x FROM kpi.t") == [(42,)]


@pytest.mark.parametrize(("blocks", "code"), [("true", 1), ("false", 0)])
def test_sections_run_once_and_in_order_even_when_an_expectation_fails(bench: Any, blocks: str, code: int) -> None:
    bench.application("expectations: {failOnError: true}")
    bench.write("metadata/expectations/c.j2", ROWS)
    bench.query("CREATE SCHEMA kpi; CREATE TABLE kpi.log (n INTEGER, what VARCHAR); CREATE SEQUENCE kpi.s")
    log = "insert into log values (nextval('kpi.s'), '{}')"
    sql = (
        f"--SL_PRESQL\n{log.format('pre 1')};\n{log.format('pre 2')};\n--SL_SQL\nselect 1 as x;\n"
        f"--SL_POSTSQL\n{log.format('post')};\n"
    )
    yaml = f"presql: [\"{log.format('yaml')}\"]\nexpectations: [{{expect: 'rows(5)', failOnError: {blocks}}}]"
    bench.task("kpi.t", sql, yaml)
    assert bench.run("transform", "--name", "kpi.t") == code, bench.errors
    ran = [("pre 1",), ("pre 2",), ("yaml",), ("post",)] if code == 0 else []
    assert bench.query("SELECT what FROM kpi.log ORDER BY n") == ran
    if code == 0:
        assert bench.query("SELECT max(n) FROM kpi.log") == [(4,)]
    assert bench.query("SELECT NAME, SUCCESS FROM audit.expectations") == [("rows(5)", False)]


def test_an_export_has_its_path_and_extension(bench: Any) -> None:
    bench.task("kpi.a", "select 1 as x", "sink: {format: csv, options: {'csv:path': out/a.txt}}")
    bench.task("kpi.b", "select 'a,b' as x", "sink: {format: csv, extension: tsv}")
    bench.task("kpi.c", "select 1 as x, 2 as y", "sink: {format: csv, options: {withHeader: false, delimiter: '|'}}")
    for name in ("kpi.a", "kpi.b", "kpi.c"):
        bench.ok("transform", "--name", name)
    assert (bench.root / "out/a.txt").read_text() == "x\n1\n"
    assert (bench.root / "datasets/export/kpi/b.tsv").read_text() == 'x\n"a,b"\n'
    assert (bench.root / "datasets/export/kpi/c.csv").read_text() == "1|2\n"
    bench.task("kpi.a", "select error('no') as x", "sink: {format: csv, options: {'csv:path': out/a.txt}}")
    assert bench.run("transform", "--name", "kpi.a") == 1
    assert [path.name for path in (bench.root / "out").iterdir()] == ["a.txt"]
    assert (bench.root / "out/a.txt").read_text() == "x\n1\n"


def test_a_sentinel_is_written_only_where_nothing_is_ready(bench: Any) -> None:
    bench.table()
    sentinel = bench.root / "out/not.ready"
    for strategy in ("imported", "pending"):
        argv = ("preload", "--domain", "shop", "--strategy", strategy, "--tables", "orders")
        assert bench.run(*argv) == 1
        assert not sentinel.exists()
        bench.ok(*argv, "--notReadySentinel", str(sentinel))
        assert sentinel.read_bytes() == b""
        sentinel.unlink()
        bench.file("orders_1.csv", area="incoming" if strategy == "imported" else "stage")
        bench.ok(*argv, "--notReadySentinel", str(sentinel))
        assert not sentinel.exists()


def test_the_console_honours_options_environments_and_quotes(bench: Any) -> None:
    bench.write("metadata/env.sl.yml", "version: 1\nenv: {who: nobody}\n")
    bench.write("metadata/env.PROD.sl.yml", "version: 1\nenv: {who: prod}\n")
    bench.task("kpi.t", "select '{{ who }}' as a, '${what}' as b", "writeStrategy: {type: OVERWRITE}")
    told: list[str] = []

    def run(*commands: str) -> list[tuple[Any, ...]]:
        told.clear()
        assert console(commands, bench.environ, lambda line: told.append(f"{line.stream}: {line.text}")) == 0
        return bench.query("SELECT a, b FROM kpi.t")

    assert run("transform --name kpi.t --options who=me,what=1") == [("me", "1")]
    assert run('transform --name kpi.t --options "what=a b"') == [("nobody", "a b")]
    assert run("", "env=PROD", "transform --name kpi.t --options what=2", "quit", "transform --name kpi.t") == [
        ("prod", "2")
    ]
    out = [line.removeprefix("stdout: ") for line in told if line.startswith("stdout")]
    assert [line.split(":")[0] if line.startswith("Time") else line for line in out] == [
        "> env=PROD",
        "Time",
        "> transform --name kpi.t --options what=2",
        '{"exitCode":0}',
        "Time",
        "> quit",
    ]
    run('transform --name "kpi.t')
    assert any("No closing quotation" in line for line in told)


def test_the_console_says_what_a_usage_error_and_a_printing_command_say(bench: Any) -> None:
    bench.task("kpi.t", "select 1 as x")
    out: list[str] = []
    commands = ["transform --name kpi.t --compile", "transform --nome kpi.t"]
    console(commands, bench.environ, lambda line: out.append(line.text) if line.stream == "stdout" else None)
    assert json.loads(out[1]) == {"serve": "select 1 as x", "exitCode": 0}
    failed = json.loads(out[4])
    assert failed["exitCode"] == 1
    assert "Unknown option --nome; did you mean --name?" in failed["serve"]


def test_an_audit_that_cannot_be_written_hides_no_error(bench: Any) -> None:
    bench.query("CREATE SCHEMA audit; CREATE TABLE audit.audit (x INTEGER)")
    bench.table("lines", metadata="loader: native")
    bench.table("orders", extra="presql: ['select nothere']")
    bench.file("lines_1.csv", "1,a,5")
    bench.file("orders_1.csv", "1,a,5")
    assert bench.run("load") == 1
    assert "metadata/load/shop/lines.sl.yml:2: shop.lines: Binder Error: table audit has 1 columns" in bench.errors
    assert 'metadata/load/shop/orders.sl.yml:2: shop.orders: Binder Error: Referenced column "nothere"' in bench.errors
    assert "the failure of shop.orders is not in the audit" in "\n".join(bench.stderr)
    assert bench.files("stage") == ["lines_1.csv", "orders_1.csv"]
    bench.task("kpi.t", "select nothere")
    assert bench.run("transform", "--name", "kpi.t") == 1
    assert 'Referenced column "nothere"' in bench.errors


def test_an_audit_in_another_file_that_fails_after_the_commit_says_so(bench: Any) -> None:
    bench.application("audit: {sink: {connectionRef: other}}")
    text = (bench.root / "metadata/application.sl.yml").read_text()
    other = '    other: {type: jdbc, options: {url: "jdbc:duckdb:{{SL_ROOT}}/datasets/other.db"}}\n'
    bench.write("metadata/application.sl.yml", text.replace("  connections:\n", "  connections:\n" + other))
    bench.table()
    bench.file("orders_1.csv", "1,a,5")
    (bench.root / "datasets").mkdir(exist_ok=True)
    with duckdb.connect(str(bench.root / "datasets/other.db")) as con:
        con.execute("CREATE SCHEMA audit; CREATE TABLE audit.audit (x INTEGER)")
    assert bench.run("load") == 1
    assert "its rows are committed, and the next load archives the file, but" in bench.errors
    bench.ok("load")
    assert bench.query("SELECT id FROM shop.orders") == [(1,)]
    assert (bench.files("stage"), bench.files("archive")) == ([], ["orders_1.csv"])
