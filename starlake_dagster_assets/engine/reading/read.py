"""Files become accepted rows and rejected ones, set-wise in DuckDB.

Call `read_incoming` outside of a transaction: a way of parsing that DuckDB refuses must not abort the caller's work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import duckdb

from starlake_dagster_assets.engine.quoting import identifier, literal, qualified
from starlake_dagster_assets.engine.reading.archives import plain_files
from starlake_dagster_assets.engine.reading.computed import computed_select
from starlake_dagster_assets.engine.reading.ddl import column_type, duplicate_names, target_columns
from starlake_dagster_assets.engine.reading.formats.registry import InputFile, check_format, sources
from starlake_dagster_assets.engine.reading.formats.source import Source
from starlake_dagster_assets.engine.reading.incoming import Incoming
from starlake_dagster_assets.engine.reading.rows import Cell, RowCompiler, Typed
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model import Project, Table

__all__ = ["check_readable", "discard", "read_incoming"]


def check_readable(con: duckdb.DuckDBPyConnection, project: Project, table: Table) -> None:
    """Refuse a table that the engine cannot read, before any file is moved.

    Args:
        con: Any connection: patterns are tried on it.
        project: Types and settings.
        table: The table.

    Raises:
        EngineError: When a format, type, pattern, privacy key, option or column name is not supported.
    """
    check_format(table)
    duplicate_names((attribute.name for attribute in table.attributes), f"table '{table.raw}'")
    target_columns(table, project)
    RowCompiler(con, project, table).compile({attribute.name: Cell("NULL") for attribute in table.attributes})


def read_incoming(con: duckdb.DuckDBPyConnection, project: Project, table: Table, files: Sequence[Path]) -> Incoming:
    """Read files of one table.

    Args:
        con: An open connection without a transaction under way. Temporary tables are made on it; see `discard`.
        project: Types and settings.
        table: The table the files belong to.
        files: The files, compressed or not; read in order.

    Returns:
        The accepted rows, exact counts, and the rejected rows with their reasons. `accepted` counts the rows that
        are valid, as the real engine does; `filtered` of them are left out by `table.filter`.

    Raises:
        EngineError: When the table cannot be read by this engine, or a file cannot be read at all.
    """
    check_readable(con, project, table)
    job = _Reading(con, project, table, tuple(path.absolute() for path in files), uuid4().hex[:12])
    job.create()
    try:
        with TemporaryDirectory(prefix="starlake-read-") as work:
            for part, path in enumerate(job.files, start=1):
                for plain in plain_files(path, Path(work)):
                    job.load(InputFile(plain, str(path), Path(work)), part)
        return job.finish()
    except BaseException:
        for suffix in ("rows", "rejects"):
            con.execute(f"DROP TABLE IF EXISTS {job.name(suffix)}")
        raise


def discard(con: duckdb.DuckDBPyConnection, incoming: Incoming) -> None:
    """Drop the temporary tables of a reading; to be called when its rows were written or given up."""
    base = incoming.relation.removesuffix('_accepted"')
    con.execute(f'DROP VIEW IF EXISTS {base}_accepted"')
    for suffix in ("computed", "rejects", "rows"):
        con.execute(f'DROP TABLE IF EXISTS {base}_{suffix}"')


@dataclass(frozen=True)
class _Reading:
    """One call of `read_incoming`."""

    con: duckdb.DuckDBPyConnection
    project: Project
    table: Table
    files: tuple[Path, ...]
    token: str

    def name(self, suffix: str) -> str:
        return qualified("temp", "main", f"sl_incoming_{self.token}_{suffix}")

    def create(self) -> None:
        read = [attribute for attribute in self.table.attributes if attribute.script is None]
        columns = [f"sl_v{index} {column_type(item, self.project)}" for index, item in enumerate(read)]
        columns += ["sl_ok BOOLEAN", "sl_part INTEGER"]
        self.con.execute(f"CREATE TEMP TABLE {self.name('rows')} ({', '.join(columns)})")
        replay = ", LINE VARCHAR, HEADER VARCHAR" if self.project.application.sink_replay_to_file else ""
        self.con.execute(f"CREATE TEMP TABLE {self.name('rejects')} (ERROR VARCHAR, PATH VARCHAR{replay})")

    def load(self, file: InputFile, part: int) -> None:
        """One plain file, by the first way of reading it that works."""
        failure = "no way to read it"
        for attempt in sources(self.con, self.table, file):
            source = attempt()
            if source is None:
                continue
            try:
                done = self._insert(source, part)
                if source.expected_rows in (None, done):
                    self._reject(source, part)
                    return
            except duckdb.InterruptException:
                raise
            except (duckdb.OutOfMemoryException, duckdb.TransactionException) as error:
                raise EngineError(f"{file.shown}: {error}") from error
            except duckdb.Error as error:
                failure = str(error).split("\n\n")[0]
                continue
            failure = f"{done} rows were parsed where {source.expected_rows} were counted"
            self._undo(done)
        raise EngineError(f"{file.shown}: cannot be read as {self.table.metadata.format}: {failure}")

    def _typed(self, source: Source) -> tuple[tuple[Typed, ...], str]:
        """The attributes, and the SELECT of their values beside the raw cells."""
        typed = RowCompiler(self.con, self.project, self.table).compile(source.cells)
        values = [f"{item.value} AS sl_v{index}" for index, item in enumerate(typed)]
        return typed, f"SELECT {', '.join(['*', *values])} FROM {source.sql}"

    def _insert(self, source: Source, part: int) -> int:
        """All rows of a source, right or wrong; returns how many there are."""
        typed, inner = self._typed(source)
        columns = [*(f"sl_v{index}" for index in range(len(typed))), _right(typed, source.reason), str(part)]
        row = self.con.execute(f"INSERT INTO {self.name('rows')} SELECT {', '.join(columns)} FROM ({inner})").fetchone()
        return int(row[0]) if row else 0

    def _reject(self, source: Source, part: int) -> None:
        """Reads the source again for the reasons of the wrong rows, where there are any."""
        wrong = self._count(f"FROM {self.name('rows')} WHERE NOT sl_ok") - self._count(f"FROM {self.name('rejects')}")
        if not wrong:
            return
        typed, inner = self._typed(source)
        error, unreadable = _error(typed, source.reason), f"{source.reason} IS NOT NULL"
        # Where all of them are records that could not be read at all, the others need not be typed again.
        alone = source.reason != "NULL" and self._count(f"FROM {source.sql} WHERE {unreadable}") == wrong
        chosen = unreadable if alone else f"NOT {_right(typed, source.reason)}"
        path = literal(str(self.files[part - 1]))
        message = f"'ERR -> ' || chr(10) || sl_error || chr(10) || chr(10) || 'FILE -> ' || {path}"
        replay = self.project.application.sink_replay_to_file
        header = "NULL" if source.header is None else literal(source.header)
        more, line = (f", sl_record, {header}", f", {source.line} AS sl_record") if replay else ("", "")
        row = self.con.execute(
            f"INSERT INTO {self.name('rejects')} SELECT {message}, {path}{more} FROM "
            f"(SELECT {error} AS sl_error{line} FROM ({inner}) WHERE {chosen})"
        ).fetchone()
        if row is None or int(row[0]) != wrong:
            raise EngineError(f"{self.files[part - 1]}: the file changed while it was read")

    def _undo(self, done: int) -> None:
        last = f"(SELECT coalesce(max(rowid), -1) - {done} FROM {self.name('rows')})"
        self.con.execute(f"DELETE FROM {self.name('rows')} WHERE rowid > {last}")

    def _count(self, what: str) -> int:
        row = self.con.execute(f"SELECT count(*) {what}").fetchone()
        return int(row[0]) if row else 0

    def finish(self) -> Incoming:
        rows = self.name("rows")
        total, rejected = self._count(f"FROM {rows}"), self._count(f"FROM {self.name('rejects')}")
        paths = f"[{', '.join(literal(str(path)) for path in self.files)}][sl_part]"
        if rejected:
            # without a filter over them DuckDB knows how many rows there are, and plans joins by it
            self.con.execute(f"DELETE FROM {rows} WHERE NOT sl_ok")
        filtered = self._accept(rows, paths, total - rejected)
        return Incoming(
            relation=self.name("accepted"),
            columns=target_columns(self.table, self.project),
            files=self.files,
            input=total,
            accepted=total - rejected,
            rejected=rejected,
            rejects=self.name("rejects") if rejected else None,
            filtered=filtered,
        )

    def _accept(self, rows: str, paths: str, accepted: int) -> int:
        """Makes the relation of the accepted rows; returns how many the filter left out."""
        read = [attribute for attribute in self.table.attributes if attribute.script is None]
        named = [f"sl_v{index} AS {identifier(item.final_name)}" for index, item in enumerate(read)]
        wanted = ", ".join(identifier(item.final_name) for item in self.table.attributes if not item.ignore)
        select = computed_select(self.con, self.project, self.table, rows, paths)
        if select is None:
            plain = f"SELECT {wanted} FROM (SELECT {', '.join(named)} FROM {rows})"
            self.con.execute(f"CREATE TEMP VIEW {self.name('accepted')} AS {plain}")
            return 0
        try:
            done = self.con.execute(f"CREATE TEMP TABLE {self.name('computed')} AS {select}").fetchone()
        except duckdb.Error as error:
            what = "a script, privacy or filter expression failed"
            raise EngineError(f"table '{self.table.raw}': {what}: {error}") from error
        self.con.execute(f"DROP TABLE {rows}")
        self.con.execute(f"CREATE TEMP VIEW {self.name('accepted')} AS SELECT * FROM {self.name('computed')}")
        return accepted - (int(done[0]) if done else 0)


def _right(typed: Sequence[Typed], reason: str) -> str:
    """SQL of whether a row is accepted; cheaper than the reasons why it is not."""
    tests = [
        item.accepted(f"sl_v{index}") if item.accepted else f"({item.error}) IS NULL"
        for index, item in enumerate(typed)
        if item.error != "NULL"
    ]
    tests += [f"{reason} IS NULL"] if reason != "NULL" else []
    return f"(({' AND '.join(test for test in tests if test != 'true') or 'true'}) IS TRUE)"


def _error(typed: Sequence[Typed], reason: str) -> str:
    """SQL of the errors of a row, one a line, or of NULL."""
    errors = [item.error for item in typed if item.error != "NULL"]
    joined = f"nullif(concat_ws(chr(10), {', '.join(errors)}), '')" if errors else "NULL"
    return f"coalesce({reason}, {joined})" if reason != "NULL" else joined
