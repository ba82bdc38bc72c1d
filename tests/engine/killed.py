"""A command in a process of its own that kills itself at a chosen point, forked from a server that has imported it."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from importlib import import_module
from multiprocessing.synchronize import Event
from typing import Any

from starlake_dagster_assets.engine.commands.program import execute_command

ENGINE = "starlake_dagster_assets.engine"


def command(argv: list[str], environ: Mapping[str, str], point: tuple[str, str, str, int] | None, ready: Event) -> None:
    """Runs a command.

    Args:
        argv: The command.
        environ: Its environment.
        point: `before` or `after`, the engine's module, a function of it (`Class.method` too), and its which call.
        ready: Set when the command begins.
    """
    os.environ.clear()
    os.environ.update(environ)
    if point is not None:
        _prepare(*point)
    ready.set()
    execute_command(argv, environ, lambda line: None)


def _prepare(when: str, module: str, name: str, times: int) -> None:
    owner: Any = import_module(f"{ENGINE}.{module}")
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    real, left = getattr(owner, last), [times]

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] == 0 and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **kwargs)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, last, wrapped)
