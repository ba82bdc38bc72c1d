"""Problems found while files are resolved, each with the line of its key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from starlake_dagster_assets.project.model.problems import Problem

__all__ = ["ProblemReport"]

KeyPath = tuple[str | int, ...]


class ProblemReport:
    """Collector of problems.

    Args:
        line: Returns the 1-based line of a key path of a file, None if it is not known.
    """

    def __init__(self, line: Callable[[str, KeyPath], int | None]) -> None:
        self._line = line
        self.problems: list[Problem] = []

    def error(self, file: str, path: KeyPath, message: str, code: str, hint: str = "") -> None:
        """Adds a problem that stops the object that the file describes."""
        self._add(file, path, message, code, hint, "error")

    def warning(self, file: str, path: KeyPath, message: str, code: str, hint: str = "") -> None:
        """Adds a problem that does not stop the object that the file describes."""
        self._add(file, path, message, code, hint, "warning")

    def _add(
        self, file: str, path: KeyPath, message: str, code: str, hint: str, severity: Literal["error", "warning"]
    ) -> None:
        line = self._line(file, path) or 1
        key = ".".join(str(part) for part in path)
        found = Problem(file=file, line=line, key=key, message=message, hint=hint, severity=severity, code=code)
        if found not in self.problems:
            self.problems.append(found)
