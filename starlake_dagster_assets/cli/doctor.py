"""`starlake-dagster doctor`: checks what is installed and configured to run a project."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from starlake_dagster_assets.cli.options import Env, environment_name, open_project, parse_variables
from starlake_dagster_assets.cli.run import resource_for_environment

__all__ = ["register_doctor"]

_SIGNS = {"ok": "ok", "warning": "warn", "error": "FAIL"}
_COLORS = {"ok": "green", "warning": "yellow", "error": "red"}


def register_doctor(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command("doctor")(doctor)


def doctor(
    project: Annotated[
        Path | None,
        typer.Argument(metavar="PROJECT", help="Also checks this project: the directory that contains metadata/."),
    ] = None,
    env: Env = None,
    starlake: Annotated[str | None, typer.Option(help="The starlake program. By default SL_STARLAKE_PATH.")] = None,
    environment: Annotated[
        str | None,
        typer.Option(
            help="Examines this execution environment instead of this machine.",
            **environment_name(),
        ),
    ] = None,
    fields: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A field of the environment's resource. Can be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Prints one JSON array on stdout.")] = False,
) -> None:
    """Reports the installed Dagster, Starlake, Java, packages, and the connections. Exit code 1 if there is an error.

    With --environment, reports whether a service can run the project, without loading anything.

    It checks permissions, logs, retries, time limits, the entry point, the log level and the warehouse.
    """
    from starlake_dagster_assets.doctor.project import Finding, examine

    found: list[Finding] = []
    if environment is None:
        findings = examine(project, env=env, starlake=starlake)
    else:
        from starlake_dagster_assets.doctor.environment import examine_environment

        resource = resource_for_environment(environment, parse_variables(fields, "--set"))
        findings = examine_environment(resource, open_project(project or Path(), env=env))
    for finding in findings:
        found.append(finding)
        if not as_json:
            _print(finding.level, finding.topic, finding.text, finding.advice)
    if as_json:
        print(json.dumps([asdict(finding) for finding in found], ensure_ascii=False, indent=2))
    if any(finding.level == "error" for finding in found):
        raise typer.Exit(1)


def _print(level: str, topic: str, text: str, advice: str) -> None:
    sign = f"{_SIGNS[level]:<4}"
    if sys.stdout.isatty():
        sign = typer.style(sign, fg=_COLORS[level])
    print(f"{sign}  {topic}: {text}", flush=True)
    if advice:
        print(f"      {advice}", flush=True)
