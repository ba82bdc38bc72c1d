"""Translates SQL of another warehouse to DuckDB's, exactly, or refuses it by the name of what cannot be translated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlglot
from sqlglot import Dialect, ErrorLevel, exp
from sqlglot.errors import SqlglotError

from starlake_dagster_assets.engine.writing.transpile_rules import doubt
from starlake_dagster_assets.errors import EngineError

__all__ = ["ColumnTypes", "to_duckdb"]

ColumnTypes = Mapping[str, Mapping[str, Mapping[str, str]]]
"""Schema, table and column, in lower case, to DuckDB's type."""

_DAYS = {"DAY", "WEEK", "MONTH", "QUARTER", "YEAR"}
_DATES_ONLY = {"bigquery", "spark", "databricks", "hive"}
_NUMBER = "_sl_number"
_DATED = (exp.DateAdd, exp.DateSub, exp.TsOrDsAdd, exp.DateTrunc, exp.TimestampTrunc)


def to_duckdb(sql: str, dialect: str, types: ColumnTypes | None = None) -> str:
    """Translates SQL to DuckDB's.

    Args:
        sql: One or more statements.
        dialect: sqlglot dialect the SQL is written in; `duckdb` gives it back as it is.
        types: The types of the columns that the SQL may read: what a division means depends on them.

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
        reason = doubt(node, dialect)
        if reason:
            raise EngineError(
                f"cannot be translated from {dialect} to DuckDB with the same meaning: "
                f"{reason}: {_shown(node, dialect)}. Write it in another way, or run it with Starlake's own program"
            )
    typed = list(tree.find_all(exp.Div, *_DATED))
    for number, node in enumerate(typed):
        node.meta[_NUMBER] = number
    kinds = _operand_kinds(tree, dialect, types) if typed else {}
    tree = _dated(_divided(_remainders(tree, dialect), dialect, kinds), dialect, kinds)
    return str(tree.sql(dialect="duckdb", unsupported_level=ErrorLevel.RAISE))


def _shown(node: Any, dialect: str) -> str:
    text = " ".join(str(node.sql(dialect=dialect)).split())
    return text if len(text) <= 80 else f"{text[:80]}…"


# ----------------------------------------------------------------------------------------------- divisions


def _divided(tree: Any, dialect: str, kinds: Mapping[int, tuple[str, str]]) -> Any:
    """Gives each division the meaning that it has in its dialect: of integers, by zero."""
    for node in reversed(list(tree.find_all(exp.Div))):
        left, right = kinds.get(node.meta[_NUMBER], ("", ""))
        whole = left == right == "integer"
        if not whole and "" in (left, right) and (node.args.get("typed") or dialect == "snowflake"):
            raise EngineError(
                f"cannot be translated from {dialect} to DuckDB with the same meaning: the operands of a division, "
                f"whose types are not known: {_shown(node, dialect)}. Cast one of them"
            )
        if dialect == "snowflake" and "float" not in (left, right):
            if not whole:
                raise EngineError(
                    f"cannot be translated from {dialect} to DuckDB with the same meaning: the scale of a division of "
                    f"decimals: {_shown(node, dialect)}. Cast an operand to FLOAT"
                )
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
    """Makes whole divisions and remainders by zero fail where they do in the dialect; DuckDB returns NULL."""
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


def _operand_kinds(tree: Any, dialect: str, types: ColumnTypes) -> dict[int, tuple[str, str]]:
    """`integer`, `float`, `decimal`, `date` or "" for both operands of each division, and of what moves a date."""
    from sqlglot.optimizer.annotate_types import annotate_types
    from sqlglot.optimizer.qualify import qualify
    from sqlglot.schema import MappingSchema

    keep = f"{dialect}, normalization_strategy=case_insensitive"
    try:
        schema = MappingSchema({}, dialect=keep, normalize=False)
        for domain, tables in types.items():
            for table, columns in tables.items():
                kinds = {name: exp.DataType.build(kind, dialect="duckdb") for name, kind in columns.items()}
                schema.add_table(exp.table_(table, db=domain), kinds, dialect=keep, normalize=False, match_depth=False)
        bound: Any = qualify(
            tree.copy(),
            dialect=keep,
            schema=schema,
            validate_qualify_columns=False,
            allow_partial_qualification=True,
            identify=False,
            quote_identifiers=False,
        )
        bound = annotate_types(bound, schema=schema, dialect=keep)
    except Exception:  # whatever sqlglot raises: the types are then not known
        bound = annotate_types(tree.copy(), dialect=dialect)
    return {
        node.meta[_NUMBER]: (_kind(node.this), _kind(node.expression))
        for node in bound.find_all(exp.Div, *_DATED)
        if _NUMBER in node.meta
    }


def _kind(node: Any) -> str:
    while isinstance(node, (exp.Paren, exp.Neg)):
        node = node.this
    if isinstance(node, exp.Literal) and not node.is_string:
        return "integer" if str(node.this).isdigit() else "decimal"
    kind = getattr(node, "type", None)
    if kind is None:
        return ""
    if kind.is_type(*exp.DataType.INTEGER_TYPES):
        return "integer"
    if kind.is_type("float", "double"):
        return "float"
    return next((name for name in ("decimal", "date") if kind.is_type(name)), "")


# --------------------------------------------------------------------------------------------------- dates


def _dated(tree: Any, dialect: str, kinds: Mapping[int, tuple[str, str]]) -> Any:
    """Dates moved by whole days stay dates, as in the warehouses: DuckDB makes timestamps of them."""
    for node in reversed(list(tree.find_all(*_DATED))):
        unit = node.args.get("unit")
        name = str(unit.name if unit is not None and unit.name else unit or "DAY").upper().strip("'\"")
        only = dialect in _DATES_ONLY and not isinstance(node, (exp.DateTrunc, exp.TimestampTrunc))
        known = _is_date(node.this) or kinds.get(node.meta.get(_NUMBER, -1), ("", ""))[0] == "date"
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
