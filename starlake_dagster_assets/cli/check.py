"""`starlake-dagster check`: lists all problems of a project."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from enum import Enum
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from starlake_dagster_assets.cli.options import Env, Options, ProjectDirectory, one_of, parse_variables
from starlake_dagster_assets.plural import counted
from starlake_dagster_assets.project.model.problems import Problem

if TYPE_CHECKING:
    from starlake_dagster_assets.checking.project_check import Engine, ProjectCheckReport

__all__ = ["register_check"]


_MOST_OF_A_STYLE = 5
"""Maximum number of warnings about the style of names that are listed one by one."""


class _Engine(str, Enum):
    auto = "auto"
    duckdb = "duckdb"
    starlake = "starlake"


def register_check(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command(name="check")(check)


def check(
    project: ProjectDirectory = Path("."),
    env: Env = None,
    options: Options = None,
    engine: Annotated[
        _Engine,
        typer.Option(
            "--engine",
            help="The engine that runs the project. duckdb (the embedded engine): tables and tasks that it rejects are "
            "errors. starlake (the starlake program): they are not reported. auto: they are warnings if their "
            "connection is DuckDB.",
            **one_of(_Engine),
        ),
    ] = _Engine.auto,
    portable: Annotated[
        bool,
        typer.Option(
            "--portable",
            help="Also reports as errors what the embedded engine accepts but the starlake program does not, or "
            "treats differently: macros without an import, privacy settings that store clear text, reserved column "
            "names, keys that have no effect on native loads.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Prints one JSON object on stdout.")] = False,
) -> None:
    """Lists all problems of a project. Exit code 1 if there is an error."""
    found = _findings(project, env, parse_variables(options), engine.value, portable=portable)
    if as_json:
        _print_json(found)
    else:
        _print(found)
    if found.errors:
        raise typer.Exit(1)


def _findings(
    project: Path, env: str | None, options: dict[str, str], engine: str, *, portable: bool
) -> ProjectCheckReport:
    from starlake_dagster_assets.checking.project_check import ProjectCheckReport, check_project
    from starlake_dagster_assets.errors import ProjectError

    try:
        return check_project(project, env=env, options=options, engine=cast("Engine", engine), portable=portable)
    except ProjectError as error:
        return ProjectCheckReport(
            (Problem(file="metadata/application.sl.yml", message=str(error), code="not-a-project"),)
        )


def _print_json(found: ProjectCheckReport) -> None:
    data = {
        "problems": [problem.model_dump(mode="json") for problem in found.problems],
        "errors": found.errors,
        "warnings": found.warnings,
        "tables": found.tables,
        "tasks": found.tasks,
    }
    print(json.dumps(data, ensure_ascii=False, indent=2))


def _print(found: ProjectCheckReport) -> None:
    """Prints the problems by file, errors first, and the totals in the last line."""
    for severity in ("error", "warning"):
        chosen = [problem for problem in found.problems if problem.severity == severity]
        if chosen:
            print(_styled(f"{counted(len(chosen), severity)}", severity))
            repeated = _repeated(chosen)
            shown = [problem for problem in chosen if problem.code not in repeated]
            for _, problems in groupby(shown, key=lambda problem: problem.file):
                _print_file(list(problems), severity)
            for code, number in repeated.items():
                first = next(problem for problem in chosen if problem.code == code)
                print(f"  {_styled(f'{number} names', severity)}  [{code}]")
                print(f"      the first is in {first.file}: {first.message}")
                print("      next: list all of them with --json.")
            print()
    read = f"{counted(found.tables, 'table')}, {counted(found.tasks, 'task')}: " if found.tables or found.tasks else ""
    files = len({problem.file for problem in found.problems})
    where = f" in {counted(files, 'file')}" if files else ""
    print(f"{read}{counted(found.errors, 'error')}, {counted(found.warnings, 'warning')}{where}")


def _repeated(problems: Sequence[Problem]) -> dict[str, int]:
    """Counts warnings about the style of names, by code, for codes with so many that they would hide the others."""
    numbers = Counter(one.code for one in problems if one.severity == "warning" and one.code.endswith("-name-pattern"))
    return {code: number for code, number in numbers.items() if number > _MOST_OF_A_STYLE}


def _print_file(problems: Sequence[Problem], severity: str) -> None:
    for problem in problems:
        where = ":".join(str(part) for part in (problem.file, problem.line, problem.column) if part is not None)
        print(f"  {_styled(where, severity)}  [{problem.code}]")
        for line in f"{problem.key}: {problem.message}".removeprefix(": ").splitlines():
            print(f"      {line}")
        if problem.hint:
            print(f"      next: {problem.hint}")


def _styled(text: str, severity: str) -> str:
    if not sys.stdout.isatty():
        return text
    return typer.style(text, fg="red" if severity == "error" else "yellow", bold=True)
