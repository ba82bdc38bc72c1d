"""JSON (`format: JSON`, `JSON_FLAT`; `array: true`): one row per document, or per element of an array."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from starlake_dagster_assets.engine.quoting import literal
from starlake_dagster_assets.engine.reading.attribute_sql import Cell
from starlake_dagster_assets.engine.reading.formats.intermediate_csv import REASON, replace_undecodable, write_plain
from starlake_dagster_assets.engine.reading.formats.json_documents import array_elements, documents
from starlake_dagster_assets.engine.reading.formats.json_numbers import protect_numbers
from starlake_dagster_assets.engine.reading.formats.lines import LINE, NOT_TEXT, duckdb_lines
from starlake_dagster_assets.engine.reading.formats.options import check_options
from starlake_dagster_assets.engine.reading.formats.source import Source
from starlake_dagster_assets.engine.reading.formats.text_scan import UNREADABLE, open_text
from starlake_dagster_assets.project.model.project import Attribute, Table

__all__ = ["json_cells", "json_options", "json_sources", "json_table"]

_SURROGATE = re.compile("[\ud800-\udfff]")
_UNCLEAR = "error('an object, an array, or a string that looks like one')"
_OPTIONS: Mapping[str, str] = {"multiline": "multiline", "format": "format", "maximum_object_size": "size"}


def json_options(table: Table) -> dict[str, str]:
    """Returns the options of a JSON table, none of which changes how its files are read."""
    return check_options(table, _OPTIONS)


def json_cells(table: Table) -> dict[str, Cell]:
    """Returns the top-level attributes as columns of `json_table`."""
    cells: dict[str, Cell] = {}
    for index, item in enumerate(_read(table), start=1):
        if _is_scalar(item):
            nested = f"sl_kinds[{index}] IN ('OBJECT', 'ARRAY')"
            # A type of the project's own may be a variant: it takes the value out of the document.
            whole = f"json_extract(sl_doc, {_pointer(item.name)})"
            cells[item.name] = Cell(whole, "json", text=f"sl_texts[{index}]", nested=nested)
        else:
            cells[item.name] = Cell(f"sl_j{index}", "json")
    return cells


def json_table(rows: str, document: str, reason: str, table: Table) -> str:
    """Returns SQL that extracts all scalar attributes, as texts and JSON types, and parses each document once.

    Args:
        rows: A table expression.
        document: SQL of a row's JSON document; NULL gives nulls.
        reason: SQL of the reason why the row has no document.
        table: The table.
    """
    read = _read(table)
    pointers = [_pointer(item.name) for item in read]
    columns = [
        f"json_extract(sl_doc, {pointer}) AS sl_j{index}"
        for index, (item, pointer) in enumerate(zip(read, pointers, strict=True), start=1)
        if not _is_scalar(item)
    ]
    paths = f"[{', '.join(pointers)}]"
    columns += [f"json_extract_string(sl_doc, {paths}) AS sl_texts", f"json_type(sl_doc, {paths}) AS sl_kinds"]
    inner = f"SELECT {document} AS sl_doc, {reason} AS {REASON}, {LINE} FROM {rows}"
    return f"(SELECT {', '.join(['sl_doc', REASON, LINE, *columns])} FROM ({inner}))"


def _pointer(name: str) -> str:
    return literal("/" + name.replace("~", "~0").replace("/", "~1"))


def _read(table: Table) -> list[Attribute]:
    return [attribute for attribute in table.attributes if attribute.script is None]


def _is_scalar(attribute: Attribute) -> bool:
    return not attribute.array and not attribute.attributes and attribute.type != "variant"


def json_columns(path: Path, lines: int, table: Table, *, as_text: bool) -> Source:
    """Returns the source that DuckDB's JSON reader parses: one object per line; the reader fails at any other line.

    The source has the values as written in the documents, but not the documents.

    Args:
        path: The file.
        lines: Number of its lines.
        table: Its table.
        as_text: Whether scalars are read as texts, which takes half as long. A text does not tell an object from a
            string that looks like one, so a value that begins with a bracket is an error.
    """
    read = _read(table)
    column = _text_column if as_text else _column
    cells = {item.name: column(f"sl_j{index}", f"sl_t{index}", item) for index, item in enumerate(read)}
    kinds = ", ".join(
        f"{literal(item.name)}: '{'VARCHAR' if as_text and _is_scalar(item) else 'JSON'}'" for item in read
    )
    names = ", ".join(f"sl_j{index}" for index in range(len(read)))
    rows = f"read_json({literal(str(path))}, format='newline_delimited', records=true, columns={{{kinds}}})"
    texts = [f"{_text(cell.sql)} AS {cell.text}" for cell in cells.values() if cell.text and not as_text]
    # a line of `null` is no object, and all that is to be seen of it
    unclear = [
        f"prefix({cell.text}, '{bracket}')" for cell in cells.values() if as_text and cell.text for bracket in "{["
    ]
    some = (
        f"CASE WHEN coalesce({names}) IS NULL THEN error('not one JSON object a line') "
        f"WHEN {' OR '.join(unclear) or 'false'} THEN {_UNCLEAR} ELSE true END"
    )
    sql = f"(SELECT {', '.join(['*', *texts])} FROM {rows} AS t({names}) WHERE {some})"
    return Source(sql, cells, expected_rows=lines)


def _column(value: str, text: str, attribute: Attribute) -> Cell:
    if not _is_scalar(attribute):
        return Cell(value, "json")
    nested = f"(prefix({value}::VARCHAR, '{{') OR prefix({value}::VARCHAR, '['))"
    return Cell(value, "json", text=text, nested=nested)


def _text_column(value: str, text: str, attribute: Attribute) -> Cell:
    if not _is_scalar(attribute):
        return _column(value, text, attribute)
    # a type of the project's own may be a variant, of which the text is not enough
    return Cell(f"{_UNCLEAR}::JSON", "json", text=value, nested="false")


def _text(value: str) -> str:
    """Returns a JSON value as text, as `json_extract_string` does; only strings are parsed."""
    return f"CASE WHEN prefix({value}::VARCHAR, '\"') THEN {value} ->> '$' ELSE {value}::VARCHAR END"


def json_sources(
    path: Path, shown: str, work: Path, table: Table, *, replay: bool
) -> Iterator[Callable[[], Source | None]]:
    """Yields the ways to read a file; see `registry.sources`. For `replay` see `InputFile`."""
    numbers = protect_numbers(path, work)
    lines = None if table.metadata.array else duckdb_lines(numbers.path, keep_blank=False)
    line = numbers.restored(LINE)

    def columns(*, as_text: bool) -> Source | None:
        if lines is None or replay:
            return None
        return replace(json_columns(numbers.path, lines[1], table, as_text=as_text), restored=numbers.restored)

    def fast() -> Source | None:
        if lines is None:
            return None
        # Where a line is not one object the file is read again with care: the object may go on in the next line.
        begins = f"starts_with(ltrim({LINE}, {literal(' ' + chr(9))}), '{{')"
        document = f"CASE WHEN {begins} THEN {LINE}::JSON ELSE error('not one JSON object a line') END"
        sql = json_table(lines[0], document, "CAST(NULL AS VARCHAR)", table)
        cells = json_cells(table)
        return Source(sql, cells, reason=REASON, line=line, expected_rows=lines[1], restored=numbers.restored)

    def careful() -> Source:
        pieces = open_text(numbers.path)
        texts = array_elements(pieces, shown) if table.metadata.array else documents(pieces)
        rows, count = write_plain(work / "documents.csv", (LINE,), _evaluate(texts))
        reason = (
            f"CASE WHEN {REASON} IS NOT NULL THEN {REASON} WHEN NOT json_valid({LINE}) THEN 'not valid JSON' "
            f"WHEN json_type({LINE}) <> 'OBJECT' THEN 'not a JSON object' END"
        )
        document = f"CASE WHEN json_valid({LINE}) THEN {LINE}::JSON END"
        sql = json_table(rows, document, reason, table)
        cells = json_cells(table)
        return Source(sql, cells, reason=REASON, line=line, expected_rows=count, restored=numbers.restored)

    yield lambda: columns(as_text=True)
    yield lambda: columns(as_text=False)
    yield fast
    yield careful


def _evaluate(texts: Iterable[str]) -> Iterator[tuple[str | None, str | None]]:
    for text in texts:
        if "\0" in text or UNREADABLE in text or _SURROGATE.search(text):
            yield NOT_TEXT, replace_undecodable(text)
        else:
            yield None, text
