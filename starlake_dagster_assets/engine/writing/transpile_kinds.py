"""Type categories of operands in SQL of another dialect, from the column types of the project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlglot import exp
from sqlglot.errors import SqlglotError

__all__ = ["FLOAT_LITERALS", "ColumnTypes", "OperandTypes"]

ColumnTypes = Mapping[str, Mapping[str, Mapping[str, str]]]
"""Schema, table and column, in lower case, to DuckDB's type."""

FLOAT_LITERALS = frozenset({"bigquery"})
"""Dialects in which a number with a fraction is a float; in the others, as in DuckDB, it is a decimal."""

_NUMBER = "_sl_number"
_TYPED = (
    exp.Div,
    exp.DateAdd,
    exp.DateSub,
    exp.TsOrDsAdd,
    exp.DateTrunc,
    exp.TimestampTrunc,
    exp.Cast,
    exp.Concat,
    exp.DPipe,
    exp.Round,
    exp.Avg,
    exp.DateDiff,
    exp.Sub,
)


class OperandTypes:
    """Kinds of the operands of a statement.

    A kind is `integer`, `float`, `decimal`, `text`, `boolean`, `date`, `timestamp`, `timestamptz` or `null`; "" if
    the type is not known.

    Args:
        tree: The statement, whose nodes are marked.
        dialect: The dialect that it is written in.
        types: The types of the columns that it may read.
    """

    def __init__(self, tree: Any, dialect: str, types: ColumnTypes) -> None:
        typed = list(tree.find_all(*_TYPED))
        for number, node in enumerate(typed):
            node.meta[_NUMBER] = number
        self._found: dict[int, tuple[str, ...]] = {}
        if typed:
            bound = _annotated(tree, dialect, types)
            nodes = [node for node in bound.find_all(*_TYPED) if _NUMBER in node.meta]
            self._found = {node.meta[_NUMBER]: tuple(map(_kind, _operands(node))) for node in nodes}

    def of(self, node: Any) -> tuple[str, ...]:
        """Returns the kinds of the operands of a node, in order."""
        return self._found.get(node.meta.get(_NUMBER, -1)) or ("",) * len(_operands(node))


def _operands(node: Any) -> Sequence[Any]:
    if isinstance(node, exp.Concat):
        return node.expressions
    both = (node.this, node.args.get("expression"))
    return [operand for operand in both if operand is not None]


def _annotated(tree: Any, dialect: str, types: ColumnTypes) -> Any:
    from sqlglot.optimizer.annotate_types import annotate_types
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.schema import MappingSchema

    keep = f"{dialect}, normalization_strategy=case_insensitive"
    copy = _with_typed_literals(tree.copy())
    try:
        schema = MappingSchema({}, dialect=keep, normalize=False)
        for domain, tables in types.items():
            for table, columns in tables.items():
                kinds = {name: _built(kind) for name, kind in columns.items()}
                schema.add_table(exp.table_(table, db=domain), kinds, dialect=keep, normalize=False, match_depth=False)
        bound: Any = qualify(
            copy.copy(),
            dialect=keep,
            schema=schema,
            validate_qualify_columns=False,
            allow_partial_qualification=True,
            identify=False,
            quote_identifiers=False,
        )
        return annotate_types(bound, schema=schema, dialect=keep)
    except Exception:  # sqlglot may raise anything: the types are then unknown
        return annotate_types(copy, dialect=dialect)


def _built(kind: str) -> Any:
    try:
        return exp.DataType.build(kind, dialect="duckdb")
    except (SqlglotError, ValueError):  # a type that sqlglot does not know
        return exp.DataType.build("unknown")


def _with_typed_literals(tree: Any) -> Any:
    """Casts numbers with a fraction to the type that they have in DuckDB; sqlglot treats them as doubles."""
    for node in list(tree.find_all(exp.Literal)):
        text = str(node.this)
        if (
            node.is_string
            or "." not in text
            or "e" in text.lower()
            or isinstance(node.parent, (exp.Cast, exp.Interval))
        ):
            continue
        whole, _, fraction = text.partition(".")
        kind = f"DECIMAL({min(38, len(whole) + len(fraction))}, {len(fraction)})"
        node.replace(exp.cast(node.copy(), kind))
    return tree


def _kind(node: Any) -> str:
    while isinstance(node, (exp.Paren, exp.Neg)):
        node = node.this
    if isinstance(node, exp.Null):
        return "null"
    if isinstance(node, exp.Literal):
        return "text" if node.is_string else "integer" if str(node.this).isdigit() else _of_fraction(str(node.this))
    kind = getattr(node, "type", None)
    return "" if kind is None else next((name for name, types in _NAMES.items() if kind.is_type(*types)), "")


def _of_fraction(text: str) -> str:
    return "float" if "e" in text.lower() else "decimal"


_NAMES: Mapping[str, Sequence[Any]] = {
    "integer": tuple(exp.DataType.INTEGER_TYPES),
    "float": ("float", "double"),
    "decimal": ("decimal",),
    "text": tuple(exp.DataType.TEXT_TYPES),
    "boolean": ("boolean",),
    "date": ("date",),
    "timestamptz": ("timestamptz", "timestampltz"),
    "timestamp": ("timestamp", "datetime", "timestampntz"),
    "null": ("null",),
}
