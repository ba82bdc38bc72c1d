"""What a command says: log lines as the real engine's log4j writes them, and results on stdout."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

from starlake_dagster_assets.command.model import Line

__all__ = ["Emit", "Journal"]

Emit = Callable[[Line], None]


class Journal:
    """Writes log lines (stderr) and results (stdout) to whoever runs the command.

    Args:
        emit: Receives each line, in order.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit

    @property
    def emit(self) -> Emit:
        """The receiver of the lines."""
        return self._emit

    def info(self, source: str, text: str) -> None:
        """A log line of level INFO; `source` is the engine's class name, which parsers know."""
        self._log("INFO", source, text)

    def warn(self, source: str, text: str) -> None:
        """A log line of level WARN."""
        self._log("WARN", source, text)

    def error(self, source: str, text: str, *, before: str = "") -> None:
        """A log line of level ERROR; `before` is put in front of it, on the same line."""
        self._log("ERROR", source, text, before)

    def out(self, text: str) -> None:
        """A result: each of its lines goes to stdout."""
        for line in text.split("\n"):
            self._emit(Line(line, "stdout"))

    def err(self, text: str) -> None:
        """Text without log head on stderr."""
        for line in text.split("\n"):
            self._emit(Line(line, "stderr"))

    def _log(self, level: str, source: str, text: str, before: str = "") -> None:
        stamp = datetime.now(timezone.utc).strftime("%y/%m/%d %H:%M:%S")
        first, *rest = text.split("\n")
        self._emit(Line(f"{before}{stamp} {level} {source}: {first}", "stderr"))
        for line in rest:
            self._emit(Line(line, "stderr"))
