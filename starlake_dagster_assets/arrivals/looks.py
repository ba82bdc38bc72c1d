"""What one look at a directory saw of the files of some tables: exactly what `stage` and `load` would take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from types import MappingProxyType

from starlake_dagster_assets.arrivals.stores import File, Listing, content_of, mark_of, never_modified
from starlake_dagster_assets.project.landing import Claim, Landing, acknowledged
from starlake_dagster_assets.project.model import Table
from starlake_dagster_assets.triggers.words import listed, short

__all__ = ["ACK", "FileSet", "Look", "Watched", "acked"]

ACK = "ack"
"""What strategy `ack` waits for, where the others wait for tables."""


@dataclass(frozen=True)
class FileSet:
    """Files that belong together.

    Attributes:
        names: Their names.
        digest: Of their names, sizes and stamps: another one whenever a file comes, goes or is written.
    """

    names: tuple[str, ...]
    digest: str

    @classmethod
    def of(cls, marks: Mapping[str, str]) -> FileSet:
        """The set of some files, with the mark of each by its name."""
        told = "\n".join([f"{name}\0{mark}" for name, mark in marks.items()])
        digest = sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return cls(tuple(marks), digest)


@dataclass(frozen=True)
class Look:
    """What was seen.

    Attributes:
        at: When, in seconds since 1970, by our own clock.
        place: The directory.
        tables: Node ids of the tables that are watched.
        sets: By table: what Starlake would take of it now; with strategy `ack`, the ack file under `ack`.
        loadable: With strategy `ack`: the tables that have files, or all of them where none has.
        unmatched: Files that match no table's pattern.
        unanswered: Files that wait for their ack file, with its name.
        exists: False where the directory is not there (yet).
        ack: The ack file, where it is there.
        ack_path: Where it is waited for; "" for other strategies.
    """

    at: float
    place: str
    tables: Sequence[str]
    sets: Mapping[str, FileSet] = field(default_factory=lambda: MappingProxyType({}))
    loadable: tuple[str, ...] = ()
    unmatched: Sequence[str] = ()
    unanswered: Sequence[Claim] = ()
    exists: bool = True
    ack: File | None = None
    ack_path: str = ""
    modified: Callable[[Sequence[str]], float | None] = field(default=never_modified, compare=False, repr=False)
    """Modification time of the youngest of some files, in seconds since 1970; None where the store has none."""

    @property
    def units(self) -> Sequence[str]:
        """What is waited for: the tables, or the ack file."""
        return (ACK,) if self.ack_path else self.tables

    @property
    def waited_for(self) -> str:
        """The place that is waited for, with what of it."""
        return f"ack file {self.ack_path}" if self.ack_path else f"{self.place} ({listed(self.tables)})"

    @property
    def ack_content(self) -> str:
        """What tells this ack file from a newer one."""
        return "" if self.ack is None else content_of(self.ack)

    def remarks(self) -> list[str]:
        """What else an operator should know: a directory that is not there, files that nobody takes."""
        found: list[str] = []
        if self.ack_path and self.ack is None:
            found.append("it is not there")
        if not self.exists:
            found.append(f"there is no directory {self.place}")
        if self.unanswered:
            pairs = [f"{claim.name} ({claim.ack})" for claim in self.unanswered]
            found.append(f"these wait for their ack file: {listed(pairs)}")
        if self.unmatched:
            found.append(f"no table's pattern matches {listed(self.unmatched)}")
        return found


class Watched:
    """The tables that one sensor watches, their patterns compiled.

    Args:
        tables: By node id; of one domain.
        others: All tables of that domain: a file that one of them takes is not said to match no pattern.
        staged: Whether the stage area is looked at, where `load` asks for no ack file any more.
    """

    def __init__(self, tables: Mapping[str, Table], others: Sequence[Table] = (), *, staged: bool = False) -> None:
        self._nodes = {id(table): node for node, table in tables.items()}
        self.tables = tuple(sorted(tables))
        self._landing = Landing(tuple(tables.values()))
        known = set(map(id, tables.values()))
        self._others = Landing([table for table in others if id(table) not in known])
        self._staged = staged

    def look(self, at: float, listing: Listing) -> Look:
        """What is seen of these tables.

        Args:
            at: Now, in seconds since 1970.
            listing: Of the directory.

        Raises:
            StoreError: When a file cannot be looked at.
        """
        claims = self._landing.claims(listing.names)
        taken = self._taken(claims, listing)
        by_node: dict[str, list[str]] = {}
        for claim in taken:
            by_node.setdefault(self._nodes[id(claim.table)], []).append(claim.name)
        sets = {node: FileSet.of(marks) for node, names in by_node.items() if (marks := listing.marks(names))}
        left = set[str]() if taken is claims else {one.name for one in claims} - {one.name for one in taken}
        return Look(
            at,
            listing.place,
            self.tables,
            sets,
            unmatched=self._unmatched(claims, listing),
            unanswered=[claim for claim in claims if claim.name in left] if left else (),
            exists=listing.exists,
            modified=listing.modified,
        )

    def _taken(self, claims: Sequence[Claim], listing: Listing) -> Sequence[Claim]:
        """What Starlake would take now: `stage` what has its ack file, `load` each file for the first table."""
        if self._staged:
            first = {claim.name: claim for claim in reversed(claims)}
            # a table that is known by name only has no pattern of its own: it takes no file away from another
            return [claim for claim in claims if claim is first[claim.name] or not claim.table.location.file]
        return acknowledged(claims, set(listing.names).__contains__) if self._landing.has_acks else claims

    def _unmatched(self, claims: Sequence[Claim], listing: Listing) -> list[str]:
        known = {claim.name for claim in claims} | {claim.ack for claim in claims if claim.ack}
        strange = [name for name in listing.names if name not in known and not name.startswith(".")]
        if not strange:
            return []
        elsewhere = self._others.claims(strange)
        known = {claim.name for claim in elsewhere} | {claim.ack for claim in elsewhere if claim.ack}
        return [name for name in strange if name not in known]


def acked(look: Look, ack: File | None, path: str) -> Look:
    """What strategy `ack` sees: the ack file is what is waited for, the files only say which tables to load.

    Args:
        look: At the directory of the files.
        ack: The ack file, where it is there.
        path: Where it is waited for.
    """
    sets = {} if ack is None else {ACK: FileSet((path.rpartition("/")[2],), short(f"{path}\0{mark_of(ack)}"))}
    loadable = tuple(sorted(look.sets)) or tuple(look.tables)
    return replace(look, sets=sets, loadable=loadable, ack=ack, ack_path=path)
