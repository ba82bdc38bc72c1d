"""Scans a text file, to determine whether DuckDB may parse it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

__all__ = ["UNREADABLE", "TextScan", "byte_order_mark", "open_text", "scan_text", "to_utf8"]

UNREADABLE = "\ufdd0"
"""Placeholder of bytes that are invalid in the encoding: a code point that Unicode does not use in texts."""

_CHUNK = 256 << 10  # stays in the processor's cache
_AFTER_LF = re.compile(rb"\n[ \t\r\n\x0b\x0c]")
_AFTER_CR = re.compile(rb"\r[ \t\r\x0b\x0c]")
_SPACES = b" \t\r\n\x0b\x0c"


@dataclass(frozen=True)
class TextScan:
    """Features of the text of a UTF-8 file.

    Attributes:
        clean: Valid UTF-8 without NUL.
        lines: Lines that are not empty.
        blank: Lines of white space only.
        empty: Lines without any character.
        found: The requested bytes and pairs of bytes that occur.
        uniform: Whether all line ends, those inside of quotes as well, are of one kind.
    """

    clean: bool
    lines: int
    blank: int
    empty: int
    found: frozenset[bytes]
    uniform: bool = True


def scan_text(path: Path, wanted: frozenset[bytes], inspect: Callable[[bytes], None] | None = None) -> TextScan:
    """Reads a file once, in bounded memory, and returns the features of its text.

    Args:
        path: The file.
        wanted: Bytes, or pairs of bytes, to look for, such as the quote.
        inspect: Called with each piece of the file; the encoding is then not checked.

    Returns:
        The features; of a file that is not clean, only `clean` is valid.
    """
    text = _TextCheck()
    found: set[bytes] = set()
    ends, suspicious, last = _Ends(), False, b"\n"
    with path.open("rb", buffering=0) as file:
        try:
            for chunk in _chunks(file):
                (inspect or text.check)(chunk)
                edge = last + chunk[:1]
                found.update(sign for sign in wanted - found if _holds(chunk, sign) or sign in edge)
                ends.count(chunk, last)
                suspicious = suspicious or _starts_blank(edge) or _starts_blank(chunk)
                last = chunk[-1:]
            text.check(b"", final=True)
        except ValueError:
            return TextScan(False, 0, 0, 0, frozenset())
    lines = ends.lines + (last not in b"\r\n")
    blank, empty = _count_blank(path) if suspicious else (0, 0)
    return TextScan(True, lines - blank - empty, blank, empty, frozenset(found), ends.uniform)


class _TextCheck:
    """Check for UTF-8 without NUL, piece by piece."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")

    def check(self, piece: bytes, *, final: bool = False) -> None:
        """Raises a ValueError (as `UnicodeDecodeError` is) for a piece that is no text."""
        self._decoder.decode(piece, final)
        if b"\0" in piece:
            raise ValueError("NUL")


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


def _holds(chunk: bytes, sign: bytes) -> bool:
    """Whether a byte or a pair of bytes occurs in a chunk, by the fastest search."""
    if sign[:1] not in chunk:
        return False
    return len(sign) == 1 or _behind(sign).search(chunk) is not None


@cache
def _behind(sign: bytes) -> re.Pattern[bytes]:
    return re.compile(re.escape(sign[-1:]) + b"(?<=" + re.escape(sign) + b")")


def _starts_blank(chunk: bytes) -> bool:
    """Whether a line begins with white space: it may be blank."""
    return bool(_AFTER_LF.search(chunk) or (b"\r" in chunk and _AFTER_CR.search(chunk)))


@dataclass
class _Ends:
    """Numbers of line ends by kind; a CR LF across two chunks is one line end."""

    feeds: int = 0
    returns: int = 0
    pairs: int = 0

    def count(self, chunk: bytes, last: bytes) -> None:
        self.feeds += chunk.count(b"\n")
        if b"\r" in chunk:
            self.returns += chunk.count(b"\r")
            self.pairs += chunk.count(b"\r\n")
        self.pairs += last == b"\r" and chunk.startswith(b"\n")

    @property
    def lines(self) -> int:
        return self.feeds + self.returns - self.pairs

    @property
    def uniform(self) -> bool:
        return 0 in (self.feeds, self.returns) or self.feeds == self.returns == self.pairs


def _count_blank(path: Path) -> tuple[int, int]:
    blank = empty = 0
    with path.open("rb") as file:
        for line in file:
            if line[:1] not in _SPACES and b"\r" not in line:
                continue
            for piece in line.splitlines():
                if not piece:
                    empty += 1
                elif not piece.strip(_SPACES):
                    blank += 1
    return blank, empty


_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""Byte order marks; those of four bytes come before shorter ones with the same first bytes."""


def byte_order_mark(path: Path) -> str:
    """Returns the Python name of the encoding whose byte order mark a file begins with, or ""."""
    with path.open("rb") as file:
        start = file.read(4)
    return next((name for mark, name in _MARKS.items() if start.startswith(mark)), "")


def _mark(error: UnicodeError) -> tuple[str, int]:
    end = error.end if isinstance(error, UnicodeDecodeError) else 1
    return UNREADABLE, end


def open_text(path: Path, encoding: str = "utf-8") -> Iterator[str]:
    """Yields the lines of a file with their ends (LF, CR, CR LF); undecodable bytes become `UNREADABLE`."""
    codecs.register_error("starlake-mark", _mark)
    with path.open("r", encoding=encoding, errors="starlake-mark", newline="") as file:
        first = True
        while line := file.readline():
            yield line.removeprefix("\ufeff") if first else line
            first = False


def to_utf8(path: Path, encoding: str, target: Path) -> None:
    """Writes a file again as UTF-8, in bounded memory.

    Args:
        path: The file.
        encoding: A Python codec's name.
        target: Path of the copy. Bytes that are invalid in the encoding become `UNREADABLE`.
    """
    codecs.register_error("starlake-mark", _mark)
    with (
        path.open("r", encoding=encoding, errors="starlake-mark", newline="") as source,
        target.open("w", encoding="utf-8", newline="") as copy,
    ):
        while text := source.read(_CHUNK):
            copy.write(text)
