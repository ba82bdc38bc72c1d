"""Reads text line by line into one column, for POSITION and JSON."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from starlake_dagster_assets.engine.quoting import literal
from starlake_dagster_assets.engine.reading.formats.intermediate_csv import csv_table, replace_undecodable, write_plain
from starlake_dagster_assets.engine.reading.formats.text_scan import UNREADABLE, open_text, scan_text

__all__ = ["LINE", "NOT_TEXT", "duckdb_lines", "python_lines"]

LINE = "sl_line"
NOT_TEXT = "the line holds bytes that are not text in the table's encoding"

_NO_SEPARATOR = "\x01\x02\x03\x04"
_SPACES = " \t\r\n\x0b\x0c"


def duckdb_lines(path: Path, keep_blank: bool, *, headed: bool = False) -> tuple[str, int] | None:
    """Returns the lines of a file as DuckDB splits them.

    Args:
        path: A UTF-8 file.
        keep_blank: Whether lines of white space only count; empty ones never do.
        headed: Whether the first line is left out.

    Returns:
        The table expression and the number of lines, or None if the file is not clean.
    """
    scan = scan_text(path, frozenset({b"\x01"}))
    if not scan.clean or scan.found:
        return None
    if headed and scan.empty:
        return None
    options = [
        f"header={str(headed).lower()}",
        f"delim={literal(_NO_SEPARATOR)}",
        "quote=''",
        "escape=''",
        "buffer_size=8388608",
    ]
    test = f"{LINE} IS NOT NULL" if keep_blank else f"trim({LINE}, {literal(_SPACES)}) <> ''"
    table = csv_table(path, (LINE,), options)
    lines = scan.lines + (scan.blank if keep_blank else 0)
    return f"(SELECT * FROM {table} WHERE {test})", lines - (headed and lines > 0)


def python_lines(path: Path, target: Path, keep_blank: bool, *, headed: bool = False) -> tuple[str, int]:
    """Returns the lines split in Python, with a reason for lines that are not text.

    Args:
        path: The file.
        target: File for the plain CSV.
        keep_blank: See `duckdb_lines`.
        headed: See `duckdb_lines`.

    Returns:
        The table expression, with `sl_reason` and `sl_line`, and the number of lines.
    """
    return write_plain(target, (LINE,), islice(_rows(path, keep_blank), int(headed), None))


def _rows(path: Path, keep_blank: bool) -> Iterator[tuple[str | None, str | None]]:
    for line in open_text(path):
        text = line.rstrip("\r\n")
        if not (text if keep_blank else text.strip(_SPACES)):
            continue
        if "\0" in text or UNREADABLE in text:
            yield NOT_TEXT, replace_undecodable(text)
        else:
            yield None, text
