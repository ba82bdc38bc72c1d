"""dlt next to this package: the files of `sides.embedded` into a DuckDB table."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from benchmarks.measure import Meter


def load(meter: Meter, work: Path, kind: str, rows: int) -> None:
    """Reads the file in batches with pyarrow, normalizes and loads them with dlt: its fastest path."""
    import pyarrow as pa
    from pyarrow import csv, json

    types = {"id": pa.int64(), "customer": pa.int32(), "amount": pa.float64(), "rate": pa.float64(), "day": pa.date32()}
    moments = {"at_time": pa.timestamp("us"), "paid": pa.bool_(), "city": pa.string(), "note": pa.string()}
    columns = {**types, **moments, "code": pa.string()}

    def batches() -> Any:
        if kind == "CSV":
            reader = csv.open_csv(work / f"sale-{rows}-0.csv", convert_options=csv.ConvertOptions(column_types=columns))
        else:
            # arrow reads no dates from JSON: DuckDB casts the texts
            texts = {name: pa.string() if name in ("day", "at_time") else kind for name, kind in columns.items()}
            options = json.ParseOptions(explicit_schema=pa.schema(texts.items()))
            reader = json.open_json(work / f"sale-{rows}-0.json", parse_options=options)
        with reader:
            yield from reader

    _run(meter, work, batches, rows, loader_file_format="parquet")


def load_bad(meter: Meter, work: Path, rows: int, bad: int) -> None:
    """Reads rows as dictionaries: only then dlt validates each row, and discards those of another type."""
    import csv

    kinds = {"id": "bigint", "customer": "bigint", "amount": "double", "rate": "double", "day": "date"}
    moments = {"at_time": "timestamp", "paid": "bool", "city": "text", "note": "text", "code": "text"}
    columns = {name: {"data_type": kind} for name, kind in {**kinds, **moments}.items()}

    def records() -> Any:
        with (work / f"sale-{rows}-0-{bad}.csv").open(newline="", encoding="utf-8") as file:
            yield from csv.DictReader(file)

    contract = {"data_type": "discard_row"}
    _run(meter, work, records, rows - len(range(0, rows, bad)), columns=columns, schema_contract=contract)


def _run(meter: Meter, work: Path, source: Any, expected: int, **options: Any) -> None:
    import dlt

    home, database = work / "dlt", work / "dlt.db"
    shutil.rmtree(home, ignore_errors=True)
    database.unlink(missing_ok=True)
    os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "DLT_DATA_DIR": str(home)}
    load_options = {key: options.pop(key) for key in ("loader_file_format",) if key in options}
    with meter("dlt"):
        pipeline = dlt.pipeline(
            "sale", destination=dlt.destinations.duckdb(str(database)), dataset_name="shop", pipelines_dir=str(home)
        )
        pipeline.run(dlt.resource(source, name="sale", write_disposition="append", **options), **load_options)
    import duckdb

    with duckdb.connect(str(database), read_only=True) as con:
        found = con.execute("SELECT count(*) FROM shop.sale").fetchall()[0][0]
    if found != expected:
        raise AssertionError(f"{found} rows, {expected} expected")
    shutil.rmtree(home)
    database.unlink()
