"""XML (`format: XML`, `TEXT_XML`): each `options.rowTag` element becomes a row, read as a stream.

Attributes of an element are called `_name`, its text next to attributes or children `_VALUE`, as Spark does. Entities
are not declared by the file itself and nothing outside of the file is ever read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from xml.parsers import expat

from starlake_dagster_assets.engine.reading.formats.intermediate_csv import REASON, write_plain
from starlake_dagster_assets.engine.reading.formats.json_rows import json_cells, json_table
from starlake_dagster_assets.engine.reading.formats.lines import LINE
from starlake_dagster_assets.engine.reading.formats.options import check_options
from starlake_dagster_assets.engine.reading.formats.source import Source
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model.project import Attribute, Table

__all__ = ["xml_options", "xml_sources"]

_CHUNK = 1 << 20
_DEEPEST = 200
_OPTIONS: Mapping[str, str] = {
    "rowtag": "rowTag",
    "roottag": "rootTag",
    "attributeprefix": "prefix",
    "valuetag": "value",
    "excludeattribute": "exclude",
    "ignorenamespace": "ignoreNamespace",
}


def xml_options(table: Table) -> dict[str, str]:
    """Returns the options of an XML table: rowTag, attributePrefix, valueTag, excludeAttribute."""
    return check_options(table, _OPTIONS)


def xml_sources(path: Path, shown: str, work: Path, table: Table) -> Iterator[Callable[[], Source | None]]:
    """Yields the way to read a file; see `registry.sources`."""

    def read() -> Source:
        rows, count = write_plain(work / "rows.csv", (LINE,), _documents(path, shown, table))
        return Source(
            json_table(rows, f"{LINE}::JSON", "CAST(NULL AS VARCHAR)", table),
            json_cells(table),
            reason=REASON,
            line=LINE,
            expected_rows=count,
        )

    yield read


def _documents(path: Path, shown: str, table: Table) -> Iterator[tuple[None, str]]:
    reader = _RowReader(xml_options(table))
    encoding = table.metadata.encoding if table.metadata.encoding.upper() not in {"", "UTF-8", "UTF8"} else None
    parser = expat.ParserCreate(encoding)
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.EntityDeclHandler = reader.reject_entity
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                parser.Parse(chunk, False)
                yield from reader.complete_rows(table.attributes)
            if path.stat().st_size:
                parser.Parse(b"", True)
            yield from reader.complete_rows(table.attributes)
    except (expat.ExpatError, ValueError) as error:
        raise EngineError(f"{shown}: not well-formed XML: {error}") from error


class _RowReader:
    """Collector of the elements that are rows."""

    def __init__(self, options: Mapping[str, str]) -> None:
        self._tag = options.get("rowTag", "ROW").strip("<>")
        self._prefix = options.get("prefix", "_")
        self._value = options.get("value", "_VALUE")
        self._exclude = options.get("exclude", "false").lower() == "true"
        self._open: list[tuple[dict[str, Any], list[str]]] = []
        self._rows: list[dict[str, Any]] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._open and _local(name) != _local(self._tag):
            return
        if len(self._open) >= _DEEPEST:
            raise ValueError(f"elements are nested more than {_DEEPEST} deep")
        fields = {} if self._exclude else {f"{self._prefix}{_local(key)}": text for key, text in attributes.items()}
        self._open.append((fields, []))

    def text(self, data: str) -> None:
        if self._open:
            self._open[-1][1].append(data)

    def end(self, name: str) -> None:
        if not self._open:
            return
        fields, parts = self._open.pop()
        text = "".join(parts)
        if not self._open:
            self._rows.append({**fields, self._value: text} if text.strip() else fields)
            return
        value: Any = text if not fields else {**fields, **({self._value: text} if text.strip() else {})}
        parent, key = self._open[-1][0], _local(name)
        if key not in parent:
            parent[key] = value
        elif isinstance(parent[key], list):
            parent[key].append(value)
        else:
            parent[key] = [parent[key], value]

    def reject_entity(self, name: str, *rest: object) -> None:
        raise ValueError(f"the file declares the entity '{name}', which is not allowed")

    def complete_rows(self, attributes: Sequence[Attribute]) -> Iterator[tuple[None, str]]:
        """Yields the rows found so far, in the shape that the attributes declare."""
        rows, self._rows = self._rows, []
        for row in rows:
            yield None, json.dumps(_shaped(row, attributes, self._prefix, self._value), ensure_ascii=False)


def _local(name: str) -> str:
    return name.rsplit(":", 1)[-1]


def _shaped(fields: dict[str, Any], attributes: Sequence[Attribute], prefix: str, value: str) -> dict[str, Any]:
    shaped: dict[str, Any] = {}
    for attribute in attributes:
        found = fields.get(attribute.name, fields.get(prefix + attribute.name))
        if found is None:
            continue
        several = cast("list[Any]", found) if isinstance(found, list) else [found]
        items = [_item(item, attribute, prefix, value) for item in several]
        shaped[attribute.name] = items if attribute.array or len(items) > 1 else items[0]
    return shaped


def _item(item: Any, attribute: Attribute, prefix: str, value: str) -> Any:
    fields: dict[str, Any] | None = cast("dict[str, Any]", item) if isinstance(item, dict) else None
    if attribute.attributes:
        alone: dict[str, Any] = {value: item} if str(cast("object", item)).strip() else {}
        return _shaped(alone if fields is None else fields, attribute.attributes, prefix, value)
    if fields is not None and attribute.type != "variant" and set(fields) <= {value, *_prefixed(fields, prefix)}:
        return fields.get(value)
    return cast("Any", item)


def _prefixed(item: Mapping[str, Any], prefix: str) -> set[str]:
    return {key for key in item if key.startswith(prefix)}
