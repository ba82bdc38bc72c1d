"""Keeps the digits of JSON numbers that DuckDB would round to a double.

DuckDB keeps the text of a number that is too large for a double. Numbers with a fraction or an exponent and 16 digits
or more are therefore given a huge exponent before DuckDB reads them, which `JsonNumbers.restored` removes again.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from starlake_dagster_assets.engine.quoting import literal

__all__ = ["JsonNumbers", "LongNumberSearch", "protect_numbers"]

_EXACT_DIGITS = 15  # decimal digits that every double keeps
_SIGNS = b"0123456789.eE"
_CLASSES = bytes(ord("0") if byte in _SIGNS else ord(" ") for byte in range(256))
_RUN = b"0" * (_EXACT_DIGITS + 2)
_SAMPLES = b"0" * (len(_RUN) // 4)
_LONG = re.compile(rb"([0-9][0-9.]{15,})(?:([eE][-+]?)([0-9]+))?")
_EXPONENTS = ("", "e", "E", "e+", "E+", "e-", "E-")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?')


@dataclass(frozen=True)
class JsonNumbers:
    """A file whose long numbers are protected.

    Attributes:
        path: The file, or a copy of it with protected numbers.
        mark: Exponent of protected numbers, different for each file; "" if the file has none.
    """

    path: Path
    mark: str = ""

    def restored(self, text: str) -> str:
        """Returns SQL of a text, or of JSON as a text, with the numbers as written in the file."""
        if not self.mark:
            return text
        restored = text
        for code, exponent in enumerate(_EXPONENTS):
            restored = f"replace({restored}, {literal(f'e{self.mark}{code}')}, {literal(exponent)})"
        return f"CASE WHEN contains({text}, {literal(self.mark)}) THEN {restored} ELSE {text} END"


def protect_numbers(path: Path, work: Path) -> JsonNumbers:
    """Protects the long numbers of a file of JSON documents, in bounded memory.

    Args:
        path: A file in UTF-8 that may have long numbers: see `LongNumberSearch`.
        work: A directory for the copy.
    """
    mark = "9" + "".join(secrets.choice("0123456789") for _ in range(19))
    target = work / "numbers.json"
    found = False
    with path.open("rb") as source, target.open("wb") as copy:
        for line in source:
            changed = _protected(line, mark.encode()) if _LONG.search(line) else line
            found = found or changed is not line
            copy.write(changed)
    return JsonNumbers(target, mark) if found else JsonNumbers(path)


class LongNumberSearch:
    """Search of a file, piece by piece, for numbers that have to be protected.

    Attributes:
        found: Whether the pieces so far may have such numbers, possibly within strings.
    """

    def __init__(self) -> None:
        self.found = False
        self._last = b""

    def feed(self, piece: bytes) -> None:
        """Searches the next piece of the file."""
        if self.found:
            return
        # Every fourth byte is searched first, which is faster: they include four bytes of a run. Few pieces remain.
        run = _SAMPLES in piece[::4].translate(_CLASSES) and _RUN in piece.translate(_CLASSES)
        self.found = run or _RUN in (self._last + piece[: len(_RUN)]).translate(_CLASSES)
        self._last = (self._last + piece)[-len(_RUN) :] if len(piece) < len(_RUN) else piece[-len(_RUN) :]


def _protected(line: bytes, mark: bytes) -> bytes:
    """Marks long numbers outside of strings; assumes that no string spans lines."""
    parts: list[bytes] = []
    end, outside, quotes = 0, 0, 0
    strings = [text.span() for text in _STRING.finditer(line)] if b"\\" in line else None
    for match in _LONG.finditer(line):
        start, stop = match.span()
        if strings is None:
            quotes += line.count(b'"', outside, start)
            outside, inside = start, quotes % 2 == 1
        else:
            inside = any(first < start < last for first, last in strings)
        if inside:
            continue
        digits, exponent, power = match[1], match[2], match[3]
        fraction = exponent is not None or b"." in digits
        if fraction and len(digits.replace(b".", b"").lstrip(b"0")) > _EXACT_DIGITS:
            code = _EXPONENTS.index((exponent or b"").decode())
            parts.append(b"%b%be%b%d%b" % (line[end:start], digits, mark, code, power or b""))
            end = stop
    return b"".join([*parts, line[end:]]) if parts else line
