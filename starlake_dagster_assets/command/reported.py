"""Events that an engine in this process reports as objects; its log lines are not parsed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from starlake_dagster_assets.command.model import CommandFailed, CommandSucceeded, Event, LoadCompleted

__all__ = ["ReportedEvents"]


class ReportedEvents:
    """Takes the events of one command, as `OutputParser` takes its lines."""

    understood = True
    """Whether a table without an event had nothing to load: an engine that reports objects leaves nothing out."""

    ended = True
    """Whether the end of the events is there: they cannot be lost."""

    def __init__(self) -> None:
        self.walked = False
        self._verdict: CommandSucceeded | CommandFailed | None = None

    @property
    def found(self) -> Mapping[str, int] | None:
        """Files in `stage` that no event names: none where the load went through all tables, else not known."""
        return {} if self.walked else None

    def take(self, event: Event) -> tuple[Event, ...]:
        """Takes one event, and returns those of tables and files."""
        if isinstance(event, LoadCompleted):
            self.walked = True
            return ()
        if isinstance(event, (CommandSucceeded, CommandFailed)):
            self._verdict = event
            return ()
        return (event,)

    def finish(self, exit_code: int | None) -> tuple[Event, ...]:
        """Returns the verdict on the command."""
        if exit_code == 0 and isinstance(self._verdict, CommandSucceeded):
            return (self._verdict,)
        if isinstance(self._verdict, CommandFailed):
            return (replace(self._verdict, exit_code=exit_code),)
        if exit_code is None:
            return (CommandFailed("The command was cancelled before it ended."),)
        return (CommandFailed(f"The command ended with exit code {exit_code}.", exit_code),)
