"""Readers of formats by name; formats that are not files are an error."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from starlake_dagster_assets.engine.reading.formats.dsv import DsvFile, dsv_dialect
from starlake_dagster_assets.engine.reading.formats.json_rows import json_options, json_sources
from starlake_dagster_assets.engine.reading.formats.options import check_options
from starlake_dagster_assets.engine.reading.formats.parquet import parquet_sources
from starlake_dagster_assets.engine.reading.formats.position import position_cells, position_sources
from starlake_dagster_assets.engine.reading.formats.source import Source
from starlake_dagster_assets.engine.reading.formats.text_scan import byte_order_mark, to_utf8
from starlake_dagster_assets.engine.reading.formats.xml_rows import xml_options, xml_sources
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model.project import Project, Table

__all__ = ["InputFile", "check_format", "sources"]


@dataclass(frozen=True)
class InputFile:
    """A plain file to read.

    Attributes:
        path: Path of its content.
        shown: Its name in messages: that of the staged file.
        work: A directory for temporary files.
        replay: Whether the source must have its records as texts (`Source.line`).
    """

    path: Path
    shown: str
    work: Path
    replay: bool = False


Attempt = Callable[[], "Source | None"]


def check_format(table: Table) -> None:
    """Raises an error for a format or option that cannot be read, before any file is touched.

    Raises:
        EngineError: When the format, an option, the dialect or the encoding is not supported.
    """
    readers = _readers()
    if table.metadata.format not in readers:
        raise EngineError(
            f"table '{table.raw}': format {table.metadata.format} is not read by the embedded engine; "
            f"it reads {', '.join(sorted(readers))}"
        )
    _codec(table)
    _check_options(table)


def sources(con: duckdb.DuckDBPyConnection, project: Project, table: Table, file: InputFile) -> Iterator[Attempt]:
    """Yields the ways to read a file, the fastest first; if one returns None, fails or miscounts, the next is tried.

    Args:
        con: The connection that will run the SQL.
        project: The project, which defines the types.
        table: The table.
        file: The file.

    Yields:
        Functions that prepare a source.

    Raises:
        EngineError: When the file cannot be read at all.
    """
    yield from _readers()[table.metadata.format](con, project, table, _as_utf8(table, file))


def _readers() -> dict[str, Callable[[duckdb.DuckDBPyConnection, Project, Table, InputFile], Iterator[Attempt]]]:
    return {
        "DSV": _dsv,
        "JSON": _json,
        "JSON_FLAT": _json,
        "POSITION": lambda con, project, table, file: position_sources(file.path, file.work, table),
        "XML": _xml,
        "TEXT_XML": _xml,
        "PARQUET": lambda con, project, table, file: parquet_sources(con, file.path, file.shown),
    }


def _dsv(con: duckdb.DuckDBPyConnection, project: Project, table: Table, file: InputFile) -> Iterator[Attempt]:
    reader = DsvFile(file.path, table, dsv_dialect(table), file.shown)
    yield reader.duckdb_source
    yield lambda: reader.python_source(file.work / "records.csv")


def _json(con: duckdb.DuckDBPyConnection, project: Project, table: Table, file: InputFile) -> Iterator[Attempt]:
    return json_sources(file.path, file.shown, file.work, table, project, replay=file.replay)


def _xml(con: duckdb.DuckDBPyConnection, project: Project, table: Table, file: InputFile) -> Iterator[Attempt]:
    return xml_sources(file.path, file.shown, file.work, table)


def _check_options(table: Table) -> None:
    checks: dict[str, Callable[[Table], object]] = {
        "DSV": dsv_dialect,
        "JSON": json_options,
        "JSON_FLAT": json_options,
        "POSITION": position_cells,
        "XML": xml_options,
        "TEXT_XML": xml_options,
        "PARQUET": lambda table: check_options(table, {"mergeschema": "mergeSchema"}),
    }
    checks[table.metadata.format](table)


def _codec(table: Table) -> str:
    """Returns the Python name of `metadata.encoding`."""
    encoding = table.metadata.encoding.strip() or "UTF-8"
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        raise EngineError(f"table '{table.raw}': unknown encoding '{encoding}'") from None


def _as_utf8(table: Table, file: InputFile) -> InputFile:
    """Returns the file itself, or a UTF-8 copy of a text in another encoding."""
    codec = _codec(table)
    if table.metadata.format in {"PARQUET", "XML", "TEXT_XML"}:
        return file
    marked = byte_order_mark(file.path)
    if marked and marked not in {codec, codec.removesuffix("-sig"), *(f"{codec}-{order}" for order in ("le", "be"))}:
        raise EngineError(
            f"{file.shown}: the file begins with the byte order mark of {marked.upper()}, but metadata.encoding of "
            f"table '{table.raw}' is {table.metadata.encoding or 'UTF-8'}; set metadata.encoding to {marked.upper()}"
        )
    if codec in {"utf-8", "ascii"}:
        return file
    target = file.work / "utf8"
    to_utf8(file.path, codec, target)
    return replace(file, path=target)
