"""Matches the files of a directory to tables, by patterns and ack files, from names alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from starlake_dagster_assets.project.model.project import Table
from starlake_dagster_assets.project.resolve.ack_files import ack_file_name
from starlake_dagster_assets.project.resolve.java_regex import compile_java

__all__ = ["FileMatching", "PatternMatch", "ack_extension", "filter_acknowledged"]

_REMEMBERED = 20_000
"""Maximum number of names whose tables are cached: a sensor lists the same names repeatedly."""


class PatternMatch(NamedTuple):
    """A file whose whole name matches the pattern of a table.

    Attributes:
        name: Name of the file.
        table: Table whose pattern matches.
        ack: Name of the ack file that must exist next to it before `stage` takes it; None if none is needed.
    """

    name: str
    table: Table
    ack: str | None = None


class FileMatching:
    """Matcher of the files that `stage` takes from the landing directory of a domain.

    Args:
        tables: Tables of one domain.
    """

    def __init__(self, tables: Sequence[Table]) -> None:
        self._tables = [(table, compile_java(table.pattern).fullmatch, ack_extension(table)) for table in tables]
        self._of = lru_cache(maxsize=_REMEMBERED)(self._match)
        self.has_acks = any(extension for _, _, extension in self._tables)
        """Whether some table waits for ack files."""

    def claims(self, names: Iterable[str]) -> list[PatternMatch]:
        """Returns the files that match tables, with or without their ack file.

        Args:
            names: File names, without directories. Hidden files are skipped, as in Starlake.

        Returns:
            The matches, in the order of the names: one per table if several tables match a file.
        """
        return [claim for name in names for claim in self._of(name)]

    def _match(self, name: str) -> tuple[PatternMatch, ...]:
        return tuple(
            PatternMatch(name, table, ack_file_name(name, extension) if extension else None)
            for table, matches, extension in self._tables
            if not name.startswith(".") and matches(name) is not None
        )


def filter_acknowledged(claims: Iterable[PatternMatch], is_there: Callable[[str], bool]) -> list[PatternMatch]:
    """Returns the matches that `stage` takes now: those whose ack file exists, or that need none.

    Args:
        claims: Files that match tables.
        is_there: Whether a file of that name is in the same directory.
    """
    return [claim for claim in claims if claim.ack is None or (claim.ack != claim.name and is_there(claim.ack))]


def ack_extension(table: Table) -> str:
    """Returns the ack extension of a table or of its domain, without a leading dot; "" if there is none.

    Args:
        table: The table.
    """
    return (table.metadata.ack or "").strip().lstrip(".")
