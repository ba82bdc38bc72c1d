"""Functions and forms of SQL that mean the same in DuckDB once sqlglot has translated them; all others are rejected.

`tests/engine/writing/test_transpile.py` runs the translation of each and compares it with the documented result.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from sqlglot import exp

__all__ = ["untranslatable"]

_EVERYWHERE = frozenset(
    {
        "Abs",
        "And",
        "Or",
        "Xor",
        "Case",
        "If",
        "Cast",
        "TryCast",
        "Avg",
        "Coalesce",
        "Nullif",
        "Exists",
        "Ceil",
        "Floor",
        "Sign",
        "Sqrt",
        "Pow",
        "Exp",
        "Ln",
        "Round",
        "Count",
        "CountIf",
        "Sum",
        "Min",
        "Max",
        "Any",
        "All",
        "RowNumber",
        "Rank",
        "DenseRank",
        "PercentRank",
        "CumeDist",
        "Ntile",
        "Lag",
        "Lead",
        "FirstValue",
        "LastValue",
        "NthValue",
        "Upper",
        "Lower",
        "Replace",
        "Greatest",
        "Least",
        "Concat",
        "DPipe",
        "StartsWith",
        "SafeDivide",
        "CurrentDate",
        "CurrentTimestamp",
        "Date",
        "TimeStrToTime",
        "Year",
        "Month",
        "Day",
        "Quarter",
        "Hour",
        "Minute",
        "DayOfMonth",
        "DayOfYear",
        "DateFromParts",
        "DateAdd",
        "DateSub",
        "TsOrDsAdd",
        "TimestampAdd",
        "TimestampSub",
        "Unnest",
        "Array",
        "Between",
    }
)
_UNITS = frozenset({"YEAR", "QUARTER", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND"})
_PARTS = frozenset({"YEAR", "QUARTER", "MONTH", "DAY", "HOUR", "MINUTE", "DOY", "DAYOFYEAR"})
_MONDAYS = frozenset({"postgres", "redshift", "spark", "spark2", "databricks", "hive", "trino", "presto", "athena"})
_FORMAT = re.compile(r"%[YmdHMSyj](?:strict)?")
_SIMPLE = re.compile(r"[\w ^$.*+?()|-]*")
"""Regular expressions that mean the same in each warehouse."""
_LETTER = re.compile(r"[A-Za-z%]")


def untranslatable(node: Any, dialect: str) -> str:
    """Returns the description of a node that has no proven translation; "" if the node means the same in DuckDB.

    Args:
        node: A node of the tree that sqlglot parsed.
        dialect: The dialect that it was parsed in.
    """
    name = type(node).__name__
    if isinstance(node, exp.Command):
        return f"the statement {str(node.this).upper()}"
    rule = _RULES.get(name)
    if rule is not None:
        return rule(node, dialect)
    if isinstance(node, exp.Func) and name not in _EVERYWHERE:
        called = str(node.this) if isinstance(node, exp.Anonymous) else node.sql_name()
        return f"the function {called.upper()}"
    return ""


def _unit(node: Any) -> str:
    unit = node.args.get("unit")
    return str(unit.name if unit is not None and unit.name else unit or "DAY").upper().strip("'\"")


def _units(node: Any, dialect: str) -> str:
    unit = node.args.get("unit")
    if isinstance(unit, exp.WeekStart) or _unit(node) in {"WEEK", "WEEKSTART"}:
        return "" if dialect in _MONDAYS and not isinstance(unit, exp.WeekStart) else "the first day of a WEEK"
    return "" if _unit(node) in _UNITS else f"the unit {_unit(node)}"


def _timestamp_diff(node: Any, dialect: str) -> str:
    return "TIMESTAMP_DIFF, which counts whole units"


def _extract(node: Any, dialect: str) -> str:
    part = node.this.name.upper() if node.this is not None else ""
    if part == "SECOND" and dialect in {"bigquery", "snowflake"}:
        return ""
    return "" if part in _PARTS else f"EXTRACT({part})"


def _substring(node: Any, dialect: str) -> str:
    start = node.args.get("start")
    positive = isinstance(start, exp.Literal) and not start.is_string and int(start.this) > 0
    return "" if positive else "SUBSTRING, whose start is not a positive number"


def _ends(node: Any, dialect: str) -> str:
    count = node.expression
    fits = isinstance(count, exp.Literal) and not count.is_string
    return "" if fits else "LEFT or RIGHT of a length that is not a positive number"


def _trim(node: Any, dialect: str) -> str:
    if dialect == "bigquery" and node.expression is None:
        return "TRIM without characters, which also removes tabs and line breaks"
    return ""


def _length(node: Any, dialect: str) -> str:
    return f"the function LENGTH of {dialect}" if dialect in {"tsql", "fabric", "mysql", "doris", "starrocks"} else ""


def _format(node: Any, dialect: str) -> str:
    pattern = node.args.get("format")
    if not isinstance(pattern, exp.Literal) or not pattern.is_string:
        return "a date format that is not a text"
    left = _FORMAT.sub("", pattern.name)
    return f"the date format {node.args['format'].name!r}" if _LETTER.search(left) else ""


def _optional_format(node: Any, dialect: str) -> str:
    return "" if node.args.get("format") is None else _format(node, dialect)


def _unnest(node: Any, dialect: str) -> str:
    return "UNNEST WITH OFFSET, which begins at 0" if node.args.get("offset") else ""


_FAILING_INDEX = frozenset({"athena", "bigquery", "presto", "trino"})


def _bracket(node: Any, dialect: str) -> str:
    if dialect in _FAILING_INDEX and not node.args.get("safe"):
        return "an index that fails outside of the array, which is NULL in DuckDB; write SAFE_OFFSET, or element_at"
    plain = all(isinstance(item, exp.Literal) for item in node.expressions)
    return "" if plain else "an index that is not a number"


def _unsupported(what: str) -> Callable[[Any, str], str]:
    return lambda node, dialect: what


def _concat(node: Any, dialect: str) -> str:
    return "'' || NULL, which is '' in Oracle" if dialect == "oracle" else ""


def _regular(node: Any, dialect: str) -> str:
    pattern = node.expression
    if isinstance(pattern, exp.Literal) and _SIMPLE.fullmatch(pattern.name):
        return ""
    return "" if dialect == "bigquery" else f"regular expressions of {dialect}"


def _plus(node: Any, dialect: str) -> str:
    texts = any(isinstance(item, exp.Literal) and item.is_string for item in (node.this, node.expression))
    return "+ of texts" if texts and dialect in {"tsql", "fabric"} else ""


_RULES: Mapping[str, Callable[[Any, str], str]] = {
    "Add": _plus,
    "Bracket": _bracket,
    "Concat": _concat,
    "DPipe": _concat,
    "DateDiff": _units,
    "DateTrunc": _units,
    "TimestampTrunc": _units,
    "Extract": _extract,
    "JSONExtract": _unsupported("paths of JSON"),
    "JSONExtractScalar": _unsupported("paths of JSON"),
    "Lateral": _unsupported("LATERAL"),
    "Left": _ends,
    "Length": _length,
    "Pivot": _unsupported("PIVOT"),
    "RegexpLike": _regular,
    "Right": _ends,
    "StrToDate": _format,
    "StrToTime": _format,
    "Substring": _substring,
    "TableSample": _unsupported("TABLESAMPLE"),
    "TimeToStr": _format,
    "TimestampDiff": _timestamp_diff,
    "Trim": _trim,
    "TsOrDsToDate": _optional_format,
    "TsOrDsToTimestamp": _optional_format,
    "Unnest": _unnest,
    "WeekStart": _unsupported("the first day of a WEEK"),
}
