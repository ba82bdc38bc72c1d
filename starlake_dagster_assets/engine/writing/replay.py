"""Replay files: rejected records of a load, to be corrected and loaded again (`application.sinkReplayToFile`)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import duckdb

from starlake_dagster_assets.engine.areas import area
from starlake_dagster_assets.engine.command_output import CommandOutput
from starlake_dagster_assets.engine.quoting import value
from starlake_dagster_assets.engine.reading.accepted_rows import AcceptedRows
from starlake_dagster_assets.project.model.project import Project, Table

__all__ = ["replay_path", "replay_rejects", "write_replay"]

_BATCH = 10_000


def replay_rejects(
    con: duckdb.DuckDBPyConnection, project: Project, table: Table, incoming: AcceptedRows, journal: CommandOutput
) -> None:
    """Writes the replay file of a load whose other rows are committed, if `application.sinkReplayToFile` is set.

    An error while the file is written is only logged: the load itself has succeeded.

    Args:
        con: The connection of the reading.
        project: The project, for `application.sinkReplayToFile` and the area.
        table: The table.
        incoming: The result of the reading.
        journal: Receives the message that names the file.
    """
    if incoming.rejects is None or not project.application.sink_replay_to_file:
        return
    try:
        path = replay_path(project, table, datetime.now(timezone.utc))
        count = write_replay(con, incoming, path, table)
        journal.info("IngestionWorkflow", f"{count} rejected records are in {path}")
    except duckdb.InterruptException:
        raise
    except Exception as error:
        journal.warn("IngestionWorkflow", f"application.sinkReplayToFile: no replay file was written: {error}")


def replay_path(project: Project, table: Table, now: datetime) -> Path:
    """Returns the file for rejected records: `replay/<domain>/<domain>.<table>.<yyyyMMddHHmmss>.replay`.

    Args:
        project: The project, for the area (`application.area.replay`).
        table: The table.
        now: The time of the load.
    """
    name = f"{table.domain_name}.{table.name}.{now:%Y%m%d%H%M%S}.replay"
    return area(project, "replay", table.domain_name) / name


def write_replay(con: duckdb.DuckDBPyConnection, incoming: AcceptedRows, path: Path, table: Table) -> int:
    """Writes the rejected records in the form of the table's files, header included.

    Records of files with different headers go to separate files. An existing file is kept, and the new one gets a
    number. To be called after the commit: only then are the other rows in the table.

    Args:
        con: The connection of the reading.
        incoming: The result of the reading, with `application.sinkReplayToFile`.
        path: See `replay_path`; its directory is created.
        table: The table; its encoding is used.

    Returns:
        The number of records written; without any, no file is created.

    Raises:
        OSError: The file cannot be written.
    """
    if incoming.rejects is None:
        return 0
    written = 0
    wanted = f"SELECT DISTINCT HEADER FROM {incoming.rejects} WHERE LINE IS NOT NULL ORDER BY HEADER NULLS FIRST"
    for (header,) in con.execute(wanted).fetchall():
        lines = _lines(con, incoming.rejects, header)
        written += _write(path, header, lines, table)
    return written


def _lines(con: duckdb.DuckDBPyConnection, rejects: str, header: str | None) -> Iterator[str]:
    found = con.execute(
        f"SELECT LINE FROM {rejects} WHERE LINE IS NOT NULL AND HEADER IS NOT DISTINCT FROM {value(header)}"
    )
    while rows := found.fetchmany(_BATCH):
        for (line,) in rows:
            yield line


def _write(path: Path, header: str | None, lines: Iterator[str], table: Table) -> int:
    array = table.metadata.array and table.metadata.format in {"JSON", "JSON_FLAT"}
    between = ",\n" if array else "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with _free(path).open(
        "x", encoding=table.metadata.encoding.strip() or "utf-8", errors="replace", newline=""
    ) as file:
        file.write(f"{header}\n" if header is not None else "[" if array else "")
        for line in lines:
            file.write(f"{between if count else ''}{line}")
            count += 1
        file.write("]\n" if array else "\n")
    return count


def _free(path: Path) -> Path:
    """Returns the path, with the first free number if the file exists."""
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return found
