"""The scripted `starlake` on this machine: as a process of our own, through dagster_shell, and beside a warm JVM."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from starlake_dagster_assets.execution.backends.local.console_runner import ConsoleRunner
from starlake_dagster_assets.execution.backends.local.dagster_shell_launcher import launch_by_dagster_shell
from starlake_dagster_assets.execution.backends.local.program_launchers import Launcher, launch
from starlake_dagster_assets.execution.backends.local.shell import ShellRunner
from starlake_dagster_assets.execution.backends.protocol import Runner, StepAttempt
from tests.conformance.subject import ScriptedRunning, Subject

__all__ = ["SUBJECTS"]


def shell(launcher: Launcher, around: Callable[[ShellRunner], Runner] = lambda one: one) -> Callable[..., object]:
    @contextmanager
    def opened(work: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedRunning]:
        def make(attempt: StepAttempt, timeout: float | None) -> Runner:
            environ = {**os.environ, **running.scripted.environ, "SL_LOG_LEVEL": "info", "SL_ROOT": str(work)}
            path = str(running.scripted.path)
            return around(ShellRunner(path, work, environ, timeout=timeout, grace=2, launcher=launcher))

        running = ScriptedRunning(
            work, make, outage=lambda: program.rename(away), recovery=lambda: away.rename(program)
        )
        program = running.scripted.path
        away = program.with_suffix(".away")
        yield running

    return opened


SUBJECTS = [
    Subject("process", shell(launch)),
    Subject("dagster_shell", shell(launch_by_dagster_shell)),
    Subject("console", shell(launch, lambda one: ConsoleRunner(one, exclusive=True))),
]
