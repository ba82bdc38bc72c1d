"""The embedded engine as an execution environment: lines, results, cancelling, its reader; locks and memory."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread
from typing import Any

import duckdb
import pytest

from starlake_dagster_assets.commands.model import Command, CommandExit, FileLoaded, TableLoaded
from starlake_dagster_assets.engine import session
from starlake_dagster_assets.engine.command_output import CommandOutput
from starlake_dagster_assets.engine.commands import load
from starlake_dagster_assets.engine.session import EngineOptions, open_session
from starlake_dagster_assets.engine.writing.file_moves import IngestingFiles
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.execution.backends.duckdb.runner import EmbeddedRunner
from starlake_dagster_assets.execution.parse import parse
from starlake_dagster_assets.project.load import load_project


def runner(bench: Any, **settings: Any) -> EmbeddedRunner:
    return EmbeddedRunner(bench.root, **settings)


def test_a_command_streams_its_lines_and_is_audited(bench: Any) -> None:
    bench.table(extra="expectations: [{expect: 'nosuch()'}]")
    bench.file("orders_1.csv", "1,a,5", "x,b,1")
    handle = runner(bench).start(Command("load", ("--domains", "shop"), job_id="run-1"))
    lines = [line.text for line in handle.lines()]
    result = handle.wait()
    assert (result.exit_code, result.cancelled) == (0, False)
    events = list(parse(lines, result.exit_code))
    assert FileLoaded("shop", "orders", "orders_1.csv", 2, 1, 1) in events
    assert TableLoaded("shop", "orders", ("orders_1.csv",), 2, 1, 1, archived=True) in events
    reader = runner(bench).warehouse_reader()
    (row,) = reader.audit("run-1")
    assert (row.domain, row.schema, row.success, row.count, row.accepted, row.rejected, row.step) == (
        "shop",
        "orders",
        True,
        2,
        1,
        1,
        "LOAD",
    )
    (expectation,) = reader.expectations("run-1")
    assert (expectation.name, expectation.success) == ("nosuch()", False)
    assert reader.columns("shop", "orders") == [("id", "INTEGER"), ("v", "VARCHAR"), ("ts", "INTEGER")]
    assert (reader.row_count("shop", "orders"), reader.row_count("shop", "none")) == (1, None)
    assert (reader.audit("other"), reader.columns("shop", "none")) == ([], [])


def test_the_tables_of_a_load_are_read_together(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, extra in (("orders", ""), ("items", "rename: Lines"), ("shops", "")):
        bench.table(name, extra=extra)
        bench.file(f"{name}_1.csv", "1,a,5", "2,b,6")
    chosen = runner(bench)
    assert chosen.start(Command("load", ("--domains", "shop"), job_id="run-1")).wait().exit_code == 0
    opened: list[str] = []
    monkeypatch.setattr(
        session, "open_session", lambda *given, **more: opened.append("") or open_session(*given, **more)
    )
    reader = chosen.warehouse_reader()
    assert reader is chosen.warehouse_reader()
    assert len(reader.audit("run-1")) == 3
    columns = [("id", "INTEGER"), ("v", "VARCHAR"), ("ts", "INTEGER")]
    for name in ("orders", "Lines", "shops"):
        assert (reader.columns("shop", name), reader.row_count("shop", name)) == (columns, 2)
    assert len(opened) == 2
    with duckdb.connect(str(bench.database)) as con:
        con.execute("CREATE VIEW shop.seen AS SELECT id FROM shop.orders; DELETE FROM shop.orders WHERE id = 1")
    assert (reader.row_count("shop", "orders"), reader.row_count("shop", "shops")) == (1, 2)
    assert (reader.columns("shop", "seen"), reader.row_count("shop", "seen")) == ([("id", "INTEGER")], 1)


def test_a_reader_of_nothing_makes_no_file(bench: Any) -> None:
    bench.table()
    assert runner(bench).warehouse_reader().audit("x") is None
    assert not bench.database.exists()


def test_variables_and_database_of_the_runner(bench: Any, tmp_path: Path) -> None:
    bench.task("kpi.t", "select '{{ a }}' as a, '{{ b }}' as b")
    database = tmp_path / "other.db"
    chosen = runner(bench, options={"a": "1", "b": "1"}, database=database)
    handle = chosen.start(Command("transform", ("--name", "kpi.t", "--options", "b=2")))
    assert handle.wait().exit_code == 0
    with duckdb.connect(str(database)) as con:
        assert con.execute("SELECT * FROM kpi.t").fetchall() == [("1", "2")]
    assert chosen.warehouse_reader().row_count("kpi", "t") == 1


def test_a_failure_is_a_result_and_not_a_traceback(bench: Any, tmp_path: Path) -> None:
    handle = EmbeddedRunner(tmp_path / "nowhere").start(Command("load"))
    text = "\n".join(line.text for line in handle.lines())
    assert handle.wait().exit_code == 1
    assert "Starlake failed to execute command" in text
    assert "Traceback" not in text
    assert list(handle.lines()) == []


LONG = "select count(*) as c from range(100000000000) a where a.range % 7 = 3"


def test_cancelling_a_transform_rolls_it_back(bench: Any) -> None:
    bench.task("kpi.t", LONG, "presql: ['create table kpi.before(x int)']")
    handle = runner(bench).start(Command("transform", ("--name", "kpi.t"), job_id="j"))
    lines = handle.lines()
    for line in lines:
        if "Transforming" in line.text:
            break
    handle.cancel()
    handle.cancel()
    assert handle.wait() == CommandExit(None, pytest.approx(handle.wait().seconds), cancelled=True)
    assert list(lines) is not None
    assert runner(bench).warehouse_reader().row_count("kpi", "before") is None


def test_cancelling_a_load_gives_the_file_back(bench: Any) -> None:
    bench.table(extra=f"presql: ['{LONG}']")
    bench.file("orders_1.csv", "1,a,5")
    handle = runner(bench).start(Command("load"))
    for line in handle.lines():
        if line.text == "Table: shop.orders":
            break
    handle.cancel()
    assert handle.wait().cancelled
    assert (bench.files("stage"), bench.files("ingesting")) == (["orders_1.csv"], [])
    assert runner(bench).warehouse_reader().row_count("shop", "orders") is None
    bench.table()
    bench.ok("load")
    assert bench.query("SELECT count(*) FROM shop.orders") == [(1,)]


def test_two_commands_of_one_process_wait_for_each_other(bench: Any) -> None:
    for name in "abcd":
        bench.task(f"kpi.{name}", "select 1 as x")
    handles = [runner(bench).start(Command("transform", ("--name", f"kpi.{name}"))) for name in "abcd"]
    assert [handle.wait().exit_code for handle in handles] == [0, 0, 0, 0]
    assert bench.query("SELECT count(*) FROM audit.audit WHERE SUCCESS") == [(4,)]


def test_a_command_waits_for_another_program_and_says_so(bench: Any) -> None:
    bench.task("kpi.t", "select 1 as x")
    bench.query("SELECT 1")
    hold = (
        f"import duckdb, sys; c = duckdb.connect({str(bench.database)!r}); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    holder.stdout.readline()
    handle = runner(bench).start(Command("transform", ("--name", "kpi.t")))
    for line in handle.lines():
        if "waiting for" in line.text:
            break
    holder.communicate("", timeout=60)
    assert handle.wait().exit_code == 0
    assert bench.query("SELECT x FROM kpi.t") == [(1,)]


def test_a_wait_ends_with_the_patience_or_when_cancelled(bench: Any) -> None:
    bench.query("SELECT 1")
    project, _ = load_project(bench.root, environ=bench.environ)
    journal = CommandOutput(lambda line: None)
    cancelled = Event()
    with open_session(project, "duckdb", journal, EngineOptions()):
        with (
            pytest.raises(EngineError, match="still used by another command"),
            open_session(project, "duckdb", journal, EngineOptions(lock_timeout=0.0)),
        ):
            pass
        errors: list[str] = []

        def wait() -> None:
            try:
                with open_session(project, "duckdb", journal, EngineOptions(cancelled=cancelled)):
                    pass
            except EngineError as error:
                errors.append(str(error))

        waiting = Thread(target=wait)
        waiting.start()
        cancelled.set()
        waiting.join(timeout=60)
    assert errors
    assert "cancelled while waiting" in errors[0]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("jdbc:duckdb:", "in memory"),
        ("jdbc:duckdb::memory:", "in memory"),
        ("jdbc:duckdb:ducklake:x", "DuckLake"),
        ("jdbc:duckdb:md:mine", "MotherDuck"),
        ("jdbc:postgresql://h/d", "is postgresql"),
    ],
)
def test_connections_that_cannot_be_opened_are_refused_by_name(bench: Any, url: str, says: str) -> None:
    bench.write(
        "metadata/application.sl.yml",
        "version: 1\napplication:\n  connectionRef: c\n  connections: {c: {type: jdbc, options: {url: '"
        + url
        + "'}}}\n",
    )
    bench.task("kpi.t", "select 1 as x")
    assert bench.run("transform", "--name", "kpi.t") == 1
    assert "connection 'c'" in bench.errors
    assert says in bench.errors


def test_unknown_connections_suggest_the_nearest(bench: Any) -> None:
    project, _ = load_project(bench.root, environ=bench.environ)
    with (
        pytest.raises(EngineError, match="did you mean 'duckdb'"),
        open_session(project, "duckbd", CommandOutput(lambda line: None), EngineOptions()),
    ):
        pass


def test_pre_actions_run_and_the_clock_is_utc(bench: Any) -> None:
    url = "url: 'jdbc:duckdb:{{SL_ROOT}}/datasets/duckdb.db', preActions: \"SET VARIABLE who = 'me';\""
    bench.write(
        "metadata/application.sl.yml",
        "version: 1\napplication:\n  connectionRef: c\n  connections: {c: {type: jdbc, options: {" + url + "}}}\n",
    )
    bench.task("kpi.t", "select getvariable('who') as who, current_setting('TimeZone') as zone")
    bench.ok("transform", "--name", "kpi.t")
    assert bench.query("SELECT * FROM kpi.t") == [("me", "UTC")]


def test_a_file_larger_than_the_memory_limit_is_loaded(bench: Any) -> None:
    bench.table(metadata="writeStrategy: {type: UPSERT_BY_KEY, key: [id], 'on': SOURCE_AND_TARGET}")
    file = bench.root / "datasets" / "stage" / "shop" / "orders_1.csv"
    file.parent.mkdir(parents=True)
    rows = 600_000
    sql = (
        f"SELECT range AS id, md5(range::varchar) || md5((range + 1)::varchar) AS v, range % 9 AS ts FROM range({rows})"
    )
    with duckdb.connect() as con:
        con.execute(f"COPY ({sql}) TO '{file}' (HEADER true)")
    assert file.stat().st_size > 40_000_000
    handle = runner(bench, memory_limit="100MB", threads=1).start(Command("load"))
    text = [line.text for line in handle.lines()]
    assert handle.wait().exit_code == 0, "\n".join(text[-20:])
    assert runner(bench).warehouse_reader().row_count("shop", "orders") == rows


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_load_and_gives_the_file_back(bench: Any, number: int) -> None:
    endless = "create table shop.big as select count(*) c from range(100000000000) a where a.range % 7 = 3"
    bench.table(extra=f"presql: ['{endless}']")
    bench.file("orders_1.csv", "1,a,1")
    program = "from starlake_dagster_assets.cli.embedded import register_embedded\nimport typer\napp = typer.Typer()\n"
    program += "app.callback()(lambda: None)\nregister_embedded(app)\napp()"
    argv = [sys.executable, "-c", program, "embedded", "load"]
    with subprocess.Popen(
        argv, env=bench.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "Loading\n"
        process.send_signal(number)
        try:
            assert "cancelled" in process.communicate(timeout=30)[1]
        finally:
            process.kill()
    assert process.returncode == 1
    assert (bench.files("stage"), bench.files("ingesting")) == (["orders_1.csv"], [])
    assert bench.query("SELECT count(*) FROM information_schema.tables") == [(0,)]


def test_an_interruption_of_the_clean_up_gives_the_file_back_too(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real, interruptions = IngestingFiles.committed, iter([duckdb.InterruptException("interrupted")] * 3)

    def committed(entry: IngestingFiles, session: Any) -> Any:
        if error := next(interruptions, None):
            raise error
        return real(entry, session)

    def interrupted(job: Any) -> Any:
        raise duckdb.InterruptException("interrupted")

    monkeypatch.setattr(IngestingFiles, "committed", committed)
    monkeypatch.setattr(load, "run_load", interrupted)
    bench.table()
    bench.file("orders_1.csv", "1,a,1")
    assert bench.run("load") == 1
    assert "cancelled" in "\n".join(bench.stderr)
    assert (bench.files("stage"), bench.files("ingesting")) == (["orders_1.csv"], [])
