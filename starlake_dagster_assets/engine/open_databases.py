"""DuckDB files that stay open between the commands of one step."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import duckdb

from starlake_dagster_assets.engine.quoting import identifier

__all__ = ["Database", "Lease", "OpenDatabases"]

_POLL_SECONDS = 0.1


@dataclass
class Database:
    """An open DuckDB file.

    Attributes:
        con: The connection that keeps it open.
        catalog: Name of its catalog; "" if this is the default catalog of its connections.
    """

    con: duckdb.DuckDBPyConnection
    catalog: str = ""


@dataclass
class Lease:
    """A use of an open database file.

    Attributes:
        con: A connection for this use only: its temporary tables and settings end with it.
        discard: Whether the use may have changed something that outlives its connection, such as attached files,
            global settings or secrets: the file is closed with it, and the next use opens it again.
    """

    con: duckdb.DuckDBPyConnection
    discard: bool = False


@dataclass
class _Slot:
    """State of one file; the use that has the file holds the lock `turn`."""

    turn: Lock = field(default_factory=Lock)
    database: Database | None = None
    resources: ExitStack | None = None

    def close(self) -> None:
        resources, self.resources, self.database = self.resources, None, None
        if resources is not None:
            resources.close()


class OpenDatabases:
    """DuckDB files that stay open, and locked against other processes, from their first use until `close`.

    An open and a close cost more than what most commands do in between, and more with each table of the file. Uses of
    one file take turns. A use that fails closes the file. Without `keep`, each use opens and closes it.
    """

    def __init__(self) -> None:
        self._slots: dict[Path, _Slot] = {}
        self._keeping = False

    def keep(self) -> None:
        """Keeps files open from now on."""
        self._keeping = True

    def close(self) -> None:
        """Closes all files; a file in use is closed at the end of its use."""
        self._keeping = False
        self.close_idle()

    def close_idle(self) -> None:
        """Closes the files that are not in use, before the caller opens another file or waits for one."""
        for slot in list(self._slots.values()):
            if slot.turn.acquire(blocking=False):
                try:
                    slot.close()
                finally:
                    slot.turn.release()

    @contextmanager
    def use(
        self, path: Path, opening: Callable[[ExitStack], Database], check_wait: Callable[[], None]
    ) -> Generator[Lease]:
        """Yields a connection to a file, which is opened if it is not open.

        Args:
            path: The file.
            opening: Locks and opens the file; the stack undoes this.
            check_wait: Called repeatedly while another use has the file; raises an error to stop waiting.
        """
        slot = self._slots.setdefault(path.resolve(), _Slot())
        while not slot.turn.acquire(timeout=_POLL_SECONDS):
            check_wait()
        lease = None
        try:
            database = slot.database or _open(slot, opening)
            with closing(database.con.cursor()) as con:
                if database.catalog:
                    con.execute(f"USE {identifier(database.catalog)}")
                lease = Lease(con)
                yield lease
        except GeneratorExit:
            raise
        except BaseException:
            slot.close()
            raise
        finally:
            if not self._keeping or (lease is not None and lease.discard):
                slot.close()
            slot.turn.release()


def _open(slot: _Slot, opening: Callable[[ExitStack], Database]) -> Database:
    with ExitStack() as stack:
        slot.database = opening(stack)
        slot.resources = stack.pop_all()
    return slot.database
