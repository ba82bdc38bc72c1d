"""`starlake-dagster embedded`: runs commands of the starlake program in the embedded engine."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import typer

from starlake_dagster_assets.commands.model import Line

if TYPE_CHECKING:
    from starlake_dagster_assets.engine.session import EngineOptions

__all__ = ["register_embedded"]

_INTERRUPT_SECONDS = 0.1


def register_embedded(app: typer.Typer) -> None:
    """Adds the command to the program."""
    settings: dict[str, Any] = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    app.command("embedded", context_settings=settings)(embedded)


def embedded(context: typer.Context) -> None:
    """Runs a Starlake command in the embedded engine, such as `embedded load --domains sales`.

    Reads the same variables as the starlake program: `SL_ROOT`, `SL_ENV`, `SL_LOADER`, …
    """
    from starlake_dagster_assets.engine.commands.console import console
    from starlake_dagster_assets.engine.commands.program import engine_options, execute_command

    argv = list(context.args)
    environ = dict(os.environ)
    if argv[:1] == ["console"]:
        sys.exit(console(iter(sys.stdin.readline, ""), environ, _emit))
    sys.exit(execute_command(argv, environ, _emit, _stoppable(engine_options(environ))))


def _stoppable(options: EngineOptions) -> EngineOptions:
    """Lets SIGINT and SIGTERM cancel the run: rows are rolled back, the file is back in stage, exit code 1."""
    cancelled, connections = Event(), list[Any]()

    def insist() -> None:
        # an interruption that arrives between two queries is lost
        while not time.sleep(_INTERRUPT_SECONDS):
            for connection in connections[-1:]:
                connection.interrupt()

    def stop(number: int, frame: object) -> None:
        if not cancelled.is_set():
            cancelled.set()
            Thread(target=insist, daemon=True).start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    return replace(options, cancelled=cancelled, opened=connections.append)


def _emit(line: Line) -> None:
    print(line.text, file=sys.stdout if line.stream == "stdout" else sys.stderr, flush=True)
