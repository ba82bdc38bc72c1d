"""`starlake-dagster embedded`: the real program's commands, answered by the embedded engine."""

from __future__ import annotations

import os
import sys
from typing import Any

import typer

from starlake_dagster_assets.command.model import Line

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    settings: dict[str, Any] = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    app.command("embedded", context_settings=settings)(embedded)


def embedded(context: typer.Context) -> None:
    """Runs a Starlake command on DuckDB, without the real program: `embedded load --domains sales`.

    Reads `SL_ROOT`, `SL_ENV`, `SL_LOADER` and the other variables of the real program from the environment.
    """
    from starlake_dagster_assets.engine.console import console
    from starlake_dagster_assets.engine.launcher import execute

    argv = list(context.args)
    environ = dict(os.environ)
    if argv[:1] == ["console"]:
        sys.exit(console(iter(sys.stdin.readline, ""), environ, _emit))
    sys.exit(execute(argv, environ, _emit))


def _emit(line: Line) -> None:
    print(line.text, file=sys.stdout if line.stream == "stdout" else sys.stderr, flush=True)
