"""The command line: grammar, exit codes, and the console."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlake_dagster_assets.engine.commands.console import console
from starlake_dagster_assets.engine.commands.grammar import UsageError, read
from starlake_dagster_assets.engine.writing.adaptive_conditions import evaluate_condition
from starlake_dagster_assets.errors import EngineError


def test_preload_says_which_tables_are_ready(bench: Any) -> None:
    bench.table("orders")
    bench.table("lines")
    bench.file("orders_1.csv", area="incoming")
    assert bench.run("preload", "--domain", "shop", "--strategy", "imported", "--tables", "orders,lines") == 0
    assert bench.stderr[-7:] == [
        "+------+------+--------+",
        "|domain| table|loadable|",
        "+------+------+--------+",
        "|  shop| lines|       0|",
        "|  shop|orders|       1|",
        "+------+------+--------+",
        "",
    ]
    assert bench.stdout == []
    assert "Preload Successfully preload --domain shop" in "\n".join(bench.stderr)
    assert bench.run("preload", "--domain", "shop", "--strategy", "imported", "--tables", "lines") == 1
    assert bench.run("preload", "--domain", "shop", "--strategy", "pending", "--tables", "orders") == 1
    assert bench.run("preload", "--domain", "shop", "--strategy", "pending") == 0
    assert bench.run("preload", "--domain", "nowhere", "--strategy", "imported", "--tables", "a") == 1
    assert bench.run("preload", "--domain", "nowhere", "--strategy", "imported") == 0
    bench.ok("stage")
    bench.ok("preload", "--domain", "shop", "--strategy", "pending", "--tables", "orders")
    bench.ok("preload", "--domain", "shop")


def test_preload_waits_for_an_ack_and_consumes_it(bench: Any) -> None:
    bench.table()
    argv = ("preload", "--domain", "shop", "--strategy", "ack", "--globalAckFilePath", str(bench.root / "GO.ack"))
    assert bench.run(*argv) == 1
    assert bench.stderr[-1] == f"Starlake failed to execute command with args {' '.join(argv)}"
    ack = bench.write("GO.ack", "")
    bench.ok(*argv)
    assert not ack.exists()
    sentinel = bench.root / "not.ready"
    bench.ok(*argv, "--notReadySentinel", str(sentinel))
    assert sentinel.read_bytes() == b""


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["import"], "Unknown command import"),
        (["laod"], "did you mean load?"),
        (["load", "--domain", "x"], "Unknown option --domain; did you mean --domains?"),
        (["load", "--inPlace"], "--inPlace is not supported by the embedded engine"),
        (["load", "shop"], "Unknown argument 'shop'"),
        (["load", "--options", ""], "Option --options failed when given ''"),
        (["transform"], "Missing option --name"),
        (["transform", "--name"], "Missing value after --name"),
        (["transform", "--name", "a.b", "--truncate", "maybe"], "Expected true or false"),
        (["transform", "--name", "a.b", "--tags", "x"], "--tags is not supported"),
        (["preload", "--domain", "shop", "--scheduledDate", "now"], "Unknown option --scheduledDate"),
    ],
)
def test_what_the_grammar_does_not_know_is_refused(bench: Any, argv: list[str], says: str) -> None:
    assert bench.run(*argv) == 1
    assert says in "\n".join(bench.stderr)


def test_help_and_connection_tests(bench: Any) -> None:
    for argv in ((), ("help",), ("help", "load"), ("load", "--help")):
        bench.ok(*argv)
        assert "Usage: starlake" in bench.stdout[0]
    bench.ok("settings", "--test-connection", "duckdb")
    assert bench.stdout == ["SUCCESS: Connection duckdb is valid"]
    assert bench.run("settings", "--test-connection", "duckbd") == 1
    bench.ok("validate")
    assert "SUCCESS: Connection duckdb is valid" in bench.stdout


def test_equals_signs_aliases_and_repeated_maps() -> None:
    found = read("load", ["--include=a,b", "--options", "k=v=w,x=", "--options=y=1"])
    assert (found.items("tables"), dict(found.variables)) == (("a", "b"), {"k": "v=w", "x": "", "y": "1"})


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["load", "stage", "transform", "preload"]), st.lists(st.text(max_size=12), max_size=5))
def test_any_arguments_are_read_or_refused(command: str, argv: list[str]) -> None:
    try:
        read(command, argv)
    except UsageError as error:
        assert error.messages


@settings(deadline=None, max_examples=25)
@given(st.binary(max_size=60), st.sampled_from(["DSV", "JSON", "POSITION", "XML", "PARQUET"]))
def test_any_bytes_are_loaded_or_refused_without_a_traceback(make_bench: Any, content: bytes, kind: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = make_bench(Path(folder) / "project")
        position = ", position: {first: 0, last: 3}" if kind == "POSITION" else ""
        options = "\noptions: {rowTag: row}" if kind == "XML" else ""
        bench.table(metadata=f"format: {kind}{options}", attributes=f"[{{name: id, type: int{position}}}]")
        text = (bench.root / "metadata/load/shop/orders.sl.yml").read_text().replace("    format: DSV\n", "")
        bench.write("metadata/load/shop/orders.sl.yml", text)
        bench.file("orders_1.csv").write_bytes(content)
        code = bench.run("load")
        assert "Traceback" not in "\n".join([*bench.stdout, *bench.stderr])
        assert "unexpected" not in "\n".join(bench.stderr)
        assert bench.files("archive" if code == 0 else "stage") == ["orders_1.csv"]
        if code == 0:
            rows = bench.query("SELECT (SELECT count(*) FROM shop.orders), COUNT, COUNTREJECTED FROM audit.audit")
            assert rows[0][0] + rows[0][2] == rows[0][1]


def test_the_console_answers_line_by_line(bench: Any) -> None:
    bench.table()
    bench.file("orders_1.csv", "1,a,5")
    bench.task("kpi.t", "select count(*) as c from shop.orders")
    bench.task("kpi.bad", "select nothere from shop.orders")
    out: list[str] = []
    commands = [
        "load",
        "transform --name kpi.t",
        "transform --name kpi.bad",
        "transform --name kpi.no",
        "frobnicate",
        "exit",
    ]
    assert (
        console(commands, bench.environ, lambda line: out.append(line.text) if line.stream == "stdout" else None) == 0
    )
    assert out[0] == "> load"
    answer = json.loads(out[1])
    assert (answer["exitCode"], answer["serve"].split("\n")[0]) == (0, "Loading")
    assert out[2].startswith("Time: ")
    assert out[2].endswith("ms")
    assert out[3:5] == ["> transform --name kpi.t", '{"exitCode":0}']
    failed = json.loads(out[7])
    assert failed["exitCode"] == 1
    assert 'Referenced column "nothere" not found' in failed["serve"]
    assert out[9] == "> transform --name kpi.no"
    assert out[10].startswith("Time: ")
    assert out[11:13] == ["> frobnicate", "Unknown command frobnicate"]
    assert out[-1] == "> exit"
    assert bench.query("SELECT c FROM kpi.t") == [(1,)]


def test_the_program_speaks_as_a_process(bench: Any) -> None:
    bench.table()
    bench.file("orders_1.csv", "1,a,5")
    environ = {**bench.environ, "XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"]}
    program = [sys.executable, "-c", "from starlake_dagster_assets.cli import main; main()", "embedded", "console"]
    process = subprocess.Popen(
        program, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("load --domains shop\n")
    process.stdin.flush()
    answer = [process.stdout.readline() for _ in range(3)]
    assert answer[0] == "> load --domains shop\n"
    assert json.loads(answer[1])["exitCode"] == 0
    # the file is released between commands: another process may read it
    assert bench.query("SELECT id FROM shop.orders") == [(1,)]
    _, errors = process.communicate("exit\n", timeout=60)
    assert process.returncode == 0
    assert "ingestion-summary" in errors


NAMES = {"fileSize": 2048, "fileSizeKo": 2.0, "dayOfWeek": 7, "isFirstDayOfMonth": False}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('group(1) == "FULL"', True),
        ('group("mode").equals("full")', False),
        ('group("mode").toLowerCase == "full" && !isFirstDayOfMonth', True),
        ("fileSize > 1000 && fileSizeKo <= 2 || false", True),
        ("(dayOfWeek + 1) * 2 == 16", True),
        ("7 / 2 == 3 && 7 % 2 == 1 && -1 < 0", True),
        ('!(group(1).startsWith("F")) || group(2).toInt > 3', False),
    ],
)
def test_conditions_are_read_as_scala_means_them(text: str, expected: bool) -> None:
    groups: dict[int | str, str] = {1: "FULL", "mode": "FULL", 2: "3"}
    assert evaluate_condition(text, NAMES, groups.__getitem__) is expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dayOfWeeek == 1", "did you mean 'dayOfWeek'"),
        ("fileSize", "neither true nor false"),
        ("fileSize >", "ends too early"),
        ("1 == 1 2", "unexpected '2'"),
        ("__import__('os')", "cannot read|unknown name"),
        ('group(1).foo == "x"', "unknown method .foo"),
        ("1 && true", "neither true nor false"),
    ],
)
def test_conditions_that_are_not_are_refused(text: str, says: str) -> None:
    with pytest.raises(EngineError, match=says):
        evaluate_condition(text, NAMES, lambda _: "FULL")
