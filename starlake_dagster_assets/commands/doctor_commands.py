"""Read-only Starlake commands, for `starlake-dagster doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from starlake_dagster_assets.commands.build import list_argument, path_argument
from starlake_dagster_assets.commands.model import Command
from starlake_dagster_assets.errors import CommandError

__all__ = ["dag_generate", "freshness", "help_command", "lineage", "settings", "validate"]


def help_command(name: Literal["stage", "preload", "load", "transform"]) -> Command:
    """Builds `<command> --help`, which prints the options of a command; exit code 1 if this version lacks it."""
    return Command(name, ("--help",))


def validate(*, reload: bool = False) -> Command:
    """Builds `validate`, which checks the project and its connections. The output reports problems, not the exit code.

    Args:
        reload: `--reload`: reads the project again.
    """
    return Command("validate", ("--reload",) if reload else ())


def settings(connection: str | None = None) -> Command:
    """Builds `settings`, which starts and reads the settings; prints nothing unless a connection is tested.

    Args:
        connection: `--test-connection`: opens the connection and prints `SUCCESS: …` or `ERROR: …`; always exit code 0.

    Raises:
        CommandError: When the name cannot be written on the command line.
    """
    return Command("settings", path_argument("--test-connection", connection))


def lineage(task: str | None = None, *, output: str | None = None) -> Command:
    """Builds `lineage`, which prints the dependencies that Starlake itself finds, as JSON.

    Args:
        task: `<domain>.<name>`; all tasks by default.
        output: `--output`: file; stdout by default.

    Raises:
        CommandError: When the name or the path cannot be written on the command line.
    """
    scope = ("--all",) if task is None else list_argument("--task", "task", [task])
    printed = path_argument("--output", output) or ("--print",)
    return Command("lineage", (*scope, "--json", *printed))


def freshness(tables: Sequence[str] = ()) -> Command:
    """Builds `freshness`, which reads from the audit when tables were last written; exit code 1 if one is too old.

    Args:
        tables: `domain.table` or `domain`; all by default.

    Raises:
        CommandError: When a name cannot be written on the command line.
    """
    return Command("freshness", list_argument("--tables", "table", tables))


def dag_generate(output: str, *, tags: Sequence[str] = (), tasks: bool = True, domains: bool = True) -> Command:
    """Builds `dag-generate`, which writes the DAG files of starlake-dagster and starlake-airflow.

    Args:
        output: `--outputDir`.
        tags: `--tags`.
        tasks: `--tasks`: whether to write the DAG files of transforms.
        domains: `--domains`: whether to write the DAG files of loads.

    Raises:
        CommandError: When a tag or path cannot be written on the command line, or nothing is selected.
    """
    if not (tasks or domains):
        raise CommandError("dag-generate: neither tasks nor domains are wanted; nothing would be written.")
    chosen = () if tasks and domains else ("--tasks",) if tasks else ("--domains",)
    return Command(
        "dag-generate", (*path_argument("--outputDir", output), *list_argument("--tags", "tag", tags), *chosen)
    )
