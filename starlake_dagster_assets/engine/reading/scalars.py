"""Scalar values: converts a text to a typed value, or to the reason of its rejection.

The error texts are those of the starlake program: ``(int) doesn't match pattern `…` `` and
``cannot be converted to `long` with sl type `int` ``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from starlake_dagster_assets.engine.quoting import literal
from starlake_dagster_assets.engine.reading.column_types import scalar_ddl
from starlake_dagster_assets.engine.reading.java_dates import DatePattern, date_patterns
from starlake_dagster_assets.engine.reading.trimming import trim_both
from starlake_dagster_assets.engine.reading.type_patterns import Patterns
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model.project import TypeDef

__all__ = ["Scalar", "scalar"]

_TRUE_FALSE = "<-TF->"
_LOCALE = re.compile(r"^([a-zA-Z]{2})(?:[_-][A-Za-z]{2})?$")
_INTEGERS = {"long", "int", "short", "byte"}
_DECIMAL_COMMA = {"cs", "da", "de", "es", "fi", "fr", "it", "nb", "nl", "no", "pl", "pt", "ru", "sv", "tr"}

_INTEGER_DDL = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"}
_FLOAT_DDL = {"DOUBLE", "FLOAT", "REAL"}
_PLAIN_NUMBER = r"[-+]?\d*\.?\d+[Ee]?[-+]?\d*"
_PLAIN_INTEGER = {r"[-\|\+\|0-9][0-9]*", r"[-|\+|0-9][0-9]*", r"-?\d+", r"[-+]?\d+"}
_QUICK_MOMENTS = {"yyyy-MM-dd HH:mm:ss": " ", "yyyy-MM-dd'T'HH:mm:ss": "T"}
_PLAIN_BOOLEAN = r"(?i)true|yes|[y1]|t<-TF->(?i)false|no|[n0]|f"


@dataclass(frozen=True)
class Scalar:
    """Parser of the texts of one type.

    Attributes:
        definition: The type.
        ddl: DuckDB type of the value.
        matches: SQL of a text → boolean SQL: the text matches the type's pattern.
        value: SQL of a text → SQL of the typed value, NULL if it cannot be converted.
        checked: Whether `value` can be NULL for a text that matches.
        finite: Whether infinity is an overflow, which is rejected.
        likely: SQL of a text and of its value → SQL that holds for most accepted texts and for no other, at less cost
            than the pattern.
        cast: SQL of a text → SQL that `value` repeats, and that should be computed once.
        exact: SQL of a JSON value as written in its document, and of its cast → SQL that is true only for a number that
            is accepted, with the cast as its value.
    """

    definition: TypeDef
    ddl: str
    matches: Callable[[str], str]
    value: Callable[[str], str]
    checked: bool = True
    finite: bool = False
    likely: Callable[[str, str], str] | None = None
    cast: Callable[[str], str] | None = None
    exact: Callable[[str, str], str] | None = None

    def accepted(self, text: str, value: str) -> str:
        """Returns SQL that holds for an accepted text; the cheapest test, which most texts pass, comes first.

        Args:
            text: SQL of the text.
            value: SQL of the typed value, computed before.
        """
        if self.definition.primitive_type in {"date", "timestamp", "boolean"}:
            return f"({text} IS NULL OR {value} IS NOT NULL)"
        matches = self.matches(text)
        valid = f"isfinite({value})" if self.finite else f"{value} IS NOT NULL"
        if matches != "true" and self.checked:
            matches = f"({valid} AND {matches})"
        elif self.checked:
            matches = valid
        likely = f"{self.likely(text, value)} OR " if self.likely is not None else ""
        return "true" if matches == "true" else f"({likely}{text} IS NULL OR {matches})"

    @property
    def is_text(self) -> bool:
        """Whether an empty text is a value of the type."""
        return self.definition.primitive_type in {"string", "variant"}

    def rejection(self, text: str) -> str:
        """Returns SQL of the reason why a text that is not NULL is rejected, or of NULL.

        Args:
            text: SQL of the text.

        Returns:
            A VARCHAR expression, without the column's name.
        """
        kind = self.definition
        mismatch = literal(f"({kind.name}) doesn't match pattern `{kind.pattern}`")
        failed = literal(f"cannot be converted to `{kind.primitive_type}` with sl type `{kind.name}`")
        matches = self.matches(text)
        if not self.checked:
            return "NULL" if matches == "true" else f"CASE WHEN NOT ({matches}) THEN {mismatch} END"
        value = self.value(text)
        invalid = f"isfinite({value}) IS NOT TRUE" if self.finite else f"({value}) IS NULL"
        if kind.primitive_type in {"date", "timestamp", "boolean"}:
            return f"CASE WHEN ({value}) IS NULL THEN {mismatch} END"
        return f"CASE WHEN NOT ({matches}) THEN {mismatch} WHEN {invalid} THEN {failed} END"


def scalar(definition: TypeDef, patterns: Patterns) -> Scalar:
    """Compiles a type (`types[]`).

    Args:
        definition: The type.
        patterns: Compiles regular expressions.

    Returns:
        The parser of its texts.

    Raises:
        EngineError: When the pattern or the zone cannot be used.
    """
    primitive = definition.primitive_type
    if primitive == "boolean":
        return _boolean(definition, patterns)
    if primitive in {"date", "timestamp"}:
        return _moment(definition)
    if primitive in _INTEGERS:
        return _integer(definition, patterns)
    if primitive in {"double", "decimal"}:
        return _fraction(definition, patterns)
    if primitive == "variant":
        return _variant(definition, patterns)
    if primitive == "string":
        return _string(definition, patterns)
    raise EngineError(f"type '{definition.name}': primitiveType '{primitive}' cannot be read by the embedded engine")


def _string(definition: TypeDef, patterns: Patterns) -> Scalar:
    ddl = scalar_ddl(definition)
    plain = ddl.upper() in {"VARCHAR", "TEXT", "STRING"}

    def matches(text: str) -> str:
        return patterns.full_match(text, definition.pattern, definition.name)

    def value(text: str) -> str:
        return text if plain else f"TRY_CAST({text} AS {ddl})"

    return Scalar(definition, ddl, matches, value, checked=not plain)


def _variant(definition: TypeDef, patterns: Patterns) -> Scalar:
    """Returns a scalar of any text: valid JSON is unchanged, anything else becomes a JSON string."""
    ddl = scalar_ddl(definition)

    def matches(text: str) -> str:
        return patterns.full_match(text, definition.pattern, definition.name)

    def value(text: str) -> str:
        json = f"CASE WHEN json_valid({text}) THEN {text}::JSON ELSE to_json({text}) END"
        return json if ddl.upper() == "JSON" else f"TRY_CAST({text} AS {ddl})"

    return Scalar(definition, ddl, matches, value, checked=ddl.upper() != "JSON")


def _integer(definition: TypeDef, patterns: Patterns) -> Scalar:
    ddl = scalar_ddl(definition)
    plain = definition.pattern in _PLAIN_INTEGER

    def matches(text: str) -> str:
        return patterns.full_match(text, definition.pattern, definition.name)

    def value(text: str) -> str:
        cast = f"TRY_CAST({text} AS {ddl})"
        if definition.primitive_type == "byte":
            # the engine takes the code of the character; a digit stays the number it is
            letter = f"length({text}) = 1 AND unicode({text}) < 128"
            return f"CASE WHEN {text} SIMILAR TO '[-+]?\\d+' THEN {cast} WHEN {letter} THEN unicode({text}) END"
        # DuckDB would round `1.5` and read `1e3`.
        return cast if plain else f"CASE WHEN regexp_full_match({text}, '\\s*[-+]?\\d+\\s*') THEN {cast} END"

    def printed(text: str, value: str) -> str:
        return f"{value}::VARCHAR IS NOT DISTINCT FROM {text}"

    if not plain or ddl.upper() not in _INTEGER_DDL:
        return Scalar(definition, ddl, matches, value)
    # each of these patterns matches an integer as DuckDB prints it
    return Scalar(definition, ddl, matches, value, likely=printed, exact=lambda text, cast: f"{cast}::VARCHAR = {text}")


def _fraction(definition: TypeDef, patterns: Patterns) -> Scalar:
    ddl = scalar_ddl(definition)
    kind = ddl.upper().split("(")[0]
    is_float = kind in _FLOAT_DDL
    zone = definition.zone if definition.primitive_type == "double" else None

    def plain(text: str) -> str:
        return _without_locale(text, zone, definition.name) if zone else text

    def matches(text: str) -> str:
        raw = patterns.full_match(text, definition.pattern, definition.name)
        if not zone:
            return raw
        return f"({raw} OR {patterns.full_match(plain(text), definition.pattern, definition.name)})"

    def value(text: str) -> str:
        return f"TRY_CAST({plain(text)} AS {ddl})"

    def valid(_text: str, value: str) -> str:
        return f"isfinite({value})" if is_float else f"{value} IS NOT NULL"

    def digits(text: str, value: str) -> str:
        return f"(NOT {text} GLOB '*[!0-9.]*' AND NOT suffix({text}, '.') AND {valid(text, value)})"

    if definition.pattern != _PLAIN_NUMBER or zone or kind not in {*_FLOAT_DDL, "DECIMAL"}:
        return Scalar(definition, ddl, matches, value, finite=is_float)
    # the pattern matches each number of JSON
    return Scalar(definition, ddl, matches, value, finite=is_float, likely=digits, exact=valid)


def _without_locale(text: str, zone: str, type_name: str) -> str:
    """Returns SQL that converts a number written in a locale (`zone: fr_FR`) to DuckDB's form."""
    language = zone.replace("-", "_").split("_")[0].lower()
    if language in _DECIMAL_COMMA:
        return f"replace(regexp_replace({text}, '[.\\s\u00a0\u202f'']', '', 'g'), ',', '.')"
    if language in {"en", "ja", "zh", "ko", "th", "he", "hi"}:
        return f"replace({text}, ',', '')"
    raise EngineError(
        f"type '{type_name}': the embedded engine does not know how numbers are written in zone '{zone}'; "
        "expected a locale such as en_US or fr_FR"
    )


def _boolean(definition: TypeDef, patterns: Patterns) -> Scalar:
    ddl = scalar_ddl(definition)
    parts = definition.pattern.split(_TRUE_FALSE)
    if len(parts) != 2:
        raise EngineError(
            f"type '{definition.name}': the pattern of a boolean is `<true>{_TRUE_FALSE}<false>`, "
            f"found `{definition.pattern}`"
        )
    packaged = definition.pattern == _PLAIN_BOOLEAN

    def matched(text: str) -> str:
        true, false = (patterns.full_match(text, part, definition.name) for part in parts)
        return f"WHEN {true} THEN true WHEN {false} THEN false"

    def value(text: str) -> str:
        trimmed = trim_both(text)
        # DuckDB's own booleans are exactly those of the packaged pattern, in any case, without spaces around them.
        own = f"coalesce(TRY_CAST({text} AS BOOLEAN), TRY_CAST({trimmed} AS BOOLEAN))"
        result = own if packaged else f"CASE {matched(trimmed)} END"
        return result if ddl.upper() in {"BOOLEAN", "BOOL"} else f"TRY_CAST({result} AS {ddl})"

    return Scalar(definition, ddl, lambda text: f"({value(text)}) IS NOT NULL", value)


def _moment(definition: TypeDef) -> Scalar:
    ddl = scalar_ddl(definition)
    is_date = definition.primitive_type == "date"
    pattern, zone = definition.pattern, None if is_date else definition.zone
    epoch = {"epoch_second": 1_000_000, "epoch_milli": 1_000}.get(pattern)
    language = _LOCALE.match(definition.zone or "")
    any_case = is_date and bool(language)
    forms = () if epoch else date_patterns(pattern, definition.name, any_case=any_case)
    if language:
        if language.group(1).lower() != "en" and any(form.named for form in forms):
            raise EngineError(
                f"type '{definition.name}': the embedded engine reads names of months and days in English only, "
                f"and pattern '{pattern}' with zone '{definition.zone}' requires others"
            )
        zone = None

    plain_date = pattern == "yyyy-MM-dd" and ddl.upper() == "DATE"
    quick = plain_date or (pattern in _QUICK_MOMENTS and not zone)

    def cast(text: str) -> str:
        return f"TRY_CAST({text} AS {'DATE' if plain_date else 'TIMESTAMP'})"

    def value(text: str) -> str:
        trimmed = trim_both(text)
        if epoch:
            digits = f"CASE WHEN regexp_full_match({trimmed}, '[-+]?\\d+') THEN TRY_CAST({trimmed} AS BIGINT) END"
            return _as_target(f"TRY(make_timestamp(({digits}) * {epoch}))", ddl, zone=None)
        if plain_date:
            # Ten characters that a date prints as are of the pattern, and a date that is in the calendar.
            whens = [
                f"WHEN length({form}) = 10 AND {cast(form)}::VARCHAR = {form} THEN {cast(form)}"
                for form in (text, trimmed)
            ]
            return f"CASE {' '.join(whens)} END"
        whens = [_quick_moment(text, cast(text), pattern, ddl)] if quick else []
        whens += [
            f"WHEN regexp_full_match({trimmed}, {literal(form.regex)}) THEN {_read(trimmed, form, ddl, zone, is_date)}"
            for form in forms
        ]
        return f"CASE {' '.join(whens)} END"

    return Scalar(definition, ddl, lambda text: f"({value(text)}) IS NOT NULL", value, cast=cast if quick else None)


def _quick_moment(text: str, moment: str, pattern: str, ddl: str) -> str:
    """Returns SQL that parses patterns whose value prints as the text itself, without a regular expression."""
    printed = f"{moment}::VARCHAR" if _QUICK_MOMENTS[pattern] == " " else f"replace({moment}::VARCHAR, ' ', 'T')"
    # The same as AT TIME ZONE 'UTC', without the search for the zone's rules.
    value = f"make_timestamptz(epoch_us({moment}))" if _with_zone(ddl) else f"CAST({moment} AS {ddl})"
    return f"WHEN length({text}) = 19 AND {printed} = {text} THEN {value}"


def _read(text: str, form: DatePattern, ddl: str, zone: str | None, is_date: bool) -> str:
    """Returns SQL that converts a text of a given form to the column's type; a date ignores its offset."""
    if not form.zoned or is_date:
        return _as_target(form.local(text), ddl, zone)
    instant = form.instant(text)
    return instant if _with_zone(ddl) else f"CAST(({instant}) AT TIME ZONE 'UTC' AS {ddl})"


def _as_target(moment: str, ddl: str, zone: str | None) -> str:
    """Returns SQL that converts a local timestamp to the column's type, in the type's zone, by default UTC."""
    if zone and zone.upper() not in {"UTC", "Z"} and ddl.upper() != "DATE":
        instant = f"(({moment}) AT TIME ZONE {literal(zone)})"
        return instant if _with_zone(ddl) else f"CAST({instant} AT TIME ZONE 'UTC' AS {ddl})"
    return f"(({moment}) AT TIME ZONE 'UTC')" if _with_zone(ddl) else f"CAST(({moment}) AS {ddl})"


def _with_zone(ddl: str) -> bool:
    return ddl.upper() in {"TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE"}
