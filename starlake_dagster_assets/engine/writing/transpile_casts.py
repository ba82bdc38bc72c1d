"""Casts and other forms that depend on the types of their operands: rewritten exactly, or rejected."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from sqlglot import exp

from starlake_dagster_assets.engine.writing.transpile_kinds import FLOAT_LITERALS, OperandTypes

__all__ = ["InexactTranslationError", "convert_casts", "convert_literals"]

_SPARK = frozenset({"spark", "spark2", "databricks", "hive"})
_TRINO = frozenset({"trino", "presto", "athena"})
_TSQL = frozenset({"tsql", "fabric"})
_ANY_CASE = frozenset({"tsql", "fabric", "mysql"})
_DECIMAL_EXPONENTS = frozenset({"postgres", "redshift", "snowflake"})
_WHOLE = re.compile(r"[-+]?[0-9]+")
_KNOWN = {"integer", "text", "null"}


class InexactTranslationError(Exception):
    """Error of an expression that has no translation with the same meaning; the text names it.

    Args:
        text: The form, and what to write instead.
        node: The node of the tree that has this form.
    """

    def __init__(self, text: str, node: Any = None) -> None:
        super().__init__(text)
        self.node = node


def convert_literals(tree: Any, dialect: str) -> Any:
    """Gives numbers with a fraction or an exponent the type that they have in the dialect.

    Raises:
        InexactTranslationError: A number has a type that DuckDB does not give it.
    """
    for node in list(tree.find_all(exp.Literal)):
        text = str(node.this).lower()
        if node.is_string or not ("." in text or "e" in text) or isinstance(node.parent, (exp.Cast, exp.Interval)):
            continue
        if dialect in FLOAT_LITERALS:
            node.replace(exp.cast(node.copy(), "DOUBLE"))
        elif "e" in text and dialect in _DECIMAL_EXPONENTS:
            raise InexactTranslationError(
                f"the number {text}, which is a decimal there; write it without an exponent", node
            )
    return tree


def convert_casts(tree: Any, dialect: str, kinds: OperandTypes) -> Any:
    """Rewrites the forms of a statement that depend on the types of their operands.

    Raises:
        InexactTranslationError: A form cannot be translated.
    """
    for node in reversed(list(tree.find_all(*_RULES))):
        rule = next(found for kind, found in _RULES.items() if isinstance(node, kind))
        try:
            converted = rule(node, dialect, kinds.of(node))
        except InexactTranslationError as doubt:
            doubt.node = doubt.node or node
            raise
        if converted is None:
            continue
        if node is tree:
            return converted
        node.replace(converted)
    return tree


# ------------------------------------------------------------------------------------------------ casts


def _cast(node: Any, dialect: str, kinds: tuple[str, ...]) -> Any:
    to, kind = node.args["to"], kinds[0]
    for types, rule in _TARGETS:
        if to.is_type(*types):
            return rule(node, dialect, kind)
    return None


def _to_integer(node: Any, dialect: str, kind: str) -> Any:
    if kind == "text":
        return _text_to_integer(node, dialect)
    if kind in {"integer", "boolean", "null"}:
        return _loud(node, node.this) if dialect in _SPARK and kind == "integer" else None
    way = next((ways.get(kind) for names, ways in _ROUNDING.items() if dialect in names), None)
    if way is None:
        what = f"a {kind}" if kind else "a value whose type is not known"
        raise InexactTranslationError(
            f"a CAST of {what} to an integer, which DuckDB may round in another way; truncate or round it first"
        )
    if way == "trunc":
        return _loud(node, exp.Anonymous(this="trunc", expressions=[node.this.copy()]))
    if way == "round":
        copy = node.copy()
        copy.set("this", exp.Round(this=node.this.copy()))
        return copy
    return None


def _loud(node: Any, value: Any) -> Any:
    """Returns a cast that fails if the value is too large; the warehouse would store another number."""
    return exp.Cast(this=value.copy(), to=node.args["to"].copy())


_ROUNDING: Mapping[frozenset[str], Mapping[str, str]] = {
    _SPARK | _TSQL: {"float": "trunc", "decimal": "trunc"},
    frozenset({"postgres"}): {"float": "cast", "decimal": "cast"},
    frozenset({"bigquery", "snowflake"}) | _TRINO: {"float": "round", "decimal": "cast"},
}
"""Rewrites of casts from fractions to integers: DuckDB's `cast` rounds floats half to even, and decimals half up."""


def _text_to_integer(node: Any, dialect: str) -> Any:
    inner, tried = node.this, bool(node.args.get("safe")) if dialect in _SPARK else isinstance(node, exp.TryCast)
    if isinstance(inner, exp.Literal):
        if _WHOLE.fullmatch(str(inner.this)):
            return None
        if tried and dialect == "bigquery" and not re.search(r"\s|0[xX]", str(inner.this)):
            return exp.Null()
    elif dialect in {"postgres", "bigquery"} | _TRINO:
        # DuckDB also reads fractions and exponents, and rounds them
        whole = exp.Anonymous(this="regexp_full_match", expressions=[inner.copy(), exp.Literal.string("[-+]?[0-9]+")])
        wrong: Any = _error("a text that is cast to an integer is not a whole number")
        if tried:
            doubtful = exp.Literal.string(r"\s.*|.*\s|[-+]?0[xX].*")
            matched = exp.Anonymous(this="regexp_full_match", expressions=[inner.copy(), doubtful])
            wrong = exp.Case(ifs=[exp.If(this=matched, true=wrong)])
        nothing = exp.Is(this=inner.copy(), expression=exp.Null())
        test = exp.Or(this=nothing, expression=whole)
        return exp.Paren(this=exp.Case(ifs=[exp.If(this=test, true=node.copy())], default=wrong))
    raise InexactTranslationError("a CAST of a text to an integer, which DuckDB rounds where the text has a fraction")


def _to_text(node: Any, dialect: str, kind: str) -> None:
    _check_printed(dialect, kind, "a CAST")


def _check_printed(dialect: str, kind: str, form: str) -> None:
    """Raises an error for a value that DuckDB may print in another way than the warehouse."""
    if kind in _KNOWN or (kind in _PRINTED and dialect in _PRINTED[kind]):
        return
    what = f"a {kind}" if kind else "a value whose type is not known"
    raise InexactTranslationError(f"{form} of {what} to a text, which DuckDB may print in another way")


_PRINTED: Mapping[str, frozenset[str]] = {
    "boolean": _SPARK | _TRINO | {"bigquery", "snowflake", "postgres", "redshift"},
    "date": _SPARK | _TRINO | {"bigquery", "snowflake", "postgres", "redshift"},
    "decimal": _SPARK | _TRINO | _TSQL | {"snowflake", "postgres", "redshift"},
    "timestamp": _SPARK | {"postgres", "redshift"},
    "timestamptz": frozenset({"postgres"}),
}


def _to_decimal(node: Any, dialect: str, kind: str) -> Any:
    if kind not in {"float", ""}:
        return None
    if kind and dialect in _SPARK:
        copy = node.copy()
        copy.set("this", exp.cast(node.this.copy(), "TEXT"))
        return copy
    what = f"a {kind}" if kind else "a value whose type is not known"
    raise InexactTranslationError(f"a CAST of {what} to a DECIMAL, which DuckDB may round in another way")


def _to_boolean(node: Any, dialect: str, kind: str) -> None:
    inner = node.this
    if kind == "" or (kind == "text" and str(getattr(inner, "this", "")).lower() not in {"true", "false"}):
        raise InexactTranslationError(
            "a CAST of a text to a BOOLEAN, which accepts other texts in DuckDB; compare the text"
        )


_TARGETS: tuple[tuple[Any, Callable[[Any, str, str], Any]], ...] = (
    (tuple(exp.DataType.INTEGER_TYPES), _to_integer),
    (tuple(exp.DataType.TEXT_TYPES), _to_text),
    (("decimal",), _to_decimal),
    (("boolean",), _to_boolean),
)


# ------------------------------------------------------------------------------------------ other forms


def _concat(node: Any, dialect: str, kinds: tuple[str, ...]) -> None:
    for kind in kinds:
        _check_printed(dialect, kind, "a concatenation")


def _round(node: Any, dialect: str, kinds: tuple[str, ...]) -> Any:
    digits = node.args.get("decimals")
    if dialect == "postgres" and kinds[0] in {"float", ""}:
        raise InexactTranslationError("ROUND of a value that is not a decimal, which rounds half to even there")
    if digits is None or dialect not in _SPARK or kinds[0] not in {"float", ""}:
        return None
    if not kinds[0] or not isinstance(digits, exp.Literal) or not str(digits.this).isdigit():
        raise InexactTranslationError("ROUND of a value whose type is not known, or to digits that are not a number")
    rounded = exp.cast(exp.cast(node.this.copy(), "TEXT"), f"DECIMAL(38, {digits.this})")
    return exp.cast(rounded, "DOUBLE")


def _average(node: Any, dialect: str, kinds: tuple[str, ...]) -> None:
    exact = {"float", "integer"} if dialect in _SPARK | _TRINO | {"bigquery"} else {"float"}
    if kinds[0] not in exact:
        raise InexactTranslationError("the scale of AVG")


def _difference(node: Any, dialect: str, kinds: tuple[str, ...]) -> None:
    if dialect in _SPARK and node.args.get("unit") is not None:
        raise InexactTranslationError(
            "DATEDIFF with a unit, which counts whole units there; write datediff(end, start) for days"
        )
    unit = node.args.get("unit")
    days = unit is None or str(unit.name or unit).upper() == "DAY"
    if dialect in _TRINO and not (days and kinds == ("date", "date")):
        raise InexactTranslationError(
            "DATE_DIFF of other units than days or of other values than dates, which counts whole units there"
        )


def _subtraction(node: Any, dialect: str, kinds: tuple[str, ...]) -> None:
    if kinds == ("date", "date") and dialect not in {"postgres", "redshift", "snowflake"}:
        raise InexactTranslationError("the subtraction of two dates; write DATEDIFF or DATE_DIFF")


def _comparison(node: Any, dialect: str, kinds: tuple[str, ...]) -> None:
    compared = [node.this, node.args.get("expression"), *(node.args.get("expressions") or ())]
    if dialect in _ANY_CASE and any(isinstance(item, exp.Literal) and item.is_string for item in compared):
        raise InexactTranslationError("a comparison with a text, which ignores case there")


def _parsed(node: Any, dialect: str, kinds: tuple[str, ...]) -> Any:
    """Rewrites the parsing of a date to fail for a text that DuckDB parses without an exact match of the format."""
    pattern = node.args.get("format")
    if pattern is None:
        return None
    if "%Y" not in pattern.name:
        raise InexactTranslationError(f"the date format {pattern.name!r} without a year of four digits")
    if dialect == "bigquery":
        return None
    moment = exp.Cast(this=node.copy(), to=exp.DataType.build("TIMESTAMP"))
    form = exp.Literal.string(pattern.name.replace("strict", ""))
    printed = exp.Anonymous(this="strftime", expressions=[moment, form])
    other = exp.NEQ(this=printed, expression=exp.cast(node.this.copy(), "TEXT"))
    failed = _error("a text that is read as a date is not exactly of its format")
    return exp.Paren(this=exp.Case(ifs=[exp.If(this=other, true=failed)], default=node.copy()))


def _error(text: str) -> Any:
    return exp.Anonymous(this="error", expressions=[exp.Literal.string(text)])


_RULES: Mapping[Any, Callable[[Any, str, tuple[str, ...]], Any]] = {
    exp.Cast: _cast,
    exp.Concat: _concat,
    exp.DPipe: _concat,
    exp.Round: _round,
    exp.Avg: _average,
    exp.DateDiff: _difference,
    exp.Sub: _subtraction,
    exp.EQ: _comparison,
    exp.NEQ: _comparison,
    exp.In: _comparison,
    exp.Like: _comparison,
    exp.StrToDate: _parsed,
    exp.StrToTime: _parsed,
    exp.TsOrDsToDate: _parsed,
}
