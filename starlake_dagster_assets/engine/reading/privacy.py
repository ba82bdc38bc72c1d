"""Privacy keys (`attributes[].privacy`) as SQL over a text."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping

import duckdb

from starlake_dagster_assets.engine.error_text import error_text
from starlake_dagster_assets.engine.quoting import literal
from starlake_dagster_assets.engine.reading.type_patterns import python_function
from starlake_dagster_assets.errors import EngineError, closest_match
from starlake_dagster_assets.project.model.project import Attribute, Table

__all__ = ["BAD_VALUES", "apply_privacy", "has_privacy", "is_private", "is_sql", "shown_error", "sql_of"]

BAD_VALUES = (
    duckdb.ConversionException,
    duckdb.InvalidInputException,
    duckdb.OutOfRangeException,
)
"""Errors of DuckDB whose message quotes a value."""

_COLUMN = re.compile(r"when casting from source column (\w+)")

PACKAGED: dict[str, str] = {
    "none": "No",
    "hide": 'Hide("", 0)',
    "hide10x": 'Hide("X", 10)',
    "approxlong20": "ApproxLong(20)",
    "md5": "Md5",
    "sha1": "Sha1",
    "sha256": "Sha256",
    "sha512": "Sha512",
    "initials": "Initials",
}
_CALL = re.compile(r"^\s*(?:[\w.]*\.)?(\w+)\s*(?:\((.*)\))?\s*$", re.DOTALL)
_SQL = re.compile(r"^\s*SQL\s*:", re.IGNORECASE)


def is_sql(privacy: str) -> bool:
    """Whether a privacy key is `SQL: <expression>`."""
    return _SQL.match(privacy) is not None


def is_private(attribute: Attribute) -> bool:
    """Whether the values of an attribute, or of one within it, must not be shown."""
    return attribute.privacy.strip().lower() not in {"", "none"} or any(map(is_private, attribute.attributes))


def has_privacy(table: Table) -> bool:
    """Whether a table has an attribute whose values must not be shown."""
    return any(map(is_private, table.attributes))


def shown_error(error: Exception, table: Table) -> str:
    """Returns an error message; drops file contents quoted by DuckDB if the table has private attributes."""
    if not isinstance(error, (duckdb.Error, UnicodeDecodeError)) or not has_privacy(table):
        return error_text(error)
    column = _COLUMN.search(str(error))
    of = f" of a value of {column.group(1)}" if column else ""
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__.removesuffix("Exception").removesuffix("Error"))
    return f"{kind} error{of}; DuckDB's text is not shown because attributes of the table have privacy"


def sql_of(text: str) -> str:
    """Returns the expression of `SQL: <expression>`; the prefix may be missing (`attributes[].script`)."""
    return _SQL.sub("", text, count=1).strip()


def apply_privacy(
    con: duckdb.DuckDBPyConnection, text: str, privacy: str, options: Mapping[str, str], where: str
) -> str | None:
    """Returns SQL that applies a privacy key to a text.

    Args:
        con: The connection; sha512 is registered on it.
        text: SQL of the text.
        privacy: The key, in any case, except `SQL:` keys.
        options: `application.privacy.options`: further keys, as names of Starlake's own classes with parameters.
        where: The attribute, for messages.

    Returns:
        SQL of the new text, or None if the key changes nothing.

    Raises:
        EngineError: When the key, or the class that it stands for, is unknown.
    """
    known = {**PACKAGED, **{key.lower(): value for key, value in options.items()}}
    key = privacy.strip().lower() or "none"
    if key not in known:
        close = closest_match(key, known)
        hint = f" Did you mean '{close}'?" if close else ""
        raise EngineError(f"{where}: unknown privacy '{privacy}'.{hint} Expected SQL: … or one of {', '.join(known)}")
    call = _CALL.match(known[key])
    name = call.group(1).lower() if call else ""
    arguments = [part.strip().strip("\"'") for part in (call.group(2) or "").split(",")] if call else []
    build = _ENGINES.get(name)
    if build is None:
        raise EngineError(
            f"{where}: privacy '{privacy}' stands for '{known[key]}', which the embedded engine cannot run; "
            "write it as 'SQL: <expression>'"
        )
    if name == "sha512":
        python_function(con, "sl_sha512", _sha512, "VARCHAR", f"{where}: privacy '{privacy}'")
    return build(text, [part for part in arguments if part or name == "hide"])


def _sha512(text: str) -> str:
    return hashlib.sha512(text.encode("utf-8", "surrogatepass")).hexdigest()


def _hide(text: str, arguments: list[str]) -> str:
    char, count = [*arguments, "", "0"][:2] if arguments else ("", "0")
    shown = literal(char * (int(count) if count.isdigit() else 1))
    return f"CASE WHEN {text} IS NOT NULL THEN {shown} END"


def _approx(text: str, arguments: list[str]) -> str:
    percent = int(arguments[0]) if arguments and arguments[0].isdigit() else 100
    number = f"TRY_CAST({text} AS DOUBLE)"
    return f"CAST(CAST(round({number} * (1 + (random() * 2 - 1) * {percent} / 100.0)) AS BIGINT) AS VARCHAR)"


def _initials(text: str, arguments: list[str]) -> str:
    words = f"list_filter(regexp_split_to_array({text}, '\\s+'), lambda w: w <> '')"
    return f"array_to_string(list_transform({words}, lambda w: w[1] || '.'), '')"


def _email(text: str, arguments: list[str]) -> str:
    hashed = (
        {"SHA1": "sha1", "SHA256": "sha256"}.get(arguments[0].upper().replace("-", ""), "md5") if arguments else "md5"
    )
    return f"{hashed}(split_part({text}, '@', 1)) || '@' || split_part({text}, '@', 2)"


def _address(separator: str) -> Callable[[str, list[str]], str]:
    def mask(text: str, arguments: list[str]) -> str:
        count = int(arguments[0]) if arguments and arguments[0].isdigit() else 1
        parts, zeros = f"string_split({text}, '{separator}')", ", ".join(["'0'"] * count)
        return f"array_to_string(list_concat({parts}[:len({parts}) - {count}], [{zeros}]), '{separator}')"

    return mask


def _mask(text: str, arguments: list[str]) -> str:
    char, count, left, right = arguments if len(arguments) == 4 else ["X", "8", "1", "1"]
    fill = literal(char * int(count))
    kept = f"left({text}, {int(left)}) || {fill} || right({text}, {int(right)})"
    return f"CASE WHEN length({text}) <= {int(left)} THEN {text} || {fill} ELSE {kept} END"


_ENGINES: Mapping[str, Callable[[str, list[str]], str | None]] = {
    "no": lambda text, arguments: None,
    "hide": _hide,
    "md5": lambda text, arguments: f"md5({text})",
    "sha1": lambda text, arguments: f"sha1({text})",
    "sha256": lambda text, arguments: f"sha256({text})",
    "sha512": lambda text, arguments: f"sl_sha512({text})",
    "initials": _initials,
    "approxlong": _approx,
    "email": _email,
    "ipv4": _address("."),
    "ipv6": _address(":"),
    "mask": _mask,
}
