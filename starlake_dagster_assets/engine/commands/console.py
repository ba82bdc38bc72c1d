"""`starlake console`: one command per line of stdin; for each an echo, at most one JSON line, and its duration."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterable, Mapping

from starlake_dagster_assets.commands.model import Line
from starlake_dagster_assets.engine.command_output import Emit
from starlake_dagster_assets.engine.commands.grammar import COMMANDS
from starlake_dagster_assets.engine.commands.program import execute_command
from starlake_dagster_assets.engine.session import EngineOptions

__all__ = ["console"]

_KNOWN = {*COMMANDS, "job"}


def console(
    commands: Iterable[str], environ: Mapping[str, str], emit: Emit, options: EngineOptions | None = None
) -> int:
    """Answers commands until `exit` or the end of the input.

    The answer's JSON line is `{"serve": <what the command prints>, "exitCode": 0}`, without `serve` when it printed
    nothing, and with its error as `serve` when it failed. An unknown command or task has none. `env=NAME` switches
    the environment. The database is closed between commands.

    Args:
        commands: Lines.
        environ: As for `execute_command`.
        emit: Receives the lines; log lines go to stderr as they arrive.
        options: As for `execute_command`.

    Returns:
        0 in every case, as in the starlake program.
    """
    current = dict(environ)
    for line in commands:
        text = line.strip()
        if not text:
            continue
        emit(Line(f"> {text}", "stdout"))
        if text in {"exit", "quit"}:
            break
        started = time.monotonic()
        if text.startswith("env="):
            current["SL_ENV"] = text[len("env=") :].strip()
        else:
            _answer(text, current, emit, options)
        emit(Line(f"Time: {int((time.monotonic() - started) * 1000)}ms", "stdout"))
    return 0


def _answer(text: str, environ: Mapping[str, str], emit: Emit, options: EngineOptions | None) -> None:
    printed: list[str] = []
    errors: list[str] = []

    def take(line: Line) -> None:
        if line.stream == "stdout":
            printed.append(line.text)
            return
        if errors or line.text.startswith(("Starlake failed to execute command", "Error: ")):
            errors.append(line.text)
        emit(line)

    try:
        argv = shlex.split(text)
    except ValueError as error:
        emit(Line(f"{text}: {error}", "stderr"))
        return
    code = execute_command(argv, environ, take, options)
    if argv[0] not in _KNOWN:
        emit(Line(f"Unknown command {argv[0]}", "stdout"))
    elif not any("Invalid task name" in line for line in errors):
        shown = "\n".join(printed if code == 0 else _message(errors)).strip("\n")
        answer = {"serve": shown} if shown else {}
        emit(Line(json.dumps({**answer, "exitCode": code}, separators=(",", ":"), ensure_ascii=False), "stdout"))


def _message(errors: list[str]) -> list[str]:
    """Returns the error of a command: the text after the log head of its last message."""
    if not errors:
        return []
    first, *rest = errors
    last = next((at for at, line in enumerate(rest) if line.startswith("Exception in thread")), len(rest))
    return [first.split("ERROR Main: ", 1)[-1], *rest[:last]]
