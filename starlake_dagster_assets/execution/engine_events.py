"""Events that an engine in this process reports as objects; its log lines are not parsed."""

from __future__ import annotations

from dataclasses import replace

from starlake_dagster_assets.commands.model import CommandFailed, CommandSucceeded, Event, LoadCompleted
from starlake_dagster_assets.execution.evidence import LogProperties

__all__ = ["ReportedEvents"]


class ReportedEvents:
    """Receiver of the events of one command, instead of `OutputParser` for its lines."""

    def __init__(self) -> None:
        self.tables_processed = False
        self._end: CommandSucceeded | CommandFailed | None = None

    def log(self, *, lossless: bool) -> LogProperties:
        """Returns the properties of the log, which is complete: the engine reports events instead of lines."""
        found: dict[str, int] | None = {} if self.tables_processed else None  # files in `stage` that no event names
        return LogProperties(
            ended=True, tables_processed=self.tables_processed, understood=True, found=found, lossless=lossless
        )

    def take(self, event: Event) -> tuple[Event, ...]:
        """Receives an event, and returns it if it is an event of a table or file."""
        if isinstance(event, LoadCompleted):
            self.tables_processed = True
            return ()
        if isinstance(event, (CommandSucceeded, CommandFailed)):
            self._end = event
            return ()
        return (event,)

    def finish(self, exit_code: int | None) -> tuple[Event, ...]:
        """Returns the final event of the command, with its exit code."""
        if exit_code == 0 and isinstance(self._end, CommandSucceeded):
            return (self._end,)
        if isinstance(self._end, CommandFailed):
            return (replace(self._end, exit_code=exit_code),)
        if exit_code is None:
            return (CommandFailed("The command was cancelled before it ended."),)
        return (CommandFailed(f"The command ended with exit code {exit_code}.", exit_code),)
