"""Progress of the files of one table, from the output of its load."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum

__all__ = ["FileState", "TableState"]


class FileState(Enum):
    """Progress of a file: announced, summary seen, archived, or rejected afterwards."""

    ANNOUNCED = 1
    SUMMARISED = 2
    CONFIRMED = 3
    REFUSED = 4


class TableState:
    """A table that the output of a load has announced.

    Args:
        domain: `load.name`.
        table: `table.name`.
    """

    def __init__(self, domain: str, table: str) -> None:
        self.domain = domain
        self.table = table
        self.files: dict[str, FileState] = {}
        self.errors: deque[str] = deque(maxlen=14)
        self.summaries: set[str] = set()
        """Paths in each summary that was read: no file is loaded twice by one command."""
        self.told = False
        self.reopened = False
        self._counts: list[int | None] = [0, 0, 0]
        self._archived: set[str] = set()

    @property
    def name(self) -> tuple[str, str]:
        """Domain and table."""
        return self.domain, self.table

    @property
    def counts(self) -> tuple[int | None, int | None, int | None]:
        """Rows in, accepted, rejected over all files; None if any was unknown."""
        return self._counts[0], self._counts[1], self._counts[2]

    @property
    def archived(self) -> bool:
        """Whether the program archived or deleted every file."""
        return bool(self.files) and self._archived >= set(self.files)

    @property
    def waiting(self) -> bool:
        """Whether the summary line of a file is still missing."""
        return FileState.ANNOUNCED in self.files.values()

    @property
    def complete(self) -> bool:
        """Whether every file has its summary and none was rejected."""
        return bool(self.files) and not {FileState.ANNOUNCED, FileState.REFUSED} & set(self.files.values())

    @property
    def confirmed(self) -> bool:
        """Whether the program has finished every file."""
        return bool(self.files) and set(self.files.values()) == {FileState.CONFIRMED}

    @property
    def unconfirmed(self) -> tuple[str, ...]:
        """Files with a summary that are not confirmed yet."""
        return tuple(name for name, state in self.files.items() if state is FileState.SUMMARISED)

    def has_loaded(self, names: Sequence[str]) -> bool:
        """Whether files were announced and have their summaries."""
        done = (FileState.SUMMARISED, FileState.CONFIRMED)
        return bool(names) and all(self.files.get(name) in done for name in names)

    def announce(self, names: Sequence[str]) -> None:
        """Adds the files of an `Ingest resolved file` line."""
        self.reopened = self.told
        self._archived.difference_update(names)
        for name in names:
            self.files[name] = FileState.ANNOUNCED

    def summarise(self, name: str) -> None:
        """Records a file of an `ingestion-summary` line; a file name with commas corrects the announced names."""
        if name not in self.files and "," in name:
            parts = [part.strip() for part in name.split(",")]
            if all(part in self.files for part in parts):
                for part in parts:
                    del self.files[part]
        self.files[name] = FileState.SUMMARISED

    def add_counts(self, *counts: int | None) -> None:
        """Adds the counts of one summary."""
        for index, count in enumerate(counts):
            total = self._counts[index]
            self._counts[index] = None if count is None or total is None else total + count

    def awaits_confirmation(self, name: str) -> bool:
        """Whether a file waits for its confirmation; one that replaces rows a second time gets no summary."""
        return self.files.get(name) in (FileState.ANNOUNCED, FileState.SUMMARISED)

    def confirm(self, name: str) -> None:
        """Confirms a file that the program archived or deleted; counts are unknown if the file has no summary."""
        if self.files.get(name) is FileState.ANNOUNCED:
            self._counts = [None, None, None]
        self.files[name] = FileState.CONFIRMED
        self._archived.add(name)

    def confirm_all(self) -> None:
        """Confirms all files, since the program went on to another table without an error."""
        self.files = dict.fromkeys(self.files, FileState.CONFIRMED)

    def record_error(self, error: str) -> None:
        """Records an error that the program reported while it worked on this table."""
        if error and error not in self.errors:
            self.errors.append(error)
        for name in self.unconfirmed:
            self.files[name] = FileState.REFUSED

    def explain(self, text: str) -> None:
        """Adds a further line of the last reported error."""
        if len(self.errors) < (self.errors.maxlen or 0) and text not in self.errors:
            self.errors.append(text)
