"""dlt next to this package: the file of `sides.embedded` into a DuckDB table, by dlt's arrow path."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from benchmarks.measure import Meter


def load(meter: Meter, work: Path, rows: int) -> None:
    """Reads the CSV in batches with pyarrow, normalizes and loads them with dlt."""
    import dlt
    import pyarrow as pa
    from pyarrow import csv

    home, database = work / "dlt", work / "dlt.db"
    shutil.rmtree(home, ignore_errors=True)
    database.unlink(missing_ok=True)
    os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "DLT_DATA_DIR": str(home)}
    types = {"id": pa.int64(), "customer": pa.int32(), "amount": pa.float64(), "rate": pa.float64(), "day": pa.date32()}
    moments = {"at_time": pa.timestamp("us"), "paid": pa.bool_(), "city": pa.string(), "note": pa.string()}
    convert = csv.ConvertOptions(column_types={**types, **moments, "code": pa.string()})

    def batches() -> Any:
        with csv.open_csv(work / f"sale-{rows}-0.csv", convert_options=convert) as reader:
            yield from reader

    with meter("dlt"):
        pipeline = dlt.pipeline(
            "sale", destination=dlt.destinations.duckdb(str(database)), dataset_name="shop", pipelines_dir=str(home)
        )
        pipeline.run(dlt.resource(batches, name="sale", write_disposition="append"), loader_file_format="parquet")
    import duckdb

    with duckdb.connect(str(database), read_only=True) as con:
        found = con.execute("SELECT count(*) FROM shop.sale").fetchall()[0][0]
    if found != rows:
        raise AssertionError(f"{found} rows, {rows} expected")
