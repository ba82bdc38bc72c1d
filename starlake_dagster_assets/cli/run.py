"""`starlake-dagster run`: materializes a project without Dagster, with the same runners as a Dagster run."""

from __future__ import annotations

import signal
import sys
import uuid
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from starlake_dagster_assets.cli.options import (
    Env,
    Exclude,
    Options,
    ProjectDirectory,
    Select,
    environment_name,
    one_of,
    open_project,
    parse_variables,
)
from starlake_dagster_assets.cli.run_report import report_for
from starlake_dagster_assets.commands.model import Line
from starlake_dagster_assets.errors import PluginError, ProjectError, RunnerError, StarlakeError
from starlake_dagster_assets.execution.outcome import FailedCommand, Outcome
from starlake_dagster_assets.plural import first_of
from starlake_dagster_assets.project.model.problems import Problem

if TYPE_CHECKING:
    from starlake_dagster_assets.graph.model import Node
    from starlake_dagster_assets.resources import StarlakeResource
    from starlake_dagster_assets.starlake_project import StarlakeProject

__all__ = ["register_run", "resource_for_environment", "validate_settings"]


_OF_OBJECTS = ("metadata/load/", "metadata/transform/")
"""Directories whose files concern tables and tasks only."""


class LauncherChoice(str, Enum):
    """Ways of starting the starlake program; see `StarlakeShell`."""

    process = "process"
    dagster_shell = "dagster_shell"
    console = "console"


def register_run(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command("run")(run)


def run(
    project: ProjectDirectory = Path("."),
    env: Env = None,
    select: Select = None,
    exclude: Exclude = None,
    options: Options = None,
    environment: Annotated[
        str, typer.Option(help="The execution environment: where commands run.", **environment_name())
    ] = "duckdb",
    fields: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A field of the environment's resource. Can be repeated."),
    ] = None,
    database: Annotated[
        Path | None, typer.Option(help="DuckDB file. By default that of the project's connection.")
    ] = None,
    transpile_from: Annotated[
        str | None, typer.Option(help="SQL dialect of a project that is not for DuckDB, such as bigquery.")
    ] = None,
    starlake: Annotated[str | None, typer.Option(help="The starlake program. By default SL_STARLAKE_PATH.")] = None,
    launcher: Annotated[
        LauncherChoice | None, typer.Option(help="How the starlake program is started.", **one_of(LauncherChoice))
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Shows the output of the engine on stderr.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Prints one JSON object on stdout.")] = False,
) -> None:
    """Loads and transforms a project, or a selection of it. Exit code 1 if a selected table or task failed.

    Tables and tasks whose files have errors are left out, with the tasks that depend on them.

    If you selected one of them, the exit code is 1.
    """
    from starlake_dagster_assets.commands.redaction import secrets_of
    from starlake_dagster_assets.execution.node_settings import settings_by_node
    from starlake_dagster_assets.execution.outcome import RunSettings
    from starlake_dagster_assets.execution.run_selection import execute_selection, order_selection
    from starlake_dagster_assets.graph.select import select as select_nodes
    from starlake_dagster_assets.resources.guarded_calls import call_resource

    given, chosen_fields = parse_variables(options), parse_variables(fields, "--set")
    source = open_project(project, env=env, options=given, on_error="skip")
    broken = _errors(source)
    selected = select_nodes(source.whole_graph, select or "*", exclude or None)
    left_out = [node for node in selected if node not in source.graph.nodes]
    chosen = [node for node in selected if node in source.graph.nodes]
    _report_errors(broken, left_out)
    local = {"database": database, "transpile_from": transpile_from, "starlake": starlake, "launcher": launcher}
    resource = resource_for_environment(environment, {**local, **chosen_fields})
    validate_settings(source, [source.graph.nodes[node] for node in chosen], environment, resource)
    runner, policies = call_resource(resource, "runner", source), call_resource(resource, "policies")
    settings = RunSettings(
        job_prefix=uuid.uuid4().hex[:12],
        options=given,
        secrets=secrets_of(source.model) | runner.capabilities.secrets,
        report_after_command=not runner.capabilities.reports_tables_early,
        policies=policies,
        on_line=_echo if verbose else _drop,
        **settings_by_node(runner.capabilities),
    )
    domains, tasks = order_selection(source.graph, chosen)
    names = [node.id for group in domains for node in group] + [node.id for node in tasks]
    with (
        _cancelled_by_sigterm(),
        report_for(
            names, runner.warehouse_reader(), as_json=as_json, unknown_result=policies.unknown_result, left_out=left_out
        ) as report,
    ):
        for item in execute_selection(source, chosen, runner, settings):
            if isinstance(item, Outcome):
                report.add(item)
            elif isinstance(item, FailedCommand):
                report.failed_commands.append(item)
            else:
                report.finalize(item.outcome)
    for item in report.failed_commands:
        print(f"{item.command}: {item.reason}", file=sys.stderr)
    if left_out:
        names = first_of(left_out, 5)
        print(f"error: left out because of an error in a file of the project: {names}", file=sys.stderr)
    if left_out or report.failed or (report.failed_commands and policies.failed_command == "fail"):
        raise typer.Exit(1)


def validate_settings(
    source: StarlakeProject, nodes: Sequence[Node], environment: str, resource: StarlakeResource
) -> None:
    """Validates the settings of single tables and tasks for the environment, and prints those that it ignores.

    Args:
        source: The project.
        nodes: The tables and tasks whose commands run.
        environment: Name of the execution environment.
        resource: Its resource.

    Raises:
        ProjectError: The environment rejects a setting.
    """
    from starlake_dagster_assets.checking.environment_settings import find_invalid_settings
    from starlake_dagster_assets.checking.positions import Positions
    from starlake_dagster_assets.commands.redaction import secrets_of
    from starlake_dagster_assets.environments import get_environment

    found = list(
        find_invalid_settings(
            nodes,
            [get_environment(environment)],
            Positions(source.root),
            resource=resource,
            secrets=secrets_of(source.model),
        )
    )
    if errors := [one for one in found if one.severity == "error"]:
        raise ProjectError(errors)
    for ignored in found:
        print(f"warning: {ignored}", file=sys.stderr)


@contextmanager
def _cancelled_by_sigterm() -> Generator[None]:
    """Lets the first SIGTERM interrupt the block as SIGINT does.

    Raises:
        typer.Exit: With code 143, after the block was interrupted.
    """
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        if received:
            return  # commands are being cancelled
        received.append(number)
        handler = signal.getsignal(signal.SIGINT)
        if callable(handler):
            handler(signal.SIGINT, frame)
        else:  # SIGINT is ignored, as in the background of a shell script
            raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt as error:
        if received:
            raise typer.Exit(128 + signal.SIGTERM) from error
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)


def _errors(source: StarlakeProject) -> list[Problem]:
    """Returns the errors of tables and tasks that are left out, together with the tasks that depend on them.

    Raises:
        ProjectError: The project has other errors, which concern all of it.
    """
    errors = [problem for problem in source.problems if problem.stops_object]
    whole = [problem for problem in errors if not problem.file.startswith(_OF_OBJECTS)]
    if not whole:
        whole = [problem for problem in source.graph_problems if problem.severity == "error"]
    if whole:
        raise ProjectError(whole)
    return errors


def _report_errors(errors: Sequence[Problem], left_out: Sequence[str]) -> None:
    """Prints the errors, as warnings if nothing of the selection is left out."""
    for problem in errors:
        print(f"error: {problem}" if left_out else f"warning: not selected: {problem}", file=sys.stderr)


def resource_for_environment(environment: str, fields: Mapping[str, Any]) -> StarlakeResource:
    """Returns the resource of an environment, with the fields whose value is not None.

    Args:
        environment: Name of the environment.
        fields: Values of the fields of the resource, by name.

    Raises:
        typer.Exit: A field is missing, unknown or not valid.
    """
    from starlake_dagster_assets.environments import get_environment

    given = {name: str(getattr(value, "value", value)) for name, value in fields.items() if value is not None}
    try:
        registered = get_environment(environment)
        kind: type[Any] = registered.resource_class()
    except StarlakeError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from error
    try:
        with registered.calling(f"{kind.__name__}()"):
            return kind(**given)
    except PluginError:
        raise
    except RunnerError as error:
        text = str(error).removeprefix(f"{kind.__name__}: ")
        print(f"error: {environment}: {text} (--set NAME=VALUE)", file=sys.stderr)
        raise typer.Exit(2) from error


def _echo(line: Line) -> None:
    print(line.text, file=sys.stderr, flush=True)


def _drop(line: Line) -> None:
    """Discards a line."""
