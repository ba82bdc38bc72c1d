"""Java date patterns become a regular expression and a rewriting to ISO 8601, which DuckDB casts itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby

from starlake_dagster_assets.errors import EngineError

__all__ = ["NAMED", "DatePattern", "date_patterns"]

_OFFSET = r"Z|[+-]\d{2}(?::?\d{2})?"
_REGION = r"[A-Za-z]+(?:[/_+-][A-Za-z0-9_+-]+)*"
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

_MAX_OPTIONAL = 6


@dataclass(frozen=True)
class DatePattern:
    r"""One form a date may have.

    Attributes:
        regex: RE2 syntax, matches the whole text.
        iso: Replacement (`\1`…) that rewrites a match to ISO 8601; None when `strptime` reads it.
        strptime: DuckDB format, for names of months and days, week dates and half-day clocks.
        zoned: Whether the text tells its zone or offset.
        clock: Whether the text tells a time of day.
    """

    regex: str
    iso: str | None
    strptime: str | None
    zoned: bool
    clock: bool


@dataclass
class _Parts:
    """What a pattern was found to hold while it is being read."""

    regex: str = ""
    strptime: str = ""
    groups: int = 0

    def __post_init__(self) -> None:
        self.at: dict[str, str] = {}
        self.words = False

    def capture(self, field: str, regex: str, strptime: str, template: str = "{}") -> None:
        self.groups += 1
        self.regex += f"({regex})"
        self.strptime += strptime
        self.at[field] = template.format(f"\\{self.groups}")

    def literal(self, text: str) -> None:
        self.regex += re.escape(text) if text else ""
        self.strptime += text.replace("%", "%%")


def date_patterns(pattern: str, type_name: str) -> tuple[DatePattern, ...]:
    """Read a Java date pattern or the name of a formatter (`types[].pattern`).

    Args:
        pattern: `yyyy-MM-dd`, `dd.MM.yyyy HH:mm`, `ISO_DATE_TIME`, …; optional parts stand in brackets.
        type_name: The type it belongs to, for the message.

    Returns:
        The forms that match, the longest first. Impossible dates are not excluded by the expression but by the cast.

    Raises:
        EngineError: When the pattern holds a letter that is not supported here.
    """
    forms: list[DatePattern] = []
    for text in NAMED.get(pattern.upper(), (pattern,)):
        variants = _expand(text, type_name)
        forms.extend(_compile(variant, pattern, type_name) for variant in variants)
    return tuple(forms)


def _expand(pattern: str, type_name: str) -> list[str]:
    """The pattern with each optional section in and out; brackets inside quotes are text."""
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
    """Runs of letters as ("M", "MM"), anything else as ("", text)."""
    found: list[tuple[str, str]] = []
    for piece in re.findall(r"'(?:[^']|'')*'|[A-Za-z]+|[^A-Za-z']+|'", pattern):
        if piece.startswith("'"):
            found.append(("", "'" if piece == "''" else piece[1:-1].replace("''", "'")))
        elif piece[0].isalpha():
            found.extend((letter, "".join(run)) for letter, run in groupby(piece))
        else:
            found.append(("", piece))
    return found


def _compile(variant: str, pattern: str, type_name: str) -> DatePattern:
    parts = _Parts()
    tokens = _tokens(variant)
    for letter, run in tokens:
        if not letter:
            parts.literal(run)
        elif not (_numeric(parts, letter, run) or _worded(parts, letter, run) or _zone(parts, letter, run)):
            raise EngineError(
                f"type '{type_name}': '{run}' in date pattern '{pattern}' is not supported by the embedded engine"
            )
    return DatePattern(
        regex=parts.regex,
        iso=None if parts.words else _iso(parts, pattern, type_name),
        strptime=parts.strptime if parts.words else None,
        zoned="zone" in parts.at,
        clock="H" in parts.at,
    )


def _digits(run: str) -> str:
    return f"\\d{{{len(run)}}}" if len(run) > 1 else r"\d{1,2}"


def _numeric(parts: _Parts, letter: str, run: str) -> bool:
    """Fields that are digits, rewritten to ISO; True when the run is one of them."""
    if letter in "yu":
        if len(run) == 2:
            parts.capture("y", r"\d{2}", "%y", "20{}")
        else:
            parts.capture("y", r"\d{4}", "%Y")
    elif letter in "ML" and len(run) <= 2:
        parts.capture("M", _digits(run), "%m")
    elif letter in "dHms" and len(run) <= 2:
        parts.capture(letter, _digits(run), {"d": "%d", "H": "%H", "m": "%M", "s": "%S"}[letter])
    elif letter == "S":
        width = f"\\d{{{len(run)}}}" if len(run) != 9 else r"\d{1,9}"
        parts.capture("S", width, "%g" if len(run) == 3 else "%f" if len(run) == 6 else "%n")
    else:
        return False
    return True


def _worded(parts: _Parts, letter: str, run: str) -> bool:
    """Fields that `strptime` must read: names, days of the year, ISO weeks, half-day clocks."""
    if letter in "ML" and len(run) in (3, 4):
        parts.capture("M", r"[A-Za-z]{3,}", "%b" if len(run) == 3 else "%B")
    elif letter == "E":
        parts.capture("E", r"[A-Za-z]{3,}", "%A" if len(run) == 4 else "%a")
    elif letter == "D":
        parts.capture("D", r"\d{3}" if len(run) == 3 else r"\d{1,3}", "%j")
    elif letter == "h" and len(run) <= 2:
        parts.capture("H", _digits(run), "%I")
    elif letter == "a":
        parts.capture("a", r"[AaPp][Mm]", "%p")
    elif letter == "Y":
        parts.capture("y", r"\d{4}", "%G")
    elif letter in "we":
        parts.capture(letter, _digits(run) if letter == "w" else r"[1-7]", "%V" if letter == "w" else "%u")
    else:
        return False
    parts.words = True
    return True


def _zone(parts: _Parts, letter: str, run: str) -> bool:
    """Offsets and zones; a region after an offset only names what the offset already says."""
    if letter in "Vz":
        if "zone" in parts.at:
            parts.capture("region", _REGION, "%Z")
        else:
            parts.capture("zone", f"{_OFFSET}|{_REGION}", "%Z", " {}")
        return True
    if letter in "XxZO":
        parts.capture("zone", _OFFSET, "%z")
        return True
    return False


def _iso(parts: _Parts, pattern: str, type_name: str) -> str | None:
    at = parts.at
    if "y" not in at or ("d" in at and "M" not in at):
        if set(at) <= {"H", "m", "s", "S"}:
            return "1970-01-01 " + _clock(at)
        raise EngineError(f"type '{type_name}': date pattern '{pattern}' tells no complete date")
    date = f"{at['y']}-{at.get('M', '01')}-{at.get('d', '01')}"
    return date + (f" {_clock(at)}" if "H" in at else "") + (at.get("zone", "") if "H" in at else "")


def _clock(at: dict[str, str]) -> str:
    clock = f"{at.get('H', '00')}:{at.get('m', '00')}:{at.get('s', '00')}"
    return clock + (f".{at['S']}" if "S" in at else "")
