"""Finds JSON texts in a stream: one or several per line, or one over several lines; and the elements of an array."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from json import JSONDecodeError

from starlake_dagster_assets.errors import EngineError

__all__ = ["array_elements", "documents"]

_SPACES = " \t\r\n"
_LONGEST = 256 << 20
_DECODER = json.JSONDecoder()


class _Window:
    """Buffered part of a stream, from the first unconsumed character."""

    def __init__(self, pieces: Iterable[str]) -> None:
        self._pieces = iter(pieces)
        self.text = ""
        self.at = 0
        self.ended = False

    def more(self) -> bool:
        """Reads at least as much text as is still unread; returns False at the end of the stream."""
        parts, size = [self.text[self.at :]], 0
        wanted = max(1 << 20, len(parts[0]))
        while size < wanted and not self.ended:
            piece = next(self._pieces, None)
            self.ended = piece is None
            parts.append(piece or "")
            size += len(piece or "")
        self.text, self.at = "".join(parts), 0
        return size > 0

    def skip(self, characters: str) -> str:
        """Skips the given characters; returns the next other one, or "" at the end of the stream."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in characters:
                self.at += 1
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def value(self) -> tuple[str, object] | None:
        """Returns the text and the parsed value of the JSON that starts here; None if there is none."""
        while True:
            try:
                found, end = _DECODER.raw_decode(self.text, self.at)
            except JSONDecodeError as error:
                if self._incomplete(error) and self.more():
                    continue
                return None
            except (RecursionError, ValueError):
                return None
            if end == len(self.text) and not self.ended and self.more():
                continue
            text, self.at = self.text[self.at : end], end
            return text, found

    def _incomplete(self, error: JSONDecodeError) -> bool:
        cut = error.pos >= len(self.text) - 16 or error.msg.startswith("Unterminated string")
        return cut and len(self.text) - self.at < _LONGEST

    def line(self) -> str:
        """Returns the rest of the line."""
        while True:
            ends = [end for end in (self.text.find(mark, self.at) for mark in "\n\r") if end >= 0]
            if ends or not self.more():
                end = min(ends, default=len(self.text))
                text, self.at = self.text[self.at : end], end
                return text


def documents(pieces: Iterable[str]) -> Iterator[str]:
    """Yields the documents of a stream.

    Args:
        pieces: The text, in pieces of any size.

    Yields:
        The text of each document; of an array, that of each element; and what is left of a line where no document
        begins, which is not valid JSON.
    """
    window = _Window(pieces)
    while window.skip(_SPACES):
        found = window.value()
        if found is None:
            yield window.line()
        elif isinstance(found[1], list):
            yield from array_elements([found[0]], "")
        else:
            yield found[0]


def array_elements(pieces: Iterable[str], where: str) -> Iterator[str]:
    """Yields the elements of the one array in a stream, in bounded memory.

    Args:
        pieces: The text, in pieces of any size.
        where: The file, for messages.

    Yields:
        The text of each element.

    Raises:
        EngineError: When the text is not one JSON array.
    """
    window = _Window(pieces)
    first = window.skip(_SPACES)
    if not first:
        return
    if first != "[":
        raise EngineError(f"{where}: metadata.array is true, but the file begins with {first!r} and not with '['")
    window.at += 1
    count = 0
    while True:
        mark = window.skip(_SPACES)
        if mark == "]" and count == 0:
            break
        found = window.value()
        if found is None:
            raise EngineError(f"{where}: broken JSON array: element {count + 1} is not valid JSON")
        yield found[0]
        count += 1
        mark = window.skip(_SPACES)
        if mark not in (",", "]"):
            raise EngineError(f"{where}: broken JSON array: ',' or ']' expected after element {count}, found {mark!r}")
        if mark == "]":
            break
        window.at += 1
    window.at += 1
    if window.skip(_SPACES):
        raise EngineError(f"{where}: there is more text behind the end of the JSON array")
