"""Results of a load so far, written to the log and reported as events to a caller in this process."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from starlake_dagster_assets.commands.model import Event, FileLoaded, TableFailed, TableLoaded, TableStarted
from starlake_dagster_assets.engine.command_output import CommandOutput, printable
from starlake_dagster_assets.engine.session import EngineOptions
from starlake_dagster_assets.engine.writing.file_moves import RowCounts, format_file_uris
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model.project import Location

__all__ = ["LoadResults", "TableName"]

_SOURCE = "IngestionWorkflow"
_SHOWN = 20
"""Maximum number of file names in a message."""

TableName = tuple[str, str]
"""`load.name` and the raw name of a table."""


class LoadResults:
    """Results of one `load`.

    Args:
        journal: Receives their messages.
        options: Receives the events; also states whether the command was cancelled.
        errors: Errors that were found before.
    """

    def __init__(self, journal: CommandOutput, options: EngineOptions, errors: Sequence[str] = ()) -> None:
        self.errors = list(errors)
        self._journal = journal
        self._options = options
        self._loaded: list[tuple[tuple[Path, ...], RowCounts]] = []
        self._report = options.report
        self._finished: set[TableName] = set()

    def add(self, table: TableName, files: tuple[Path, ...], counts: RowCounts) -> None:
        """Adds the files of one job, whose rows are committed and recorded in the audit."""
        self._loaded.append((files, counts))
        known = (counts.input, counts.accepted, counts.rejected) if len(files) == 1 else (None, None, None)
        for file in files:
            self._report(FileLoaded(*table, printable(file.name), *known))

    def fail(self, message: str) -> None:
        """Adds an error and logs it."""
        self._journal.error(_SOURCE, message)
        self.errors.append(message)

    @contextmanager
    def table(self, name: TableName, files: Sequence[Path]) -> Generator[None]:
        """Reports a table: the files to load, and at the end whether all of them were loaded."""
        names = tuple(printable(file.name) for file in files)
        self._report(TableStarted(*name, names))
        errors, loaded = len(self.errors), len(self._loaded)
        yield
        if found := self.errors[errors:]:
            landed = {printable(file.name) for files, _ in self._loaded[loaded:] for file in files}
            missing = tuple(one for one in names if one not in landed)
            error = self._journal.redact(_summary(found, missing))
            self._finish(name, TableFailed(*name, names, missing, error, reported=True))
            return
        jobs = [counts for _, counts in self._loaded[loaded:]]
        read, accepted = sum(one.input for one in jobs), sum(one.accepted for one in jobs)
        rejected = sum(one.rejected for one in jobs)
        self._finish(name, TableLoaded(*name, names, read, accepted, rejected, archived=True))

    @contextmanager
    def isolated(
        self, where: Location | None = None, *, tables: Sequence[TableName] = (), last: bool = False
    ) -> Generator[None]:
        """Records the error of one file, table, connection or domain, so that the others are still loaded.

        A cancellation ends the whole load; a fatal error of DuckDB is only recorded by the block marked `last`.

        Args:
            where: Location of the declaration, for the message.
            tables: Tables that fail with this error, except those whose result is reported already.
            last: Whether nothing else of the connection follows.
        """
        try:
            yield
        except duckdb.InterruptException as error:
            raise EngineError("cancelled") from error
        except Exception as error:
            if self._options.cancelled.is_set() or (isinstance(error, duckdb.FatalException) and not last):
                raise
            text = str(error)
            if isinstance(error, OSError) and error.filename:
                text = f"{printable(error.filename)}: {error.strerror}"
            elif not isinstance(error, (EngineError, duckdb.Error, OSError)):
                text = f"unexpected {type(error).__name__}: {error}"
            self.fail(text if where is None or where.file in text else f"{where}: {text}")
            for name in tables:
                self._finish(name, TableFailed(*name, (), (), self._journal.redact(text), reported=True))

    def summarize(self) -> None:
        """Writes the row counts of all files in total."""
        counts = [counts for _, counts in self._loaded]
        paths = [
            f"\t{format_file_uris(files)}" if index else format_file_uris(files)
            for index, (files, _) in enumerate(self._loaded)
        ]
        self._journal.out(
            f"Load summary:\nInput records: {sum(item.input for item in counts)}\n"
            f"Accepted: {sum(item.accepted for item in counts)}\nRejected: {sum(item.rejected for item in counts)}\n"
            f"Data successfully loaded from {chr(10).join(paths)}"
        )

    def _finish(self, name: TableName, event: Event) -> None:
        if name not in self._finished:
            self._finished.add(name)
            self._report(event)


def _summary(errors: Sequence[str], failed: Sequence[str]) -> str:
    """Returns the first error of a table, and the names of the failed files if there are several errors."""
    if len(errors) == 1:
        return errors[0]
    names = ", ".join(failed[:_SHOWN]) + (", …" if len(failed) > _SHOWN else "")
    return f"{errors[0]}\n{len(failed)} files of the table failed: {names}"
