"""Java date patterns as SQL: a regular expression, and a value that is NULL unless it has the fields of the text.

Values that the calendar does not have (day 366 of 2023, week 53 of a year of 52, a Tuesday that is a Monday) give
NULL: no date is moved to another one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby

from starlake_dagster_assets.engine.quoting import literal
from starlake_dagster_assets.errors import EngineError

__all__ = ["NAMED", "DatePattern", "date_patterns"]

_HOURS = r"(?:0\d|1[0-7])"
_REGION = r"[A-Za-z]+(?:[/_+-][A-Za-z0-9_+-]+)*"
_YEAR = r"[1-9]\d{3}|0[1-9]\d{2}|00[1-9]\d|000[1-9]"
_DATE = "yyyy-MM-dd"
_CLOCK = "HH:mm[:ss[.SSSSSSSSS]]"

NAMED: dict[str, tuple[str, ...]] = {
    "BASIC_ISO_DATE": ("yyyyMMdd[XX]",),
    "ISO_LOCAL_DATE": (_DATE,),
    "ISO_OFFSET_DATE": (f"{_DATE}XXX",),
    "ISO_DATE": (f"{_DATE}[XXX]",),
    "ISO_LOCAL_DATE_TIME": (f"{_DATE}'T'{_CLOCK}",),
    "ISO_OFFSET_DATE_TIME": (f"{_DATE}'T'{_CLOCK}XXX",),
    "ISO_ZONED_DATE_TIME": (f"{_DATE}'T'{_CLOCK}XXX['['VV']']",),
    "ISO_DATE_TIME": (f"{_DATE}'T'{_CLOCK}[XXX['['VV']']]",),
    "ISO_ORDINAL_DATE": ("yyyy-DDD[XXX]",),
    "ISO_WEEK_DATE": ("YYYY-'W'ww-e[XXX]",),
    "ISO_INSTANT": (f"{_DATE}'T'{_CLOCK}X",),
    "RFC_1123_DATE_TIME": ("[EEE, ]d MMM yyyy HH:mm[:ss] Z", "[EEE, ]d MMM yyyy HH:mm[:ss] 'GMT'"),
}
"""The formatters of `java.time.format.DateTimeFormatter` that Starlake knows by name, as patterns."""

_PARSED_LENIENTLY = frozenset(name for name in NAMED if name.endswith(("TIME", "INSTANT")))
_MAX_OPTIONAL = 6
_MONTHS = (
    [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ],
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
)
_DAYS = (
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
    ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"],
)


def _between(minutes: str) -> str:
    """Returns the pattern of offsets up to 18 hours; `minutes` is the separator of hours and minutes."""
    return f"[+-](?:{_HOURS}{minutes}[0-5]\\d|18{minutes}00)"


_WHOLE = f"[+-](?:{_HOURS}|18)"
_OFFSETS = {
    "X": f"Z|{_between('')}|{_WHOLE}",
    "XX": f"Z|{_between('')}",
    "XXX": f"Z|{_between(':')}",
    "XXXX": f"Z|{_between('')}",
    "XXXXX": f"Z|{_between(':')}",
    "x": f"{_between('')}|{_WHOLE}",
    "xx": _between(""),
    "xxx": _between(":"),
    "xxxx": _between(""),
    "xxxxx": _between(":"),
    "Z": _between(""),
    "ZZ": _between(""),
    "ZZZ": _between(""),
    "ZZZZZ": f"Z|{_between(':')}",
}
_LENIENT = f"Z|{_between(':?')}|{_WHOLE}"
"""Pattern of the offsets of formatters that parse leniently."""


@dataclass(frozen=True)
class DatePattern:
    r"""Form of a date: a variant of a pattern without optional sections.

    Attributes:
        regex: RE2 syntax, matches the whole text.
        named: Whether the text has names of months or days.
        zoned: Whether the text contains its zone or offset.
        iso: Replacement (`\1`…) that rewrites a match to a local moment of ISO 8601; None if it is computed.
        groups: Number of the group of each field.
    """

    regex: str
    named: bool
    zoned: bool
    iso: str | None
    groups: Mapping[str, int]

    def local(self, text: str) -> str:
        """Returns SQL of the local time, as TIMESTAMP; NULL for an impossible one.

        Args:
            text: SQL of a text that matches.
        """
        return f"TRY_CAST({self._written(text)} AS TIMESTAMP)"

    def instant(self, text: str) -> str:
        """Returns SQL of the moment by its own offset or zone, as TIMESTAMPTZ; NULL for an impossible one.

        Args:
            text: SQL of a text that matches; the pattern is zoned.
        """
        return f"TRY_CAST({self._written(text)} || {self._group(text, 'zone')} AS TIMESTAMPTZ)"

    def _written(self, text: str) -> str:
        if self.iso is not None:
            return f"regexp_replace({text}, {literal(self._anchored)}, {literal(self.iso)})"
        return f"({self._date(text)})::VARCHAR || ' ' || {self._clock(text)}"

    @property
    def _anchored(self) -> str:
        return f"^(?:{self.regex})$"

    def _group(self, text: str, name: str) -> str:
        found = f"regexp_extract({text}, {literal(self._anchored)}, {self.groups[name]})"
        # a region stands behind a space
        return (
            f"CASE WHEN {found} GLOB '[A-Ya-y]*' THEN ' ' || {found} ELSE upper({found}) END"
            if name == "zone"
            else found
        )

    def _number(self, text: str, name: str) -> str:
        return f"{self._group(text, name)}::INTEGER"

    def _year(self, text: str, name: str = "y") -> str:
        return f"2000 + {self._number(text, 'yy')}" if "yy" in self.groups else self._number(text, name)

    def _date(self, text: str) -> str:
        """Returns SQL of the day; NULL if the calendar has no day with all of these fields."""
        at = self.groups
        if "Y" in at:
            year, week = self._number(text, "Y"), self._number(text, "w")
            days = f"({week} - 1) * 7 + {self._number(text, 'e')} - 1"
            date = f"(date_trunc('week', make_date({year}, 1, 4))::DATE + ({days}))"
            tests = [f"isoyear({date}) = {year}", f"{week} > 0"]
        elif "D" in at:
            year, day = self._year(text), self._number(text, "D")
            date = f"(make_date({year}, 1, 1) + ({day} - 1))"
            tests = [f"year({date}) = {year}", f"{day} > 0"]
        else:
            date, tests = self._calendar(text), []
        if "E" in at:
            name, names = self._group(text, "E"), f"[{', '.join(literal(day[:3].lower()) for day in _DAYS[0])}]"
            tests.append(f"isodow({date}) = list_position({names}, lower({name})[:3])")
        return f"CASE WHEN {' AND '.join(tests)} THEN {date} END" if tests else date

    def _calendar(self, text: str) -> str:
        if not self.groups.keys() & {"y", "yy"}:
            return "DATE '1970-01-01'"
        month = self._number(text, "M") if "M" in self.groups else "1"
        if "MMM" in self.groups:
            names = f"[{', '.join(literal(name[:3].lower()) for name in _MONTHS[0])}]"
            month = f"list_position({names}, lower({self._group(text, 'MMM')})[:3])"
        day = self._number(text, "d") if "d" in self.groups else "1"
        return f"TRY(make_date({self._year(text)}, {month}, {day}))"

    def _clock(self, text: str) -> str:
        at = self.groups
        hour = self._group(text, "H") if "H" in at else "'00'"
        if "h" in at:
            afternoon = f"CASE WHEN upper({self._group(text, 'a')}) = 'PM' THEN 12 ELSE 0 END"
            hour = f"(({self._number(text, 'h')} % 12) + {afternoon})::VARCHAR"
        parts = [self._group(text, name) if name in at else "'00'" for name in ("m", "s")]
        clock = f"concat_ws(':', {hour}, {', '.join(parts)})"
        return f"{clock} || '.' || {self._group(text, 'S')}" if "S" in at else clock


@dataclass
class _Parts:
    """Parts of a pattern, collected while it is parsed."""

    lenient: bool
    regex: str = ""
    groups: dict[str, int] = field(default_factory=dict[str, int])
    count: int = 0
    twice: str = ""

    def capture(self, name: str, regex: str) -> None:
        if name in self.groups:
            self.twice = self.twice or name
        self.count += 1
        self.regex += f"({regex})"
        self.groups[name] = self.count

    def literal(self, text: str) -> None:
        self.regex += re.escape(text) if text else ""


def date_patterns(pattern: str, type_name: str, *, any_case: bool = False) -> tuple[DatePattern, ...]:
    """Parses a Java date pattern or the name of a formatter (`types[].pattern`).

    Args:
        pattern: `yyyy-MM-dd`, `dd.MM.yyyy HH:mm`, `ISO_DATE_TIME`, …; optional parts stand in brackets.
        type_name: The type it belongs to, for the message.
        any_case: Whether names may be written in any case, as those of the named formatters always may.

    Returns:
        The forms that match, the longest first.

    Raises:
        EngineError: When the pattern has a letter that is not supported here, lacks a part of the date, or has
            a field twice.
    """
    known = NAMED.get(pattern.upper())
    forms: list[DatePattern] = []
    twice = ""
    for text in known or (pattern,):
        for variant in _expand(text, type_name):
            parts = _parse(variant, pattern, type_name, lenient=pattern.upper() in _PARSED_LENIENTLY)
            if parts.twice:
                twice = parts.twice
                continue
            _validate(parts, pattern, type_name)
            forms.append(_form(parts, any_case=any_case or known is not None))
    if not forms:
        raise EngineError(f"type '{type_name}': date pattern '{pattern}' has '{twice}' twice")
    return tuple(forms)


def _expand(pattern: str, type_name: str) -> list[str]:
    """Returns the variants of a pattern, with and without each optional section; brackets inside quotes are text."""
    depth, start, quoted = 0, -1, False
    if pattern.count("[") > _MAX_OPTIONAL:
        raise EngineError(f"type '{type_name}': more than {_MAX_OPTIONAL} optional sections in pattern '{pattern}'")
    for index, char in enumerate(pattern):
        if char == "'":
            quoted = not quoted
        elif quoted:
            continue
        elif char == "[":
            start = index if depth == 0 else start
            depth += 1
        elif char == "]":
            depth -= 1
            if depth == 0:
                before, inner, after = pattern[:start], pattern[start + 1 : index], pattern[index + 1 :]
                rest = _expand(after, type_name)
                inside = [before + part + end for part in _expand(inner, type_name) for end in rest]
                return inside + [before + end for end in rest]
    if depth:
        raise EngineError(f"type '{type_name}': unbalanced brackets in date pattern '{pattern}'")
    return [pattern]


def _tokens(pattern: str) -> list[tuple[str, str]]:
    """Splits a pattern into runs of letters, as ("M", "MM"), and other text, as ("", text)."""
    found: list[tuple[str, str]] = []
    for piece in re.findall(r"'(?:[^']|'')*'|[A-Za-z]+|[^A-Za-z']+|'", pattern):
        if piece.startswith("'"):
            found.append(("", "'" if piece == "''" else piece[1:-1].replace("''", "'")))
        elif piece[0].isalpha():
            found.extend((letter, "".join(run)) for letter, run in groupby(piece))
        else:
            found.append(("", piece))
    return found


def _parse(variant: str, pattern: str, type_name: str, *, lenient: bool) -> _Parts:
    parts = _Parts(lenient)
    for letter, run in _tokens(variant):
        if not letter:
            parts.literal(run)
        elif not (_numeric(parts, letter, run) or _worded(parts, letter, run) or _zone(parts, letter, run)):
            raise EngineError(
                f"type '{type_name}': '{run}' in date pattern '{pattern}' is not supported by the embedded engine"
            )
    return parts


def _validate(parts: _Parts, pattern: str, type_name: str) -> None:
    """Raises an error for fields that do not form a complete time together."""
    at, where = parts.groups.keys(), f"type '{type_name}': date pattern '{pattern}'"
    if at & {"Y", "w", "e"} and not {"Y", "w", "e"} <= at:
        raise EngineError(f"{where}: 'Y' is the year of a week and needs 'w' and 'e'; the year of a date is 'y'")
    if bool(at & {"h"}) != bool(at & {"a"}):
        raise EngineError(f"{where}: 'h' and 'a' need each other; the hour of a whole day is 'H'")
    if len(at & {"M", "MMM"}) == 2 or len(at & {"y", "yy", "Y"}) == 2 or at >= {"H", "h"}:
        raise EngineError(f"{where} contains its month, its year or its hour twice")
    dated = at - {"H", "h", "a", "m", "s", "S", "zone", "region"}
    complete = "Y" in at or (at & {"y", "yy"} and ("D" in at or "d" not in at or at & {"M", "MMM"}))
    if dated and not complete:
        raise EngineError(f"{where} contains no complete date")


def _form(parts: _Parts, *, any_case: bool) -> DatePattern:
    at = parts.groups
    plain = not at.keys() & {"MMM", "E", "D", "h", "Y"}
    return DatePattern(
        regex=f"(?i:{parts.regex})" if any_case else parts.regex,
        named=bool(at.keys() & {"MMM", "E"}),
        zoned="zone" in at,
        iso=_iso(at) if plain else None,
        groups=at,
    )


def _digits(run: str) -> str:
    return f"\\d{{{len(run)}}}" if len(run) > 1 else r"\d{1,2}"


def _numeric(parts: _Parts, letter: str, run: str) -> bool:
    """Adds a field of digits that ISO 8601 has in the same form; returns whether the run is such a field."""
    if letter in "yu" and len(run) <= 4:
        parts.capture("yy" if len(run) == 2 else "y", r"\d{2}" if len(run) == 2 else _YEAR)
    elif letter in "ML" and len(run) <= 2:
        parts.capture("M", _digits(run))
    elif letter in "dHms" and len(run) <= 2:
        parts.capture(letter, _digits(run))
    elif letter == "S" and len(run) <= 9:
        parts.capture("S", r"\d{1,9}" if parts.lenient else f"\\d{{{len(run)}}}")
    else:
        return False
    return True


def _worded(parts: _Parts, letter: str, run: str) -> bool:
    """Adds a field that must be computed, such as a name or an ISO week; returns whether the run is such a field."""
    if letter in "ML" and len(run) in (3, 4):
        parts.capture("MMM", "|".join(_MONTHS[len(run) == 3]))
    elif letter == "E" and len(run) <= 4:
        parts.capture("E", "|".join(_DAYS[len(run) < 4]))
    elif letter == "D" and len(run) <= 3:
        parts.capture("D", r"\d{3}" if len(run) == 3 else r"\d{1,3}")
    elif letter == "h" and len(run) <= 2:
        parts.capture("h", "0[1-9]|1[0-2]" if len(run) == 2 else "0?[1-9]|1[0-2]")
    elif letter == "a" and len(run) == 1:
        parts.capture("a", "AM|PM")
    elif letter == "Y" and len(run) in (1, 4):
        parts.capture("Y", _YEAR)
    elif letter in "we" and len(run) <= 2:
        parts.capture(letter, _digits(run) if letter == "w" else "0?[1-7]" if len(run) == 1 else "0[1-7]")
    else:
        return False
    return True


def _zone(parts: _Parts, letter: str, run: str) -> bool:
    """Adds an offset or zone; returns whether the run is one. A region after an offset only names that offset."""
    if letter in "Vz":
        if "zone" in parts.groups:
            parts.capture("region", _REGION)
        else:
            parts.capture("zone", f"{_LENIENT}|{_REGION}")
        return True
    if run in _OFFSETS:
        parts.capture("zone", _LENIENT if parts.lenient else _OFFSETS[run])
        return True
    return False


def _iso(at: Mapping[str, int]) -> str:
    """Returns the replacement that writes the fields as a local moment of ISO 8601."""

    def group(name: str, missing: str) -> str:
        return f"\\{at[name]}" if name in at else missing

    year = f"20\\{at['yy']}" if "yy" in at else group("y", "1970")
    clock = f"{group('H', '00')}:{group('m', '00')}:{group('s', '00')}"
    return f"{year}-{group('M', '01')}-{group('d', '01')} {clock}" + (f".\\{at['S']}" if "S" in at else "")
