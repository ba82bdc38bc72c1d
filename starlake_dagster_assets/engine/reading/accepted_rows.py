"""Input of a write strategy: accepted rows of one or more files, and the number of rejected rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["AcceptedRows", "Column"]


@dataclass(frozen=True)
class Column:
    """A column of the target: its final name and its DuckDB type."""

    name: str
    type: str


@dataclass(frozen=True)
class AcceptedRows:
    """The rows of one job (one file, or all files of a table when loads are grouped).

    Attributes:
        relation: Quoted name of a temporary table or view that holds the accepted rows: the columns below, in order.
        columns: The target's columns, renames applied, ignored ones left out, scripts included.
        files: The files read.
        input: Rows found.
        accepted: Rows that are valid; `relation` holds them without those that `filtered` counts.
        rejected: Rows that are rejected; `input == accepted + rejected`.
        rejects: Quoted name of a temporary table (ERROR VARCHAR, PATH VARCHAR), one row per rejected row, or None. With
            `application.sinkReplayToFile` it also has LINE VARCHAR, the record in the form of its file (JSON for XML
            and PARQUET), and HEADER VARCHAR, the header line of a DSV that has one: see `replay`.
        filtered: Valid rows that the table's `filter` leaves out.
    """

    relation: str
    columns: tuple[Column, ...]
    files: tuple[Path, ...]
    input: int
    accepted: int
    rejected: int
    rejects: str | None = None
    filtered: int = 0
