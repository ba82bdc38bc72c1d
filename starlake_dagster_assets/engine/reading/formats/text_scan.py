"""A first look at a text file, at the speed of the disk: what decides whether DuckDB may parse it by itself."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

__all__ = ["UNREADABLE", "TextScan", "open_text", "scan_text", "to_utf8"]

UNREADABLE = "\ufdd0"
"""Stands for bytes that are not of the encoding: a code point that Unicode keeps out of texts."""

_CHUNK = 256 << 10  # stays in the processor's cache
_AFTER_LF = re.compile(rb"\n[ \t\r\n\x0b\x0c]")
_AFTER_CR = re.compile(rb"\r[ \t\r\x0b\x0c]")
_SPACES = b" \t\r\n\x0b\x0c"


@dataclass(frozen=True)
class TextScan:
    """What a UTF-8 file holds.

    Attributes:
        clean: Valid UTF-8 without NUL.
        lines: Lines that are not empty.
        blank: Lines of white space only.
        empty: Lines without any character.
        found: Which of the bytes and pairs of bytes asked for occur.
    """

    clean: bool
    lines: int
    blank: int
    empty: int
    found: frozenset[bytes]


def scan_text(path: Path, wanted: frozenset[bytes]) -> TextScan:
    """Read a file once, in bounded memory.

    Args:
        path: The file.
        wanted: Bytes, or pairs of bytes, to look for, such as the quote.

    Returns:
        What was found. Of a file that is not clean only `clean` is meant to be used.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    found: set[bytes] = set()
    lines, suspicious, last = 0, False, b"\n"
    with path.open("rb", buffering=0) as file:
        try:
            for chunk in _chunks(file):
                decoder.decode(chunk)
                if b"\0" in chunk:
                    return TextScan(False, 0, 0, 0, frozenset())
                edge = last + chunk[:1]
                found.update(sign for sign in wanted - found if _holds(chunk, sign) or sign in edge)
                lines += _breaks(chunk, last)
                suspicious = suspicious or _starts_blank(edge) or _starts_blank(chunk)
                last = chunk[-1:]
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return TextScan(False, 0, 0, 0, frozenset())
    lines += last not in b"\r\n"
    blank, empty = _count_blank(path) if suspicious else (0, 0)
    return TextScan(True, lines - blank - empty, blank, empty, frozenset(found))


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


def _holds(chunk: bytes, sign: bytes) -> bool:
    """Whether a byte or a pair of bytes occurs: looking for one byte, and then at the one before, is the fastest."""
    if len(sign) == 1 or sign[:1] not in chunk:
        return sign in chunk
    return _behind(sign).search(chunk) is not None


@cache
def _behind(sign: bytes) -> re.Pattern[bytes]:
    return re.compile(re.escape(sign[-1:]) + b"(?<=" + re.escape(sign) + b")")


def _starts_blank(chunk: bytes) -> bool:
    """Whether a line begins with white space: it may be blank."""
    return bool(_AFTER_LF.search(chunk) or (b"\r" in chunk and _AFTER_CR.search(chunk)))


def _breaks(chunk: bytes, last: bytes) -> int:
    """Line ends in a chunk; one that began in the chunk before counts there."""
    count = chunk.count(b"\n")
    if b"\r" in chunk:
        count += chunk.count(b"\r") - chunk.count(b"\r\n")
    return count - (last == b"\r" and chunk.startswith(b"\n"))


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


def _mark(error: UnicodeError) -> tuple[str, int]:
    end = error.end if isinstance(error, UnicodeDecodeError) else 1
    return UNREADABLE, end


def open_text(path: Path, encoding: str = "utf-8") -> Iterator[str]:
    """The lines of a file with their ends (LF, CR, CR LF); bytes that are not text become `UNREADABLE`."""
    codecs.register_error("starlake-mark", _mark)
    with path.open("r", encoding=encoding, errors="starlake-mark", newline="") as file:
        first = True
        while line := file.readline():
            yield line.removeprefix("\ufeff") if first else line
            first = False


def to_utf8(path: Path, encoding: str, target: Path) -> None:
    """Write a file again as UTF-8, in bounded memory.

    Args:
        path: The file.
        encoding: A Python codec's name.
        target: Where the copy goes. What is not of the encoding becomes `UNREADABLE` there.
    """
    codecs.register_error("starlake-mark", _mark)
    with (
        path.open("r", encoding=encoding, errors="starlake-mark", newline="") as source,
        target.open("w", encoding="utf-8", newline="") as copy,
    ):
        while text := source.read(_CHUNK):
            copy.write(text)
