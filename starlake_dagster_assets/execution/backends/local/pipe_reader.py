"""Reads two pipes and splits their bytes into lines: in chunks, in bounded memory, interruptible, in one thread."""

from __future__ import annotations

import os
import selectors
from collections.abc import Iterator
from typing import IO, Literal

from starlake_dagster_assets.commands.model import Line

__all__ = ["LONGEST", "LineSplitter", "PipeReader"]

LONGEST = 256 * 1024
"""Maximum length of a line in bytes; a longer line is split into several."""
_CHUNK = 64 * 1024
_CHUNKS = 8
"""Chunks read from a stream before the other one: more than a pipe holds, so that earlier output is read first."""

Stream = Literal["stdout", "stderr"]


class LineSplitter:
    """Splitter of bytes into lines.

    Args:
        stream: Name of the stream.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream: Stream = stream
        self._rest = b""

    def take(self, chunk: bytes) -> Iterator[Line]:
        """Yields the lines that a chunk of bytes completes."""
        whole, end, rest = (self._rest + chunk).rpartition(b"\n")
        if end:
            for raw in whole.split(b"\n"):
                yield from self._pieces(raw)
        while len(rest) > LONGEST:
            piece, rest = _cut(rest)
            yield self._line(piece)
        self._rest = rest

    def end(self) -> Iterator[Line]:
        """Yields the last line, which has no line break, at the end of the stream."""
        if self._rest:
            yield from self._pieces(self._rest)
        self._rest = b""

    def _pieces(self, raw: bytes) -> Iterator[Line]:
        while len(raw) > LONGEST:
            piece, raw = _cut(raw)
            yield self._line(piece)
        yield self._line(raw)

    def _line(self, raw: bytes) -> Line:
        raw = raw.removesuffix(b"\r")
        try:
            return Line(raw.decode(), self._stream)
        except UnicodeDecodeError:
            return Line(raw.decode(errors="replace"), self._stream, raw)


class PipeReader:
    """Reader of the lines of stdout and stderr as they arrive.

    What is on stderr is read before what is on stdout: a program's log precedes what it prints at the end of a command.

    Args:
        stdout: Non-blocking.
        stderr: Non-blocking.
    """

    def __init__(self, stdout: IO[bytes], stderr: IO[bytes]) -> None:
        self._selector = selectors.DefaultSelector()
        self._open: dict[int, LineSplitter] = {}
        for file, cutter in ((stderr, LineSplitter("stderr")), (stdout, LineSplitter("stdout"))):
            self._selector.register(file, selectors.EVENT_READ)
            self._open[file.fileno()] = cutter

    @property
    def ended(self) -> bool:
        """Whether both streams have ended."""
        return not self._open

    def read(self, timeout: float) -> Iterator[Line]:
        """Waits up to `timeout` seconds for output, and yields the lines that are available then."""
        if self.ended or not self._selector.select(timeout):
            return
        for number in list(self._open):
            yield from self._drain(number)

    def close(self) -> None:
        """Closes the selector."""
        self._selector.close()

    def _drain(self, number: int) -> Iterator[Line]:
        for _ in range(_CHUNKS):
            try:
                chunk = os.read(number, _CHUNK)
            except BlockingIOError:
                return
            if not chunk:
                cutter = self._open.pop(number)
                self._selector.unregister(number)
                yield from cutter.end()
                return
            yield from self._open[number].take(chunk)


def _cut(raw: bytes) -> tuple[bytes, bytes]:
    """Splits bytes at the maximum length of a line, without splitting a character; returns both parts."""
    at = LONGEST
    while at > LONGEST - 4 and raw[at] & 0xC0 == 0x80:
        at -= 1
    return raw[:at], raw[at:]
