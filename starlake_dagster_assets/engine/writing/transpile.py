"""Translates SQL of another warehouse to DuckDB's with the same meaning, or rejects what it cannot translate."""

from __future__ import annotations

from typing import Any

import sqlglot
from sqlglot import Dialect, ErrorLevel, exp
from sqlglot.errors import SqlglotError

from starlake_dagster_assets.engine.writing.transpile_casts import (
    InexactTranslationError,
    convert_casts,
    convert_literals,
)
from starlake_dagster_assets.engine.writing.transpile_kinds import ColumnTypes, OperandTypes
from starlake_dagster_assets.engine.writing.transpile_rules import untranslatable
from starlake_dagster_assets.errors import EngineError

__all__ = ["ColumnTypes", "to_duckdb"]

_DAYS = {"DAY", "WEEK", "MONTH", "QUARTER", "YEAR"}
_DATES_ONLY = {"bigquery", "spark", "databricks", "hive"}
_DATED = (exp.DateAdd, exp.DateSub, exp.TsOrDsAdd, exp.DateTrunc, exp.TimestampTrunc)


def to_duckdb(sql: str, dialect: str, types: ColumnTypes | None = None) -> str:
    """Translates SQL of a dialect to DuckDB's.

    Args:
        sql: One or more statements.
        dialect: sqlglot dialect the SQL is written in; `duckdb` returns it unchanged.
        types: The types of the columns that the SQL may read: the meaning of a division depends on them.

    Returns:
        The statements, separated by `;` and a line break.

    Raises:
        EngineError: The dialect is unknown, the SQL does not parse in it, or a part of it has no translation with the
            same meaning.
    """
    if dialect == "duckdb":
        return sql
    try:
        trees: list[Any] = [tree for tree in sqlglot.parse(sql, read=dialect) if tree is not None]
        return ";\n".join(_translated(tree, dialect, types or {}) for tree in trees)
    except (SqlglotError, ValueError) as error:
        raise EngineError(f"cannot translate this SQL from {dialect} to DuckDB: {error}\n{sql}") from error


def _translated(tree: Any, dialect: str, types: ColumnTypes) -> str:
    for node in tree.walk():
        reason = untranslatable(node, dialect)
        if reason:
            raise _unsupported(dialect, f"{reason}: {_shown(node, dialect)}")
    try:
        tree = convert_literals(tree, dialect)
        kinds = OperandTypes(tree, dialect, types)
        tree = _remainders(convert_casts(tree, dialect, kinds), dialect)
        tree = _dated(_divided(tree, dialect, kinds), dialect, kinds)
    except InexactTranslationError as error:
        raise _unsupported(dialect, f"{error}: {_shown(error.node or tree, dialect)}") from None
    return str(tree.sql(dialect="duckdb", unsupported_level=ErrorLevel.RAISE))


def _unsupported(dialect: str, reason: str) -> EngineError:
    return EngineError(
        f"cannot be translated from {dialect} to DuckDB with the same meaning: "
        f"{reason}. Write it in another way, or run it with the starlake program"
    )


def _shown(node: Any, dialect: str) -> str:
    text = " ".join(str(node.sql(dialect=dialect)).split())
    return text if len(text) <= 80 else f"{text[:80]}…"


# ----------------------------------------------------------------------------------------------- divisions


def _divided(tree: Any, dialect: str, kinds: OperandTypes) -> Any:
    """Rewrites each division so that it means the same as in the dialect, for integers and for a division by zero."""
    for node in reversed(list(tree.find_all(exp.Div))):
        left, right = kinds.of(node)
        whole = left == right == "integer"
        if not whole and "float" not in (left, right):
            raise InexactTranslationError(
                "the operands of a division, whose types are not known; cast one of them"
                if "" in (left, right)
                else "the scale of a division of decimals; cast an operand to a float",
                node,
            )
        if dialect == "snowflake" and whole:
            divided: Any = exp.cast(exp.Div(this=node.this.copy(), expression=node.expression.copy()), "DECIMAL(38, 6)")
        elif whole and node.args.get("typed"):
            divided = exp.IntDiv(this=_operand(node.this), expression=_operand(node.expression))
        else:
            divided = node.copy()
            divided.set("typed", False)
        divided = exp.Paren(this=_or_error(divided, node)) if not node.args.get("safe") else divided
        if node is tree:
            return divided
        node.replace(divided)
    return tree


def _remainders(tree: Any, dialect: str) -> Any:
    """Rewrites integer divisions and remainders to fail for zero if they do in the dialect; DuckDB returns NULL."""
    if Dialect.get_or_raise(dialect).SAFE_DIVISION:
        return tree
    for node in reversed(list(tree.find_all(exp.IntDiv, exp.Mod))):
        guarded = exp.Paren(this=_or_error(node.copy(), node))
        if node is tree:
            return guarded
        node.replace(guarded)
    return tree


def _operand(node: Any) -> Any:
    return exp.Paren(this=node.copy()) if isinstance(node, exp.Binary) else node.copy()


def _or_error(divided: Any, node: Any) -> Any:
    divisor = node.expression
    if isinstance(divisor, exp.Literal) and not divisor.is_string and float(divisor.this) != 0:
        return divided
    failed = exp.Anonymous(this="error", expressions=[exp.Literal.string("division by zero")])
    zero = exp.EQ(this=_operand(divisor), expression=exp.Literal.number(0))
    return exp.Case(ifs=[exp.If(this=zero, true=failed)], default=divided)


# --------------------------------------------------------------------------------------------------- dates


def _dated(tree: Any, dialect: str, kinds: OperandTypes) -> Any:
    """Casts dates that are moved by whole days to dates, as in the warehouses: DuckDB converts them to timestamps."""
    for node in reversed(list(tree.find_all(*_DATED))):
        unit = node.args.get("unit")
        name = str(unit.name if unit is not None and unit.name else unit or "DAY").upper().strip("'\"")
        only = dialect in _DATES_ONLY and not isinstance(node, (exp.DateTrunc, exp.TimestampTrunc))
        known = _is_date(node.this) or kinds.of(node)[0] == "date"
        # elsewhere the result of truncating a date is a timestamp, as in DuckDB
        truncated = isinstance(node, exp.TimestampTrunc) and dialect not in {"bigquery", "snowflake"}
        if name in _DAYS and (only or known) and not truncated:
            cast = exp.Cast(this=node.copy(), to=exp.DataType.build("DATE"))
            if node is tree:
                return cast
            node.replace(cast)
    return tree


def _is_date(node: Any) -> bool:
    if isinstance(node, exp.Cast):
        return bool(node.to.is_type("date"))
    return isinstance(node, (exp.CurrentDate, exp.TsOrDsToDate, exp.Date, exp.DateAdd, exp.DateSub))
