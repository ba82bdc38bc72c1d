"""Line and column, in the files of a project, of text that was rendered and stripped of its comments."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

from starlake_dagster_assets.project.files.yaml_io import YamlError, key_line, parse_yaml
from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.project.model.project import Location, Task
from starlake_dagster_assets.project.sql.sections import blank_comments, main_section

__all__ = ["Position", "Positions"]

_ROOTS = ("table", "task", "load", "transform", "application", "dag")
"""Top-level keys that contain all of a file; keys of problems may be relative to them."""

Position = tuple[str, int | None, int | None]
"""(file, line, column), 1-based; None if they are not known."""


class Positions:
    """Finder of words and keys in the files of a project; each file is read once.

    Args:
        root: The project's directory.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._texts: dict[str, str] = {}

    def find_in_task(self, task: Task, word: str, start: int | None = None) -> Position:
        """Returns the position of a word in a task's SQL.

        Args:
            task: The task.
            word: The word as spelled in `task.sql`.
            start: The offset of the word in `task.sql`; that of the first occurrence by default.
        """
        location = task.source_location
        sql = task.sql or ""
        number = len(_occurrences(sql[:start], word)) if start else 0
        text = self._text(location.file)
        begin, end = 0, len(text)
        if task.sql_location is not None:
            text = blank_comments(text)
            begin, end = main_section(self._text(location.file))
        found = [at for at in _occurrences(text, word) if begin <= at < end]
        if not found:
            return location.file, location.line, None
        return (location.file, *_line_and_column(text, found[min(number, len(found) - 1)]))

    def find_text(self, location: Location, text: str) -> Position:
        """Returns the position of a text in a YAML file, at or after the line of its object; its column is None."""
        whole = self._text(location.file)
        begin = sum(len(line) + 1 for line in whole.split("\n")[: max((location.line or 1) - 1, 0)])
        at = whole.find(text.split("\n")[0], begin)
        return location.file, whole.count("\n", 0, at) + 1 if at >= 0 else location.line, None

    def with_line(self, problem: Problem) -> Problem:
        """Returns a problem with the line of its YAML key, if the file has the key."""
        if not problem.key or not problem.file.endswith((".yml", ".yaml")):
            return problem
        text, path = self._text(problem.file), problem.key.split(".")
        try:
            document = parse_yaml(text).value
        except YamlError:
            return problem
        for root in ((), *((name,) for name in _ROOTS)):
            value: Any = document
            for name in root:
                value = cast("Any", value).get(name) if isinstance(value, dict) else None
            if isinstance(value, dict) and path[0] in value:
                line = max(key_line(text, (*root, *path)) or 0, problem.line or 0)
                return problem.model_copy(update={"line": line or None})
        return problem

    def _text(self, file: str) -> str:
        if file not in self._texts:
            try:
                self._texts[file] = (self._root / file).read_text(encoding="utf-8", errors="replace")
            except OSError:
                self._texts[file] = ""
        return self._texts[file]


def _occurrences(text: str, word: str) -> list[int]:
    if not word:
        return []
    before, after = (r"(?<!\w)" if word[0].isalnum() else ""), (r"(?!\w)" if word[-1].isalnum() else "")
    return [found.start() for found in re.finditer(f"{before}{re.escape(word)}{after}", text, re.IGNORECASE)]


def _line_and_column(text: str, at: int) -> tuple[int, int]:
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
