"""Delimited text (`format: DSV`): parsed by DuckDB if that gives the same records, else record by record."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from starlake_dagster_assets.engine.quoting import literal
from starlake_dagster_assets.engine.reading.attribute_sql import Cell
from starlake_dagster_assets.engine.reading.formats.dsv_records import (
    DsvDialect,
    Record,
    header_of,
    plain_line,
    records,
)
from starlake_dagster_assets.engine.reading.formats.dsv_writing import header_text, record_sql
from starlake_dagster_assets.engine.reading.formats.intermediate_csv import (
    REASON,
    csv_table,
    replace_undecodable,
    write_plain,
)
from starlake_dagster_assets.engine.reading.formats.options import dsv_options
from starlake_dagster_assets.engine.reading.formats.source import Source
from starlake_dagster_assets.engine.reading.formats.text_scan import TextScan, open_text, scan_text
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model.project import Table

__all__ = ["DsvFile", "dsv_dialect"]

_SPELLED = {"\\t": "\t", "\\n": "\n", "\\r": "\r", "\\\\": "\\", "\\|": "|", "\\0": "\0", "tab": "\t"}
_NEVER = "\u0001starlake-null\u0001"
_MIB = 1 << 20
_TEXT = "sl_text"


def dsv_dialect(table: Table) -> DsvDialect:
    """Returns the dialect of a table (`metadata.separator`, `quote`, `escape`, `multiline`, `options`).

    Raises:
        EngineError: When quote or escape is longer than a character, or an option is not known.
    """
    metadata = table.metadata
    options = dsv_options(table)
    separator = options.get("separator", metadata.separator)
    separator = _SPELLED.get(separator, separator)
    quote = options.get("quote", metadata.quote)
    escape = options.get("escape", metadata.escape)
    for key, value in (("quote", quote), ("escape", escape)):
        if len(value) > 1:
            raise EngineError(f"table '{table.raw}': metadata.{key} must be one character, found '{value}'")
    if not separator or separator in (quote, "\n", "\r"):
        raise EngineError(f"table '{table.raw}': metadata.separator cannot be {separator!r}")
    multiline = options.get("multiline", str(metadata.multiline)).lower() == "true"
    return DsvDialect(separator, quote, escape, multiline, options.get("comment", ""))


@dataclass(frozen=True)
class DsvFile:
    """A UTF-8 file of a DSV table.

    Attributes:
        path: The file.
        table: Its table.
        dialect: See `dsv_dialect`.
        shown: Name of the file in messages.
    """

    path: Path
    table: Table
    dialect: DsvDialect
    shown: str

    def duckdb_source(self) -> Source | None:
        """Returns the source that DuckDB parses itself; None if DuckDB could misread the file."""
        quote = self.dialect.quote.encode()
        wanted = {byte for byte in (quote, self.dialect.escape.encode(), b"\r") if len(byte) == 1}
        scan = scan_text(self.path, frozenset({*wanted, *_suspects(self.dialect)}))
        columns = self._columns()
        if not self._trusted(scan, columns):
            return None
        quoted = quote in scan.found
        escape = self.dialect.escape if self.dialect.escape.encode() in scan.found else self.dialect.quote
        lines = scan.lines - (1 if self._with_header() and scan.lines else 0)
        options = [
            f"header={str(self._with_header()).lower()}",
            f"delim={literal(self.dialect.separator)}",
            f"quote={literal(self.dialect.quote if quoted else '')}",
            f"escape={literal(escape if quoted else '')}",
            "null_padding=true",
            "strict_mode=true",
            f"buffer_size={8 * _MIB}",
        ]
        if not self.table.metadata.empty_is_null:
            options.append(f"nullstr={literal(_NEVER)}")
        sql = csv_table(self.path, columns, options)
        if quoted and b"\r" not in scan.found:
            options.append(r"new_line='\n'")
        no_empty = self.table.metadata.empty_is_null
        return Source(
            sql,
            self._cells(columns, no_empty),
            line=record_sql(columns, self.dialect),
            header=self._header(),
            expected_rows=lines,  # no value with a line end: DuckDB gives up on them, or guesses
        )

    def python_source(self, target: Path) -> Source:
        """Returns the source of a plain CSV, parsed record by record, that DuckDB cannot misread.

        Args:
            target: File for the plain CSV; `sl_reason` is its first column.
        """
        columns = self._columns()
        width = max(len(columns), 1)
        plain = plain_line(self.dialect, width)
        parsed = self._records(width, plain)
        rows = map(_plain_row, islice(parsed, 1 if self._with_header() else 0, None))
        sql, count = write_plain(target, (_TEXT, *(columns or ("sl_c0",))), rows)
        line = f"coalesce({_TEXT}, {record_sql(columns, self.dialect)})"
        return Source(sql, self._cells(columns), REASON, line, self._header(), expected_rows=count)

    def _records(self, width: int | None, plain: Callable[[str], Record | None] | None) -> Iterator[Record]:
        try:
            yield from records(open_text(self.path), self.dialect, width, plain)
        except EngineError as error:
            raise EngineError(f"{self.shown}: {error}") from error

    def _header(self) -> str | None:
        return header_text(self._names(), self.dialect) if self._with_header() else None

    def _with_header(self) -> bool:
        return dsv_options(self.table).get("header", str(self.table.metadata.with_header)).lower() == "true"

    def _names(self) -> tuple[str, ...]:
        """Returns the names of the columns of the file: from the header, else the attributes in order."""
        first = header_of(self._records(None, None))
        if self._with_header():
            return first
        names = [attribute.name for attribute in self.table.attributes if attribute.script is None]
        return tuple(names) + ("",) * (len(first) - len(names))

    def _columns(self) -> tuple[str, ...]:
        return tuple(f"sl_c{index}" for index in range(len(self._names())))

    def _cells(self, columns: tuple[str, ...], no_empty: bool = False) -> dict[str, Cell]:
        cells: dict[str, Cell] = {}
        for name, column in zip(self._names(), columns, strict=True):
            cells.setdefault(name, Cell(column, no_empty=no_empty))
        read = [attribute.name for attribute in self.table.attributes if attribute.script is None]
        if self._with_header():
            self._reject_repeated(read)
        found = {name.lower() for name in cells}
        if columns and not any(name.lower() in found for name in read):
            raise EngineError(
                f"{self.shown}: the header has none of the columns of table '{self.table.raw}'. "
                f"Found: {', '.join(self._names())}. Expected: {', '.join(read)}. "
                f"Is the separator {self.dialect.separator!r} right, and is there a header at all?"
            )
        return cells

    def _reject_repeated(self, read: list[str]) -> None:
        """Raises an error for a header in which two columns have the name of one attribute: one would be lost.

        A column whose name differs in case counts only if no column has the exact name.
        """
        names = self._names()
        exact, folded = Counter(names), Counter(name.lower() for name in names)
        for name in read:
            number = exact[name] or folded[name.lower()]
            if number > 1:
                raise EngineError(
                    f"{self.shown}: the header has the column {name} {number} times. Found: {', '.join(names)}. "
                    "Give each column a name of its own"
                )

    def _trusted(self, scan: TextScan, columns: tuple[str, ...]) -> bool:
        if not scan.clean or scan.blank or self.dialect.comment or not columns:
            return False
        if scan.empty and (len(columns) == 1 or self._starts_empty()):
            return False
        if len(self.dialect.separator.encode()) > 4 or not self.dialect.quote.isascii():
            return False
        if self.dialect.quote.encode() not in scan.found:
            return True
        if not scan.uniform:
            return False
        if self.dialect.escape.encode() in scan.found and self._ends_with_escape():
            return False
        return scan.found.isdisjoint(_suspects(self.dialect)) or not any(_misread(self.path, self.dialect))

    def _ends_with_escape(self) -> bool:
        """Whether the file ends with an escape in an open quote, which DuckDB treats as closed."""
        with self.path.open("rb") as file:
            file.seek(max(self.path.stat().st_size - 8, 0))
            return file.read().rstrip(b"\r\n \t").endswith(self.dialect.escape.encode())

    def _starts_empty(self) -> bool:
        with self.path.open("rb") as file:
            return file.read(4).removeprefix(b"\xef\xbb\xbf")[:1] in b"\r\n"


def _plain_row(record: Record) -> str | tuple[str | None, ...]:
    """Returns a record as `write_plain` takes it: reason, rejected text, fields."""
    if record.reason is not None:
        return (record.reason, replace_undecodable(record.text))
    return (None, None, *record.fields) if record.fields else f",,{record.text}"


def _suspects(dialect: DsvDialect) -> frozenset[bytes]:
    """Returns byte sequences, one of which is in every file that DuckDB misreads; faster to find than a pattern."""
    quote, escape = dialect.quote.encode(), dialect.escape.encode()
    if not quote:
        return frozenset()
    return frozenset({b" " + quote, b"\t" + quote, escape} - {quote, b""})


def _misread(path: Path, dialect: DsvDialect) -> Iterator[bool]:
    """Yields, per piece of the file, whether DuckDB drops data in it: spaces at a quote, a needless escape."""
    quote, separator = re.escape(dialect.quote.encode()), re.escape(dialect.separator.encode())
    pattern = rb"(?:" + separator + rb"|[\r\n]|" + quote + rb")[ \t]+" + quote
    if dialect.escape and dialect.escape != dialect.quote:
        escape = re.escape(dialect.escape.encode())
        pattern += rb"|" + escape + rb"(?!" + escape + rb"|" + quote + rb")"
    suspect, suspects = re.compile(pattern), _suspects(dialect)
    tail = b"\n"
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_MIB):
            piece = tail + chunk
            yield any(sign in piece for sign in suspects) and suspect.search(piece) is not None
            tail = piece[-64:] if len(piece) > 64 else piece
