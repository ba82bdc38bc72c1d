"""Checks of tasks whose files have only known keys and values."""

from __future__ import annotations

import re
from typing import Any

from starlake_dagster_assets.errors import closest_match
from starlake_dagster_assets.project.checks.expectations import check_expectations
from starlake_dagster_assets.project.checks.tables import check_freshness, check_strategy
from starlake_dagster_assets.project.files.validation import part
from starlake_dagster_assets.project.model.project import Task
from starlake_dagster_assets.project.resolve.parsed_project import ParsedProject
from starlake_dagster_assets.project.sql.sections import find_unclosed_delimiter

__all__ = ["check_config", "check_sql", "check_task"]

KeyPath = tuple[str | int, ...]

_DOMAIN_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{1,100}", re.ASCII)
_TASK_NAME = re.compile(r"[_a-zA-Z][$£a-zA-Z0-9_]{1,256}", re.ASCII)


def check_config(file: str, default: dict[str, Any], context: ParsedProject) -> None:
    """Checks the connections, DAG and schedule of `transform.default`, once for all tasks."""
    at = ("transform", "default")
    context.check_connection(default.get("connection_ref"), file, (*at, "connectionRef"))
    context.check_connection(part(default, "sink").get("connection_ref"), file, (*at, "sink", "connectionRef"))
    context.check_dag(default.get("dag_ref"), file, (*at, "dagRef"))
    context.cron(default.get("schedule"), file, (*at, "schedule"))
    check_freshness(part(default, "freshness"), file, at, context)
    check_expectations(default, file, at, context)


def check_task(task: Task, data: dict[str, Any], path: KeyPath, context: ParsedProject) -> None:
    """Checks the names, settings, expectations, write strategy and types of one task.

    Args:
        task: The resolved task.
        data: Values that its YAML sets, by Python names; inherited values are not checked again.
        path: Key path of the task in its file; () if it has no YAML.
        context: The project to check against, and the collector of problems.
    """
    file, report = task.location.file, context.report
    for pattern, name, kind in ((_TASK_NAME, task.stem, "task"), (_DOMAIN_NAME, task.transform_domain, "domain")):
        if not pattern.fullmatch(name):
            message = f"`{name}` is not the kind of {kind} name that Starlake's `validate` accepts ({pattern.pattern})."
            report.warning(file, (), message, f"{kind}-name-pattern")
    context.check_connection(data.get("connection_ref"), file, (*path, "connectionRef"))
    sink = part(data, "sink")
    context.check_connection(sink.get("connection_ref"), file, (*path, "sink", "connectionRef"))
    context.check_dag(data.get("dag_ref"), file, (*path, "dagRef"))
    own = part(data, "freshness")
    check_freshness(own, file, path, context)
    check_expectations(data, file, path, context)
    if own and task.freshness and task.freshness.model_dump(exclude_none=True) != own:
        message = "is not used: that of `transform.default` wins, in Starlake as well."
        hint = "Take it out of one of the two."
        report.warning(file, (*path, "freshness"), message, "freshness-ignored", hint)
    if task.sink.materialized_view not in {"VIEW", "MATERIALIZED_VIEW"} and task.parse_sql:
        check_strategy(task.write_strategy, task.connection, file, (*path, "writeStrategy"), context)
    if task.write_strategy.types:
        message = "`types` works for loads only."
        report.error(file, (*path, "writeStrategy", "types"), message, "adaptive-task", "Use `type`.")
    _partition(task, path, context)
    _types(task, path, context)


def check_sql(sql: str, error: str, dialect: str, file: str, path: KeyPath, context: ParsedProject) -> None:
    """Reports SQL that the parser rejects.

    SQL that no dialect accepts is an error. Other SQL is a warning, and its references are found by pattern matching.

    Args:
        sql: The SQL, without comments.
        error: The message of the parser.
        dialect: The dialect with which the SQL was parsed.
        file: The file that contains the SQL.
        path: The key that holds it, () for a SQL file.
        context: The collector of problems.
    """
    broken = find_unclosed_delimiter(sql, dialect)
    if broken:
        context.report.error(file, path, f"the SQL is broken: {broken}.", "broken-sql", f"The parser reports: {error}.")
        return
    message = f"the SQL cannot be parsed as {dialect or 'standard SQL'}: {error.rstrip('.')}."
    hint = "Its dependencies are found by pattern matching, as Starlake does, and may miss some."
    context.report.warning(file, path, message, "unparsable-sql", hint)


def _partition(task: Task, path: KeyPath, context: ParsedProject) -> None:
    if task.write_strategy.type == "OVERWRITE_BY_PARTITION" and not task.sink.partition:
        message = "OVERWRITE_BY_PARTITION needs `sink.partition`: the column whose values are replaced."
        context.report.error(task.location.file, (*path, "writeStrategy"), message, "missing-partition")


def _types(task: Task, path: KeyPath, context: ParsedProject) -> None:
    for index, attribute in enumerate(task.attributes):
        if attribute.type not in context.types:
            close = closest_match(attribute.type, context.types)
            hint = f"Did you mean `{close}`?" if close else "Add it to metadata/types/types.sl.yml."
            at = (*path, "attributes", index, "type")
            message = f"unknown type `{attribute.type}`."
            context.report.warning(task.location.file, at, message, "unknown-type", hint)
