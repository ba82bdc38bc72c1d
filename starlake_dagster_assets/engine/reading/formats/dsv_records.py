"""Reads delimited text record by record, for files that DuckDB rejects or may misread.

A record ends with a line end outside of quotes. Where that is not declared (`multiline: false`), lines are joined only
if they form one complete record together; otherwise each of them is a record, and one stray quote costs one line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from starlake_dagster_assets.engine.reading.formats.text_scan import UNREADABLE
from starlake_dagster_assets.errors import EngineError

__all__ = ["DsvDialect", "Record", "header_of", "plain_line", "records"]

_LONGEST = 64 << 20
"""Maximum number of characters of a record; in a longer record, a closing quote is missing."""
_SPACES = " \t\r\n\x0b\x0c"
_SEAM = '","'


@dataclass(frozen=True)
class DsvDialect:
    """Delimiters of fields (`metadata.separator`, `quote`, `escape`, `multiline`); "" = none."""

    separator: str
    quote: str
    escape: str
    multiline: bool = False
    comment: str = ""


@dataclass(frozen=True)
class Record:
    """Fields of a record; or its text and the reason why it is rejected; or only the text of a `plain_line`."""

    fields: tuple[str | None, ...]
    reason: str | None = None
    text: str = ""


class _Lines:
    """Reader of lines that counts them and can take lines back."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._source = iter(lines)
        self._waiting: deque[str] = deque()
        self.number = 0

    def take(self) -> str | None:
        """Returns the next line; None at the end."""
        line = self._waiting.popleft() if self._waiting else next(self._source, None)
        self.number += line is not None
        return line

    def give_back(self, lines: Sequence[str]) -> None:
        """Puts back the lines that were taken last, in their order."""
        self._waiting.extendleft(reversed(lines))
        self.number -= len(lines)


def records(
    lines: Iterable[str], dialect: DsvDialect, width: int | None, plain: Callable[[str], Record | None] | None = None
) -> Iterator[Record]:
    """Splits lines into records.

    Args:
        lines: Lines with their ends.
        dialect: Delimiters of the fields.
        width: Fields per record; shorter ones are filled with None, longer ones rejected. None: any number.
        plain: Called first for each line that begins a record; a record that it returns is used.

    Yields:
        One record per line that is not blank, or per group of lines that a quoted field joins.

    Raises:
        EngineError: A quote is open to the end of the file, or for longer than any value may be, so that it is unknown
            where the records after it begin.
    """
    source = _Lines(lines)
    while (line := source.take()) is not None:
        if plain is not None and (simple := plain(line)) is not None:
            yield simple
        elif line.strip(_SPACES) and not (dialect.comment and line.startswith(dialect.comment)):
            yield _record(line, source, dialect, width)


def header_of(found: Iterator[Record]) -> tuple[str, ...]:
    """Returns the fields of the first record, without the spaces around them; none if there is no record."""
    first = next(found, None)
    return tuple((field or "").strip() for field in first.fields) if first else ()


def plain_line(dialect: DsvDialect, width: int) -> Callable[[str], Record | None] | None:
    """Returns a function that quotes the fields of a simple line without splitting the line.

    Args:
        dialect: Delimiters of the fields.
        width: Number of fields of a record.

    Returns:
        A function of a line: a record whose `text` has the fields in double quotes with commas between, or None if
        the line is not that simple. None if no line can be split this way.
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
    """Returns the fields of a line cut at its quotes, all quoted; None if a quote is not at the edge of a field."""
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


def _record(line: str, source: _Lines, dialect: DsvDialect, width: int | None) -> Record:
    """Returns the record that starts with a line; with `multiline` up to its own end, also if it is invalid."""
    splitter, taken, size, first = _Splitter(dialect), list[str](), len(line), source.number
    ended = splitter.feed(line)
    while not ended:
        more = source.take()
        if more is None and not taken:
            return Record((), "a quote is not closed", _body(line))
        if (more is None and dialect.multiline) or size > _LONGEST:
            raise EngineError(
                f"a quote that opens in line {first} is not closed in the next {len(taken)} lines, so the records "
                "after it cannot be separated; close it, or set metadata.quote to another character"
            )
        if more is None:
            break
        taken.append(more)
        size += len(more)
        ended = splitter.feed(more)
    if taken and not dialect.multiline:
        whole = ended and not splitter.broken and width in (None, len(splitter.fields))
        if not whole or any("\0" in text or UNREADABLE in text for text in taken):
            source.give_back(taken)
            return Record((), "a quote is not closed", _body(line))
    text = "".join([line, *taken])
    if "\0" in text or UNREADABLE in text:
        return Record((), "the line holds bytes that are not text in the table's encoding", _body(text))
    return Record((), "text after a closing quote", _body(text)) if splitter.broken else _fit(splitter, width, text)


def _body(line: str) -> str:
    if line.endswith("\r\n"):
        return line[:-2]
    return line[:-1] if line.endswith(("\n", "\r")) else line


def _fit(splitter: _Splitter, width: int | None, text: str) -> Record:
    fields = splitter.fields
    if width is None or len(fields) == width:
        return Record(tuple(fields))
    if len(fields) < width:
        return Record((*fields, *[None] * (width - len(fields))))
    if any(fields[width:]):
        return Record((), f"{len(fields)} columns found, {width} expected", _body(text))
    return Record(tuple(fields[:width]))


class _Splitter:
    """Splitter of one record into fields, line by line.

    Attributes:
        fields: The fields that are complete.
        broken: Whether a closing quote is followed by more text; the record then ends with its line.
    """

    def __init__(self, dialect: DsvDialect) -> None:
        self.fields: list[str] = []
        self.broken = False
        self._separator = dialect.separator
        self._quote = dialect.quote
        self._escape = dialect.escape if dialect.escape != dialect.quote else ""
        self._open: list[str] | None = None
        """The pieces of a quoted field whose end has not been read yet."""

    def feed(self, line: str) -> bool:
        """Reads a line; returns whether the record ends with this line."""
        text = _body(line)
        if self._open is None and (not self._quote or self._quote not in text):
            self.fields += text.split(self._separator)
            return True
        position: int | None = 0
        while position is not None:
            if self._open is None and len(self._separator) == 1:
                position = self._plain_fields(text, position)
                if position is None:
                    break
            position = self._field(text, line[len(text) :], position)
        return self._open is None

    def _plain_fields(self, text: str, position: int) -> int | None:
        """Reads the fields before the next quote at once; returns the start of the field with the quote, if any."""
        quote = text.find(self._quote, position)
        if quote < 0:
            self.fields += text[position:].split(self._separator)
            return None
        end = text.rfind(self._separator, position, quote)
        if end < 0:
            return position
        self.fields += text[position:end].split(self._separator)
        return end + 1

    def _field(self, text: str, end: str, position: int) -> int | None:
        """Reads a field, or the rest of one; returns the start of the next field in the line, if any."""
        if self._open is not None or text.startswith(self._quote, position):
            start = position if self._open is not None else position + len(self._quote)
            after = self._quoted(text, end, start)
            if after is None:
                return None
        else:
            found = text.find(self._separator, position)
            after = len(text) if found < 0 else found
            self.fields.append(text[position:after])
        return after + len(self._separator) if after < len(text) else None

    def _quoted(self, text: str, end: str, position: int) -> int | None:
        """Reads a quoted field after its opening quote; returns the position of its separator or line end, if any."""
        quote, escape = self._quote, self._escape
        parts = self._open if self._open is not None else []
        self._open = None
        while True:
            closing = text.find(quote, position)
            escaped = text.find(escape, position, closing if closing >= 0 else len(text)) if escape else -1
            if escaped >= 0:
                following = text[escaped + 1 : escaped + 2]
                parts.append(text[position:escaped])
                parts.append(following if following and following in (quote, escape) else escape + following)
                position = escaped + 2 if following else escaped + 1
            elif closing < 0:
                parts.append(text[position:] + end)
                self._open = parts
                return None
            elif text.startswith(quote, closing + 1):
                parts.append(text[position : closing + 1])
                position = closing + 2
            else:
                parts.append(text[position:closing])
                self.fields.append("".join(parts))
                return self._behind(text, closing + 1)

    def _behind(self, text: str, position: int) -> int:
        """Returns the position of the separator or line end after a closing quote and spaces."""
        rest = position
        while rest < len(text) and text[rest] == " " and not text.startswith(self._separator, rest):
            rest += 1
        if rest < len(text) and not text.startswith(self._separator, rest):
            self.broken = True
            return len(text)
        return rest
