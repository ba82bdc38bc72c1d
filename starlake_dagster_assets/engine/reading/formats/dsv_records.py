"""The careful way to read delimited text: record by record, for files that DuckDB refuses or may misread.

A record is a line; a quoted field may hold line ends. Where a quote is never closed the line is refused alone and the
next one is a record of its own, so that one stray quote costs one line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from starlake_dagster_assets.engine.reading.formats.text_scan import UNREADABLE

__all__ = ["Dialect", "Record", "header_of", "plain_line", "records"]

_JOIN_LINES = 1000
_JOIN_CHARS = 8 << 20
_SPACES = " \t\r\n\x0b\x0c"
_SEAM = '","'


@dataclass(frozen=True)
class Dialect:
    """How fields are told apart (`metadata.separator`, `quote`, `escape`, `multiline`); "" = there is none."""

    separator: str
    quote: str
    escape: str
    multiline: bool = False
    comment: str = ""


@dataclass(frozen=True)
class Record:
    """Fields, or the reason why there are none, with the text of the record; or the text of a `plain_line` alone."""

    fields: tuple[str | None, ...]
    reason: str | None = None
    text: str = ""


class _Open(Exception):
    """A quote is not closed at the end of the text."""


class _Broken(Exception):
    """A closing quote is followed by more text."""


def records(
    lines: Iterable[str], dialect: Dialect, width: int | None, plain: Callable[[str], Record | None] | None = None
) -> Iterator[Record]:
    """Split lines into records.

    Args:
        lines: Lines with their ends.
        dialect: How to split.
        width: Fields a record has; shorter ones are filled with None, longer ones refused. None: as they come.
        plain: Tried first on each line that begins a record; what it gives is taken for the record.

    Yields:
        One record a line that is not blank, or a group of lines that a quoted field joins.
    """
    waiting: deque[str] = deque()
    source = iter(lines)
    while True:
        line = waiting.popleft() if waiting else next(source, None)
        if line is None:
            return
        if plain is not None and (simple := plain(line)) is not None:
            yield simple
            continue
        if not line.strip(_SPACES) or (dialect.comment and line.startswith(dialect.comment)):
            continue
        yield _record(line, source, waiting, dialect, width)


def header_of(lines: Iterable[str], dialect: Dialect) -> tuple[str, ...]:
    """The fields of the first record, without the spaces around them; none when the file has no record."""
    first = next(records(lines, dialect, None), None)
    return tuple((field or "").strip() for field in first.fields) if first else ()


def plain_line(dialect: Dialect, width: int) -> Callable[[str], Record | None] | None:
    """Recognizes lines that hold nothing but fields, and quotes them without taking them apart.

    Args:
        dialect: How to split.
        width: Fields a record has.

    Returns:
        A function of a line: a record whose `text` has the fields in double quotes with commas between, or None when
        the line needs care. None where no line can be told so easily.
    """
    if width < 2 or dialect.comment or len(dialect.separator) != 1 or dialect.separator in _SPACES + '"':
        return None
    separator, quote, seams = dialect.separator, dialect.quote, width - 1
    escape = dialect.escape if dialect.escape != quote else ""
    strange = [sign for sign in ("\0", UNREADABLE, escape, '"') if sign and sign != quote]

    def plain(line: str) -> Record | None:
        if line.count(separator) < seams or any(sign in line for sign in strange):
            return None
        if quote and quote in line:
            text = _requoted(_body(line).split(quote), separator, seams)
            return None if text is None else Record((), None, text)
        if line.count(separator) != seams:
            return None
        return Record((), None, '"' + _body(line).replace(separator, '","') + '"')

    return plain


def _requoted(pieces: list[str], separator: str, seams: int) -> str | None:
    """The fields of a line cut at its quotes, all quoted; None where a quote does not stand at the edge of a field."""
    first, last, between = pieces[0], pieces[-1], pieces[2:-1:2]
    if len(pieces) % 2 == 0 or sum(piece.count(separator) for piece in pieces[::2]) != seams:
        return None
    if not (first == "" or first.endswith(separator)) or not (last == "" or last.startswith(separator)):
        return None
    if not all(piece.startswith(separator) and piece.endswith(separator) for piece in between):
        return None
    middle = iter(between)
    texts = [f'"{first[:-1].replace(separator, _SEAM)}",' if first else ""]
    for number, piece in enumerate(pieces[1:-1:2]):
        if number:
            gap = next(middle)
            texts.append("," if len(gap) == 1 else f',"{gap[1:-1].replace(separator, _SEAM)}",')
        texts.append(f'"{piece}"')
    texts.append(f',"{last[1:].replace(separator, _SEAM)}"' if last else "")
    return "".join(texts)


def _record(line: str, source: Iterator[str], waiting: deque[str], dialect: Dialect, width: int | None) -> Record:
    if "\0" in line or UNREADABLE in line:
        return Record((), "the line holds bytes that are not text in the table's encoding", _body(line))
    try:
        return _fit(_split(_body(line), dialect), width, line)
    except _Broken:
        return Record((), "text after a closing quote", _body(line))
    except _Open:
        return _joined(line, source, waiting, dialect, width)


def _joined(line: str, source: Iterator[str], waiting: deque[str], dialect: Dialect, width: int | None) -> Record:
    """A record whose quoted field goes on in the next lines; if it never ends well, only the line is refused."""
    refused = Record((), "a quote is not closed", _body(line))
    parts, taken = [line], 0
    size = len(line)
    while taken < _JOIN_LINES and size < _JOIN_CHARS:
        if taken == len(waiting):
            more = next(source, None)
            if more is None:
                return refused
            waiting.append(more)
        more = waiting[taken]
        taken += 1
        size += len(more)
        parts.append(more)
        if "\0" in more or UNREADABLE in more:
            return refused
        if dialect.quote not in more:
            continue
        try:
            fields = _split(_body("".join(parts)), dialect)
        except _Open:
            continue
        except _Broken:
            return refused
        if not dialect.multiline and len(fields) != width:
            return refused
        for _ in range(taken):
            waiting.popleft()
        return _fit(fields, width, "".join(parts))
    return refused


def _body(line: str) -> str:
    if line.endswith("\r\n"):
        return line[:-2]
    return line[:-1] if line.endswith(("\n", "\r")) else line


def _fit(fields: list[str], width: int | None, text: str) -> Record:
    if width is None or len(fields) == width:
        return Record(tuple(fields))
    if len(fields) < width:
        return Record((*fields, *[None] * (width - len(fields))))
    if any(fields[width:]):
        return Record((), f"{len(fields)} columns found, {width} expected", _body(text))
    return Record(tuple(fields[:width]))


def _split(text: str, dialect: Dialect) -> list[str]:
    if not dialect.quote or dialect.quote not in text:
        return text.split(dialect.separator)
    fields: list[str] = []
    position, step = 0, len(dialect.separator)
    while True:
        if text.startswith(dialect.quote, position):
            field, position = _quoted(text, position + 1, dialect)
        else:
            end = text.find(dialect.separator, position)
            end = len(text) if end < 0 else end
            field, position = text[position:end], end
        fields.append(field)
        if position >= len(text):
            return fields
        position += step
        if position == len(text):
            return [*fields, ""]


def _quoted(text: str, position: int, dialect: Dialect) -> tuple[str, int]:
    """A field from behind its opening quote: its text, and where its separator or the end is."""
    quote, escape = dialect.quote, dialect.escape if dialect.escape != dialect.quote else ""
    parts: list[str] = []
    while True:
        end = text.find(quote, position)
        if end < 0:
            raise _Open
        escaped = text.find(escape, position, end) if escape else -1
        if escaped >= 0:
            following = text[escaped + 1 : escaped + 2]
            parts.append(text[position:escaped])
            parts.append(following if following in (quote, escape) else escape + following)
            position = escaped + 2
            continue
        parts.append(text[position:end])
        if text.startswith(quote, end + 1):
            parts.append(quote)
            position = end + 2
            continue
        rest = end + 1
        while rest < len(text) and text[rest] == " " and not text.startswith(dialect.separator, rest):
            rest += 1
        if rest < len(text) and not text.startswith(dialect.separator, rest):
            raise _Broken
        return "".join(parts), rest
