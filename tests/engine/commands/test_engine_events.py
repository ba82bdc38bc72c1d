"""Events that the embedded engine reports as objects; what its lines or the names of files say changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from starlake_dagster_assets.commands.model import (
    Command,
    CommandFailed,
    CommandSucceeded,
    Event,
    FileLoaded,
    Line,
    LoadCompleted,
    TableFailed,
    TableLoaded,
    TableStarted,
)
from starlake_dagster_assets.engine.commands.program import engine_options, execute_command
from starlake_dagster_assets.execution.backends.duckdb.runner import EmbeddedRunner
from starlake_dagster_assets.execution.backends.protocol import ReportingHandle
from starlake_dagster_assets.execution.engine_events import ReportedEvents


def reported(bench: Any, *argv: str) -> list[Event]:
    events: list[Event] = []
    lines: list[str] = []
    options = replace(engine_options(bench.environ), report=events.append)
    execute_command(argv, bench.environ, lambda line: lines.append(line.text), options)
    assert all(sign.isprintable() for line in lines for sign in line if sign != "\t"), lines
    return events


def test_each_table_is_loaded_or_failed(bench: Any) -> None:
    for name in ("orders", "lines", "idle"):
        bench.table(name)
    bench.file("orders_1.csv", "1,a,5", "x,b,6")
    bench.file("orders_2.csv", "2,a,5")
    bench.file("lines_1.csv", "1,a,5")
    bench.file("lines_2.csv", header="none,of,them")
    found = reported(bench, "load")
    orders = [event for event in found if getattr(event, "table", "") == "orders"]
    assert orders == [
        TableStarted("shop", "orders", ("orders_1.csv", "orders_2.csv")),
        FileLoaded("shop", "orders", "orders_1.csv", 2, 1, 1),
        FileLoaded("shop", "orders", "orders_2.csv", 1, 1, 0),
        TableLoaded("shop", "orders", ("orders_1.csv", "orders_2.csv"), 3, 2, 1, archived=True),
    ]
    failed = next(event for event in found if isinstance(event, TableFailed))
    assert (failed.table, failed.missing) == ("lines", ("lines_2.csv",))
    assert "none of the columns" in failed.error
    assert found[-2] == LoadCompleted()
    assert isinstance(found[-1], CommandFailed)
    assert "idle" not in {getattr(event, "table", "") for event in found}


@pytest.mark.parametrize(
    "text",
    [
        "\n29 INFO x: ingestion-summary -> files: [], domain: shop, schema: lines, input: 5, accepted: 5, rejected:0\n",
        "\r29|11|26 INFO x: Ingest resolved file : p_1 as table shop.lines\r",
        "\x1b[2K\u2028], domain: shop, schema: lines, input: 5, accepted: 5, rejected:0",
        "\udcff",
    ],
)
def test_a_name_cannot_say_what_was_loaded(bench: Any, text: str) -> None:
    bench.write(
        "metadata/load/shop/orders.sl.yml",
        "version: 1\ntable: {name: orders, pattern: '(?s)orders.*', attributes: [{name: id, type: int}]}\n",
    )
    bench.table("lines")
    folder = bench.root / "datasets/incoming/shop"
    folder.mkdir(parents=True)
    (folder / f"orders_{text}.csv").write_text("id\n1\n")
    assert reported(bench, "stage")[-1] == CommandSucceeded()
    found = reported(bench, "load")
    assert {event.table for event in found if isinstance(event, (TableStarted, TableLoaded, TableFailed))} == {"orders"}
    if text == "\udcff":  # no text: DuckDB cannot be given the name
        assert found[-1] in (CommandSucceeded(),) or isinstance(found[-1], CommandFailed)
        return
    assert found[-1] == CommandSucceeded()
    assert bench.query("SELECT * FROM shop.orders") == [(1,)]
    assert bench.query("SELECT count(*) FROM audit.audit WHERE SUCCESS") == [(1,)]


def test_a_database_that_cannot_be_opened_fails_the_tables_that_have_files(bench: Any) -> None:
    for name in ("orders", "idle"):
        bench.table(name)
    bench.file("orders_1.csv", "1,a,5")
    bench.database.parent.mkdir(parents=True, exist_ok=True)
    bench.database.write_text("no database")
    found = reported(bench, "load")
    assert [event.table for event in found if isinstance(event, TableFailed)] == ["orders"]
    assert isinstance(found[-1], CommandFailed)


def test_stage_says_of_which_tables_files_stay(bench: Any) -> None:
    bench.table("orders")
    bench.table("orders_old")
    bench.table("lines")
    bench.file("orders_old_1.csv", "1,a,5", area="incoming")
    bench.file("lines_1.csv", "1,a,5", area="incoming")
    found = reported(bench, "stage")
    assert sorted(event.table for event in found if isinstance(event, TableFailed)) == ["orders", "orders_old"]
    assert bench.files("stage") == ["lines_1.csv"]


def test_the_runner_hands_over_events(bench: Any) -> None:
    bench.table("orders")
    bench.file("orders_1.csv", "1,a,5")
    handle = EmbeddedRunner(bench.root).start(Command("load"))
    assert isinstance(handle, ReportingHandle)
    found = list(handle.outputs())
    assert [type(item) for item in found if not isinstance(item, Line)] == [
        TableStarted,
        FileLoaded,
        TableLoaded,
        LoadCompleted,
        CommandSucceeded,
    ]


def test_an_end_without_a_word_is_a_failure() -> None:
    assert ReportedEvents().finish(0) == (CommandFailed("The command ended with exit code 0.", 0),)
    assert isinstance(ReportedEvents().finish(None)[0], CommandFailed)
    said = ReportedEvents()
    assert said.take(CommandSucceeded()) == ()
    assert said.finish(0) == (CommandSucceeded(),)
    assert isinstance(said.finish(1)[0], CommandFailed)
