"""Error lines of one command: the last ones, and the first error that names a cause."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from starlake_dagster_assets.execution.table_progress import TableState

__all__ = ["LINE_LIMIT", "ErrorLines", "headline"]

LINE_LIMIT = 2000
_LEVEL = re.compile(
    r"(?:\d{1,4}[/-]\d{2}[/-]\d{2}[ T]\d{2}:\d{2}:\d{2}\S*\s+|^)\[?(TRACE|DEBUG|INFO|WARN|ERROR|FATAL)\]?\s+(?=\S)"
)
_LOGGER_NAME = re.compile(r"^(?!Error: )(?P<logger>[A-Za-z_][\w.$]*): ")
_FAILED_COMMAND = re.compile(r"^Starlake failed to execute command")
_FRAME = re.compile(r"^\s*(?:at [\w$.<>/]+\(|\.\.\. \d+ (?:more|common frames))")
_COLUMN = re.compile(r"\bcolumn \W?\w|Could not find valid strategy", re.I)
_SUMMARIES = re.compile(r"(?:Some tables failed to be loaded|Error during ingestion)$")
_STATEMENTS = "JdbcDbUtils$"
"""Logger of each statement that fails, before the error itself."""
_FILES_OF_PROJECT = "SchemaHandler"
"""Logger of project files that cannot be read, also those of other tables and tasks."""
_MOST_LINES = 14
_MOST_RECORDS = 50


@dataclass
class _Record:
    """An error of the log: its logger, and its lines without stack frames."""

    logger: str
    lines: list[str] = field(default_factory=list[str])

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def is_summary(self) -> bool:
        return len(self.lines) == 1 and _SUMMARIES.search(self.lines[0]) is not None


class ErrorLines:
    """Collector of the errors in a log, line by line.

    Args:
        keep: Number of the last lines that are kept.
    """

    def __init__(self, keep: int) -> None:
        self._last: deque[str] = deque(maxlen=keep)
        self._records: list[_Record] = []
        self._open: _Record | None = None
        self.has_info_lines = False
        """Whether a line of level INFO was read."""
        self._tables: Sequence[TableState] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """The last lines, without stack frames and repetitions, oldest first."""
        return tuple(self._last)

    def take(self, text: str) -> None:
        """Adds a line of the log."""
        level = _LEVEL.search(text)
        if level:
            self._tables = ()
            self.has_info_lines = self.has_info_lines or level[1] == "INFO"
            self._open = self._begin(text[level.end() :]) if level[1] in ("ERROR", "FATAL") else None
        elif _FAILED_COMMAND.match(text) or text.startswith("Exception in thread"):
            self._open = self._begin(text)
        elif self._open is None and text.startswith(("Error: ", "Unknown ")):
            self._begin(text)
        elif self._open is not None and text.strip() and not _FRAME.match(text):
            self._continue(self._open, text.strip()[:LINE_LIMIT])

    def explain(self, tables: Sequence[TableState]) -> None:
        """Adds the further lines of the error that was just read to the errors of some tables."""
        self._tables = tables

    def first(self) -> str:
        """Returns the first error that names a cause, with its further lines; empty if there is none."""
        records = [one for one in self._records if not one.is_summary and one.lines]
        causes = [one for one in records if one.logger not in ("Main", "", _STATEMENTS, _FILES_OF_PROJECT)]
        ends = [one for one in records if one.logger == "Main"]
        if causes or len(ends) == 1:
            found = (causes or ends)[0]
            files = [one for one in records if one.logger == _FILES_OF_PROJECT and not causes]
            return "\n".join(one.text for one in (found, *files))
        texts = [one.text for one in records if not one.text.startswith("Exception in thread")]
        return "\n".join(dict.fromkeys(texts or [one.text for one in records]))

    def _begin(self, text: str) -> _Record:
        named = _LOGGER_NAME.match(text)
        record = _Record(named["logger"].rpartition(".")[2] if named else "")
        if len(self._records) < _MOST_RECORDS:
            self._records.append(record)
        self._keep(text.strip()[:LINE_LIMIT])
        if words := text[named.end() if named else 0 :].strip():
            record.lines.append(words[:LINE_LIMIT])
        return record

    def _continue(self, record: _Record, words: str) -> None:
        self._keep(words)
        if len(record.lines) < _MOST_LINES and words not in record.lines:
            record.lines.append(words)
        for table in self._tables:
            table.explain(words)

    def _keep(self, words: str) -> None:
        if words and words not in self._last:
            self._last.append(words)


def headline(error: str) -> str:
    """Returns the first line of an error, and the line that names its column and value.

    Examples:
        >>> headline("CSV Error on Line: 3" + chr(10) + "Error when converting column id.")
        'CSV Error on Line: 3; Error when converting column id.'
    """
    first, _, rest = error.strip().partition("\n")
    named = next((line.strip() for line in rest.splitlines() if _COLUMN.search(line)), "")
    return f"{first}; {named}" if named and not _COLUMN.search(first) else first
