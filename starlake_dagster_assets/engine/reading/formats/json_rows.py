"""JSON (`format: JSON`, `JSON_FLAT`; `array: true`): one row per document, or per element of an array."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from starlake_dagster_assets.engine.quoting import literal
from starlake_dagster_assets.engine.reading.attribute_sql import Cell
from starlake_dagster_assets.engine.reading.column_types import type_of
from starlake_dagster_assets.engine.reading.formats.intermediate_csv import REASON, replace_undecodable, write_plain
from starlake_dagster_assets.engine.reading.formats.json_documents import array_elements, documents
from starlake_dagster_assets.engine.reading.formats.json_numbers import (
    JsonNumbers,
    LongNumberSearch,
    protect_numbers,
)
from starlake_dagster_assets.engine.reading.formats.lines import LINE, NOT_TEXT, duckdb_lines
from starlake_dagster_assets.engine.reading.formats.options import check_options
from starlake_dagster_assets.engine.reading.formats.source import Source
from starlake_dagster_assets.engine.reading.formats.text_scan import UNREADABLE, open_text, scan_text
from starlake_dagster_assets.project.model.project import Attribute, Project, Table

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


def json_columns(path: Path, lines: int, table: Table, project: Project, *, as_text: bool) -> Source:
    """Returns the source that DuckDB's JSON reader parses: one object per line; the reader fails at any other line.

    The source has the values as written in the documents, but not the documents.

    Args:
        path: The file.
        lines: Number of its lines.
        table: Its table.
        project: The project, which defines the types.
        as_text: Whether scalars that are not numbers are read as texts, which takes half as long. A text does not tell
            an object from a string that looks like one, so a text that begins with a bracket is an error.
    """
    read = _read(table)
    texts = [as_text and _is_scalar(item) and not _is_number(item, project) for item in read]
    cells = {
        item.name: _text_cell(f"sl_j{index}") if text else _json_cell(f"sl_j{index}", item)
        for index, (item, text) in enumerate(zip(read, texts, strict=True))
    }
    kinds = ", ".join(
        f"{literal(item.name)}: '{'VARCHAR' if text else 'JSON'}'" for item, text in zip(read, texts, strict=True)
    )
    names = ", ".join(f"sl_j{index}" for index in range(len(read)))
    rows = f"read_json({literal(str(path))}, format='newline_delimited', records=true, columns={{{kinds}}})"
    # a line of `null` is no object; the reader returns only NULLs for it
    unclear = [_is_nested(f"sl_j{index}") for index, text in enumerate(texts) if text]
    some = (
        f"CASE WHEN coalesce({names}) IS NULL THEN error('not one JSON object a line') "
        f"WHEN {' OR '.join(unclear) or 'false'} THEN {_UNCLEAR} ELSE true END"
    )
    return Source(f"(SELECT * FROM {rows} AS t({names}) WHERE {some})", cells, expected_rows=lines)


def _json_cell(value: str, attribute: Attribute) -> Cell:
    if not _is_scalar(attribute):
        return Cell(value, "json")
    written = f"{value}::VARCHAR"
    return Cell(value, "json", text=_text(value), nested=_is_nested(written), number=written)


def _text_cell(value: str) -> Cell:
    # a type of the project's own may be a variant, of which the text is not enough
    return Cell(f"{_UNCLEAR}::JSON", "json", text=value, nested="false")


def _is_nested(text: str) -> str:
    """Returns SQL of whether the text of a JSON value begins like an object or an array."""
    return f"(prefix({text}, '{{') OR prefix({text}, '['))"


def _is_number(attribute: Attribute, project: Project) -> bool:
    return type_of(attribute, project).primitive_type in {"long", "int", "short", "double", "decimal"}


def _text(value: str) -> str:
    """Returns a JSON value as text, as `json_extract_string` does; only strings are parsed."""
    return f"CASE WHEN prefix({value}::VARCHAR, '\"') THEN {value} ->> '$' ELSE {value}::VARCHAR END"


def json_sources(
    path: Path, shown: str, work: Path, table: Table, project: Project, *, replay: bool
) -> Iterator[Callable[[], Source | None]]:
    """Yields the ways to read a file; see `registry.sources`. For `replay` see `InputFile`."""
    search = LongNumberSearch()
    scan = scan_text(path, frozenset(), search.feed)  # DuckDB's parser of JSON checks the encoding
    numbers = protect_numbers(path, work) if search.found else JsonNumbers(path)
    line = numbers.restored(LINE)

    def columns(*, as_text: bool) -> Source | None:
        if table.metadata.array or replay:
            return None
        source = json_columns(numbers.path, scan.lines, table, project, as_text=as_text)
        return replace(source, restored=numbers.restored)

    def fast() -> Source | None:
        lines = None if table.metadata.array else duckdb_lines(numbers.path, keep_blank=False)
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
