"""`starlake-dagster check`: all problems of a project at once."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from starlake_dagster_assets.cli.options import Env, ProjectDirectory
from starlake_dagster_assets.plural import counted
from starlake_dagster_assets.project.problems import Problem

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command(name="check")(check)


def check(
    project: ProjectDirectory = Path("."),
    env: Env = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Lists everything that is wrong with a project; exit code 1 when there is an error."""
    problems, read = _read(project, env)
    errors = sum(problem.severity == "error" for problem in problems)
    warnings = len(problems) - errors
    if as_json:
        found = [problem.model_dump(mode="json") for problem in problems]
        print(json.dumps({"problems": found, "errors": errors, "warnings": warnings}, ensure_ascii=False, indent=2))
    else:
        _print(problems, errors, warnings, read)
    if errors:
        raise typer.Exit(1)


def _read(project: Path, env: str | None) -> tuple[list[Problem], str]:
    """The problems, and how much could be read, in words; "" where there is no project."""
    from starlake_dagster_assets.errors import ProjectError
    from starlake_dagster_assets.graph.build import build_graph
    from starlake_dagster_assets.project.load import load_project
    from starlake_dagster_assets.triggers.build import trigger_problems

    try:
        model, loaded = load_project(project, env=env)
    except ProjectError as error:
        return [Problem(file="metadata/application.sl.yml", message=str(error), code="not-a-project")], ""
    graph, built = build_graph(model)
    found = (*loaded, *built, *trigger_problems(model, graph))
    unique = {(problem.code, str(problem)): problem for problem in found}
    problems = sorted(unique.values(), key=lambda item: (item.file, item.line or 0, item.key, item.message))
    return problems, f"{counted(len(model.tables), 'table')}, {counted(len(model.tasks), 'task')}: "


def _print(problems: Sequence[Problem], errors: int, warnings: int, read: str) -> None:
    for problem in problems:
        text = f"{problem}" if problem.severity == "error" else f"{_warning(problem)}"
        if sys.stdout.isatty():
            where, _, rest = text.partition(": ")
            text = f"{typer.style(where, fg='red' if problem.severity == 'error' else 'yellow', bold=True)}: {rest}"
        print(text)
    files = len({problem.file for problem in problems})
    where = f" in {counted(files, 'file')}" if files else ""
    print(f"{read}{counted(errors, 'error')}, {counted(warnings, 'warning')}{where}")


def _warning(problem: Problem) -> str:
    return str(problem.model_copy(update={"message": f"warning: {problem.message}"}))
