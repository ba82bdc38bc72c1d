"""DuckDB files that stay open between the commands of a step."""

from __future__ import annotations

from contextlib import closing
from threading import Thread
from typing import Any

import duckdb
import pytest

from starlake_dagster_assets.commands.model import Command
from starlake_dagster_assets.engine import session
from starlake_dagster_assets.engine.command_output import CommandOutput
from starlake_dagster_assets.engine.open_databases import OpenDatabases
from starlake_dagster_assets.engine.session import EngineOptions, exclusive, open_session
from starlake_dagster_assets.execution.backends.duckdb.runner import EmbeddedRunner
from starlake_dagster_assets.project.load import load_project

SILENT = CommandOutput(lambda line: None)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were opened, in order."""
    found: list[str] = []
    connect = session._connect

    def counted(path: Any, *given: Any) -> Any:
        found.append(path.name)
        return connect(path, *given)

    monkeypatch.setattr(session, "_connect", counted)
    return found


def transform(runner: EmbeddedRunner, name: str) -> None:
    assert runner.start(Command("transform", ("--name", name), job_id=name)).wait().exit_code == 0


def is_locked(bench: Any) -> bool:
    try:
        with exclusive(bench.database, SILENT, EngineOptions(lock_timeout=0)):
            return False
    except session.EngineError:
        return True


def test_the_commands_of_a_step_and_their_reader_open_the_file_once(bench: Any, opened: list[str]) -> None:
    bench.task("kpi.a", "select 1 as id")
    bench.task("kpi.b", "select id + 1 as id from kpi.a")
    with closing(EmbeddedRunner(bench.root)) as runner:
        runner.keep_open()
        reader = runner.warehouse_reader()
        for name, value in (("kpi.a", 1), ("kpi.b", 2)):
            transform(runner, name)
            assert [row.success for row in reader.audit(name)] == [True]
            assert reader.row_count(*name.split(".")) == 1
            assert reader.rows(*name.split("."), 5) == [[str(value)]]
        assert is_locked(bench)
    assert opened == ["duckdb.db"]
    assert not is_locked(bench)
    assert bench.query("SELECT id FROM kpi.b") == [(2,)]


@pytest.mark.parametrize(
    ("sql", "yaml", "times"),
    [
        ("select 1 as id", "presql: [\"ATTACH ':memory:' AS other\", SET threads = 1]", 2),
        ("select error('no') as id", "", 2),
        ("select 1 as id", "", 1),
    ],
)
def test_scripts_and_failures_leave_nothing_to_the_next_command(
    bench: Any, opened: list[str], sql: str, yaml: str, times: int
) -> None:
    bench.task("kpi.a", sql, yaml)
    bench.task("kpi.b", sql, yaml)
    with closing(EmbeddedRunner(bench.root)) as runner:
        runner.keep_open()
        codes = [runner.start(Command("transform", ("--name", name))).wait().exit_code for name in ("kpi.a", "kpi.b")]
    assert codes == ([1, 1] if "error" in sql else [0, 0])
    assert len(opened) == times


def test_a_reader_sees_what_was_written_while_the_file_stays_open(bench: Any) -> None:
    bench.task("kpi.a", "select 1 as id", "writeStrategy: {type: APPEND}")
    with closing(EmbeddedRunner(bench.root)) as runner:
        runner.keep_open()
        counts: list[int | None] = []
        for _ in range(3):
            transform(runner, "kpi.a")
            counts.append(runner.warehouse_reader().row_count("kpi", "a"))
    assert counts == [1, 2, 3]


def test_a_file_named_like_a_schema_stays_open(bench: Any) -> None:
    bench.task("kpi.a", "select 1 as id")
    bench.task("kpi.b", "select id from kpi.a")
    database = bench.root / "kpi.db"
    with closing(EmbeddedRunner(bench.root, database=database)) as runner:
        runner.keep_open()
        for name in ("kpi.a", "kpi.b"):
            transform(runner, name)
        assert runner.warehouse_reader().row_count("kpi", "b") == 1
    with duckdb.connect(str(database)) as con:
        assert con.execute('SELECT id FROM kpi."kpi".b').fetchall() == [(1,)]


def test_who_waits_for_another_lock_gives_its_idle_files_back(bench: Any) -> None:
    """Two steps that each want what the other has would wait for ever."""
    bench.query("SELECT 1")
    project, _ = load_project(bench.root, environ=bench.environ)
    area = bench.root / "datasets" / "area"
    mine = EngineOptions(databases=OpenDatabases(), lock_timeout=60)
    assert mine.databases is not None
    mine.databases.keep()
    with open_session(project, "duckdb", SILENT, mine):
        pass
    assert is_locked(bench)

    def want_the_area() -> None:
        with exclusive(area, SILENT, mine):
            pass

    other = Thread(target=want_the_area)
    with exclusive(area, SILENT, EngineOptions()):
        other.start()
        with open_session(project, "duckdb", SILENT, EngineOptions(lock_timeout=60)) as found:
            assert found.con.execute("SELECT 1").fetchall() == [(1,)]
    other.join(timeout=60)
    assert not other.is_alive()


def test_a_use_has_temporary_tables_of_its_own_and_ends_a_transaction(bench: Any) -> None:
    project, _ = load_project(bench.root, environ=bench.environ)
    options = EngineOptions(databases=OpenDatabases())
    assert options.databases is not None
    options.databases.keep()
    with closing(options.databases):
        for _ in range(2):
            with open_session(project, "duckdb", SILENT, options) as found:
                found.con.execute("CREATE TEMP TABLE one AS SELECT 1; BEGIN; CREATE TABLE lost(id int)")
