"""Output of `starlake-dagster run`: lines as they arrive, a live table on a terminal, or one JSON object."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from starlake_dagster_assets.execution.outcome import FailedCommand, Outcome
from starlake_dagster_assets.execution.warehouse.reader import WarehouseReader
from starlake_dagster_assets.plural import counted

__all__ = ["RunReport", "report_for"]

_WORDS = {"materialized": "materialized", "failed": "failed", "nothing": "skipped", "skipped": "skipped"}
_UNKNOWN = {"fail": "failed", "warn": "skipped"}
_COLORS = {"materialized": "green", "failed": "red", "skipped": "yellow"}
_COLUMNS = ("rows in", "accepted", "rejected", "seconds")


@contextmanager
def report_for(
    names: Sequence[str],
    reader: WarehouseReader | None,
    *,
    as_json: bool,
    unknown_result: str = "fail",
    left_out: Sequence[str] = (),
) -> Generator[RunReport, None, None]:
    """Opens the report of a run and closes it at the end: totals are printed even if the run is interrupted.

    Args:
        names: Ids of the tables and tasks of the run, in order.
        reader: Counts the rows of a task's result.
        as_json: Whether to print one JSON object at the end instead.
        unknown_result: `fail` counts an unknown result as a failure, `warn` as skipped.
        left_out: Selected tables and tasks that are not run because of an error in a file.
    """
    kind = _Json if as_json else _LiveTable if sys.stdout.isatty() else _Lines
    report = kind(names, reader, _UNKNOWN[unknown_result], left_out)
    report.begin()
    try:
        yield report
    finally:
        report.end()


class RunReport:
    """Report of a run: the result of each table and task.

    Args:
        names: Ids of the tables and tasks of the run, in order.
        reader: Counts the rows of a task's result.
        unknown: Word for an unknown result: `failed` or `skipped`.
        left_out: Selected tables and tasks that are not run because of an error in a file.
    """

    def __init__(
        self,
        names: Sequence[str],
        reader: WarehouseReader | None,
        unknown: str = "failed",
        left_out: Sequence[str] = (),
    ) -> None:
        self._words = {**_WORDS, "unknown": unknown}
        self.names = names
        self.left_out = left_out
        self.failed_commands: list[FailedCommand] = []
        self.outcomes: dict[str, Outcome] = {}
        self._rows: dict[str, int | None] = {}
        self._reader = reader

    def begin(self) -> None:
        """Starts the report, before the first outcome."""

    def add(self, outcome: Outcome) -> None:
        """Adds an outcome and shows it."""
        self.finalize(outcome)
        self.show(outcome)

    def finalize(self, outcome: Outcome) -> None:
        """Updates an outcome with its final result, after its command has ended."""
        self.outcomes[outcome.node.id] = outcome
        self._rows[outcome.node.id] = self._count(outcome)

    def show(self, outcome: Outcome) -> None:
        """Shows an outcome."""

    def end(self) -> None:
        """Ends the report, after the last outcome."""

    @property
    def failed(self) -> int:
        """Number of tables and tasks that failed."""
        return self.totals["failed"]

    @property
    def totals(self) -> dict[str, int]:
        """Numbers of tables and tasks that were materialized, failed and skipped."""
        words = [self._words[outcome.status] for outcome in self.outcomes.values()]
        return {word: words.count(word) for word in _COLORS}

    def cells(self, outcome: Outcome) -> list[str]:
        """Returns the table cells of an outcome: rows read, accepted and rejected, and seconds."""
        counts = (outcome.input, self._rows[outcome.node.id], outcome.rejected)
        return ["-" if count is None else str(count) for count in counts] + [f"{outcome.seconds:.2f}"]

    def json(self, outcome: Outcome) -> dict[str, Any]:
        """Returns an outcome as a JSON object."""
        return {
            "id": outcome.node.id,
            "kind": outcome.node.kind,
            "status": outcome.status,
            "reason": outcome.reason,
            "evidence": outcome.evidence.value,
            "warnings": list(outcome.warnings),
            "input": outcome.input,
            "accepted": self._rows[outcome.node.id],
            "rejected": outcome.rejected,
            "seconds": round(outcome.seconds, 3),
            "files": list(outcome.files),
        }

    def _count(self, outcome: Outcome) -> int | None:
        """Returns the row count of a task's table, if the warehouse can be read; for a load, the accepted rows."""
        node = outcome.node
        if node.kind != "task" or outcome.status != "materialized" or not outcome.is_final or self._reader is None:
            return outcome.accepted
        try:
            return self._reader.row_count(*node.target)
        except Exception as error:  # any driver may be behind it; the task was materialized
            print(f"{node.id}: its rows cannot be counted: {error}", file=sys.stderr)
            return None

    def _total(self) -> str:
        totals = self.totals
        made = counted(totals["materialized"], "asset")
        parts = [f"{made} materialized, {totals['failed']} failed, {totals['skipped']} skipped"]
        if missing := len(self.names) - len(self.outcomes):
            parts.append(f"{missing} without a result")
        if self.failed_commands:
            parts.append(f"{counted(len(self.failed_commands), 'command')} failed")
        if self.left_out:
            parts.append(f"{len(self.left_out)} left out")
        return ", ".join(parts)


class _Json(RunReport):
    """Report as one JSON object at the end."""

    def end(self) -> None:
        """Prints the JSON object."""
        found = {
            "assets": [self.json(one) for one in self.outcomes.values()],
            **self.totals,
            "without_result": [name for name in self.names if name not in self.outcomes],
            "failed_commands": [{"command": one.command, "reason": one.reason} for one in self.failed_commands],
            "left_out": list(self.left_out),
        }
        print(json.dumps(found, indent=2))


class _Lines(RunReport):
    """Report for files and pipes: one line per table as its result is known, then the totals."""

    def begin(self) -> None:
        """Prints the names of the columns."""
        self._width = max((len(name) for name in self.names), default=4)
        self._line("table", _COLUMNS)

    def show(self, outcome: Outcome) -> None:
        """Prints the line of an outcome."""
        self._line(outcome.node.id, self.cells(outcome), _note(outcome))

    def end(self) -> None:
        """Prints the totals."""
        print(self._total(), flush=True)

    def _line(self, name: str, cells: Sequence[str], note: str = "") -> None:
        text = f"{name:<{self._width}}" + "".join(f"  {cell:>9}" for cell in cells)
        print(f"{text}  {note}".rstrip(), flush=True)


class _LiveTable(RunReport):
    """Report for a terminal: a progress bar, each failure when it occurs, then a table of all results."""

    def begin(self) -> None:
        """Starts the progress bar."""
        self._console = Console(highlight=False)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self._progress = Progress(*columns, TimeElapsedColumn(), console=self._console, transient=True)
        self._bar = self._progress.add_task("starting", total=len(self.names))
        self._progress.start()

    def show(self, outcome: Outcome) -> None:
        """Prints an outcome that failed, and advances the progress bar."""
        if outcome.status in ("failed", "unknown"):
            self._progress.console.print(Text(f"{outcome.node.id} {_note(outcome)}", style="red"))
        self._progress.update(self._bar, advance=1, description=f"after {outcome.node.id}")

    def end(self) -> None:
        """Prints the table and the totals."""
        self._progress.stop()
        table = Table(box=None, header_style="bold", pad_edge=False)
        table.add_column("table")
        for name in _COLUMNS:
            table.add_column(name, justify="right")
        table.add_column("")
        for outcome in self.outcomes.values():
            name = Text(outcome.node.id, style=_COLORS[self._words[outcome.status]])
            table.add_row(name, *self.cells(outcome), Text(_note(outcome)))
        self._console.print(table)
        bad = self.failed or self.failed_commands or self.left_out or len(self.outcomes) < len(self.names)
        self._console.print(Text(self._total(), style="red" if bad else "green"))


def _note(outcome: Outcome) -> str:
    """Returns the problems of a result on one line."""
    if outcome.status == "materialized":
        broken = [check.expectation.expect for check in outcome.checks if not (check.passed or check.unknown)]
        return f"expectation failed: {', '.join(broken)}" if broken else ""
    return f"{_WORDS.get(outcome.status, outcome.status)}: {' '.join(outcome.reason.split())}"
