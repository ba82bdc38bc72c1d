"""The real `starlake` program on this machine: a supervised process for each command."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals
from threading import RLock
from typing import Literal

from starlake_dagster_assets.commands.build import with_options
from starlake_dagster_assets.commands.model import Command, CommandExit, Line
from starlake_dagster_assets.commands.spark import spark_variables
from starlake_dagster_assets.errors import CommandError, RunnerError
from starlake_dagster_assets.execution.backends.load_areas import StoredFiles
from starlake_dagster_assets.execution.backends.local.pipe_reader import PipeReader
from starlake_dagster_assets.execution.backends.local.program_launchers import Launcher, Program, launch
from starlake_dagster_assets.execution.backends.protocol import RunnerCapabilities
from starlake_dagster_assets.execution.warehouse.reader import WarehouseReader

__all__ = ["ShellHandle", "ShellRunner", "exit_reason", "find_program"]

_POLL_SECONDS = 0.25
_LAST_SECONDS = 10.0
_SPLITTING = "SL_RUN_MODE"


@dataclass(frozen=True)
class ShellRunner:
    """Runner of commands with the `starlake` program.

    Attributes:
        starlake: The program: a path, or a name to be found on the `PATH` of `environ`.
        root: The project (`SL_ROOT`).
        environ: All environment variables of a process, except those of one command.
        cwd: Its directory; the project's by default.
        timeout: Seconds that a command may take; None = no limit.
        grace: Seconds between INT and KILL of a command that is to end; TERM is half way.
        options: Variables of every command; its own `--options` take precedence.
        secrets: Values that are never shown.
        launcher: The way to start a process.
        stage_command: `import` for Starlake before `stage` had its name.
        reader: Reader of the warehouse; None if there is none.
        files: Lists the files of loads, and brings back those that were not loaded.
    """

    starlake: str
    root: Path
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    cwd: Path | None = None
    timeout: float | None = None
    grace: float = 10.0
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    launcher: Launcher = launch
    stage_command: Literal["stage", "import"] = "stage"
    reader: WarehouseReader | None = field(default=None, repr=False)
    files: StoredFiles | None = field(default=None, repr=False)

    @property
    def capabilities(self) -> RunnerCapabilities:
        """Capabilities of local processes; Spark properties have an effect only on a cluster (`SPARK_MASTER_URL`)."""
        return RunnerCapabilities(
            runs_program=True,
            has_lossless_log=True,
            reports_tables_early=True,
            uses_spark=bool(self.environ.get("SPARK_MASTER_URL")),
            files=self.files,
            secrets=self.secrets,
        )

    def start(self, command: Command) -> ShellHandle:
        """Starts a process for a command.

        Raises:
            RunnerError: The program is not there or cannot be started; or this is no POSIX system.
        """
        argv = self.argv(command)
        environ = self.environ_of(command)
        return ShellHandle(self.launcher(argv, environ, self.directory, self.grace), self.timeout)

    def warehouse_reader(self) -> WarehouseReader | None:
        """Returns the reader of the warehouse."""
        return self.reader

    def argv(self, command: Command) -> list[str]:
        """Returns the program and the arguments of a command.

        Raises:
            RunnerError: See `start`.
        """
        validate_platform()
        name = self.stage_command if command.name == "stage" else command.name
        try:
            args = with_options(command, self.options).args
        except CommandError as error:
            raise RunnerError(str(error)) from error
        split = [part for part in args if part.split() != [part]]
        if split and self.environ.get(_SPLITTING) == "main":
            raise RunnerError(
                f"{_SPLITTING}=main makes the launcher of Starlake cut arguments at blanks, and `{name}` has some: "
                f"{split}. Take {_SPLITTING} out of its environment."
            )
        return [find_program(self.starlake, self.environ), name, *args]

    def environ_of(self, command: Command) -> dict[str, str]:
        """Returns the environment of a command."""
        job = {"SL_JOB_ID": command.job_id} if command.job_id else {}
        spark: Mapping[str, str] = spark_variables(command, self.environ) if self.capabilities.uses_spark else {}
        return {**self.environ, **dict(command.env), **spark, **job}

    @property
    def directory(self) -> Path:
        """Returns the working directory of a process.

        Raises:
            RunnerError: It does not exist.
        """
        directory = self.cwd or self.root
        if not directory.is_dir():
            raise RunnerError(f"the working directory {directory} does not exist: set `cwd`, or create it.")
        return directory


class ShellHandle:
    """A command that was started; see `RunHandle`.

    Args:
        program: The process of the command.
        timeout: Seconds that the command may take.
    """

    def __init__(self, program: Program, timeout: float | None = None) -> None:
        self._program = program
        self._pump = PipeReader(program.stdout, program.stderr)
        self._began = time.monotonic()
        self._timeout = timeout
        self._stopped: float | None = None
        self._late = self._cancelled = False
        self._result: CommandExit | None = None
        self._lock = RLock()

    def lines(self) -> Iterator[Line]:
        """Yields the lines of the command as they arrive, and an error line if a signal or the timeout ended it."""
        while self._result is None:
            for line in self._step():
                if self._cancelled:
                    break
                yield line

    def wait(self) -> CommandExit:
        """Waits until the command has ended, and returns its exit, without a code after cancellation or timeout."""
        while self._result is None:
            self._step()
        return self._result

    def cancel(self) -> None:
        """Ends the command and all that it started: INT, TERM after half of `grace`, KILL at its end."""
        if self._result is None:
            self._cancelled = True
            self._stop()
        self.wait()

    def _step(self) -> list[Line]:
        """Returns the lines that arrive within a short time; one thread at a time."""
        with self._lock:
            if self._result is not None:
                return []
            found = list(self._pump.read(_POLL_SECONDS))
            has_ended = self._pump.ended
            if not has_ended and self._program.wait(0) is not None:
                last = list(self._pump.read(0))  # what was written between the two lines above
                found += last
                has_ended = not last
            if has_ended:
                found += self._end()
            elif self._timeout is not None and not self._late and time.monotonic() - self._began > self._timeout:
                self._late = True
                self._stop()
            return found

    def _stop(self) -> None:
        with self._lock:
            if self._stopped is None and self._result is None:
                self._stopped = time.monotonic()
                self._program.stop()

    def _end(self) -> list[Line]:
        if not self._pump.ended:  # the supervisor was killed while other processes hold the pipes
            self._program.kill()
        code = self._program.wait(_LAST_SECONDS)
        if code is None:
            self._program.kill()
            code = self._program.wait(_LAST_SECONDS)
        self._pump.close()
        with suppress(OSError):
            self._program.close()
        seconds = time.monotonic() - self._began
        own = not (self._cancelled or self._late)
        self._result = CommandExit(code if own else None, seconds, cancelled=self._cancelled)
        if self._cancelled:
            return []
        if self._late:
            return [Line(f"ERROR StarlakeShell: stopped: it took more than {self._timeout:g} seconds (timeout).")]
        told = exit_reason(code)
        return [Line(f"ERROR StarlakeShell: {told}")] if told else []


def exit_reason(code: int | None) -> str:
    """Returns the signal or error behind an exit code; "" if the program ended by itself."""
    if code is None:
        return "its end was not seen"
    number = -code if code < 0 else code - 128
    if number <= 0 or number not in {*Signals}:
        return ""
    name = Signals(number).name
    return f"killed by {name}: out of memory? (exit code {code})" if name == "SIGKILL" else f"ended by {name} ({code})"


def find_program(name: str, environ: Mapping[str, str]) -> str:
    """Returns the absolute path of a program.

    Raises:
        RunnerError: It is not there, or cannot be executed.
    """
    hint = "set `starlake` of StarlakeShell, or SL_STARLAKE_PATH, to the launcher, such as /opt/starlake/starlake"
    if os.sep in name:
        path = Path(name).expanduser().absolute()
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
        what = "is not executable (chmod +x)" if path.is_file() else "does not exist"
        raise RunnerError(f"Starlake: {path} {'is a directory' if path.is_dir() else what}; {hint}.")
    found = shutil.which(name, path=environ.get("PATH", os.defpath))
    if found is None:
        raise RunnerError(f"Starlake: no executable `{name}` on the PATH; {hint}.")
    return str(Path(found).absolute())


def validate_platform() -> None:
    """Raises an error if the platform cannot reliably kill a process tree.

    Raises:
        RunnerError: On Windows.
    """
    if sys.platform == "win32":
        raise RunnerError(
            "StarlakeShell runs on Linux and macOS (on Windows: in WSL): Windows has no process groups, so a cancelled "
            "run would leave its JVM behind. The embedded engine, StarlakeDuckDB, runs everywhere."
        )
