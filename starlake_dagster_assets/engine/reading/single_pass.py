"""Single-pass loads: rows are written while they are read, if they need not be kept in between."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from starlake_dagster_assets.engine.quoting import identifier
from starlake_dagster_assets.engine.reading.accepted_rows import AcceptedRows, Column
from starlake_dagster_assets.engine.reading.archives import plain_files
from starlake_dagster_assets.engine.reading.column_types import column_type, target_columns
from starlake_dagster_assets.engine.reading.computed import is_computed
from starlake_dagster_assets.engine.reading.evaluated_rows import EvaluatedRows, evaluate_rows
from starlake_dagster_assets.engine.reading.formats.registry import InputFile, sources
from starlake_dagster_assets.engine.reading.read import check_readable
from starlake_dagster_assets.engine.reading.scratch import REFUSALS, Scratch
from starlake_dagster_assets.engine.reading.workspace import workspace
from starlake_dagster_assets.project.model.project import Project, Table

__all__ = ["Stream", "StreamError", "stream_incoming"]

_SEVERAL = (".zip", ".tgz", ".tar.gz")


class StreamError(Exception):
    """Error of a file that cannot be written while it is read; `read_incoming` reads it in another way."""


@dataclass(frozen=True)
class Stream:
    """The rows of one file, which are not read yet.

    Attributes:
        relation: Quoted name of a temporary view that reads the file and gives the accepted rows in order.
        columns: The target's columns; see `AcceptedRows`.
    """

    relation: str
    columns: tuple[Column, ...]
    _file: Path
    _evaluated: EvaluatedRows
    _scratch: Scratch
    _expected: int

    def written(self, write: Callable[[], int]) -> AcceptedRows:
        """Writes the rows, and reads the reasons of the rejected ones.

        Args:
            write: Reads the view once and writes every row of it; returns the number of rows.

        Returns:
            The result that `read_incoming` would return; the rows of its relation are written.

        Raises:
            StreamError: DuckDB rejected the file or a row, or not every record was found.
        """
        try:
            accepted = write()
            wrong, rejects = self._expected - accepted, self._scratch.name("rejects")
            if wrong and self._evaluated.reject(self._scratch.con, rejects, wrong, self._file) != wrong:
                raise StreamError(f"{accepted} rows of {self._expected} were accepted, and others rejected")
        except duckdb.InterruptException:
            raise
        except REFUSALS as error:
            raise StreamError(str(error)) from error
        return AcceptedRows(
            self.relation, self.columns, (self._file,), self._expected, accepted, wrong, rejects if wrong else None
        )


@contextmanager
def stream_incoming(
    con: duckdb.DuckDBPyConnection, project: Project, table: Table, file: Path
) -> Generator[Stream | None]:
    """Yields the rows that `read_incoming` would return, by the same SQL.

    Args:
        con: An open connection without a transaction; the block may begin one.
        project: Types and settings.
        table: The table the file belongs to.
        file: The file.

    Yields:
        The rows; None if they have to be read first: of an archive of several files, of a table with computed
        columns or a filter, and if DuckDB may misread the file or its records cannot be counted beforehand.

    Raises:
        EngineError: As `read_incoming`.
    """
    check_readable(con, project, table)
    if is_computed(table) or file.name.lower().endswith(_SEVERAL):
        yield None
        return
    scratch, replay = Scratch(con), project.application.sink_replay_to_file
    try:
        with workspace(con) as work:
            for plain in plain_files(file.absolute(), work):
                yield _stream(scratch, project, table, file.absolute(), InputFile(plain, str(file), work, replay))
    finally:
        scratch.drop()


def _stream(scratch: Scratch, project: Project, table: Table, file: Path, plain: InputFile) -> Stream | None:
    """Returns the stream of the first way to read the file; None if it cannot be used."""
    source = next(sources(scratch.con, project, table, plain))()
    if source is None or source.expected_rows is None:
        return None
    evaluated = evaluate_rows(scratch.con, project, table, source)
    columns = [
        f"CAST(sl_v{index} AS {column_type(item, project)}) AS {identifier(item.final_name)}"
        for index, item in enumerate(table.attributes)  # none is computed
        if not item.ignore
    ]
    rows = f"(SELECT *, {evaluated.is_accepted} AS sl_ok FROM {evaluated.rows})"
    select = f"SELECT {', '.join(columns)} FROM {rows} WHERE sl_ok"
    try:
        scratch.con.execute(f"CREATE TEMP VIEW {scratch.name('accepted')} AS {select}")
    except duckdb.InterruptException:
        raise
    except duckdb.Error:
        return None
    scratch.create_rejects(replay=evaluated.replay)
    return Stream(
        scratch.name("accepted"), target_columns(table, project), file, evaluated, scratch, source.expected_rows
    )
