"""Tasks whose main SQL has several statements: Starlake runs exactly one, whose rows it writes."""

from __future__ import annotations

from starlake_dagster_assets.project.model.project import Project, Task
from starlake_dagster_assets.project.sql.sections import split_statements

__all__ = ["ONE_STATEMENT", "find_second_statement", "format_statements_error"]

ONE_STATEMENT = "Keep the query; move the other statements to `presql` or `postsql`, or set `parseSQL: false`"
_LONGEST = 60


def find_second_statement(project: Project, task: Task) -> str | None:
    """Returns the second statement of a task's main SQL; None if it has only one, or sets `parseSQL: false`."""
    if task.sql is None or not task.parse_sql or ";" not in task.sql:
        return None
    connection = project.connection(task.run_connection)
    statements = split_statements(task.sql, connection.dialect if connection else "")
    return statements[1] if len(statements) > 1 else None


def format_statements_error(second: str) -> str:
    """Returns the message for a task with several statements."""
    text = " ".join(second.split())
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return f"the SQL has more than one statement; the second is `{shown}`"
