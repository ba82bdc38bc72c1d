"""SQL that does not parse or has several statements, with its line and column."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from starlake_dagster_assets.checking.positions import Positions
from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.project.model.project import Project, Task
from starlake_dagster_assets.project.sql.parsing import SqlError, parse_statements
from starlake_dagster_assets.project.sql.single_statement import (
    ONE_STATEMENT,
    find_second_statement,
    format_statements_error,
)

__all__ = ["syntax_errors"]

_NEAR = re.compile(r'at or near "(.*?)"', re.DOTALL)
_LINE = re.compile(r"^LINE (\d+): ", re.MULTILINE)


def syntax_errors(project: Project, loaded: Sequence[Problem], positions: Positions) -> Iterator[Problem]:
    """Reports the SQL of tasks that could not be parsed when the project was loaded, or that has several statements.

    DuckDB parses SQL of its own dialect. SQL that it can parse is a warning: only the dependencies may be incomplete.

    Args:
        project: The resolved project.
        loaded: The problems of its load.
        positions: Finds words in its files.
    """
    tasks = {task.source_location.file: task for task in project.tasks}
    for problem in loaded:
        task = tasks.get(problem.file)
        if problem.code != "unparsable-sql":
            continue
        if task is None or task.sql is None:
            yield problem
            continue
        yield _problem(problem, task, project.dialect(task.run_connection), positions)
    for task in project.tasks:
        second = find_second_statement(project, task)
        if second is not None:
            file, line, column = positions.find_in_task(task, second.split()[0], (task.sql or "").find(f"{second}"))
            message = f"{format_statements_error(second)}. Every run of the task fails."
            yield Problem(
                file=file,
                line=line,
                column=column,
                message=message,
                hint=f"{ONE_STATEMENT}.",
                code="several-statements",
            )


def _problem(problem: Problem, task: Task, dialect: str, positions: Positions) -> Problem:
    sql = task.sql or ""
    if dialect.lower() == "duckdb":
        reason = _duckdb_error(sql)
        if reason == "":
            return problem
        if reason is not None:
            return _error(task, "DuckDB", reason.splitlines()[0], positions, *_duckdb_position(sql, reason))
    try:
        parse_statements(sql, dialect)
    except SqlError as error:
        word, start = error.word, _offset(sql, error)
        return _error(task, dialect or "standard SQL", error.reason, positions, word, start)
    return problem


def _error(task: Task, dialect: str, reason: str, positions: Positions, word: str, start: int | None) -> Problem:
    file, line, column = positions.find_in_task(task, word, start)
    near = f" at `{word}`" if word and word not in reason else ""
    return Problem(
        file=file,
        line=line,
        column=column,
        message=f"the SQL cannot be parsed as {dialect}{near}: {reason.rstrip('.')}.",
        hint="Every run of the task fails on it; correct the SQL, or set `parseSQL: false` to pass it on as it is.",
        code="unparsable-sql",
    )


def _duckdb_error(sql: str) -> str | None:
    """Returns the error of DuckDB for a SQL text: "" if it parses, None if DuckDB is not installed."""
    try:
        import duckdb
    except ImportError:
        return None
    try:
        duckdb.extract_statements(sql)
    except duckdb.Error as error:
        return str(error).removeprefix("Parser Error: ")
    return ""


def _duckdb_position(sql: str, error: str) -> tuple[str, int | None]:
    """Returns the word at which DuckDB stopped parsing, and its offset; None if the offset is not known."""
    near, line = _NEAR.search(error), _LINE.search(error)
    if near is None or line is None:
        return "", None
    lines = sql.split("\n")
    begin = sum(len(text) + 1 for text in lines[: int(line[1]) - 1])
    shown, _, marks = error[line.end() :].partition("\n")
    column = len(marks) - len(marks.lstrip()) - len(line[0]) if "^" in marks and not shown.startswith("...") else 0
    at = sql.lower().find(near[1].lower(), begin + max(column, 0))
    return near[1], at if at >= 0 else begin


def _offset(sql: str, error: SqlError) -> int | None:
    """Returns the offset of the word that sqlglot locates by its line and the column of its last character."""
    if error.line is None or not error.word:
        return None
    begin = sum(len(text) + 1 for text in sql.split("\n")[: error.line - 1])
    return begin + max((error.column or 0) - len(error.word), 0)
