"""Reads DAG files of `starlake dag-generate` as text: the files are neither run nor imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.legacy.dag_file_model import DagContext
from starlake_dagster_assets.legacy.literals import read_dag_context
from starlake_dagster_assets.project.model.problems import Problem

__all__ = ["read_dag_files"]

_TREES = ("dependencies", "task_deps")
_SETTINGS = ("cluster_id", "spark_executor_cores", "spark_executor_instances", "spark_executor_memory")
"""Options that a file may also set as variables of its module."""
_ITEMS = frozenset({"StarlakeSchedule", "StarlakeDomain", "StarlakeTable"})
_WHOLES = frozenset({"StarlakeSchedules", "StarlakeDependencies", "loads"})
_JOB = re.compile(r"(?:Airflow|Dagster)Starlake(\w+)Job|Starlake(?:Airflow|Dagster)(\w+)Job")
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


def read_dag_files(path: str | Path) -> list[DagContext]:
    """Reads a DAG file, or all DAG files below a directory.

    Args:
        path: A Python file that `starlake dag-generate` wrote, for Dagster or Airflow; or a directory, whose other
            Python files are ignored.

    Returns:
        The contents of each file, sorted by path.

    Raises:
        ProjectError: When there is no DAG file, or for files and values that cannot be read.
    """
    where = Path(path)
    files = sorted(where.rglob("*.py")) if where.is_dir() else [where]
    found: list[DagContext] = []
    problems: list[object] = []
    for file in files:
        try:
            context = _read(file)
        except ProjectError as error:
            problems += error.problems
            continue
        if context is not None:
            found.append(context)
    if problems:
        raise ProjectError(problems)
    if not found:
        wanted = "`schedules`, `task_deps` or `dependencies` of starlake dag-generate"
        raise ProjectError([f"{where}: {'no file below has' if where.is_dir() else 'the file has no'} {wanted}."])
    return found


class _Computed:
    """An expression whose value is known only when the file runs."""

    def __init__(self, node: ast.expr) -> None:
        self.text = ast.unparse(node)
        self.line = node.lineno


def _read(file: Path) -> DagContext | None:
    """Reads a DAG file; returns None if the file is not a DAG file."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError) as error:
        raise ProjectError([f"{file}: cannot be read: {error}"]) from error
    values, lines = _variables(tree)
    literal = next((name for name in ("schedules", *_TREES) if name in values), None)
    if literal is None:
        return None
    literals = {name: values[name] for name in ("schedules", *_TREES, "options", "jobs", "cron", "description")}
    computed = [(name, one) for name, value in literals.items() for one in _computed(value)]
    if computed:
        raise ProjectError([_unknown(file, name, one) for name, one in computed])
    options: Any = literals["options"]
    if options is None or isinstance(options, dict):
        also = {name: values[name] for name in _SETTINGS if values[name] is not None}
        options = {**also, **cast("dict[str, Any]", options or {})}
    return read_dag_context(
        file.stem.lower(),
        schedules=literals["schedules"],
        dependencies=literals["dependencies"] or literals["task_deps"],
        options=options,
        jobs=literals["jobs"],
        cron=literals["cron"],
        description=literals["description"],
        environment=_environment(values),
        file=str(file),
        line=lines[literal],
    )


def _variables(tree: ast.Module) -> tuple[_Values, dict[str, int]]:
    """Returns the variables that the module assigns, and their lines."""
    values, lines = _Values(), dict[str, int]()
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets = [statement.target]
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value:
                values[target.id] = _value(statement.value, values)
                lines[target.id] = statement.lineno
    return values, lines


class _Values(dict[str, Any]):
    """Values of variables by name; None for unknown names."""

    def __missing__(self, name: str) -> None:
        return None


def _value(node: ast.expr, known: Mapping[str, Any]) -> Any:
    """Returns the value of a literal, variable or constructor of the generator; `_Computed` for others."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return known.get(node.id, _Computed(node))
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return [_value(item, known) for item in node.elts]
    if isinstance(node, ast.Dict):
        return _dictionary(node, known)
    if isinstance(node, ast.Call):
        return _called(node, known)
    return _Computed(node)


def _dictionary(node: ast.Dict, known: Mapping[str, Any]) -> Any:
    found: dict[Any, Any] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        one = _value(value, known)
        if key is not None:
            found[_value(key, known)] = one
        elif isinstance(one, dict):
            found |= one
        else:
            return _Computed(node)
    return found


def _called(node: ast.Call, known: Mapping[str, Any]) -> Any:
    """Returns the value that a call of a constructor of the generator stands for; `_Computed` for other calls."""
    name = ast.unparse(node.func).rsplit(".", 1)[-1]
    arguments = {keyword.arg: _value(keyword.value, known) for keyword in node.keywords if keyword.arg}
    if name in _ITEMS:
        return arguments
    if name in _WHOLES and (node.args or arguments):
        return _value(node.args[0], known) if node.args else next(iter(arguments.values()))
    return _Computed(node)


def _computed(value: Any) -> Iterator[_Computed]:
    if isinstance(value, _Computed):
        yield value
    parts: list[Any] = []
    if isinstance(value, dict):
        parts = list(cast("dict[Any, Any]", value).values())
    elif isinstance(value, list):
        parts = cast("list[Any]", value)
    for part in parts:
        yield from _computed(part)


def _unknown(file: Path, name: str, computed: _Computed) -> Problem:
    return Problem(
        file=str(file),
        line=computed.line,
        key=name,
        message=f"`{computed.text}` is known only when the file runs, and it is read, not run.",
        hint="Write the value there, or call definitions_from_dag_context at the end of the file itself.",
        code="dag-context",
    )


def _environment(values: Mapping[str, Any]) -> str | None:
    """Returns the execution environment of a file: as declared, or from the class of its job, or from its template."""
    declared = values.get("execution_environment")
    if declared is not None:
        return declared.text if isinstance(declared, _Computed) else str(declared)
    job = values.get("sl_job")
    if isinstance(job, _Computed) and (found := _JOB.search(job.text)):
        return _WORDS.sub("_", found[1] or found[2]).lower()
    template = values.get("template")
    return template if isinstance(template, str) and "__" in template else None
