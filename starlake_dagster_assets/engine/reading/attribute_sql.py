"""Attributes as SQL: the typed value of each raw cell, and the reason why its row is rejected.

Order, as in the starlake program: trim, empty to null, default, required, pattern, cast, privacy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import duckdb

from starlake_dagster_assets.engine.quoting import identifier, literal
from starlake_dagster_assets.engine.reading.column_types import column_type, type_of
from starlake_dagster_assets.engine.reading.privacy import apply_privacy, is_private, is_sql
from starlake_dagster_assets.engine.reading.scalars import Scalar, scalar
from starlake_dagster_assets.engine.reading.trimming import trimmed
from starlake_dagster_assets.engine.reading.type_patterns import Patterns
from starlake_dagster_assets.project.model.project import Attribute, Project, Table

__all__ = ["AttributeSql", "Cell", "RowCompiler"]

_INTEGER_DDL = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}
_FLOAT_DDL = {"FLOAT", "DOUBLE"}
_SAME_KIND = {
    "long": _INTEGER_DDL,
    "int": _INTEGER_DDL,
    "short": _INTEGER_DDL,
    "byte": _INTEGER_DDL,
    "double": _INTEGER_DDL | _FLOAT_DDL | {"DECIMAL"},
    "decimal": _INTEGER_DDL | _FLOAT_DDL | {"DECIMAL"},
    "boolean": {"BOOLEAN"},
    "date": {"DATE"},
    "timestamp": {"DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_S"},
}


@dataclass(frozen=True)
class Cell:
    """SQL of the raw value of an attribute.

    Attributes:
        sql: SQL of the value.
        kind: A text, a JSON value, or a value that the file itself types.
        ddl: DuckDB type of a typed value.
        no_empty: Whether an empty text cannot occur, because the reader replaced it with NULL.
        text: SQL of a JSON value as a text, if the reader has it.
        nested: With `text`, SQL of whether the value is an object or an array.
        number: With `text`, SQL of the value as written in the document (a string has quotes), if it may be a number.
    """

    sql: str
    kind: Literal["text", "json", "typed"] = "text"
    ddl: str = "VARCHAR"
    no_empty: bool = False
    text: str | None = None
    nested: str | None = None
    number: str | None = None


@dataclass(frozen=True)
class AttributeSql:
    """The SQL of an attribute.

    Attributes:
        value: SQL of its typed value.
        error: SQL of the reason of a rejection, or NULL.
        accepted: SQL of the computed value → a condition that holds if `error` is NULL, cheaper to evaluate; None
            if there is none.
        shared: Expressions that `value` and `accepted` repeat, which can be computed once: each contains those before.
    """

    value: str
    error: str
    accepted: Callable[[str], str] | None = None
    shared: tuple[str, ...] = ()


class RowCompiler:
    """Compiler of the attributes of one table to SQL.

    Args:
        con: The connection, on which Python functions are registered if necessary.
        project: Types and settings (`emptyIsNull`, `rejectWithValue`, `privacy.options`).
        table: The table.
        patterns: Patterns of the connection, if several tables are compiled.
        restored: See `Source.restored`.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        project: Project,
        table: Table,
        patterns: Patterns | None = None,
        restored: Callable[[str], str] = str,
    ) -> None:
        self._restored = restored
        self._con = con
        self._project = project
        self._table = table
        self._patterns = patterns or Patterns(con)
        self._scalars: dict[str, Scalar] = {}
        self._empty_is_null = table.metadata.empty_is_null
        self._null_value = table.metadata.null_value
        self._with_value = project.application.reject_with_value

    def compile(self, cells: Mapping[str, Cell]) -> tuple[AttributeSql, ...]:
        """Returns the SQL of each attribute that is read from the file, in order.

        Args:
            cells: Raw values by the file's names; an attribute that the file lacks is absent. If no name is that of
                an attribute, a name that differs only in case is used.

        Returns:
            One item per attribute without script.

        Raises:
            EngineError: When a type, a pattern or a privacy key cannot be used.
        """
        read = [attribute for attribute in self._table.attributes if attribute.script is None]
        exact = {attribute.name for attribute in read}
        folded: dict[str, Cell] = {}
        for name, cell in cells.items():
            if name not in exact:
                folded.setdefault(name.lower(), cell)
        return tuple(self._attribute(item, cells.get(item.name) or folded.get(item.name.lower())) for item in read)

    def _attribute(self, attribute: Attribute, cell: Cell | None) -> AttributeSql:
        path = literal(attribute.name)
        if cell is None:
            return self._absent(attribute, path)
        if attribute.array or attribute.attributes:
            json = cell.sql if cell.kind == "json" else self._as_json(cell)
            return self._json(attribute, json, path, 0)
        if cell.kind == "json":
            if cell.text and cell.nested and type_of(attribute, self._project).primitive_type != "variant":
                kind = self._scalar(attribute)
                leaf = self._json_leaf(attribute, self._restored(cell.text), cell.nested, kind, path)
                return self._json_number(leaf, kind, cell.number) if cell.number else leaf
            return self._json(attribute, cell.sql, path, 0)
        kind = self._scalar(attribute)
        if cell.kind == "typed" and not is_nested(cell.ddl):
            same = _SAME_KIND.get(kind.definition.primitive_type, set())
            if cell.ddl.split("(")[0] in same:
                return self._same_kind(attribute, cell.sql, kind, path)
            return self._text(attribute, f"CAST({cell.sql} AS VARCHAR)", kind, path)
        if cell.kind == "typed":
            return self._json(attribute, f"to_json({cell.sql})", path, 0)
        return self._text(attribute, cell.sql, kind, path, no_empty=cell.no_empty)

    def _scalar(self, attribute: Attribute) -> Scalar:
        definition = type_of(attribute, self._project)
        if definition.name not in self._scalars:
            self._scalars[definition.name] = scalar(definition, self._patterns)
        return self._scalars[definition.name]

    def _absent(self, attribute: Attribute, path: str) -> AttributeSql:
        ddl = column_type(attribute, self._project)
        if attribute.required:
            return AttributeSql(f"CAST(NULL AS {ddl})", self._reason(attribute, path, "'is required'", "NULL"))
        if attribute.default is None or attribute.array or attribute.attributes:
            return AttributeSql(f"CAST(NULL AS {ddl})", "NULL")
        return self._text(attribute, "CAST(NULL AS VARCHAR)", self._scalar(attribute), path)

    def _text(self, attribute: Attribute, raw: str, kind: Scalar, path: str, no_empty: bool = False) -> AttributeSql:
        return self._prepared(attribute, self._prepare(attribute, raw, kind, no_empty), kind, path)

    def _prepare(self, attribute: Attribute, raw: str, kind: Scalar, no_empty: bool) -> str:
        text = trimmed(raw, attribute.trim)
        if self._null_value:
            text = f"nullif({text}, {literal(self._null_value)})"
        if (self._empty_is_null or not kind.is_text) and not (no_empty and text == raw):
            text = f"nullif({text}, '')"
        if attribute.default is not None and not attribute.required:
            text = f"coalesce({text}, {literal(attribute.default)})"
        return text

    def _prepared(self, attribute: Attribute, text: str, kind: Scalar, path: str) -> AttributeSql:
        refusal = kind.rejection(text)
        error = "NULL" if refusal == "NULL" else self._reason(attribute, path, refusal, text)
        if attribute.required:
            missing = self._reason(attribute, path, "' can''t be null'", "NULL")
            error = f"CASE WHEN {text} IS NULL THEN {missing} ELSE {error} END"
        elif error != "NULL":
            error = f"CASE WHEN {text} IS NOT NULL THEN {error} END"
        hidden = self._privacy(attribute, text, kind)
        if hidden is None:
            shared = (*([] if text.isidentifier() else [text]), *([kind.cast(text)] if kind.cast else []))
            return AttributeSql(kind.value(text), error, lambda value: _accepted(attribute, kind, text, value), shared)
        value = kind.value(hidden)
        clash = self._reason(attribute, path, "'input and privacy output type are not compatible'", text)
        return AttributeSql(
            value, f"coalesce({error}, CASE WHEN {hidden} IS NOT NULL AND ({value}) IS NULL THEN {clash} END)"
        )

    def _privacy(self, attribute: Attribute, text: str, kind: Scalar) -> str | None:
        if is_sql(attribute.privacy):
            return None
        options = self._project.application.privacy_options
        where = f"table '{self._table.raw}', attribute '{attribute.name}'"
        hidden = apply_privacy(self._con, text, attribute.privacy, options, where)
        # What is hidden by an empty text is null where the type has no empty text.
        return hidden if hidden is None or kind.is_text else f"nullif({hidden}, '')"

    def _reason(self, attribute: Attribute, path: str, reason: str, value: str) -> str:
        message = f"'`' || {path} || '` ' || {reason}"
        shown = self._with_value and not is_private(attribute)
        return f"({message} || ': ' || coalesce({value}, 'NULL'))" if shown else f"({message})"

    def _same_kind(self, attribute: Attribute, raw: str, kind: Scalar, path: str) -> AttributeSql:
        """Returns the SQL of a value that has the attribute's type in the file: only its range is checked."""
        if attribute.default is not None and not attribute.required:
            raw = f"coalesce({raw}, {kind.value(literal(attribute.default))})"
        if not _no_privacy(attribute):
            return self._text(attribute, f"CAST({raw} AS VARCHAR)", kind, path)
        value = f"TRY_CAST({raw} AS {kind.ddl})"
        failed = f"'cannot be converted to `{kind.definition.primitive_type}` with sl type `{kind.definition.name}`'"
        missing = self._reason(attribute, path, "' can''t be null'", "NULL") if attribute.required else "NULL"
        refused = self._reason(attribute, path, failed, f"CAST({raw} AS VARCHAR)")
        return AttributeSql(value, f"CASE WHEN {raw} IS NULL THEN {missing} WHEN {value} IS NULL THEN {refused} END")

    @staticmethod
    def _as_json(cell: Cell) -> str:
        if cell.kind == "typed":
            return f"to_json({cell.sql})"
        text = f"nullif({cell.sql}, '')"
        return f"CASE WHEN json_valid({text}) THEN {text}::JSON ELSE to_json({text}) END"

    def _json(self, attribute: Attribute, json: str, path: str, depth: int) -> AttributeSql:
        if attribute.array:
            return self._json_array(attribute, json, path, depth)
        if attribute.attributes:
            return self._json_struct(attribute, json, path, depth)
        kind = self._scalar(attribute)
        if kind.definition.primitive_type == "variant":
            return self._json_variant(attribute, json, kind, path)
        nested = f"json_type({json}) IN ('OBJECT', 'ARRAY')"
        return self._json_leaf(attribute, self._restored(f"({json} ->> '$')"), nested, kind, path)

    def _json_leaf(self, attribute: Attribute, text: str, nested: str, kind: Scalar, path: str) -> AttributeSql:
        inner = self._text(attribute, text, kind, path)
        wrong = self._reason(attribute, path, literal(f"is not a {attribute.type}"), text)
        quick = inner.accepted
        return AttributeSql(
            f"CASE WHEN {nested} THEN NULL ELSE {inner.value} END",
            f"CASE WHEN {nested} THEN {wrong} ELSE {inner.error} END",
            (lambda value: f"(NOT coalesce({nested}, false) AND {quick(value)})") if quick else None,
            inner.shared,
        )

    def _json_number(self, leaf: AttributeSql, kind: Scalar, number: str) -> AttributeSql:
        """Returns the SQL of an attribute that casts numbers as the document has them, and the texts of other values.

        The cast of a string fails because of its quotes. That of a number that `protect_numbers` has changed fails or
        is infinite.
        """
        exact, accepted = kind.exact, leaf.accepted
        if exact is None or accepted is None or self._null_value:
            return leaf
        cast = f"TRY_CAST({number} AS {kind.ddl})"
        known = f"CASE WHEN isfinite({cast}) THEN {cast} END" if kind.finite else cast
        return AttributeSql(
            f"coalesce({known}, {leaf.value})",
            leaf.error,
            lambda value: f"({exact(number, cast)} OR {accepted(value)})",
            (cast,),
        )

    def _json_variant(self, attribute: Attribute, json: str, kind: Scalar, path: str) -> AttributeSql:
        restored = self._restored(f"{json}::VARCHAR")
        whole = json if restored == f"{json}::VARCHAR" else f"{restored}::JSON"
        value = f"CASE WHEN json_type({json}) <> 'NULL' THEN {whole} END"
        if attribute.default is not None and not attribute.required:
            value = f"coalesce({value}, {kind.value(literal(attribute.default))})"
        missing = self._reason(attribute, path, "' can''t be null'", "NULL")
        error = f"CASE WHEN ({value}) IS NULL THEN {missing} END" if attribute.required else "NULL"
        return AttributeSql(value if kind.ddl.upper() == "JSON" else f"TRY_CAST({value} AS {kind.ddl})", error)

    def _json_struct(self, attribute: Attribute, json: str, path: str, depth: int) -> AttributeSql:
        fields: list[str] = []
        errors: list[str] = []
        for child in attribute.attributes:
            child_path = f"{path} || {literal('.' + child.name)}"
            typed = self._json(child, f"json_extract({json}, {literal(_pointer(child.name))})", child_path, depth)
            fields.append(f"{identifier(child.final_name)} := {typed.value}")
            errors.append(typed.error)
        value = f"CASE WHEN json_type({json}) = 'OBJECT' THEN struct_pack({', '.join(fields)}) END"
        return AttributeSql(value, self._container(attribute, json, path, "OBJECT", "is not a struct", _joined(errors)))

    def _json_array(self, attribute: Attribute, json: str, path: str, depth: int) -> AttributeSql:
        element, index = f"sl_e{depth}", f"sl_i{depth}"
        item = replace(attribute, array=False, required=False, default=None)
        typed = self._json(item, element, f"{path} || '[' || ({index} - 1)::VARCHAR || ']'", depth + 1)
        items = f"json_extract({json}, '$[*]')"
        ddl = column_type(attribute, self._project)
        value = f"CAST(list_transform({items}, lambda {element}: {typed.value}) AS {ddl})"
        inner = f"array_to_string(list_transform({items}, lambda {element}, {index}: {typed.error}), chr(10))"
        error = "NULL" if typed.error == "NULL" else f"nullif({inner}, '')"
        whole = f"CASE WHEN json_type({json}) = 'ARRAY' THEN {value} END"
        return AttributeSql(whole, self._container(attribute, json, path, "ARRAY", "is not an array", error))

    def _container(self, attribute: Attribute, json: str, path: str, kind: str, wrong: str, inner: str) -> str:
        missing = self._reason(attribute, path, "' can''t be null'", "NULL") if attribute.required else "NULL"
        refused = self._reason(attribute, path, literal(wrong), self._restored(f"({json} ->> '$')"))
        return (
            f"CASE WHEN {json} IS NULL OR json_type({json}) = 'NULL' THEN {missing} "
            f"WHEN json_type({json}) <> '{kind}' THEN {refused} ELSE {inner} END"
        )


def is_nested(ddl: str) -> bool:
    """Whether a DuckDB type is a list, a struct, a map or a union."""
    return ddl.endswith("]") or ddl.startswith(("STRUCT", "MAP", "UNION"))


def _accepted(attribute: Attribute, kind: Scalar, text: str, value: str) -> str:
    condition = kind.accepted(text, value)
    if not attribute.required:
        return condition
    return f"{text} IS NOT NULL" if condition == "true" else f"({text} IS NOT NULL AND {condition})"


def _no_privacy(attribute: Attribute) -> bool:
    return attribute.privacy.strip().lower() in {"", "none"} or is_sql(attribute.privacy)


def _joined(errors: list[str]) -> str:
    """Returns SQL that joins errors, one per line; NULL without an error."""
    present = [error for error in errors if error != "NULL"]
    return f"nullif(concat_ws(chr(10), {', '.join(present)}), '')" if present else "NULL"


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")
