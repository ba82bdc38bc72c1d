"""`starlake-dagster prepare`: writes a parsed project to one file, for the image of a code location."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from starlake_dagster_assets.cli.options import Env, Options, ProjectDirectory, open_project, parse_variables
from starlake_dagster_assets.plural import counted

__all__ = ["register_prepare"]


def register_prepare(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command("prepare")(prepare)


def prepare(
    project: ProjectDirectory = Path("."),
    env: Env = None,
    options: Options = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The file to write. By default PROJECT.manifest.json next to the project."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Prints one JSON object on stdout.")] = False,
) -> None:
    """Writes a parsed project to one file, without secrets, so that code locations load without parsing.

    Pass the file to StarlakeProject(manifest=…). For a component, use dg utils refresh-defs-state instead.
    """
    root = project.expanduser().resolve()
    source = open_project(root, env=env, options=parse_variables(options))
    path = source.prepare(out or root.with_name(f"{root.name}.manifest.json"))
    model, size = source.model, path.stat().st_size
    tables, tasks = len(model.tables), len(model.tasks)
    if as_json:
        found = {"manifest": str(path), "env": model.env, "tables": tables, "tasks": tasks, "bytes": size}
        print(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        print(f"{path}: {counted(tables, 'table')}, {counted(tasks, 'task')}, {size / 1000:.0f} kB")
