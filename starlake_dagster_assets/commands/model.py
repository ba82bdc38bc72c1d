"""Commands, their events and their results: the types that assets, runners and engines share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Literal

__all__ = [
    "AuditRow",
    "Command",
    "CommandExit",
    "CommandFailed",
    "CommandSucceeded",
    "Event",
    "ExpectationRow",
    "FileLoaded",
    "Line",
    "LoadCompleted",
    "TableFailed",
    "TableLoaded",
    "TableStarted",
]


@dataclass(frozen=True)
class Command:
    """A Starlake command as an argument list.

    Attributes:
        name: Name of the command. The runner replaces `stage` with `import` for versions before the rename.
        args: The arguments after the name, one item each; never a shell string.
        env: Environment variables of this command, on top of the runner's own.
        secrets: Values that must never be shown; redacted in logs and metadata.
        job_id: `SL_JOB_ID`: identifies the audit rows of this command.
        spark: Spark properties of this command, if it runs on Spark.
        overrides: Settings of the execution environment for this command alone, as JSON objects; later ones take
            precedence.
    """

    name: Literal[
        "stage", "preload", "load", "transform", "validate", "settings", "lineage", "freshness", "dag-generate"
    ]
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    job_id: str = ""
    spark: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    overrides: tuple[str, ...] = ()

    @property
    def argv(self) -> tuple[str, ...]:
        """The name of the command, followed by its arguments."""
        return (self.name, *self.args)


@dataclass(frozen=True)
class Line:
    """A line of output, without its line break.

    Attributes:
        text: The line.
        stream: The stream that it was written to.
        raw: The bytes of the line if they are not UTF-8.
        attempt: Number of the attempt if a service repeats a failed command by itself; 0 is the first.
    """

    text: str
    stream: Literal["stdout", "stderr"] = "stderr"
    raw: bytes | None = None
    attempt: int = 0


@dataclass(frozen=True)
class CommandExit:
    """End of a command: its exit code (None if it was cancelled or lost) and its duration in seconds."""

    exit_code: int | None
    seconds: float
    cancelled: bool = False


# ------------------------------------------------------------------------------------------------ events


@dataclass(frozen=True)
class TableStarted:
    """Start of a table (`Ingest resolved file : a,b as table d.t`): names of files that must each have a summary."""

    domain: str
    table: str
    files: tuple[str, ...]


@dataclass(frozen=True)
class FileLoaded:
    """Load of one file (`ingestion-summary -> …`); counts are None if the loader does not know them (-1)."""

    domain: str
    table: str
    file: str
    input: int | None
    accepted: int | None
    rejected: int | None


@dataclass(frozen=True)
class TableLoaded:
    """A table whose announced files all have a summary; counts are totals, None if one is unknown.

    `archived` is true if the program reported each file as archived, or as deleted in a project without an archive.
    It does so after it has evaluated the expectations.
    """

    domain: str
    table: str
    files: tuple[str, ...]
    input: int | None
    accepted: int | None
    rejected: int | None
    archived: bool = False


@dataclass(frozen=True)
class TableFailed:
    """A table that was announced and has at least one file without a summary.

    `reported` is true if the program logged an error while it worked on the table.
    """

    domain: str
    table: str
    files: tuple[str, ...]
    missing: tuple[str, ...]
    error: str
    reported: bool = False


@dataclass(frozen=True)
class LoadCompleted:
    """A load that processed all tables: a table without an event had no file. Reported by the embedded engine."""


@dataclass(frozen=True)
class CommandSucceeded:
    """A command that reported success and returned 0."""


@dataclass(frozen=True)
class CommandFailed:
    """A command that reported a failure, returned an exit code other than 0, or ended without its end marker.

    `reported` is true if `error` is an error that the program logged.
    """

    error: str
    exit_code: int | None = None
    reported: bool = field(default=False, compare=False)


Event = TableStarted | FileLoaded | TableLoaded | TableFailed | LoadCompleted | CommandSucceeded | CommandFailed


# ---------------------------------------------------------------------------------------- the audit tables


@dataclass(frozen=True)
class AuditRow:
    """A row of `audit.audit`: LOAD rows have raw names, TRANSFORM rows have final names."""

    job_id: str
    paths: str
    domain: str
    schema: str
    success: bool
    count: int
    accepted: int
    rejected: int
    duration_ms: int
    message: str
    step: str
    moment: datetime | None = field(default=None, compare=False)
    """TIMESTAMP, which engines truncate to a second; None if it is not known."""


@dataclass(frozen=True)
class ExpectationRow:
    """A row of `audit.expectations`; a `count` of 0 means that the expectation holds."""

    job_id: str
    domain: str
    schema: str
    name: str
    params: str
    sql: str
    count: int
    exception: str
    success: bool
