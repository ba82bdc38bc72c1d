"""All measurements: what is measured, compared with which floor, and the target."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.measure import ROOT, Call

__all__ = ["QUICK_SIZES", "Budget", "Figure", "PeerSizes", "Row", "rows"]

Quantity = Literal["cpu", "process", "peak", "count", "wall"]
"""CPU seconds of a part or of the process; peak memory of the process; a number; seconds on the clock."""


@dataclass(frozen=True)
class Budget:
    """A floor that is a number of CPU seconds, not another side: such a figure depends on the machine."""

    seconds: float


@dataclass(frozen=True)
class Figure:
    """A ratio of a comparison.

    Attributes:
        name: Behind the name of the row; "" where it has only one.
        floor: The side it is compared with, or a budget.
        target: The ratio to reach, at most; None where none is asked for.
        quantity: What of the sides is compared.
        side: The side that is ours.
        less: A side that is taken off ours first.
        says: What the floor is, for the table.
    """

    name: str
    floor: str | Budget
    target: float | None
    says: str
    quantity: Quantity = "cpu"
    side: str = "ours"
    less: str | None = None


@dataclass(frozen=True)
class Row:
    """A comparison.

    Attributes:
        name: Its name, which `--only` selects by.
        calls: What is run, one after the other, again and again.
        figures: The ratios that it gives.
        prepare: What is run once before.
        repeats: How often.
        size: How large, for growth and plots.
    """

    name: str
    calls: tuple[Call, ...]
    figures: tuple[Figure, ...]
    prepare: tuple[Call, ...] = ()
    repeats: int = 3
    size: int = 0
    notes: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class PeerSizes:
    """Sizes of the rows that are compared with other programs.

    Attributes:
        tables: Tables of code locations, compared with starlake-dagster.
        transforms: Transforms of code locations, compared with dagster-dbt.
        run: Transforms of a run.
        rows: Rows of loaded files, compared with dlt.
        bad_rows: Rows of a loaded file of which 1 % are rejected.
    """

    tables: tuple[int, ...] = (10, 100, 500, 1_000, 5_000)
    transforms: tuple[int, ...] = (100, 1_000)
    run: int = 100
    rows: tuple[int, ...] = (1_000_000, 20_000_000)
    bad_rows: int = 200_000


QUICK_SIZES = PeerSizes(tables=(10, 100), transforms=(100,), run=20, rows=(1_000_000,), bad_rows=50_000)


def rows(quick: bool, sizes: PeerSizes | None = None) -> tuple[Row, ...]:
    """The rows of the quick or of the full mode; those compared with peers of other sizes, if given."""
    return tuple(_rows(quick, sizes or (QUICK_SIZES if quick else PeerSizes())))


def _rows(quick: bool, sizes: PeerSizes) -> Iterator[Row]:
    yield _imports(quick)
    repeats = {100: 3, 1_000: 3} if quick else {100: 5, 1_000: 5, 5_000: 2, 10_000: 1}
    for size, times in repeats.items():
        yield _code_location(size, times)
    yield from _parse(quick)
    yield _materialization(200 if quick else 1_000)
    yield _run_start(100 if quick else 1_000, 2 if quick else 3)
    yield from _ticks(quick)
    if not quick:
        yield _latency()
    yield from _airflow(quick)
    yield from _shell(quick)
    yield from _embedded(quick)
    yield from _peer(sizes)
    yield from _dbt(sizes)
    yield from _dlt(sizes)


def _imports(quick: bool) -> Row:
    return Row(
        "import starlake_dagster_assets",
        (Call("imports:ours"), Call("imports:used"), Call("imports:dagster")),
        (
            Figure("", "dagster", 1.05, "`import dagster`", quantity="process"),
            Figure("what a definitions.py imports", "dagster", 1.05, "`import dagster`", "process", side="used"),
        ),
        repeats=5 if quick else 9,
    )


def _code_location(size: int, repeats: int) -> Row:
    shape = {"tables": size * 7 // 10, "tasks": size * 3 // 10}
    hand = "`multi_asset`s by hand, a domain of 100 each: keys, dependencies, columns, descriptions"
    full = "the same by hand with checks, code references, jobs and sensors"
    return Row(
        f"code location, {size:,} tables",
        tuple(Call(f"code_location:{side}", shape) for side in ("ours", "bare", "same")),
        (
            Figure("process", "bare", 1.15, hand, quantity="process"),
            Figure("without imports", "bare", 1.15, hand),
            Figure("like with like", "same", 1.15, full),
            Figure("memory", "bare", 1.2, hand, quantity="peak"),
            Figure("memory, like with like", "same", 1.2, full, quantity="peak"),
        ),
        prepare=(Call("projects:warm", shape),),
        repeats=repeats,
        size=size,
    )


def _parse(quick: bool) -> Iterator[Row]:
    shape = {"tables": 200, "tasks": 100} if quick else {"tables": 1_000, "tasks": 500}
    size = f"{shape['tables']:,} tables and {shape['tasks']} tasks"
    yield Row(
        f"cold parse, {size}",
        (Call("parse:cold", shape), Call("parse:read", shape)),
        (Figure("", "read", 1.3, "reading the same YAML with the C loader and parsing the SQL once with sqlglot"),),
        prepare=(Call("projects:write", shape),),
        repeats=3 if quick else 2,
    )
    yield Row(
        f"one file edited, {size}",
        (Call("parse:edited", shape),),
        (Figure("", Budget(0.3), 1.0, "0.3 CPU seconds over a warm load", side="edited", less="warm"),),
        prepare=(Call("projects:warm", shape),),
    )


def _materialization(size: int) -> Row:
    shape = {"tables": size}
    return Row(
        f"materialization of {size:,} tables in one step",
        (Call("step:ours", shape), Call("step:bare", shape)),
        (Figure("", "bare", 1.1, "a bare `multi_asset` that yields the same events"),),
        prepare=(Call("projects:warm", shape),),
        repeats=2 if size < 1_000 else 1,  # Dagster itself takes 90 s for a step of 1,000
    )


def _run_start(size: int, repeats: int) -> Row:
    shape = {"tables": size}
    return Row(
        f"run of one table in a workspace of {size:,}",
        (Call("run_start:ours", shape), Call("run_start:bare", shape)),
        (Figure("", "bare", 1.1, "a bare job in the same workspace"),),
        prepare=(Call("projects:warm", shape),),
        repeats=repeats,
    )


def _ticks(quick: bool) -> Iterator[Row]:
    assets, files = 200 if quick else 1_000, 10_000
    yield Row(
        f"lineage sensor tick, {assets:,} assets",
        (Call("lineage_tick:rounds", {"upstreams": assets}),),
        (
            Figure("nothing new", "bulk", 2.0, "one `get_asset_records` of the same assets", side="idle"),
            Figure("run requested", "bulk", 2.0, "one `get_asset_records` of the same assets", side="news"),
        ),
        repeats=1,
    )
    says = "one listing of the directory with sizes and times"
    yield Row(
        f"arrival sensor tick, {files:,} files",
        (Call("arrival_tick:rounds", {"files": files}),),
        (
            *(
                Figure(name, f"listing {name}", 2.0, says, side=name)
                for name in ("new", "asked", "request", "unmatched")
            ),
            Figure("30 missed windows", "listing catchup", 5.0, "one listing of their 30 directories", side="catchup"),
        ),
        repeats=1,
    )


def _latency() -> Row:
    return Row(
        "from a file to the last transform",
        (Call("latency:dagster"), Call("latency:ours")),
        (Figure("", "dagster", 1.2, "a sensor, a multi-asset sensor and three assets by hand", quantity="wall"),),
        repeats=3,
    )


def _airflow(quick: bool) -> Iterator[Row]:
    size = 500 if quick else 5_000
    shape = {"tables": size, "tasks": size // 10}
    yield Row(
        f"Airflow export of {size:,} tables",
        (Call("airflow:ours", shape), Call("airflow:same_bytes", shape)),
        (
            Figure("", Budget(size / 500), 1.0, f"{size / 500:g} CPU seconds"),
            Figure("compared with its bytes", "same_bytes", None, "writing the same bytes"),
        ),
        prepare=(Call("projects:warm", shape),),
        repeats=2,
    )
    yield Row(
        "Airflow reads the file of 100 tables",
        (Call("airflow:tables", {"tables": 100, "python": str(_airflow_python())}),),
        (Figure("", "by_hand", 1.2, "a DAG of as many tasks by hand"),),
        prepare=(Call("projects:warm", {"tables": 100}),),
        repeats=1,
    )
    for number, name in ((1, "one task"), (100, "100 tasks")):
        followers = {"tables": number, "tasks": number, "depth": 1}
        yield Row(
            f"Airflow reads the file of {name}",
            (Call("airflow:tasks", {**followers, "python": str(_airflow_python())}),),
            (Figure("", "by_hand", 1.2, f"a DAG of {name} with parameters, and a schedule by assets, by hand"),),
            prepare=(Call("projects:warm", followers),),
            repeats=1,
        )


def _shell(quick: bool) -> Iterator[Row]:
    size = {"tables": 20}
    yield Row(
        "load of a domain of 20 tables by the shell",
        (Call("shell:load", size), Call("shell:one_process", size), Call("shell:process_a_table", size)),
        (
            Figure("compared with the same commands", "one", 1.1, "`stage` and one `load` of all tables by hand"),
            Figure("compared with one process per table", "each", 0.125, "`stage` and one `load` per table by hand"),
        ),
        repeats=1 if quick else 3,
    )
    tasks = {"tasks": 20}
    calls = tuple(Call("shell:transforms", {**tasks, "launcher": launcher}) for launcher in ("console", "process"))
    says = "one process per task (`launcher=process`)"
    yield Row("20 transforms by the warm JVM", calls, (Figure("", "process", 0.25, says, side="console"),), repeats=1)


def _peer(sizes: PeerSizes) -> Iterator[Row]:
    says = "starlake-dagster on Dagster 1.9.13"
    for size in sizes.tables:
        given = {"tables": size, "run": False}
        yield Row(
            f"compared with starlake-dagster: code location, {size:,} tables",
            (Call("peer:ours", given), Call("peer:theirs", given)),
            (Figure("", "theirs", None, says),),
            repeats=2 if size <= 1_000 else 1,
        )
    given = {"tables": 10, "run": True}
    yield Row(
        "compared with starlake-dagster: run of 10 tables",
        (Call("peer:ours", given), Call("peer:theirs", given)),
        (
            Figure("CPU", "theirs", None, says),
            Figure("processes", "theirs processes", None, says, "count", side="ours processes"),
        ),
        repeats=1,
    )


def _dbt(sizes: PeerSizes) -> Iterator[Row]:
    says, python = "dagster-dbt with dbt-duckdb", str(_peers_python())
    yield Row(
        "compared with dagster-dbt: imports of a definitions.py",
        (Call("dbt:ours_import"), Call("dbt:theirs_import", python=python)),
        (Figure("", "theirs", 1.0, says, quantity="process"),),
        repeats=3,
    )
    states = ("cold", "warm", "edited")  # in this order: each state continues from the one before
    for size in sizes.transforms:
        given = [{"transforms": size, "state": state} for state in states]
        yield Row(
            f"compared with dagster-dbt: code location, {size:,} transforms",
            tuple(
                call
                for one in given
                for call in (Call("dbt:ours_location", one), Call("dbt:theirs_location", one, python))
            ),
            tuple(Figure(state, f"theirs {state}", 1.0, says, "process", side=f"ours {state}") for state in states),
            prepare=(Call("dbt:write", {"transforms": size}),),
            repeats=3 if size <= 100 else 1,
        )
    given_run = {"transforms": sizes.run}
    for metadata, name in ((False, "without metadata"), (True, "with row counts and columns")):
        both = {**given_run, "metadata": metadata}
        yield Row(
            f"compared with dagster-dbt: run of {sizes.run} transforms {name}",
            (Call("dbt:ours_run", both), Call("dbt:theirs_run", both, python)),
            (Figure("", "theirs", 1.0, says),),
            prepare=(Call("dbt:write", given_run),),
            repeats=2,
        )


def _dlt(sizes: PeerSizes) -> Iterator[Row]:
    says, python = "dlt with pyarrow, into DuckDB", str(_peers_python())
    for rows in sizes.rows:
        for kind, name in (("CSV", "CSV"), ("JSON", "JSON lines")):
            given = {"kind": kind, "rows": rows}
            yield Row(
                f"compared with dlt: {rows / 1_000_000:g} M rows of {name}",
                (Call("embedded:load", given), Call("dlt:load", given, python)),
                (
                    Figure("", "dlt", 1.0, says, quantity="process"),
                    Figure("memory", "dlt", None, says, quantity="peak"),
                ),
                prepare=(Call("embedded:generate", given),),
                repeats=2 if rows <= 1_000_000 else 1,
            )
    bad = {"rows": sizes.bad_rows, "bad": 100}
    says = "dlt with `schema_contract`, which discards rows of another type"
    yield Row(
        f"compared with dlt: {sizes.bad_rows:,} rows of CSV, 1 % rejected",
        (Call("embedded:load", {**bad, "kind": "CSV"}), Call("dlt:load_bad", bad, python)),
        (Figure("", "dlt", 1.0, says, quantity="process"), Figure("memory", "dlt", None, says, quantity="peak")),
        prepare=(Call("embedded:generate", {**bad, "kind": "CSV"}),),
        repeats=2,
    )


def _embedded(quick: bool) -> Iterator[Row]:
    for millions in (1,) if quick else (1, 20):
        for kind in ("CSV", "JSON", "Parquet"):
            given = {"kind": kind, "rows": millions * 1_000_000}
            says = "DuckDB's `COPY`" if kind == "CSV" else f"DuckDB's `read_{kind.lower()}`"
            says += " into a typed table of a new file"
            yield Row(
                f"embedded load, {millions} M rows of {kind}",
                (Call("embedded:load", given), Call("embedded:copy", given)),
                (
                    Figure("", "copy", 1.5 if kind == "JSON" else 1.3, says),
                    Figure("memory", "copy", None, says, "peak"),
                ),
                prepare=(Call("embedded:generate", given),),
                repeats=2 if quick else 3 if millions == 1 else 1,
            )
    large = 1 if quick else 10
    given = {"rows": large * 1_000_000, "changed": large * 100_000}
    merged = Figure("", "by_hand", 1.2, "DuckDB's `MERGE` by hand")
    by_hand = "DuckDB's `DELETE` and `INSERT` by hand"
    replaced = Figure("compared with DELETE and INSERT", "delete_insert", None, by_hand)
    for strategy, name in (("upsert", "upsert"), ("scd2", "SCD2")):
        both = {**given, "strategy": strategy}
        other = (Call("embedded:delete_insert", both),) if strategy == "upsert" else ()
        yield Row(
            f"embedded {name}, {large / 10:g} M rows into {large} M",
            (Call("embedded:merge", both), Call("embedded:by_hand", both), *other),
            (merged, replaced) if other else (merged,),
            prepare=(Call("embedded:fill", both),),
            repeats=2,
        )


def _peers_python() -> Path:
    """The environment of dagster-dbt and dlt (`make .venv-peers/.installed`)."""
    return ROOT / ".venv-peers" / "bin" / "python"


def _airflow_python() -> Path:
    """The environment of Airflow 3 that the tests make."""
    return ROOT / ".venv-airflow-3" / "bin" / ("python.exe" if sys.platform == "win32" else "python")
