"""Files of some tables in one listing of a directory: exactly those that `stage` and `load` would take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from types import MappingProxyType

from starlake_dagster_assets.automation.policies.skip_reasons import listed, short_hash
from starlake_dagster_assets.execution.file_store import DirectoryListing, File, mark_of, never_modified
from starlake_dagster_assets.plural import inflected
from starlake_dagster_assets.project.model.project import Table
from starlake_dagster_assets.project.resolve.file_matching import FileMatching, PatternMatch, filter_acknowledged

__all__ = ["DirectoryScan", "FileMatcher", "FileSet", "apply_ack_files"]


@dataclass(frozen=True)
class FileSet:
    """Files of one table, or one ack file.

    Attributes:
        names: Names of the files.
        digest: Digest of the names and marks: changes whenever a file arrives, is removed or is written.
        marks: Mark of each file (`mark_of`).
    """

    names: tuple[str, ...]
    digest: str
    marks: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @property
    def sizes(self) -> list[int]:
        """Sizes of the files in bytes."""
        return [int(mark.partition("\0")[0]) for mark in self.marks]

    @classmethod
    def of(cls, marks: Mapping[str, str]) -> FileSet:
        """Returns the set of files, from a mapping of file names to marks (size, time, etag)."""
        text = "\n".join([f"{name}\0{mark}" for name, mark in marks.items()])
        digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return cls(tuple(marks), digest, tuple(marks.values()))


@dataclass(frozen=True)
class DirectoryScan:
    """Files of some tables in a directory at one moment.

    Attributes:
        at: Time of the scan, in seconds since 1970, by the clock of this machine.
        directory: The directory.
        tables: Node ids of the tables that are watched.
        sets: Files that Starlake would take now, by table; with strategy `ack`, the ack files, by path.
        loadable: With strategy `ack`: the tables that have files, or all tables if none has.
        unmatched: Files that match no table's pattern.
        unanswered: Files that wait for their ack file, with its name.
        exists: Whether the directory exists.
        acks: The ack files that exist and are to be answered, by path.
        ack_path: The ack file of this moment; "" for other strategies.
        other_acks: Names of ack files of other dates, which are not answered.
        answered: Whether this sensor has already answered the ack file of this moment, which other sensors still need.
    """

    at: float
    directory: str
    tables: Sequence[str]
    sets: Mapping[str, FileSet] = field(default_factory=lambda: MappingProxyType({}))
    loadable: tuple[str, ...] = ()
    unmatched: Sequence[str] = ()
    unanswered: Sequence[PatternMatch] = ()
    exists: bool = True
    acks: Mapping[str, File] = field(default_factory=lambda: MappingProxyType({}))
    ack_path: str = ""
    other_acks: Sequence[str] = ()
    answered: bool = False
    files: Mapping[str, FileSet] = field(default_factory=lambda: MappingProxyType({}))
    """With strategy `ack`: the files that Starlake would take, by table."""
    modified: Callable[[Sequence[str]], float | None] = field(default=never_modified, compare=False, repr=False)
    """Modification time of the youngest of some files, in seconds since 1970; None if the store has none."""

    @property
    def waited_for(self) -> str:
        """Description of the ack file, or of the directory and tables, that the sensor waits for."""
        return f"ack file {self.ack_path}" if self.ack_path else f"{self.directory} ({listed(self.tables)})"

    def remarks(self) -> list[str]:
        """Returns notes for an operator: a directory that does not exist, files that match no table."""
        found: list[str] = []
        if self.ack_path and not self.acks:
            found.append("it was answered here" if self.answered else "it is not there")
            if files := [name for files in self.files.values() for name in files.names]:
                wait = inflected(len(files), "waits", "wait")
                found.append(
                    f"{listed(files)} in {self.directory} {wait} for {'the next one' if self.answered else 'it'}"
                )
        if self.other_acks:
            found.append(f"ack files of other dates start no run; rename or delete them: {listed(self.other_acks)}")
        if not self.exists:
            found.append(f"there is no directory {self.directory}")
        if self.unanswered:
            pairs = [f"{claim.name} ({claim.ack})" for claim in self.unanswered]
            found.append(f"waiting for an ack file: {listed(pairs)}")
        if self.unmatched:
            found.append(f"no table's pattern matches {listed(self.unmatched)}")
        return found


class FileMatcher:
    """Tables that one sensor watches, with their compiled patterns.

    Args:
        tables: Tables of one domain, by node id.
        others: All tables of that domain: a file that one of them takes is not reported as unmatched.
        staged: Whether the stage area is listed, where `load` requires no ack file any more.
    """

    def __init__(self, tables: Mapping[str, Table], others: Sequence[Table] = (), *, staged: bool = False) -> None:
        self._nodes = {id(table): node for node, table in tables.items()}
        self.tables = tuple(sorted(tables))
        self._landing = FileMatching(tuple(tables.values()))
        known = set(map(id, tables.values()))
        self._others = FileMatching([table for table in others if id(table) not in known])
        self._staged = staged

    def scan(self, at: float, listing: DirectoryListing) -> DirectoryScan:
        """Scans a listing for the files of the tables.

        Args:
            at: Current time, in seconds since 1970.
            listing: Listing of the directory.

        Raises:
            StoreError: When the size or time of a file cannot be read.
        """
        claims = self._landing.claims(listing.names)
        to_load = self._files_to_load(claims, listing)
        by_node: dict[str, list[str]] = {}
        for claim in to_load:
            by_node.setdefault(self._nodes[id(claim.table)], []).append(claim.name)
        sets = {node: FileSet.of(marks) for node, names in by_node.items() if (marks := listing.marks(names))}
        left = set[str]() if to_load is claims else {one.name for one in claims} - {one.name for one in to_load}
        return DirectoryScan(
            at,
            listing.directory,
            self.tables,
            sets,
            unmatched=self._unmatched(claims, listing),
            unanswered=[claim for claim in claims if claim.name in left] if left else (),
            exists=listing.exists,
            modified=listing.modified,
        )

    def _files_to_load(self, claims: Sequence[PatternMatch], listing: DirectoryListing) -> Sequence[PatternMatch]:
        """Returns the files that `stage` would take, if acknowledged, or `load`, each for the first matching table."""
        if self._staged:
            first = {claim.name: claim for claim in reversed(claims)}
            # a table that is known by name only has no pattern of its own: it takes no file away from another
            return [claim for claim in claims if claim is first[claim.name] or not claim.table.location.file]
        return filter_acknowledged(claims, set(listing.names).__contains__) if self._landing.has_acks else claims

    def _unmatched(self, claims: Sequence[PatternMatch], listing: DirectoryListing) -> list[str]:
        known = {claim.name for claim in claims} | {claim.ack for claim in claims if claim.ack}
        strange = [name for name in listing.names if name not in known and not name.startswith(".")]
        if not strange:
            return []
        elsewhere = self._others.claims(strange)
        known = {claim.name for claim in elsewhere} | {claim.ack for claim in elsewhere if claim.ack}
        return [name for name in strange if name not in known]


def apply_ack_files(
    scan: DirectoryScan, acks: Mapping[str, File], path: str, others: Sequence[str] = (), *, answered: bool = False
) -> DirectoryScan:
    """Returns a scan for strategy `ack`: its sets are the ack files; data files only decide which tables are loaded.

    Args:
        scan: Scan of the directory of the files.
        acks: The ack files that exist, by path.
        path: Path of the ack file of this moment.
        others: Names of ack files of other dates, which are not answered.
        answered: Whether this sensor has already answered the ack file of this moment, which other sensors still need.
    """
    sets = {
        one: FileSet((one.rpartition("/")[2],), short_hash(f"{one}\0{mark_of(file)}"))
        for one, file in sorted(acks.items())
    }
    loadable = tuple(sorted(scan.sets)) or tuple(scan.tables)
    changes = {"sets": sets, "files": scan.sets, "loadable": loadable}
    return replace(scan, **changes, acks=acks, ack_path=path, other_acks=others, answered=answered)
