"""Compares texts of test files with the typed values that they were converted to, without any tolerance."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Context, Decimal, DecimalException
from typing import Any, cast

__all__ = ["Number", "canonical_json", "is_exact", "is_nested_or_union", "json_text", "nested_text", "parse_json"]

_NUMBERS = ("DECIMAL", "FLOAT", "DOUBLE", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_UNSIGNED = tuple(f"U{name}" for name in _NUMBERS[3:])
_NESTED = ("STRUCT", "MAP", "UNION")
_EXACT = Context(prec=2000)
_FRACTION = re.compile(r"\.(\d+)")
_MIDNIGHT = re.compile(r"\s*[^\sT]+[^1-9]*")
_CLOCK = re.compile(r"\s*\d{1,2}:")


class Number(str):
    """Number of a JSON document, as its original text."""

    __slots__ = ()


def parse_json(text: str) -> Any:
    """Returns the value of a JSON document, with each number as a `Number`."""
    return json.loads(text, parse_float=Number, parse_int=Number, parse_constant=Number)


def json_text(value: Any, *, quoted_numbers: bool = False) -> str:
    """Returns the JSON document of a value of `parse_json`.

    Args:
        value: The value.
        quoted_numbers: Whether numbers are written as strings: DuckDB rounds numbers of JSON documents to doubles.
    """
    if isinstance(value, Number) and not quoted_numbers:
        return str(value)
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value).items()
        return (
            f"{{{','.join(f'{_quoted(key)}:{json_text(item, quoted_numbers=quoted_numbers)}' for key, item in items)}}}"
        )
    if isinstance(value, list):
        return f"[{','.join(json_text(item, quoted_numbers=quoted_numbers) for item in cast('list[Any]', value))}]"
    return _quoted(value)


def nested_text(text: str) -> str:
    """Returns the text of a list, struct or map for DuckDB, which keeps the digits of numbers written as strings."""
    try:
        return json_text(parse_json(text), quoted_numbers=True)
    except ValueError:
        return text


def canonical_json(text: str) -> str:
    """Returns a JSON document without white space, with each number in one form."""
    return json_text(_normalized(parse_json(text)))


def is_nested_or_union(kind: str) -> bool:
    """Whether a DuckDB type is a list, a struct, a map or a union."""
    return kind.startswith(_NESTED) or kind.endswith("]")


def is_exact(text: str, kind: str, printed: str, value: Any) -> bool:
    """Whether DuckDB converted a text without any loss.

    Args:
        text: The text.
        kind: The DuckDB type.
        printed: The typed value as DuckDB prints it.
        value: The typed value in Python, which is only used for lists, structs and maps.
    """
    if text == printed:
        return True
    if is_nested_or_union(kind):
        try:
            return _same(parse_json(text), value)
        except ValueError:
            return False
    if kind.startswith((*_NUMBERS, *_UNSIGNED)):
        return _same_number(text, printed)
    if kind.startswith("TIMESTAMP"):
        return _fraction(text) == _fraction(printed)
    if kind.startswith("TIME"):
        return _CLOCK.match(text) is not None and _fraction(text) == _fraction(printed)
    return kind != "DATE" or _MIDNIGHT.fullmatch(text) is not None


def _same(expected: Any, value: Any) -> bool:
    """Whether a value of `parse_json` equals a typed value."""
    if expected is None or value is None:
        return expected is value
    if isinstance(value, dict) and isinstance(expected, dict):
        return _same_fields(cast("dict[str, Any]", expected), cast("dict[Any, Any]", value))
    if isinstance(value, (list, tuple)) and isinstance(expected, list):
        found, wanted = cast("Sequence[Any]", value), cast("list[Any]", expected)
        return len(found) == len(wanted) and all(map(_same, wanted, found))
    if isinstance(value, str):
        return _same_text(expected, value)
    if isinstance(expected, (dict, list)):
        return False
    return _same_scalar(str(expected), value)


def _same_fields(expected: Mapping[str, Any], value: Mapping[Any, Any]) -> bool:
    wanted = {key.lower(): item for key, item in expected.items() if item is not None}
    found = {str(key).lower(): item for key, item in value.items() if item is not None}
    return wanted.keys() == found.keys() and all(_same(item, found[key]) for key, item in wanted.items())


def _same_text(expected: Any, value: str) -> bool:
    if isinstance(expected, str) and expected == value:
        return True
    try:
        return canonical_json(json_text(expected)) == canonical_json(value)  # a column of type JSON
    except ValueError:
        return False


def _same_scalar(text: str, value: Any) -> bool:
    if isinstance(value, bool):
        return True  # DuckDB converts only texts that name one of the two
    if isinstance(value, (int, float, Decimal)):
        return _same_number(text, repr(value) if isinstance(value, float) else str(value))
    kinds = ((datetime, "TIMESTAMP"), (date, "DATE"), (time, "TIME"))  # a datetime is also a date
    kind = next((name for base, name in kinds if isinstance(value, base)), "")
    return is_exact(text, kind, str(value), None)


def _same_number(text: str, printed: str) -> bool:
    try:
        left, right = Decimal(text.strip()), Decimal(printed)
    except DecimalException:
        return False
    return left == right or (left.is_nan() and right.is_nan())


def _fraction(text: str) -> str:
    found = _FRACTION.search(text)
    return found.group(1).rstrip("0") if found else ""


def _normalized(value: Any) -> Any:
    if isinstance(value, Number):
        try:
            return Number(Decimal(value).normalize(_EXACT))
        except DecimalException:
            return value
    if isinstance(value, dict):
        return {key: _normalized(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_normalized(item) for item in cast("list[Any]", value)]
    return value


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
