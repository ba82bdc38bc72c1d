"""JSON (`format: JSON`, `JSON_FLAT`; `array: true`): one row a document, or one row an element of an array."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from starlake_dagster_assets.engine.formats.json_documents import array_elements, documents
from starlake_dagster_assets.engine.formats.lines import LINE, NOT_TEXT, fast_lines
from starlake_dagster_assets.engine.formats.options import check_options
from starlake_dagster_assets.engine.formats.plain_csv import REASON, write_plain
from starlake_dagster_assets.engine.formats.source import Source
from starlake_dagster_assets.engine.formats.text_scan import UNREADABLE, open_text
from starlake_dagster_assets.engine.quoting import literal
from starlake_dagster_assets.engine.rows import Cell
from starlake_dagster_assets.project.model import Table

__all__ = ["json_cells", "json_options", "json_sources", "json_table"]

_OPTIONS: Mapping[str, str] = {"multiline": "multiline", "format": "format", "maximum_object_size": "size"}


def json_options(table: Table) -> dict[str, str]:
    """The options of a JSON table; none changes how it is read."""
    return check_options(table, _OPTIONS)


def json_cells(table: Table) -> dict[str, Cell]:
    """The top-level attributes as columns of `json_table`."""
    read = [attribute.name for attribute in table.attributes if attribute.script is None]
    return {name: Cell(f"sl_j{index}", "json") for index, name in enumerate(read)}


def json_table(rows: str, document: str, reason: str, table: Table) -> str:
    """A table expression with one JSON column an attribute.

    Args:
        rows: A table expression.
        document: SQL of a row's JSON document; NULL gives nulls.
        reason: SQL of the reason why the row has none.
        table: The table.
    """
    read = [attribute.name for attribute in table.attributes if attribute.script is None]
    columns = [
        f"json_extract(sl_doc, {literal('/' + name.replace('~', '~0').replace('/', '~1'))}) AS sl_j{index}"
        for index, name in enumerate(read)
    ]
    inner = f"SELECT {document} AS sl_doc, {reason} AS {REASON} FROM {rows}"
    return f"(SELECT {', '.join([REASON, *columns])} FROM ({inner}))"


def json_sources(path: Path, shown: str, work: Path, table: Table) -> Iterator[Callable[[], Source | None]]:
    """The ways to read a file; see `registry.sources`."""

    def fast() -> Source | None:
        found = None if table.metadata.array else fast_lines(path, keep_blank=False)
        if found is None:
            return None
        # Where a line is not one object the file is read again with care: the object may go on in the next line.
        is_object = f"json_valid({LINE}) AND json_type({LINE}) = 'OBJECT'"
        document = f"CASE WHEN {is_object} THEN {LINE}::JSON ELSE error('not one JSON object a line') END"
        sql = json_table(found[0], document, "CAST(NULL AS VARCHAR)", table)
        return Source(sql, json_cells(table), reason=REASON, expected_rows=found[1])

    def careful() -> Source:
        pieces = open_text(path)
        texts = array_elements(pieces, shown) if table.metadata.array else documents(pieces)
        rows, count = write_plain(work / "documents.csv", (LINE,), _judged(texts))
        reason = (
            f"CASE WHEN {REASON} IS NOT NULL THEN {REASON} WHEN NOT json_valid({LINE}) THEN 'not valid JSON' "
            f"WHEN json_type({LINE}) <> 'OBJECT' THEN 'not a JSON object' END"
        )
        document = f"CASE WHEN json_valid({LINE}) THEN {LINE}::JSON END"
        return Source(json_table(rows, document, reason, table), json_cells(table), reason=REASON, expected_rows=count)

    yield fast
    yield careful


def _judged(texts: Iterable[str]) -> Iterator[tuple[str | None, str | None]]:
    for text in texts:
        if "\0" in text or UNREADABLE in text or any("\ud800" <= char <= "\udfff" for char in text):
            yield NOT_TEXT, None
        else:
            yield None, text
