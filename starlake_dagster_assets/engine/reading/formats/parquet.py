"""Parquet (`format: PARQUET`): the file declares the types of its values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb

from starlake_dagster_assets.engine.quoting import identifier, literal, path_literal
from starlake_dagster_assets.engine.reading.attribute_sql import Cell
from starlake_dagster_assets.engine.reading.formats.source import Source
from starlake_dagster_assets.errors import EngineError

__all__ = ["parquet_sources"]


def parquet_sources(con: duckdb.DuckDBPyConnection, path: Path, shown: str) -> Iterator[Callable[[], Source | None]]:
    """Yields the way to read a file; see `registry.sources`."""

    def read() -> Source:
        sql = f"read_parquet({path_literal(path)})"
        try:
            columns = con.execute(f"DESCRIBE SELECT * FROM {sql}").fetchall()
            count = con.execute(f"SELECT count(*) FROM {sql}").fetchone()
        except duckdb.Error as error:
            raise EngineError(f"{shown}: cannot be read as PARQUET: {error}") from error
        cells = {str(row[0]): Cell(identifier(str(row[0])), "typed", str(row[1])) for row in columns}
        fields = ", ".join(f"{literal(name)}: {cell.sql}" for name, cell in cells.items())
        return Source(sql, cells, line=f"to_json({{{fields}}})", expected_rows=int(count[0]) if count else 0)

    if path.stat().st_size:
        yield read
    else:
        yield lambda: Source("(SELECT 1 WHERE false)", {}, expected_rows=0)
