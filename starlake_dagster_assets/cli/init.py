"""`starlake-dagster init`: creates a project to start from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated

import typer

from starlake_dagster_assets.errors import StarlakeError
from starlake_dagster_assets.plural import counted

__all__ = ["register_init"]

_PACKAGE = Path(__file__).resolve().parents[1]
_WITHOUT = shutil.ignore_patterns("datasets", "__pycache__", "generate.py", ".gitattributes", "*.pyc")


def register_init(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command("init")(init)


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="A new or empty directory.")],
    example: Annotated[
        bool,
        typer.Option("--example", help="Writes the example project: a bakery chain with 5 tables and 10 transforms."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Prints one JSON object on stdout.")] = False,
) -> None:
    """Creates a Starlake project with data files, and a Dagster code location for it (definitions.py).

    By default, a minimal project: one table, one transform and one data file.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise StarlakeError(f"{directory} is not empty. Name a new or empty directory.")
    if example:
        source = _example()
        shutil.copytree(source, directory, ignore=_WITHOUT, dirs_exist_ok=True)
        incoming = directory / "starbake" / "datasets" / "incoming"
        shutil.copytree(source / "deliveries" / "day1", incoming)
        project = "starbake"
    else:
        shutil.copytree(_PACKAGE / "cli" / "starter", directory, ignore=_WITHOUT, dirs_exist_ok=True)
        project = "starlake"
        shutil.copytree(directory / "files", directory / project / "datasets" / "incoming" / "sales")
        shutil.rmtree(directory / "files")
        shutil.copy(_example() / "dagster.yaml", directory)  # `dagster dev` reads it where it is started
    written = sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())
    if as_json:
        print(json.dumps({"directory": str(directory), "project": project, "files": written}, indent=2))
        return
    print(f"{counted(len(written), 'file')} written to {directory}. Next:")
    print(f"  cd {directory}")
    print("  dagster dev -f definitions.py      # http://127.0.0.1:3000: Lineage > Materialize all")
    print(f"  starlake-dagster run {project} --env DUCKDB      # the same without Dagster")
    print("Where the variable DAGSTER_HOME names a directory with a copy of dagster.yaml, Dagster remembers its runs.")


def _example() -> Path:
    """Returns the example project: inside an installed package, or next to the package in a source checkout."""
    places = (_PACKAGE / "example_project", _PACKAGE.parent / "example_project")
    return next(place for place in places if (place / "definitions.py").exists())
