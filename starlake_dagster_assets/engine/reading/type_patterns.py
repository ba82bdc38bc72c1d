"""Patterns of types as SQL: RE2 inside DuckDB if it means the same as Java, else a Python function."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from typing import Any, cast

import duckdb

from starlake_dagster_assets.engine.quoting import literal
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.resolve.java_regex import compile_java

__all__ = ["Patterns", "python_function"]

_ANYTHING = {".*", "(?s).*", ".*?"}
_NOT_RE2 = re.compile(r"\(\?(?:[=!>]|<[=!])|[*+?}]\+|&&|\\[hHvVRXGZ1-9kpP]|\[[^\]]*\[|\(\?[a-zA-Z]*[xudU]")
"""Constructs that RE2 rejects, or reads differently from Java."""


class Patterns:
    """Compiler of patterns to SQL conditions for one connection; the whole text must match.

    Args:
        con: The connection; Python functions are registered on it if a pattern needs one.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        self._known: dict[str, bool] = {}

    def full_match(self, text: str, pattern: str, type_name: str) -> str:
        """Returns a condition that holds if the whole text matches, as `java.util.regex` does with DOTALL.

        Args:
            text: SQL of the text; must not be NULL.
            pattern: Java regular expression (`types[].pattern`).
            type_name: The type it belongs to, for messages.

        Returns:
            A boolean SQL expression.

        Raises:
            EngineError: When the pattern is not a valid regular expression.
        """
        if pattern in _ANYTHING:
            return "true"
        if not _NOT_RE2.search(pattern) and self._accepted(pattern):
            options = "" if pattern.startswith("(?") else ", 's'"
            return f"regexp_full_match({text}, {literal(pattern)}{options})"
        return f"{self._function(pattern, type_name)}({text})"

    def _accepted(self, pattern: str) -> bool:
        """Whether DuckDB accepts a pattern; each pattern is tried once."""
        if pattern not in self._known:
            try:
                self._con.execute("SELECT regexp_full_match('', " + literal(pattern) + ", 's')").fetchall()
                self._known[pattern] = True
            except duckdb.Error:
                self._known[pattern] = False
        return self._known[pattern]

    def _function(self, pattern: str, type_name: str) -> str:
        """Registers the pattern as a Python function, once per connection."""
        text = pattern if pattern.startswith("(?") else "(?s)" + pattern
        try:
            compiled = compile_java(text)
        except ValueError as error:
            raise EngineError(
                f"type '{type_name}': pattern `{pattern}` is not a regular expression: {error}"
            ) from error
        name = "sl_matches_" + sha256(pattern.encode()).hexdigest()[:16]
        what = f"type '{type_name}': pattern `{pattern}`"
        python_function(self._con, name, lambda text: compiled.fullmatch(text) is not None, "BOOLEAN", what)
        return name


def python_function(
    con: duckdb.DuckDBPyConnection, name: str, function: Callable[[str], object], returns: str, what: str
) -> None:
    """Registers a function of one text, once per connection.

    Args:
        con: The connection.
        name: Its SQL name.
        function: The function; not called for NULL.
        returns: DuckDB type of its result.
        what: The setting that needs it, for the message.

    Raises:
        EngineError: When DuckDB cannot run Python functions because numpy is not installed.
    """
    if con.execute(f"SELECT 1 FROM duckdb_functions() WHERE function_name = {literal(name)}").fetchone() is not None:
        return
    try:
        cast("Any", con).create_function(name, function, ["VARCHAR"], returns)
    except duckdb.InvalidInputException as error:
        raise EngineError(f"{what} needs a Python function, and DuckDB needs numpy to run one: {error}") from error
