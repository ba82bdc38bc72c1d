"""Output of a command: log lines as Starlake's log4j writes them, and results on stdout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone

from starlake_dagster_assets.commands.model import Line
from starlake_dagster_assets.commands.redaction import redact

__all__ = ["CommandOutput", "Emit", "printable"]

Emit = Callable[[Line], None]


class CommandOutput:
    """Log lines (stderr) and results (stdout) for the caller of a command.

    Args:
        emit: Receives each line, in order.
    """

    def __init__(self, emit: Emit) -> None:
        self._receive = emit
        self._secrets: frozenset[str] = frozenset()

    def hide(self, secrets: frozenset[str]) -> None:
        """Hides values in every line from now on."""
        self._secrets |= secrets

    def redact(self, text: str) -> str:
        """Returns the text without the hidden values."""
        return redact(text, self._secrets)

    def within(self, emit: Emit) -> CommandOutput:
        """Returns an output for another receiver that hides the same values."""
        inner = CommandOutput(emit)
        inner.hide(self._secrets)
        return inner

    @property
    def emit(self) -> Emit:
        """The receiver of the lines."""
        return self._emit

    def _emit(self, line: Line) -> None:
        self._receive(replace(line, text=self.redact(line.text)))

    def info(self, source: str, text: str) -> None:
        """Writes a log line of level INFO; `source` is a class name of the starlake program, which parsers expect."""
        self._log("INFO", source, text)

    def warn(self, source: str, text: str) -> None:
        """Writes a log line of level WARN."""
        self._log("WARN", source, text)

    def error(self, source: str, text: str, *, before: str = "") -> None:
        """Writes a log line of level ERROR; `before` is put in front of it, on the same line."""
        self._log("ERROR", source, text, before)

    def out(self, text: str) -> None:
        """Writes a result: each of its lines goes to stdout."""
        for line in text.split("\n"):
            self._emit(Line(line, "stdout"))

    def err(self, text: str) -> None:
        """Writes text without a log head to stderr."""
        for line in text.split("\n"):
            self._emit(Line(line, "stderr"))

    def _log(self, level: str, source: str, text: str, before: str = "") -> None:
        stamp = datetime.now(timezone.utc).strftime("%y/%m/%d %H:%M:%S")
        first, *rest = text.split("\n")
        self._emit(Line(f"{before}{stamp} {level} {source}: {first}", "stderr"))
        for line in rest:
            self._emit(Line(line, "stderr"))


def printable(name: object) -> str:
    """Returns a name on one line: control characters, line ends and invalid characters are escaped."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in str(name))
