"""The verdict on each table once a command has ended: events first, then the audit.

The audit completes counts and can turn a success into a failure. It turns a failure into a success only where the
program returned 0 and every announced file has its own row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Literal, TypeVar

from starlake_dagster_assets.command.model import (
    AuditRow,
    CommandFailed,
    CommandSucceeded,
    Event,
    RunResult,
    TableFailed,
    TableLoaded,
    TableStarted,
)

__all__ = ["Ending", "Expected", "Verdict", "doubted", "reconcile_load", "reconcile_transform"]

UNKNOWN_LOG = "the log holds no line that is known (is SL_LOG_LEVEL=info set?), and there is no audit table to ask."
NO_FILE = "no file: nothing in the stage area matches the table's pattern"

_T = TypeVar("_T")
_TableEvent = TableStarted | TableLoaded | TableFailed
_TABLE_EVENTS = (TableStarted, TableLoaded, TableFailed)


@dataclass(frozen=True)
class Expected:
    """A table that a load was asked for: (domain, table) as announced, and by its final names."""

    domain: str
    table: str
    final_domain: str
    final_table: str
    directory: str = ""
    """Directory name, where it differs from `load.name`."""


@dataclass(frozen=True)
class Verdict:
    """What became of one table or task; counts are None where nobody knows them."""

    status: Literal["loaded", "failed", "nothing"]
    files: tuple[str, ...] = ()
    input: int | None = None
    accepted: int | None = None
    rejected: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class Ending:
    """How a command ended.

    Attributes:
        events: All its events.
        result: Its exit, None when it could not be started.
        walked: The program said that it went through all tables.
        understood: Some line was of a known form; else silence about a table means nothing.
        rows: Its audit rows; None where the audit cannot be read.
    """

    events: Sequence[Event]
    result: RunResult | None
    walked: bool = False
    understood: bool = True
    rows: Sequence[AuditRow] | None = None

    @property
    def clean(self) -> bool:
        """Exit code 0, which alone proves nothing."""
        return self.result is not None and self.result.exit_code == 0

    @property
    def error(self) -> str:
        """The program's last error lines."""
        failed = [event.error for event in self.events if isinstance(event, CommandFailed)]
        return failed[-1] if failed else ""

    @property
    def succeeded(self) -> bool:
        """The program said that it succeeded and returned 0."""
        return any(isinstance(event, CommandSucceeded) for event in self.events)


def reconcile_load(expected: Iterable[Expected], ending: Ending) -> Mapping[tuple[str, str], Verdict]:
    """The verdict on every table of a `load`.

    Args:
        expected: The tables asked for.
        ending: What the command said and what the audit holds.

    Returns:
        One verdict a table, by (domain, table) as announced.
    """
    told, rows = _Named[_TableEvent](), _Named[AuditRow]()
    for event in ending.events:
        if isinstance(event, _TABLE_EVENTS):
            told.add(event.table, event)
    for row in ending.rows or ():
        rows.add(row.schema, row)
    return {(one.domain, one.table): _table(one, ending, told, rows) for one in expected}


def doubted(
    verdicts: Mapping[tuple[str, str], Verdict], ending: Ending, blocking: Collection[tuple[str, str]]
) -> Mapping[tuple[str, str], Verdict]:
    """The verdicts where nobody can read the audit: a load that failed though no table did failed by an expectation.

    Args:
        verdicts: On every table of the load.
        ending: How it ended.
        blocking: The tables with an expectation that blocks.

    Returns:
        The same, but for tables that landed and may not be used.
    """
    code = ending.result.exit_code if ending.result is not None else None
    if not code or any(verdict.status == "failed" for verdict in verdicts.values()):
        return verdicts
    reason = f"the load ended with exit code {code} after its rows were written, as it does when an expectation fails"
    reason = f"{reason}, and the audit cannot be read here: {ending.error}"
    return {
        name: replace(verdict, status="failed", reason=reason)
        if name in blocking and verdict.status == "loaded"
        else verdict
        for name, verdict in verdicts.items()
    }


def reconcile_transform(domain: str, table: str, ending: Ending) -> Verdict:
    """The verdict on a `transform`.

    Args:
        domain: The task's final domain.
        table: The task's final table.
        ending: What the command said and what the audit holds.

    Returns:
        Loaded when the program returned 0 and either said so or left an audit row that says so.
    """
    rows = [row for row in ending.rows or () if row.step == "TRANSFORM" and _same(row, domain, table)]
    refused = [row for row in rows if not row.success]
    if not ending.clean or refused:
        reason = ending.error or (refused[-1].message if refused else "") or "the command could not be run"
        return Verdict("failed", reason=reason)
    if ending.succeeded or rows:
        return Verdict("loaded")
    return Verdict("failed", reason=ending.error or "the command ended without a word, and the audit has no row of it")


# --------------------------------------------------------------------------------------------------- one table


class _Named(Generic[_T]):
    """What is known by the name of a table in any case: of a load of thousands, none is looked through for each."""

    def __init__(self) -> None:
        self._found: dict[str, list[_T]] = {}

    def add(self, table: str, item: _T) -> None:
        self._found.setdefault(table.lower(), []).append(item)

    def of(self, table: str) -> Sequence[_T]:
        return self._found.get(table.lower(), ())


def _table(one: Expected, ending: Ending, told: _Named[_TableEvent], written: _Named[AuditRow]) -> Verdict:
    mine = [event for event in told.of(one.table) if _is_of(event, one)]
    rows = [row for row in written.of(one.table) if row.step == "LOAD" and _raw(row, one)]
    verdict = _from_events(mine)
    if verdict is None:
        verdict = _unannounced(mine, rows, ending)
    elif verdict.status == "failed":
        verdict = _overruled(verdict, rows, ending)
    if verdict.status != "loaded":
        return verdict
    return _complete(_refused(verdict, one, rows, written.of(one.final_table)), rows)


def _is_of(event: _TableEvent, one: Expected) -> bool:
    return event.table == one.table and event.domain in (one.domain, one.directory)


def _from_events(events: Sequence[_TableEvent]) -> Verdict | None:
    failed = [event for event in events if isinstance(event, TableFailed)]
    loaded = [event for event in events if isinstance(event, TableLoaded)]
    if failed:
        last = failed[-1]
        unsaid = [name for name in last.missing if name not in last.error]
        return Verdict("failed", last.files, reason=": ".join([*([", ".join(unsaid)] if unsaid else []), last.error]))
    if loaded:
        last = loaded[-1]
        return Verdict("loaded", last.files, last.input, last.accepted, last.rejected)
    return None


def _unannounced(events: Sequence[_TableEvent], rows: Sequence[AuditRow], ending: Ending) -> Verdict:
    if events:
        return Verdict("failed", reason=ending.error or "its load began and never ended")
    refused = [row for row in rows if not row.success]
    if refused:
        return Verdict("failed", _files(rows), reason=refused[-1].message)
    if rows and ending.clean:
        return Verdict("loaded", _files(rows))
    if ending.rows is None and not ending.understood:
        return Verdict("failed", reason=f"{UNKNOWN_LOG} {ending.error}".strip())
    if not rows and (ending.clean or ending.walked):
        return Verdict("nothing", reason=NO_FILE)
    return Verdict("failed", _files(rows), reason=ending.error or "the command failed before it named the table")


def _overruled(verdict: Verdict, rows: Sequence[AuditRow], ending: Ending) -> Verdict:
    """Lines can get lost: a clean exit and a good row for each announced file prove the load."""
    good = {name for row in rows if row.success for name in _names(row)}
    if ending.clean and verdict.files and not [row for row in rows if not row.success] and good >= set(verdict.files):
        return Verdict("loaded", verdict.files)
    return verdict


def _refused(verdict: Verdict, one: Expected, rows: Sequence[AuditRow], final: Sequence[AuditRow]) -> Verdict:
    """A row that says no wins over the log: the engine can ignore the failure of its final write."""
    second = [row for row in final if row.step == "TRANSFORM" and _same(row, one.final_domain, one.final_table)]
    refused = [row for row in (*rows, *second) if not row.success]
    if not refused:
        return verdict
    return Verdict("failed", verdict.files, reason=refused[-1].message or "the audit says that the load failed")


def _complete(verdict: Verdict, rows: Sequence[AuditRow]) -> Verdict:
    if verdict.status != "loaded" or not rows:
        return verdict
    known = replace(
        verdict,
        input=_first(verdict.input, _sum(row.count for row in rows)),
        accepted=_first(verdict.accepted, _sum(row.accepted for row in rows)),
        rejected=_first(verdict.rejected, _sum(row.rejected for row in rows)),
    )
    return known


def _first(known: int | None, other: int | None) -> int | None:
    return other if known is None else known


def _sum(counts: Iterable[int]) -> int | None:
    numbers = list(counts)
    return None if any(number < 0 for number in numbers) else sum(numbers)


def _names(row: AuditRow) -> list[str]:
    return [path.strip().rsplit("/", 1)[-1] for path in row.paths.split(",") if path.strip()]


def _files(rows: Iterable[AuditRow]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for row in rows for name in _names(row)))


def _raw(row: AuditRow, one: Expected) -> bool:
    return row.schema == one.table and row.domain in (one.domain, one.directory)


def _same(row: AuditRow, domain: str, table: str) -> bool:
    return row.domain.lower() == domain.lower() and row.schema.lower() == table.lower()
