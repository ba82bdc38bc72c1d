"""Ways of starting a program under the supervisor: a process of our own, or one that `dagster_shell` starts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.execution.backends.local import supervisor

__all__ = ["Launcher", "Program", "SupervisedProgram", "launch", "supervised"]


class Program(Protocol):
    """Protocol of a running program and all processes that it starts."""

    @property
    def stdout(self) -> IO[bytes]:
        """Standard output, unbuffered and non-blocking; ends with the last process of the tree."""
        ...

    @property
    def stderr(self) -> IO[bytes]:
        """Standard error, unbuffered and non-blocking."""
        ...

    def stop(self) -> None:
        """Requests the end of the process tree: INT, then TERM, then KILL; returns at once."""
        ...

    def wait(self, timeout: float) -> int | None:
        """Returns the exit code, negative for a signal; None after the timeout, in seconds."""
        ...

    def kill(self) -> None:
        """Kills the remaining processes of the tree; needed only if the supervisor itself was killed."""
        ...

    def close(self) -> None:
        """Closes the pipes."""
        ...


class Launcher(Protocol):
    """Protocol of the ways to start a program."""

    def __call__(self, argv: Sequence[str], environ: Mapping[str, str], cwd: Path, grace: float) -> Program:
        """Starts a program; `grace` is the number of seconds between the first and the last signal of `stop`.

        Raises:
            RunnerError: The program cannot be started.
        """
        ...


def launch(
    argv: Sequence[str], environ: Mapping[str, str], cwd: Path, grace: float, *, talks: bool = False
) -> SupervisedProgram:
    """Starts a program under the supervisor, in a session of its own.

    Args:
        argv: The program, as an absolute path, and its arguments.
        environ: Its whole environment.
        cwd: Its directory.
        grace: Seconds between the first signal of `stop` and the last one.
        talks: Whether the program gets a pipe as stdin; its stdin is empty by default.

    Raises:
        RunnerError: The program cannot be started, for example if an argument list is too long.
    """
    held, control = os.pipe()
    try:
        process = subprocess.Popen(
            supervised(argv, str(held), grace),
            stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=cwd,
            env=dict(environ),
            pass_fds=[held],
            start_new_session=True,
        )
    except OSError as error:
        os.close(control)
        raise RunnerError(f"{argv[0]} cannot be started in {cwd}: {error.strerror or error}.") from error
    finally:
        os.close(held)
    return SupervisedProgram(process, control)


def supervised(argv: Sequence[str], control: str, grace: float) -> list[str]:
    """Returns the argument list that runs a program under the supervisor."""
    return [sys.executable, "-I", "-S", supervisor.PATH, control, f"{grace:g}", *argv]


class SupervisedProgram:
    """A program under the supervisor; see `Program`.

    Args:
        process: The supervisor.
        control: Write end of the pipe that the supervisor watches.
    """

    def __init__(self, process: subprocess.Popen[bytes], control: int) -> None:
        assert process.stdout is not None and process.stderr is not None
        self.stdout, self.stderr, self.stdin = process.stdout, process.stderr, process.stdin
        self._process = process
        self._control: int | None = control
        for stream in (self.stdout, self.stderr):
            os.set_blocking(stream.fileno(), False)

    def stop(self) -> None:
        """Requests the end of the process tree."""
        if self._control is not None:
            os.close(self._control)
            self._control = None

    def wait(self, timeout: float) -> int | None:
        """Returns the exit code; None after the timeout, in seconds."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout)
        return None

    def kill(self) -> None:
        """Kills the remaining processes of the session."""
        for pid in supervisor.members(self._process.pid):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, 9)
        with suppress(ProcessLookupError):
            self._process.kill()

    def close(self) -> None:
        """Requests the end of the process tree and closes the pipes."""
        self.stop()
        for stream in (self.stdout, self.stderr, self.stdin):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
