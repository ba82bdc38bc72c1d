"""Rows written by the embedded engine, and by DuckDB's own statements, into a file that is closed afterwards."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.generator import APPLICATION
from benchmarks.measure import Meter
from starlake_dagster_assets.engine.commands.program import execute_command

COLUMNS = (
    ("id", "long", "BIGINT", "i"),
    ("customer", "int", "INTEGER", "(dice(i, 1, 1000000))::INTEGER"),
    ("amount", "double", "DOUBLE", "(dice(i, 2, 1000000)) / 100"),
    ("rate", "double", "DOUBLE", "(dice(i, 3, 1000000)) / 1000000"),
    ("day", "date", "DATE", "DATE '2024-01-01' + (dice(i, 4, 365))::INTEGER"),
    ("at_time", "timestamp", "TIMESTAMPTZ", "TIMESTAMP '2024-01-01' + to_seconds((dice(i, 5, 31536000))::INTEGER)"),
    ("paid", "boolean", "BOOLEAN", "dice(i, 6, 10) < 8"),
    ("city", "string", "VARCHAR", "['Paris', 'Orléans', 'Nîmes', 'Lyon', 'Besançon', 'Lille'][dice(i, 7, 6) + 1]"),
    ("note", "string", "VARCHAR", "['ok', 'late, but paid', 'à revoir', 'gift: red, wrapped'][dice(i, 8, 4) + 1]"),
    ("code", "string", "VARCHAR", "'C' || lpad((dice(i, 9, 100000))::VARCHAR, 5, '0')"),
)
FORMATS = {
    "CSV": ("csv", 'format: DSV, separator: ",", withHeader: true', "FORMAT csv, HEADER"),
    "JSON": ("json", "format: JSON_FLAT", "FORMAT json"),
    "Parquet": ("parquet", "format: PARQUET", "FORMAT parquet"),
}
STRATEGIES = {"append": "type: APPEND", "upsert": "type: UPSERT_BY_KEY, key: [id]", "scd2": "type: SCD2, key: [id]"}
NOW = "TIMESTAMP '2024-06-01 00:00:00'"


def generate(_meter: Meter, work: Path, kind: str, rows: int, first: int = 0, bad: int = 0) -> None:
    """A file of so many rows, the same each time; `first` moves their keys, each `bad`-th row has no valid amount."""
    path = _file(work, kind, rows, first, bad)
    if path.exists():
        return
    # a row whose key is known already has another `amount`: its hash is of its place
    columns = ", ".join(f"{expression} AS {name}" for name, _, _, expression in COLUMNS[1:])
    moment = "strftime(at_time, '%Y-%m-%d %H:%M:%S')" if kind != "Parquet" else "at_time::TIMESTAMPTZ"
    wrong = f", CASE WHEN id % {bad} = 0 THEN 'n/a' ELSE amount::VARCHAR END AS amount" if bad else ""
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.execute("CREATE MACRO dice(i, which, sides) AS (hash(i, which) % sides)::BIGINT")
        con.execute(
            f"COPY (SELECT * REPLACE ({moment} AS at_time{wrong}) FROM "
            f"(SELECT i + {first} AS id, {columns} FROM range({rows}) AS r(i))) TO '{path}' ({FORMATS[kind][2]})"
        )


def fill(_meter: Meter, work: Path, strategy: str, rows: int, changed: int) -> None:
    """A project whose table has so many rows, loaded by the engine itself, and the file that is to come."""
    root = _project(work / f"{strategy}-{rows}", "Parquet", strategy)
    if (root / "datasets" / "duckdb.db").exists():
        return
    generate(_meter, work, "Parquet", rows)
    generate(_meter, work, "Parquet", changed, rows - changed // 2)  # half of the keys are there
    _load(root, _file(work, "Parquet", rows, 0))


def load(meter: Meter, work: Path, kind: str, rows: int, bad: int = 0) -> None:
    """`load` of a staged file into a new DuckDB file, with its audit and its rejected rows."""
    shutil.rmtree(work / "load", ignore_errors=True)
    root = _project(work / "load", kind, "append")
    _load(root, _file(work, kind, rows, 0, bad), meter)
    rejected = len(range(0, rows, bad)) if bad else 0
    _count(root / "datasets" / "duckdb.db", "shop.sale", rows - rejected)
    shutil.rmtree(work / "load")


def copy(meter: Meter, work: Path, kind: str, rows: int) -> None:
    """The file into an identical table of a new DuckDB file."""
    path, file = work / "copy.db", _file(work, kind, rows, 0)
    path.unlink(missing_ok=True)
    with meter("copy"), duckdb.connect(str(path)) as con:
        con.execute("SET TimeZone = 'UTC'")
        con.execute(f"CREATE TABLE sale ({_ddl()})")
        if kind == "CSV":
            con.execute(f"COPY sale FROM '{file}' (HEADER, DELIMITER ',')")
        else:
            con.execute(f"INSERT INTO sale SELECT * FROM {_read(kind, file)}")
    _count(path, "sale", rows)
    path.unlink()


def merge(meter: Meter, work: Path, strategy: str, rows: int, changed: int) -> None:
    """`load` of the rows to come, by the strategy."""
    root = work / f"{strategy}-{rows}"
    database = root / "datasets" / "duckdb.db"
    again = _project(work / "merge", "Parquet", strategy)
    (again / "datasets").mkdir(exist_ok=True)
    shutil.copy(database, again / "datasets" / "duckdb.db")
    _load(again, _file(work, "Parquet", changed, rows - changed // 2), meter)
    meter.notes["sums"] = _sums(again / "datasets" / "duckdb.db", strategy)
    shutil.rmtree(again)


def by_hand(meter: Meter, work: Path, strategy: str, rows: int, changed: int) -> None:
    """The same by DuckDB's MERGE."""
    path = work / "hand.db"
    shutil.copy(work / f"{strategy}-{rows}" / "datasets" / "duckdb.db", path)
    names = [name for name, *_ in COLUMNS]
    others = " OR ".join(f"t.{name} IS DISTINCT FROM i.{name}" for name in names[1:])
    source = f"(SELECT * FROM {_read('Parquet', _file(work, 'Parquet', changed, rows - changed // 2))})"
    listed, taken = ", ".join(names), ", ".join(f"i.{name}" for name in names)
    with meter("by_hand"), duckdb.connect(str(path)) as con:
        con.execute("SET TimeZone = 'UTC'")
        if strategy == "upsert":
            con.execute(
                f"MERGE INTO shop.sale AS t USING {source} AS i ON t.id = i.id WHEN MATCHED THEN UPDATE SET "
                f"{', '.join(f'{name} = i.{name}' for name in names[1:])} "
                f"WHEN NOT MATCHED THEN INSERT ({listed}) VALUES ({taken})"
            )
        else:
            con.execute("BEGIN")
            con.execute(
                f"CREATE TEMP TABLE changed AS SELECT i.* FROM {source} AS i LEFT JOIN "
                f"(SELECT * FROM shop.sale WHERE sl_end_ts IS NULL) AS t ON t.id = i.id WHERE t.id IS NULL OR {others}"
            )
            con.execute(
                f"MERGE INTO shop.sale AS t USING changed AS i ON t.id = i.id AND t.sl_end_ts IS NULL "
                f"WHEN MATCHED THEN UPDATE SET sl_end_ts = {NOW}"
            )
            con.execute(
                f"INSERT INTO shop.sale BY NAME SELECT {listed}, {NOW} AS sl_start_ts, NULL AS sl_end_ts FROM changed"
            )
            con.execute("COMMIT")
    meter.notes["sums"] = _sums(path, strategy)
    path.unlink()


def delete_insert(meter: Meter, work: Path, strategy: str, rows: int, changed: int) -> None:
    """An upsert without MERGE, straight from the file: the fastest that we know of, right where no key is null."""
    path = work / "replaced.db"
    shutil.copy(work / f"{strategy}-{rows}" / "datasets" / "duckdb.db", path)
    source = _read("Parquet", _file(work, "Parquet", changed, rows - changed // 2))
    with meter("delete_insert"), duckdb.connect(str(path)) as con:
        con.execute("SET TimeZone = 'UTC'")
        con.execute("BEGIN")
        con.execute(f"DELETE FROM shop.sale AS t USING (SELECT id FROM {source}) AS i WHERE i.id = t.id")
        con.execute(f"INSERT INTO shop.sale BY NAME SELECT * FROM {source}")
        con.execute("COMMIT")
    meter.notes["sums"] = _sums(path, strategy)
    path.unlink()


def _project(root: Path, kind: str, strategy: str) -> Path:
    folder = root / "metadata" / "load" / "shop"
    folder.mkdir(parents=True, exist_ok=True)
    (root / "metadata" / "application.sl.yml").write_text(APPLICATION)
    (folder / "_config.sl.yml").write_text('version: 1\nload: {metadata: {directory: "{{SL_ROOT}}/incoming/shop"}}\n')
    attributes = "".join(f"    - {{name: {name}, type: {kind}}}\n" for name, kind, *_ in COLUMNS)
    (folder / "sale.sl.yml").write_text(
        f'version: 1\ntable:\n  name: sale\n  pattern: "sale.*[.]{FORMATS[kind][0]}"\n'
        f"  metadata: {{{FORMATS[kind][1]}, writeStrategy: {{{STRATEGIES[strategy]}}}}}\n  attributes:\n{attributes}"
    )
    return root


def _load(root: Path, file: Path, meter: Meter | None = None) -> None:
    stage = root / "datasets" / "stage" / "shop"
    stage.mkdir(parents=True, exist_ok=True)
    os.link(file, stage / f"sale_1{file.suffix}")
    lines: list[str] = []
    environ = {"SL_ROOT": str(root)}
    if meter is None:
        code = execute_command(["load"], environ, lambda line: lines.append(line.text))
    else:
        with meter("ours"):
            code = execute_command(["load"], environ, lambda line: lines.append(line.text))
    if code:
        raise AssertionError("\n".join(lines))


def _file(work: Path, kind: str, rows: int, first: int, bad: int = 0) -> Path:
    return work / f"sale-{rows}-{first}{f'-{bad}' if bad else ''}.{FORMATS[kind][0]}"


def _read(kind: str, file: Path) -> str:
    if kind == "Parquet":
        return f"read_parquet('{file}')"
    columns = ", ".join(f"{name}: '{ddl}'" for name, _, ddl, _ in COLUMNS)
    return f"read_json('{file}', format = 'newline_delimited', columns = {{{columns}}})"


def _ddl() -> str:
    return ", ".join(f"{name} {ddl}" for name, _, ddl, _ in COLUMNS)


def _count(path: Path, table: str, rows: int) -> None:
    with duckdb.connect(str(path), read_only=True) as con:
        found = con.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
    if found != rows:
        raise AssertionError(f"{table}: {found} rows, {rows} expected")


def _sums(path: Path, strategy: str) -> list[Any]:
    """What both sides must have made."""
    ends = ", count(sl_end_ts)" if strategy == "scd2" else ""
    with duckdb.connect(str(path), read_only=True) as con:
        row = con.execute(
            f"SELECT count(*), sum(id)::VARCHAR, sum(hash(id, customer, note) % 1000)::VARCHAR{ends} FROM shop.sale"
        )
        return list(row.fetchall()[0])
