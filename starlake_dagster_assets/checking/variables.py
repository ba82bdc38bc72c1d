"""Unset variables in SQL: each becomes an empty text, or stays as `${name}`, in the SQL that runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from starlake_dagster_assets.automation.policies.options import task_options
from starlake_dagster_assets.checking.positions import Positions
from starlake_dagster_assets.errors import closest_match
from starlake_dagster_assets.graph.model import Graph
from starlake_dagster_assets.project.files.environment import CLOCK, PATHS, RUN
from starlake_dagster_assets.project.files.rendering import Renderer
from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.project.model.project import Project, Task
from starlake_dagster_assets.project.sql.sections import strip_comments

__all__ = ["unset_variables"]

_AT_RUN = frozenset({*CLOCK, *PATHS, *RUN, "partition_key", "sl_partition_key", "SL_THIS"})
"""Variables that have a value in a run, or in runs of partitions."""
_PREFIXES = ("sl_partition_",)
"""Prefixes of variables that a run sets: the dimensions of partitions."""
_TEXTUAL = re.compile(r"\$\{\s*(\w+)\s*\}")


def unset_variables(project: Project, graph: Graph, positions: Positions) -> Iterator[Problem]:
    """Reports the variables in the SQL of tasks that neither the project nor a run sets.

    A variable with a default, or one that the template tests (`{% if x %}`), is left out: it may be unset.

    Args:
        project: The resolved project.
        graph: Its graph, for the variables that DAG configurations give to tasks.
        positions: Finds words in its files.
    """
    renderer = Renderer(None, {macro.file: macro.text for macro in project.macros})
    metadata = Path(project.root) / "metadata"
    files = {file.name: file for file in sorted(metadata.glob("env*.sl.yml"))}
    for task in project.tasks:
        if not task.source_sql or "{" not in task.source_sql:
            continue
        node = graph.node_of(task)
        given = {**project.variables, **(task_options(project, node) if node else {})}
        for name, is_textual in sorted(_printed(task, renderer, project.dialect(task.run_connection)).items()):
            setting = [file for file in files if not given.get(name) and _sets(files[file], name)]
            own = {"env.sl.yml", f"env.{project.env}.sl.yml"}
            if name in _AT_RUN or name.startswith(_PREFIXES) or (name in given and (given[name] or own & {*setting})):
                continue
            # a variable of another environment is empty in this one
            yield _problem(task, name, given, positions, setting, is_textual=is_textual)


def _printed(task: Task, renderer: Renderer, dialect: str) -> dict[str, bool]:
    """Returns the variables that the SQL of a task needs, each with whether it is written as `${x}`."""
    source = strip_comments(task.source_sql or "", dialect)
    return {
        **dict.fromkeys(renderer.printed_free(source), False),
        **dict.fromkeys(_TEXTUAL.findall(source), True),
    }


def _problem(
    task: Task, name: str, given: Mapping[str, str], positions: Positions, setting: list[str], *, is_textual: bool
) -> Problem:
    file, line, column = positions.find_in_task(task, name)
    close = closest_match(name, [*given.keys() - {name}, *_AT_RUN], cutoff=0.8)
    left = f"keeps the text `${{{name}}}`" if is_textual and name not in given else "has nothing in its place"
    hint = f"Set it in an env file, with `--option {name}=…`, or with the options of a run."
    if setting:
        elsewhere = setting[0].removeprefix("env.").removesuffix(".sl.yml")
        hint = f"The environment {elsewhere} sets it: choose it with `--env {elsewhere}`."
    elif close:
        hint = f"Did you mean `{close}`? {hint}"
    return Problem(
        file=file,
        line=line,
        column=column,
        message=f"the variable `{name}` is not set: the SQL {left}.",
        hint=hint,
        severity="warning",
        code="unset-variable",
    )


def _sets(file: Path, name: str) -> bool:
    """Whether an env file sets a variable."""
    text = file.read_text(encoding="utf-8", errors="replace")
    return re.search(rf"^\s+[\"']?{re.escape(name)}[\"']?\s*:", text, re.MULTILINE) is not None
