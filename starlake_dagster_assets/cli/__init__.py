"""The command line `starlake-dagster`: one module a command, imported when the program starts."""

from __future__ import annotations

import sys

import typer

from starlake_dagster_assets.errors import StarlakeError

__all__ = ["app", "main"]

app = typer.Typer(
    name="starlake-dagster",
    help="Starlake projects as Dagster assets.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Entry point: runs a command, prints an error of ours as one message and exits with 1."""
    _register()
    try:
        app()
    except StarlakeError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def _register() -> None:
    """Adds the commands; each module below names one."""
    from starlake_dagster_assets.cli import airflow, check, doctor, embedded, graph, run

    for module in (check, graph, run, embedded, airflow, doctor):
        module.register(app)
