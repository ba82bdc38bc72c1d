"""Fixed-width text (`format: POSITION`): 0-based, inclusive positions of characters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from starlake_dagster_assets.engine.reading.attribute_sql import Cell
from starlake_dagster_assets.engine.reading.formats.intermediate_csv import REASON
from starlake_dagster_assets.engine.reading.formats.lines import LINE, duckdb_lines, python_lines
from starlake_dagster_assets.engine.reading.formats.source import Source
from starlake_dagster_assets.engine.reading.formats.text_scan import open_text
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model.project import Table

__all__ = ["position_cells", "position_sources"]


def position_cells(table: Table) -> dict[str, Cell]:
    """Returns the cell of each attribute by its positions in a line; a short line gives shorter cells.

    Raises:
        EngineError: When an attribute has no position, or one that ends before it begins.
    """
    cells: dict[str, Cell] = {}
    for attribute in table.attributes:
        if attribute.script is not None:
            continue
        place = attribute.position
        if place is None or place.first < 0 or place.last < place.first:
            raise EngineError(
                f"table '{table.raw}', attribute '{attribute.name}': format POSITION needs position.first and "
                f"position.last, counted from 0, both included; found {place}"
            )
        cells[attribute.name] = Cell(f"substring({LINE}, {place.first + 1}, {place.last - place.first + 1})")
    return cells


def position_sources(path: Path, work: Path, table: Table) -> Iterator[Callable[[], Source | None]]:
    """Yields the ways to read a file; see `registry.sources`."""
    cells, headed = position_cells(table), table.metadata.with_header
    header = next((line.rstrip("\r\n") for line in open_text(path)), None) if headed else None

    def fast() -> Source | None:
        found = duckdb_lines(path, keep_blank=True, headed=headed)
        return Source(found[0], cells, line=LINE, header=header, expected_rows=found[1]) if found else None

    def careful() -> Source:
        sql, rows = python_lines(path, work / "lines.csv", keep_blank=True, headed=headed)
        return Source(sql, cells, reason=REASON, line=LINE, header=header, expected_rows=rows)

    yield fast
    yield careful
