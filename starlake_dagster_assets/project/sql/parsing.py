"""Parses SQL text to sqlglot trees: all errors have one type, and hostile text does not take unbounded time."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

__all__ = ["SqlError", "Tree", "child_with", "parse_statements", "sql_dialects"]

Tree: TypeAlias = Any
"""A sqlglot expression; its types change between releases."""

_GUESSES = ("duckdb", "spark", "bigquery")
_MAX_CHARS = 2_000_000
# sqlglot tries 2^n readings of n joins in a row that have no condition
_MAX_OPEN_JOINS = 9
_TOKEN = re.compile(r"<Token .*?text: (.*?), line: .*?>(?=$|\s|[.,)])", re.DOTALL)
_EXPLAINED = re.compile(r"\(?\s*\b(?:with|select|from|insert|create|merge|update|delete|values|pivot)\b", re.IGNORECASE)


class SqlError(Exception):
    """Error of SQL that cannot be parsed; the message has the position and the reason in one line.

    Args:
        message: Position and reason.
        reason: The reason alone; the message by default.
        word: The word at which the parser stopped; "" if it is not known.
        line: 1-based line of the SQL, None if it is not known.
        column: 1-based column of the last character of the word.
    """

    def __init__(
        self, message: str, reason: str = "", *, word: str = "", line: int | None = None, column: int | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason or message
        self.word = word
        self.line = line
        self.column = column


def sql_dialects(dialect: str) -> tuple[str, ...]:
    """Returns the dialects to try for a connection's dialect: itself if sqlglot knows it, else the likely ones.

    Args:
        dialect: A name such as `duckdb` or `bigquery`; "" or an unknown name when the connection does not determine it.

    Returns:
        Names for sqlglot, the most likely first.
    """
    from sqlglot.dialects.dialect import Dialect

    name = dialect.strip().lower()
    return (name,) if name and Dialect.get(name) is not None else _GUESSES


def parse_statements(sql: str, dialect: str) -> list[Tree]:
    """Parses all statements of a text, and replaces an `EXPLAIN` with the statement that it explains.

    Args:
        sql: Rendered SQL.
        dialect: The connection's dialect; "" or an unknown name tries the likely ones in turn.

    Returns:
        One tree per statement, without empty statements.

    Raises:
        SqlError: When no dialect accepts it, or when it is too large or too deeply nested to be read safely.
    """
    wanted, *others = sql_dialects(dialect)
    try:
        return list(_parse(sql, wanted))
    except SqlError:
        for other in others:
            with suppress(SqlError):
                return list(_parse(sql, other))
        raise


def child_with(node: Tree) -> Tree | None:
    """Returns the `WITH` clause of a statement or query (its name in sqlglot changed between releases)."""
    found: Any = node.args.get("with_") or node.args.get("with")
    return found


def _parse(sql: str, dialect: str) -> Iterator[Tree]:
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import ParseError, SqlglotError

    if len(sql) > _MAX_CHARS:
        raise SqlError(f"{len(sql)} characters are too many to parse (limit {_MAX_CHARS})")
    try:
        with _quiet():
            tokens = sqlglot.tokenize(sql, read=dialect)
            if sql.upper().count("JOIN") > _MAX_OPEN_JOINS:
                _reject_open_joins(tokens)
            trees: list[Any] = sqlglot.Dialect.get_or_raise(dialect).parser().parse(tokens, sql)
    except SqlError:
        raise
    except ParseError as error:
        raise _described(error) from error
    except RecursionError as error:
        raise SqlError("nested too deeply to be parsed") from error
    except (SqlglotError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        # the cause names the open quote and its position
        raise SqlError(" ".join(str(error.__cause__ or error).split())[:200] or type(error).__name__) from error
    for tree in trees:
        if isinstance(tree, exp.Command) and str(tree.this).upper() == "EXPLAIN":
            yield from _explained(tree, dialect)
        elif tree is not None:
            yield tree


def _explained(command: Tree, dialect: str) -> Iterator[Tree]:
    text = command.expression.name if command.expression is not None else ""
    found = _EXPLAINED.search(text)
    if found:
        yield from _parse(text[found.start() :], dialect)


def _described(error: Any) -> SqlError:
    for item in error.errors:
        message = _TOKEN.sub(r"\1", str(item.get("description") or "")).strip().rstrip(".")[:200]
        if message:
            line, column = item.get("line"), item.get("col")
            where = f"line {line}, column {column}: {message}"
            return SqlError(where, message, word=str(item.get("highlight") or ""), line=line, column=column)
    return SqlError(" ".join(str(error).split())[:200])


def _reject_open_joins(tokens: list[Any]) -> None:
    pending = 0
    before: str = ""
    for token in tokens:
        kind = token.token_type.name
        if kind == "JOIN" and before not in {"CROSS", "NATURAL"}:
            pending += 1
        elif kind in {"ON", "USING"}:
            pending = max(0, pending - 1)
        if pending > _MAX_OPEN_JOINS:
            raise SqlError(f"line {token.line}: more than {_MAX_OPEN_JOINS} joins in a row without a condition")
        before = "NATURAL" if before == "NATURAL" and kind in {"LEFT", "RIGHT", "FULL", "INNER", "OUTER"} else kind


@contextmanager
def _quiet() -> Generator[None]:
    """Suppresses the log messages of sqlglot in this thread, such as those about unknown commands."""
    logger, me = logging.getLogger("sqlglot"), threading.get_ident()

    def not_mine(record: logging.LogRecord) -> bool:
        return record.thread != me

    logger.addFilter(not_mine)
    try:
        yield
    finally:
        logger.removeFilter(not_mine)
