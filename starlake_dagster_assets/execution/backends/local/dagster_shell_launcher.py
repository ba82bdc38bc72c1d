"""Programs that `dagster_shell` starts, under the same supervisor and with the same pipes as our own.

Alone, `dagster_shell` keeps the whole output in memory, fails on bytes that are not UTF-8, ends only its own `bash`
when a run is cancelled, and leaves everything behind when the step is killed. Here its `bash` becomes the supervisor
(`exec`), and named pipes carry the output past it.
"""

from __future__ import annotations

import logging
import os
import shlex
import tempfile
import threading
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.execution.backends.local.program_launchers import supervised

__all__ = ["launch_by_dagster_shell"]

_MISSING = 127
_TRIES = 5
"""Maximum number of starts: dagster_shell forks with a `preexec_fn`, unsafe with threads: gRPC's own handlers may end
the child before it has become a shell."""


def launch_by_dagster_shell(
    argv: Sequence[str], environ: Mapping[str, str], cwd: Path, grace: float
) -> DagsterShellProgram:
    """Starts a program through `dagster_shell.execute_shell_command`.

    Args:
        argv: The program, as an absolute path, and its arguments; each is quoted for the shell.
        environ: Its whole environment.
        cwd: Its directory.
        grace: Seconds between the first signal of `stop` and the last one.

    Raises:
        RunnerError: dagster-shell is not installed.
    """
    try:
        with warnings.catch_warnings():
            # its last release pins an older Dagster, whose versions it compares when it is imported
            warnings.simplefilter("ignore", UserWarning)
            import dagster_shell as _  # noqa: F401
    except ImportError as error:
        message = "launcher='dagster_shell' needs dagster-shell: pip install 'starlake-dagster-assets[shell]'."
        raise RunnerError(message) from error
    return DagsterShellProgram(argv, environ, cwd, grace)


class DagsterShellProgram:
    """A program that `dagster_shell` started; see `program_launchers.Program`.

    Args:
        argv: The program and its arguments.
        environ: Its environment.
        cwd: Its directory.
        grace: Seconds between the first signal of `stop` and the last one.
    """

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str], cwd: Path, grace: float) -> None:
        self._held = ExitStack()
        folder = Path(self._held.enter_context(tempfile.TemporaryDirectory(prefix="starlake-")))
        control, out, err = (folder / name for name in ("control", "out", "err"))
        for pipe in (control, out, err):
            os.mkfifo(pipe, 0o600)
        self._control: int | None = os.open(control, os.O_RDWR)  # a FIFO opened so never waits for its other end
        self.stdout, self.stderr = (
            os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", 0) for path in (out, err)
        )
        # Held until the shell has ended: a pipe that is not opened yet would read as ended.
        writers = [os.open(path, os.O_WRONLY) for path in (out, err)]
        self._begun = folder / "begun"
        words = shlex.join(supervised(argv, str(control), grace))
        redirected = f"</dev/null >{shlex.quote(str(out))} 2>{shlex.quote(str(err))}"
        text = f": >{shlex.quote(str(self._begun))}\nexec {words} {redirected}\n"
        self._code: int | None = None
        self._thread = threading.Thread(target=self._run, args=(text, environ, cwd, writers), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Requests the end of the process tree."""
        if self._control is not None:
            with suppress(OSError):
                os.write(self._control, b"x")

    def wait(self, timeout: float) -> int | None:
        """Returns the exit code; None after the timeout, in seconds."""
        self._thread.join(timeout)
        return None if self._thread.is_alive() else self._code

    def kill(self) -> None:
        """Requests the end again: dagster_shell does not report the processes that it started."""
        self.stop()

    def close(self) -> None:
        """Requests the end of the process tree and closes the pipes."""
        self.stop()
        for stream in (self.stdout, self.stderr):
            stream.close()
        if self._control is not None:
            os.close(self._control)
            self._control = None
        self._held.close()

    def _run(self, text: str, environ: Mapping[str, str], cwd: Path, writers: Sequence[int]) -> None:
        from dagster_shell import execute_shell_command

        silent = logging.getLogger(f"{__name__}.silent")
        silent.setLevel(logging.CRITICAL)
        try:
            for _ in range(_TRIES):
                self._code = execute_shell_command(
                    text, "NONE", silent, cwd=str(cwd), env=dict(environ), log_shell_command=False
                )[1]
                if self._begun.exists():
                    return
            raise RunnerError(f"its shell ended {_TRIES} times before it began (exit code {self._code})")
        except Exception as error:  # any error: the reader waits for the end of the pipes
            self._code = _MISSING
            with suppress(OSError):
                os.write(writers[1], f"ERROR dagster_shell: {error}\n".encode())
        finally:
            for writer in writers:
                os.close(writer)
