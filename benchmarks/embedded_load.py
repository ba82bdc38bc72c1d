"""The embedded engine's `load` against DuckDB's own COPY of the same CSV into an identical typed table.

Run it with `python benchmarks/embedded_load.py`. It prints one line a pair and writes the medians as JSON. The ratio to
keep is 1.5 at most, in CPU seconds and on the clock, on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from starlake_dagster_assets.engine.commands.launcher import execute

__all__ = ["main"]

COLUMNS = (
    ("id", "long", "BIGINT"),
    ("customer", "int", "INTEGER"),
    ("amount", "double", "DOUBLE"),
    ("rate", "double", "DOUBLE"),
    ("day", "date", "DATE"),
    ("at_time", "timestamp", "TIMESTAMPTZ"),
    ("paid", "boolean", "BOOLEAN"),
    ("city", "string", "VARCHAR"),
    ("note", "string", "VARCHAR"),
    ("code", "string", "VARCHAR"),
)
CITIES = ("Paris", "Orléans", "Nîmes", "Lyon", "Besançon", "Lille", "Metz", "Saint-Étienne")
NOTES = ("ok", "late, but paid", "à revoir", "", "gift: red, wrapped", "standard delivery", "returned")
APPLICATION = """version: 1
application:
  loader: native
  connectionRef: duckdb
  audit: {sink: {connectionRef: duckdb}}
  connections:
    duckdb:
      type: jdbc
      options: {url: "jdbc:duckdb:{{SL_ROOT}}/datasets/duckdb.db", driver: org.duckdb.DuckDBDriver}
"""


@dataclass(frozen=True)
class Cost:
    """What a run took, in seconds."""

    wall: float
    cpu: float


def generate(path: Path, rows: int, seed: int) -> None:
    """Writes a CSV of ten columns, the same for the same seed; texts with a comma are quoted."""
    dice = random.Random(seed)
    start = datetime(2024, 1, 1)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(name for name, *_ in COLUMNS) + "\n")
        for number in range(rows):
            moment = start + timedelta(seconds=dice.randrange(31_536_000))
            text = dice.choice(NOTES)
            note = f'"{text}"' if "," in text else text
            file.write(
                f"{number},{dice.randrange(1_000_000)},{dice.uniform(0, 10_000):.2f},{dice.random():.6f},"
                f"{moment:%Y-%m-%d},{moment:%Y-%m-%d %H:%M:%S},{'true' if dice.random() < 0.8 else 'false'},"
                f"{dice.choice(CITIES)},{note},C{dice.randrange(100_000):05d}\n"
            )


def project(root: Path) -> None:
    """Writes the project: one domain, one table."""
    folder = root / "metadata" / "load" / "shop"
    folder.mkdir(parents=True)
    (root / "metadata" / "application.sl.yml").write_text(APPLICATION)
    (folder / "_config.sl.yml").write_text('version: 1\nload: {metadata: {directory: "{{SL_ROOT}}/incoming/shop"}}\n')
    attributes = "".join(f"    - {{name: {name}, type: {kind}}}\n" for name, kind, _ in COLUMNS)
    (folder / "sale.sl.yml").write_text(
        'version: 1\ntable:\n  name: sale\n  pattern: "sale.*[.]csv"\n'
        f'  metadata: {{format: DSV, separator: ",", writeStrategy: {{type: APPEND}}}}\n  attributes:\n{attributes}'
    )


def timed(action: Callable[[], None]) -> Cost:
    """Runs an action once."""
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def by_engine(work: Path, csv: Path, rows: int) -> Cost:
    """`load` of the staged file into a new DuckDB file, with its audit."""
    root = work / "project"
    project(root)
    stage = root / "datasets" / "stage" / "shop"
    stage.mkdir(parents=True)
    os.link(csv, stage / "sale_1.csv")
    lines: list[str] = []
    codes: list[int] = []
    environ = {"SL_ROOT": str(root), "SL_ENV": "DUCKDB"}
    cost = timed(lambda: codes.append(execute(["load"], environ, lambda line: lines.append(line.text))))
    _check(root / "datasets" / "duckdb.db", "shop.sale", rows, "\n".join(lines) if codes != [0] else "")
    return cost


def by_copy(work: Path, csv: Path, rows: int) -> Cost:
    """COPY of the file into an identical table of a new DuckDB file; the connection is open before."""
    path = work / "copy.db"
    columns = ", ".join(f"{name} {ddl}" for name, _, ddl in COLUMNS)
    with duckdb.connect(str(path)) as con:
        con.execute("SET TimeZone = 'UTC'")
        con.execute(f"CREATE TABLE sale ({columns})")
        cost = timed(lambda: con.execute(f"COPY sale FROM '{csv}' (HEADER, DELIMITER ',')") and None)
    _check(path, "sale", rows, "")
    return cost


def _check(path: Path, table: str, rows: int, failure: str) -> None:
    if failure:
        raise SystemExit(failure)
    with duckdb.connect(str(path), read_only=True) as con:
        found = con.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
    if found != rows:
        raise SystemExit(f"{table}: {found} rows, {rows} expected")


def measure(rows: int, pairs: int, seed: int) -> dict[str, object]:
    """Alternates the two and compares each with its neighbour."""
    found: list[tuple[Cost, Cost]] = []
    with TemporaryDirectory(prefix="embedded-load-") as folder:
        csv = Path(folder) / "sale.csv"
        generate(csv, rows, seed)
        size = csv.stat().st_size
        for number in range(pairs + 1):
            with TemporaryDirectory(dir=folder) as work:
                engine = by_engine(Path(work), csv, rows)
                copy = by_copy(Path(work), csv, rows)
            if number == 0:
                continue  # the first pair warms the caches
            found.append((engine, copy))
            print(
                f"pair {number}: load {engine.cpu:.2f} CPU s, {engine.wall:.2f} s; "
                f"COPY {copy.cpu:.2f} CPU s, {copy.wall:.2f} s"
            )
    return {
        "rows": rows,
        "columns": len(COLUMNS),
        "bytes": size,
        "pairs": pairs,
        "load_cpu_s": _median(engine.cpu for engine, _ in found),
        "load_wall_s": _median(engine.wall for engine, _ in found),
        "copy_cpu_s": _median(copy.cpu for _, copy in found),
        "copy_wall_s": _median(copy.wall for _, copy in found),
        "ratio_cpu": _median(engine.cpu / copy.cpu for engine, copy in found),
        "ratio_wall": _median(engine.wall / copy.wall for engine, copy in found),
        "target": 1.5,
    }


def _median(values: Iterable[float]) -> float:
    return round(statistics.median(values), 3)


def main() -> int:
    """Reads the arguments, measures, prints and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "embedded_load.json")
    given = parser.parse_args()
    result = measure(given.rows, given.pairs, given.seed)
    text = json.dumps(result, indent=2)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
