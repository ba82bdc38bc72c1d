"""Evidence of results: rows of the audit, locations of files, a complete log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Literal

from starlake_dagster_assets.commands.model import AuditRow, CommandExit, CommandFailed, CommandSucceeded, Event

__all__ = ["CommandEnd", "Evidence", "LogProperties", "RequestedTable", "TableFiles", "TableResult"]


class Evidence(str, Enum):
    """Evidence of a result, most reliable first."""

    AUDIT = "audit"
    """Rows of `audit.audit` with the job id of the command."""
    FILES = "files"
    """Files that moved from `stage` to `archive` were loaded; files in `ingesting` were not."""
    LOG = "log"
    """A complete log: it has its end marker, and every resolved file has its summary."""
    NONE = "none"


@dataclass(frozen=True)
class LogProperties:
    """Properties of the log of one command.

    Attributes:
        ended: An end marker of the program was read.
        tables_processed: The program reported that it went through all tables.
        understood: At least one line had a known form.
        found: Bytes by name of the files that the program found in `stage`; None if it did not list them.
        lossless: No line can be lost on its way, as in the output of a local process.
        failed_before_tables: The program reported an error before it began with any table.
        parallel: A table was announced before the summary of another one, which may be lost.
        has_info_lines: A line of level INFO was read.
    """

    ended: bool = True
    tables_processed: bool = False
    understood: bool = True
    found: Mapping[str, int] | None = None
    lossless: bool = False
    failed_before_tables: bool = False
    parallel: bool = False
    has_info_lines: bool = False


@dataclass(frozen=True)
class TableFiles:
    """Files of one table around a load, from listings of the areas.

    Attributes:
        before: Bytes by name of the files in `stage` before the load.
        waiting: Names in `stage` after the load.
        ingesting: Names in `ingesting` after the load that were not there before.
        returned: Names of those in `ingesting` that were moved back to `stage` since.
        archived: Names that the load moved to `archive`, or deleted if the project keeps no archive.
        ambiguous: Whether a file in `stage` matches the patterns of several tables.
    """

    before: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    waiting: frozenset[str] = frozenset()
    ingesting: frozenset[str] = frozenset()
    archived: frozenset[str] = frozenset()
    ambiguous: bool = False
    returned: frozenset[str] = frozenset()


@dataclass(frozen=True)
class RequestedTable:
    """A table that a load was requested for.

    Attributes:
        domain: `load.name`.
        table: `table.name`.
        final_domain: Its schema in the warehouse.
        final_table: Its name in the warehouse.
        directory: Directory name, if it differs from `load.name`.
        pattern: Regular expression of Java for the names of its files.
        zero_is_loss: A count of 0 means that no row was written: the table appends, and nothing filters its rows.
        header: A file without records may have content, such as a header.
    """

    domain: str
    table: str
    final_domain: str
    final_table: str
    directory: str = ""
    pattern: str = ""
    zero_is_loss: bool = False
    header: bool = True


@dataclass(frozen=True)
class TableResult:
    """Result of one table or task.

    Attributes:
        status: `unknown` if there is no evidence.
        files: The files of the load.
        input: Rows read; None if unknown.
        accepted: Rows accepted; None if unknown.
        rejected: Rows rejected; None if unknown.
        reason: Cause of every status but `loaded`.
        evidence: Evidence of the status.
        warnings: Problems of a table that was loaded.
        landed: Rows of other files that are in the table, although the load of one failed.
        archived: All files of the table were archived, which happens after its expectations were evaluated.
        job_id: Job id of its audit rows, if an earlier command has loaded the table; "" for that of the last command.
    """

    status: Literal["loaded", "failed", "nothing", "unknown"]
    files: tuple[str, ...] = ()
    input: int | None = None
    accepted: int | None = None
    rejected: int | None = None
    reason: str = ""
    evidence: Evidence = Evidence.NONE
    warnings: tuple[str, ...] = ()
    landed: int = 0
    archived: bool = False
    job_id: str = ""


@dataclass(frozen=True)
class CommandEnd:
    """Facts about a command that has ended.

    Attributes:
        events: All its events.
        result: Its exit; None if it could not be started.
        log: Properties of its log.
        rows: Its rows of `audit.audit`; None if they cannot be read, or are not written.
        files: Files of its tables by (domain, table); a table is missing if its files cannot be listed.
        log_problem: Reason why its log may lack lines; "" if it is not known.
        sequential: The load processes one table after the other (`sparkScheduling.maxJobs` is 1).
    """

    events: Sequence[Event]
    result: CommandExit | None
    log: LogProperties = LogProperties()
    rows: Sequence[AuditRow] | None = None
    files: Mapping[tuple[str, str], TableFiles] = field(default_factory=lambda: MappingProxyType({}))
    sequential: bool = True
    log_problem: str = ""

    @property
    def exit_code(self) -> int | None:
        """Exit code; None if the command could not be started, was cancelled or lost."""
        return self.result.exit_code if self.result is not None else None

    @property
    def clean(self) -> bool:
        """Whether the exit code is 0, which alone proves nothing."""
        return self.exit_code == 0

    @property
    def error(self) -> str:
        """The first error of the program that names a cause."""
        return self._failed[-1].error if self._failed else ""

    @property
    def is_reported(self) -> bool:
        """Whether the program itself has written the error."""
        return bool(self._failed) and self._failed[-1].reported

    @property
    def _failed(self) -> Sequence[CommandFailed]:
        return [event for event in self.events if isinstance(event, CommandFailed)]

    @property
    def succeeded(self) -> bool:
        """Whether the program reported its success and returned 0."""
        return any(isinstance(event, CommandSucceeded) for event in self.events)
