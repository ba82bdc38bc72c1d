"""Intermediate CSV between a reader in Python and DuckDB, in a dialect that DuckDB cannot misread."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from starlake_dagster_assets.engine.quoting import literal, path_literal
from starlake_dagster_assets.engine.reading.formats.text_scan import UNREADABLE

__all__ = ["REASON", "csv_table", "replace_undecodable", "write_plain"]

REASON = "sl_reason"
"""Name of the first column: the reason why a record could not be read, NULL for the others."""

_MIB = 1 << 20
_UNPRINTABLE = re.compile(f"[\0{UNREADABLE}\ud800-\udfff]")


def csv_table(path: Path, columns: Sequence[str], options: Sequence[str]) -> str:
    """Returns `read_csv` of one file whose columns are all text, with an explicit dialect instead of a guessed one."""
    types = ", ".join(f"{literal(column)}: 'VARCHAR'" for column in columns)
    return f"read_csv({path_literal(path)}, columns={{{types}}}, auto_detect=false, {', '.join(options)})"


def write_plain(target: Path, columns: Sequence[str], rows: Iterable[str | Sequence[str | None]]) -> tuple[str, int]:
    """Writes rows to a file, and returns the table expression with which DuckDB reads them.

    Args:
        target: The file to write.
        columns: Names of the columns after `REASON`.
        rows: Reason and fields; None and fields that are missing at the end are NULL, an empty text is a text.
            A row that is a text is written unchanged.

    Returns:
        The table expression, and the number of rows.
    """
    longest, count, seams = 0, 0, len(columns)
    with target.open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        for row in rows:
            text = (row if isinstance(row, str) else _joined(row, seams)) + "\n"
            longest, count = max(longest, len(text) * 4), count + 1
            file.write(text)
    options = ["header=false", "delim=','", "quote='\"'", "escape='\"'", "nullstr=''", "allow_quoted_nulls=false"]
    options.append(r"new_line='\n'")  # else the first line decides, which may have others inside of its quotes
    options += [f"max_line_size={max(2 * _MIB, longest)}", f"buffer_size={max(8 * _MIB, longest * 2)}"]
    return csv_table(target, (REASON, *columns), options), count


def replace_undecodable(text: str) -> str:
    """Returns a text that DuckDB accepts: undecodable bytes become a replacement character."""
    return _UNPRINTABLE.sub("\ufffd", text)


def _joined(row: Sequence[str | None], seams: int) -> str:
    fields = ",".join(["" if field is None else _quoted(field) for field in row])
    return fields + "," * (seams + 1 - len(row))


def _quoted(field: str) -> str:
    return '"' + field.replace('"', '""') + '"'
