"""Files of the tables of one load: their locations before and after the load."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, Protocol

from starlake_dagster_assets.commands.model import Event, TableStarted
from starlake_dagster_assets.execution.evidence import TableFiles
from starlake_dagster_assets.project.resolve.java_regex import compile_java

__all__ = ["AreaReader", "LoadFiles", "LoadedTable"]

_Marks = Mapping[str, str]
_NO_MARKS: _Marks = MappingProxyType({})
_EMPTY: Mapping[str, int] = MappingProxyType({})


class LoadedTable(Protocol):
    """A table of a load, with the names and the pattern that find its files."""

    @property
    def name(self) -> str:
        """Name of the table (`table.name`)."""
        ...

    @property
    def domain_name(self) -> str:
        """Name of the domain (`load.name`)."""
        ...

    @property
    def pattern(self) -> str:
        """Regular expression of Java for the names of its files (`table.pattern`)."""
        ...


class AreaReader(Protocol):
    """Lists the areas of a project: the read-only part of `FileReader`."""

    def list_files(self, area: Literal["stage", "ingesting"], domain: str) -> Mapping[str, str] | None:
        """Returns the marks of the files of a domain by name; None if they cannot be listed."""
        ...

    def archived(self, domain: str, names: Collection[str]) -> Mapping[str, str] | None:
        """Returns the marks of the given files that are in `archive`; None if that cannot be read."""
        ...


class LoadFiles:
    """Listings of the areas of one domain before and after a load.

    Args:
        reader: Lists the areas; None if they cannot be listed.
        tables: The tables of the load, of one domain.
        domain: All tables of the domain, whose patterns may match the same files.
        archives: Whether the project archives loaded files (`application.archive`).
    """

    def __init__(
        self, reader: AreaReader | None, tables: Sequence[LoadedTable], domain: Sequence[LoadedTable], *, archives: bool
    ) -> None:
        self._reader = reader
        self._tables = tables
        self._domain = domain
        self._archives = archives
        self._name = tables[0].domain_name
        self._stage = reader.list_files("stage", self._name) if reader is not None else None
        self._ingesting = reader.list_files("ingesting", self._name) if reader is not None else None
        self._not_loaded: _Marks | None = None
        self._waiting: Collection[str] = ()
        self._owners = self._find_owners(self._stage or _NO_MARKS)
        self._archived = self._read_archive(self._owners)

    @property
    def is_listed(self) -> bool:
        """Whether `stage` could be listed before the load."""
        return self._stage is not None

    def sizes(self, table: LoadedTable) -> Mapping[str, int]:
        """Returns the bytes of the files of a table by name, as they were before the load."""
        mine = (name for name, owners in self._owners.items() if owners == [table.name])
        return {name: _size(self._stage[name]) for name in mine} if self._stage is not None else {}

    def has_archived(self, names: Collection[str]) -> bool:
        """Whether a load that still runs has moved all of some files from `stage` to `archive`."""
        if self._reader is None or not self._archives or not names or not set(names) <= self._owners.keys():
            return False
        now = self._read_archive(names)
        return all(name in now and now[name] != self._archived.get(name) for name in names)

    def is_working_on(self, names: Collection[str]) -> bool:
        """Whether a load that still runs has some files in `stage` or `ingesting`; False if that cannot be read."""
        if self._reader is None or not names:
            return False
        found = [self._reader.list_files("ingesting", self._name), self._reader.list_files("stage", self._name)]
        return any(name in marks for marks in found if marks is not None for name in names)

    def after(self, events: Sequence[Event], *, adopted: bool) -> Mapping[tuple[str, str], TableFiles]:
        """Returns the facts about the files of each table once the load has ended; empty if they cannot be listed.

        Args:
            events: Events of the load.
            adopted: The load had begun before the first listing.
        """
        if self._reader is None or self._stage is None:
            return {}
        stage, ingesting = (self._reader.list_files(area, self._name) for area in ("stage", "ingesting"))
        if stage is None or ingesting is None:
            return {}
        announced: dict[str, set[str]] = {}
        for event in events:
            if isinstance(event, TableStarted):
                announced.setdefault(event.table, set()).update(event.files)
        waiting = {name for name, mark in stage.items() if self._stage.get(name, mark) == mark}
        self._waiting = waiting & self._owners.keys()
        begun = {name for name, mark in ingesting.items() if (self._ingesting or _NO_MARKS).get(name) != mark}
        gone = {name for name in self._owners if name not in waiting}
        archived = self._moved(gone, waiting | set(ingesting)) if not adopted else set[str]()
        return {
            (table.domain_name, table.name): self._facts(
                table, announced.get(table.name, set()), waiting, begun, archived, adopted
            )
            for table in self._tables
        }

    def not_loaded(self, table: LoadedTable) -> Sequence[str]:
        """Returns the names of the files of a table that are in `ingesting` while nothing is loaded."""
        if self._not_loaded is None and self._reader is not None:
            self._not_loaded = self._reader.list_files("ingesting", self._name)
        return _matching(table, self._not_loaded or ())

    def still_waiting(self, table: LoadedTable) -> Sequence[str]:
        """Returns the names of the files of a table that were in `stage` before the load, and are there after it."""
        return _matching(table, self._waiting)

    def overwritten(self, table: LoadedTable) -> Sequence[str]:
        """Returns the names of the files of a table in `ingesting` that the load would overwrite from `stage`."""
        return _matching(table, (self._stage or _NO_MARKS).keys() & (self._ingesting or _NO_MARKS).keys())

    def still_missing(self, names: Sequence[str]) -> Sequence[str]:
        """Returns those files of a previous attempt that are not in `archive`, by name."""
        archived = self._read_archive(names)
        return [name for name in names if name not in archived]

    def _facts(
        self,
        table: LoadedTable,
        announced: Collection[str],
        waiting: set[str],
        begun: set[str],
        archived: set[str],
        adopted: bool,
    ) -> TableFiles:
        matches = compile_java(table.pattern).fullmatch
        owned = {name for name, owners in self._owners.items() if owners == [table.name]}
        shared = any(table.name in owners and len(owners) > 1 for owners in self._owners.values())
        mine = owned | set(announced)
        return TableFiles(
            before=self.sizes(table) if not adopted else _EMPTY,
            waiting=frozenset(waiting & mine),
            ingesting=frozenset(name for name in begun if name in mine or matches(name)),
            archived=frozenset(archived & mine),
            ambiguous=adopted or shared,
        )

    def _moved(self, names: Collection[str], present: Collection[str]) -> set[str]:
        if not self._archives:
            return {name for name in names if name not in present}
        now = self._read_archive(names)
        return {name for name in names if name in now and now[name] != self._archived.get(name)}

    def _read_archive(self, names: Collection[str]) -> _Marks:
        if self._reader is None or not names or not self._archives:
            return _NO_MARKS
        return self._reader.archived(self._name, names) or _NO_MARKS

    def _find_owners(self, names: Collection[str]) -> Mapping[str, list[str]]:
        """Returns, by file name, the tables of the domain whose patterns match the file."""
        patterns = [(table.name, compile_java(table.pattern).fullmatch) for table in self._domain] if names else []
        return {name: [table for table, matches in patterns if matches(name)] for name in names}


def _matching(table: LoadedTable, names: Collection[str]) -> list[str]:
    matches = compile_java(table.pattern).fullmatch
    return sorted(name for name in names if matches(name))


def _size(mark: str) -> int:
    return int(mark.partition("\0")[0])
