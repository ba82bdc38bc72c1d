"""Unit tests of `metadata/tests`: what a test may hold, and what is reported of one that does not pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from starlake_dagster_assets.cli import app
from starlake_dagster_assets.cli.unit_tests import register_unit_tests
from starlake_dagster_assets.engine.unit_tests.discovery import TestSelection, find_unit_tests, select_unit_tests
from starlake_dagster_assets.engine.unit_tests.run import UnitTestResult, run_unit_tests
from starlake_dagster_assets.errors import EngineError

AGG = "metadata/tests/transform/kpi/agg/one"
ORDERS = "metadata/tests/load/shop/orders/one"
PASSES: dict[str, dict[str, str]] = {
    "a task": {f"{AGG}/shop.orders.csv": "id,ts\n1,10\n2,20\n", f"{AGG}/_expected.csv": "s,n\n30,2\n"},
    "JSON lines and a JSON list": {
        f"{AGG}/shop.orders.json": '{"id": 1, "ts": 10}\n{"id": 2, "ts": 20}\n',
        f"{AGG}/_expected.json": '[{"n": 2, "s": 30}]',
    },
    "a query, a list of columns, and no row": {
        f"{AGG}/shop.orders.csv": "id,ts\n1,10\n",
        f"{AGG}/_expected_a.sql": "select n + 1 as m from kpi.agg",
        f"{AGG}/_expected_a.csv": "m\n2\n",
        f"{AGG}/_expected_b.sql": "s",
        f"{AGG}/_expected_b.csv": "s\n10\n",
        f"{AGG}/_expected_c.sql": "select * from kpi.agg where n > 9",
        f"{AGG}/_expected_c.json": "[]",
    },
    "SQL and variables of every level": {
        "metadata/tests/a.sql": "create schema shop; create table shop.orders (id int, ts int)",
        "metadata/tests/transform/kpi/b.sql": "insert into shop.orders values (1, {{ts}})",
        "metadata/tests/transform/kpi/agg/c.sql": "insert into shop.orders values (2, {{more}})",
        f"{AGG}/d.sql": "delete from shop.orders where id = 1",
        "metadata/tests/env.sl.yml": "version: 1\nenv: {ts: '5', more: '6'}\n",
        f"{AGG}/env.sl.yml": "version: 1\nenv: {more: '7'}\n",
        f"{AGG}/_expected.csv": "n,s\n1,7\n",
    },
    "a target that exists": {
        "metadata/transform/kpi/agg.sl.yml": "version: 1\ntask: {writeStrategy: {type: OVERWRITE}}\n",
        f"{AGG}/shop.orders.csv": "id,ts\n1,10\n",
        f"{AGG}/kpi.agg.csv": "n,s\n7,7\n",
        f"{AGG}/_expected.csv": "n,s\n1,10\n",
    },
    "files, with a rejected row": {
        f"{ORDERS}/_incoming.orders_1.csv": "id,v,ts\n1,a,1\nx,b,2\n",
        f"{ORDERS}/_incoming.orders_2.csv": "id,v,ts\n2,,3\n",
        f"{ORDERS}/_expected.csv": "id,v,ts\n2,,3\n1,a,1\n",
    },
    "a file of which no row is accepted": {
        f"{ORDERS}/_incoming.orders_1.csv": "id,v,ts\nx,b,2\n",
        f"{ORDERS}/_expected.json": "[]",
    },
    "a warehouse that is not DuckDB": {
        "metadata/application.sl.yml": "version: 1\napplication:\n  connectionRef: bq\n  connections:\n    bq:\n"
        "      type: bigquery\n      options: {location: EU}\n",
        "metadata/transform/kpi/agg.sql": "select safe_cast('1' as int64) as n, 2 as s from `shop`.`orders`",
        f"{AGG}/shop.orders.csv": "id,ts\n1,10\n",
        f"{AGG}/_expected.csv": "n,s\n1,2\n",
    },
}
INFERRED = {
    "7": "BIGINT",
    "007": "VARCHAR",
    "1.50": "DOUBLE",
    "1234567890123456.78": "DECIMAL(38,18)",
    "123456789012345678901234567890.5": "VARCHAR",
    "2024-01-01": "DATE",
    "2024-01-01 12:00:00": "TIMESTAMP",
    "true": "BOOLEAN",
    "yes": "VARCHAR",
}
DIFFERS: dict[str, tuple[str, list[str]]] = {
    "a column": ("n,s\n2,31\n", ["differing rows (1):", "  n=2: s is 30, expected 31"]),
    "rows": ("n,s\n2,30\n2,30\n", ["missing rows (1):", "  n=2, s=30"]),
    "every value": (
        "n,s\n7,8\n",
        ["missing rows (1):", "  n=7, s=8", "unexpected rows (1):", "  n=2, s=30"],
    ),
    "columns": ("n,t\n2,1\n", ["missing columns: t", "unexpected columns: s"]),
    "NULL": ("n,s\n2,\n", ["differing rows (1):", "  n=2: s is 30, expected NULL"]),
}
ERRORS: dict[str, tuple[dict[str, str], str]] = {
    "no result": ({f"{AGG}/shop.orders.csv": "id\n1\n"}, "no expected result: add _expected.csv"),
    "a misspelled file": (
        {f"{AGG}/_expected.csv": "n\n1\n", f"{AGG}/shop.orders.parquet": ""},
        "unknown file shop.orders.parquet",
    ),
    "no domain": ({f"{AGG}/_expected.csv": "n\n1\n", f"{AGG}/orders.csv": "id\n1\n"}, "expected <domain>.<table>.csv"),
    "an unknown column": (
        {f"{AGG}/_expected.csv": "n\n1\n", f"{AGG}/shop.orders.csv": "idd\n1\n"},
        "shop.orders has no column idd; did you mean id?",
    ),
    "a value of another type": (
        {f"{AGG}/_expected.csv": "n\n1\n", f"{AGG}/shop.orders.csv": "id\nx\n"},
        "shop.orders.csv: row 1: 'x' is not a value for the column id (INTEGER)",
    ),
    "a value that its column cannot hold": (
        {f"{AGG}/_expected.csv": "n\n1\n", f"{AGG}/shop.orders.csv": "id\n1.6\n"},
        "shop.orders.csv: row 1: the column id (INTEGER) cannot hold '1.6' exactly: it would be 2",
    ),
    "an expected value of another type": (
        {f"{AGG}/_expected.csv": "n,s\nx,1\n", f"{AGG}/shop.orders.csv": "id,ts\n1,2\n"},
        "row 1: 'x' is not a value for the column n",
    ),
    "a table that is not given": ({f"{AGG}/_expected.csv": "n\n1\n"}, 'schema "shop" does not exist'),
    "no task": ({"metadata/tests/transform/kpi/ag/t/_expected.csv": "n\n1\n"}, "no task kpi.ag; did you mean kpi.agg?"),
    "no file": ({f"{ORDERS}/_expected.csv": "id\n1\n"}, "no file to load: add _incoming.<file>"),
    "a file of another name": (
        {f"{ORDERS}/_expected.csv": "id\n1\n", f"{ORDERS}/_incoming.order.csv": "id\n1\n"},
        "does not match the pattern of shop.orders",
    ),
    "another database": (
        {
            f"{AGG}/a.sql": "attach '{{SL_ROOT}}/datasets/duckdb.db' as own",
            f"{AGG}/_expected.csv": "n\n1\n",
        },
        "Cannot access file",
    ),
}


def results(bench: Any, files: dict[str, str] = {}, **settings: Any) -> list[UnitTestResult]:  # noqa: B006 - only read
    bench.table()
    bench.task("kpi.agg", "select count(*) as n, sum(ts) as s from shop.orders")
    for path, text in files.items():
        bench.write(path, text)
    return list(run_unit_tests(bench.root, find_unit_tests(bench.root), environ=bench.environ, **settings))


@pytest.mark.parametrize("case", PASSES)
def test_a_test_passes(bench: Any, case: str) -> None:
    (result,) = results(bench, PASSES[case])
    assert (result.status, list(result.lines())) == ("passed", [])
    assert not (bench.root / "datasets").exists()  # neither a database nor an area of the project


@pytest.mark.parametrize("case", DIFFERS)
def test_a_difference_is_readable(bench: Any, case: str) -> None:
    expected, lines = DIFFERS[case]
    given = {f"{AGG}/shop.orders.csv": "id,ts\n1,10\n2,20\n", f"{AGG}/_expected.csv": expected}
    (result,) = results(bench, given)
    assert (result.status, list(result.lines())) == ("failed", ["_expected:", *(f"  {line}" for line in lines)])


def test_types_of_given_tables_hold_their_values(bench: Any) -> None:
    files = {"metadata/tests/transform/kpi/seen/one/_expected.csv": "v,t\n"}
    given = {"metadata/tests/transform/kpi/seen/one/a.sql": "create schema shop"}
    for number, (value, kind) in enumerate(INFERRED.items()):
        given[f"metadata/tests/transform/kpi/seen/one/shop.t{number}.csv"] = f"v\n{value}\n"
        files["metadata/tests/transform/kpi/seen/one/_expected.csv"] += f'{value},"{kind}"\n'
    bench.task(
        "kpi.seen",
        " union all ".join(
            f"select v::varchar as v, typeof(v) as t from shop.t{number}" for number in range(len(INFERRED))
        ),
    )
    (result,) = results(bench, {**files, **{path: text for path, text in given.items() if path.endswith("csv")}})
    assert list(result.lines()) == [
        "_expected:",
        "  differing rows (2):",
        "    t=DOUBLE: v is 1.5, expected 1.50",
        "    t=DECIMAL(38,18): v is 1234567890123456.780000000000000000, expected 1234567890123456.78",
    ]


def test_rows_that_a_load_rejects_are_named(bench: Any) -> None:
    given = {f"{ORDERS}/_incoming.orders.csv": "id,v,ts\n1,a,1\nx,b,2\n", f"{ORDERS}/_expected.csv": "id,v,ts\n9,a,9\n"}
    (result,) = results(bench, given)
    assert result.rejected
    assert "id" in result.rejected[0]


@pytest.mark.parametrize("case", ERRORS)
def test_a_test_that_cannot_run_is_an_error(bench: Any, case: str) -> None:
    files, message = ERRORS[case]
    bench.query("create table own (a int)")
    (result,) = results(bench, files)
    assert result.status == "error"
    assert message in result.error


def test_nested_values_and_texts(bench: Any) -> None:
    sql = "select [1, 2] as l, {'a': 'x'} as d, ' y' as t, '' as e, null::varchar as z, json('{\"k\": 1}') as j"
    bench.task("kpi.nested", sql)
    folder = "metadata/tests/transform/kpi/nested"
    csv = 'l,d,t,e,z,j\n"[1, 2]","{""a"": ""x""}"," y","",,"{""k"":1}"\n'
    rows = [{"l": [1, 2], "d": {"a": "x"}, "t": " y", "e": "", "z": None, "j": {"k": 1}}]
    found = results(bench, {f"{folder}/csv/_expected.csv": csv, f"{folder}/json/_expected.json": json.dumps(rows)})
    assert [(result.status, list(result.lines())) for result in found] == [("passed", [])] * 2


def test_options_take_precedence_over_the_variables_of_tests(bench: Any) -> None:
    bench.task("kpi.day", "select '{{day}}' as day")
    folder = "metadata/tests/transform/kpi/day/one"
    given = {f"{folder}/env.sl.yml": "version: 1\nenv: {day: a}\n", f"{folder}/_expected.csv": "day\nb\n"}
    (result,) = results(bench, given, options={"day": "b"})
    assert result.status == "passed"


def test_a_scd2_target_is_given_with_its_two_columns(bench: Any) -> None:
    bench.write("metadata/transform/kpi/agg.sl.yml", "version: 1\ntask: {writeStrategy: {type: SCD2, key: [n]}}\n")
    given = {
        f"{AGG}/shop.orders.csv": "id,ts\n1,10\n",
        f"{AGG}/kpi.agg.csv": "n,s,sl_start_ts,sl_end_ts\n1,9,2024-01-01 00:00:00,\n",
        f"{AGG}/_expected.sql": "select n, s, sl_end_ts is null as current from kpi.agg",
        f"{AGG}/_expected.csv": "n,s,current\n1,9,false\n1,10,true\n",
    }
    (result,) = results(bench, given)
    assert (result.status, list(result.lines())) == ("passed", [])


def test_tests_are_selected_by_name(bench: Any) -> None:
    for path in ("load/a/t/x", "load/b/t/y", "transform/b/t/x"):
        bench.write(f"metadata/tests/{path}/_expected.csv", "n\n1\n")
    tests = find_unit_tests(bench.root)

    def chosen(**settings: Any) -> list[str]:
        return [test.id for test in select_unit_tests(tests, TestSelection(**settings))]

    assert chosen() == ["load/a/t/x", "load/b/t/y", "transform/b/t/x"]
    assert chosen(load=True, domain="b") == chosen(test="y") == ["load/b/t/y"]
    assert chosen(transform=True) == chosen(table="b.t", test="x") == ["transform/b/t/x"]
    with pytest.raises(EngineError, match=r"by --table b\.s; did you mean b\.t\?"):
        chosen(table="b.s")
    with pytest.raises(EngineError, match="the project has no unit tests; create metadata/tests"):
        select_unit_tests([], TestSelection())
    bench.write("metadata/tests/load/a/t/_expected.csv", "n\n1\n")
    with pytest.raises(EngineError, match="belongs to no test"):
        find_unit_tests(bench.root)


def test_the_command_prints_and_writes_results(bench: Any, tmp_path: Path) -> None:
    results(bench, PASSES["a task"])
    bench.write(f"{AGG}2/_expected.csv", "n,s\n1,2\n")
    bench.write(f"{AGG}2/shop.orders.csv", "id,ts\n1,1\n")
    if not any(command.name == "test" for command in app.registered_commands):
        register_unit_tests(app)
        app.callback()(lambda: None)
    program, report = CliRunner(), tmp_path / "out" / "junit.xml"
    done = program.invoke(app, ["test", str(bench.root), "--junit", str(report)])
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-1] == "1 passed, 1 failed"
    assert "        n=1: s is 1, expected 2" in done.stdout
    suite = ElementTree.parse(report).getroot()
    assert (suite.get("tests"), suite.get("failures"), len(suite.findall(".//failure"))) == ("2", "1", 1)
    done = program.invoke(app, ["test", str(bench.root), "--json", "--test", "one"])
    assert (done.exit_code, json.loads(done.stdout)["passed"]) == (0, 1)
