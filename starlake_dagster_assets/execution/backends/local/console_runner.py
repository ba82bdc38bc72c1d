"""A warm JVM for the transforms of a step: `starlake console`, which reads one command per line.

What it answers on stdout was observed: the command again, at most one line of JSON with `exitCode`, and `Time: <n>ms`.
Only a JSON line with exit code 0 is a success. Its log is written to stderr while a command runs.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

from starlake_dagster_assets.commands.model import Command, CommandExit, Line
from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.execution.backends.local.pipe_reader import PipeReader
from starlake_dagster_assets.execution.backends.local.program_launchers import SupervisedProgram, launch
from starlake_dagster_assets.execution.backends.local.shell import ShellRunner, exit_reason
from starlake_dagster_assets.execution.backends.protocol import RunHandle, RunnerCapabilities, job_id_of
from starlake_dagster_assets.execution.warehouse.reader import WarehouseReader

__all__ = ["ConsoleRunner", "has_console", "supported_by_console"]

_POLL_SECONDS = 0.25
_EXIT_SECONDS = 15.0
_LIVES = 2
"""Number of JVMs that may fail in a step before the remaining commands run as processes."""
_PLAIN = re.compile(r"[\x21-\x7e]+")
_TIME = re.compile(r"^(?:> )?Time: ?\d+ ?ms\s*$")
_OWN = {"SL_JOB_ID"}


def supported_by_console(command: Command) -> bool:
    """Whether the console runs a command in the same way as a process does.

    It splits its lines at each blank and knows no quotes; a line that ends in `?` prints help; `--options` are
    empty text inside `{{ }}`; and all its commands share one environment.
    """
    if command.name != "transform" or "--options" in command.args or set(command.env) - _OWN:
        return False
    return all(_PLAIN.fullmatch(part) for part in command.args) and not command.args[-1].endswith("?")


def has_console(shell: ShellRunner) -> bool:
    """Checks whether this version of the program has a console, by starting and stopping one.

    Raises:
        RunnerError: The program cannot be started.
    """
    program = _started(shell, Command("settings"))
    console = _Console(program, "")
    try:
        with suppress(OSError):
            assert program.stdin is not None
            program.stdin.write(b"exit\n")
            program.stdin.close()
        until = time.monotonic() + (shell.timeout or _EXIT_SECONDS)
        said: list[Line] = []
        while not console.is_finished and time.monotonic() < until:
            said += console.read()
        return any(line.text.startswith("> exit") for line in said)
    finally:
        console.kill()
        console.drop()


class ConsoleRunner:
    """Runner of transforms in one JVM; other commands, and those that the JVM cannot run, get a process each.

    The JVM is started with the first transform, once more when it died, and ends with the step or as soon as a process
    needs the warehouse. `SL_JOB_ID` is that of its first command for all of them: audit rows are found by it and by the
    task.

    Args:
        shell: Runs the other commands, and configures how a process is started.
        exclusive: Whether the JVM keeps the warehouse to itself, as with a DuckDB file.
    """

    def __init__(self, shell: ShellRunner, *, exclusive: bool) -> None:
        self._shell = shell
        self._exclusive = exclusive
        self._console: _Console | None = None
        self._lives = _LIVES
        self._known = True

    @property
    def capabilities(self) -> RunnerCapabilities:
        """Capabilities of the shell runner, without Spark properties."""
        return replace(self._shell.capabilities, uses_spark=False)

    @property
    def is_locking_warehouse(self) -> bool:
        """Whether a running JVM keeps all other processes from reading the warehouse."""
        return self._exclusive and self._console is not None

    def warehouse_reader(self) -> WarehouseReader | None:
        """Returns the reader of the audit tables."""
        return self._shell.warehouse_reader()

    def start(self, command: Command) -> RunHandle:
        """Sends a command to the JVM, or starts a process for the command.

        Raises:
            RunnerError: Neither can be started.
        """
        if self._console is not None and self._console.ended:
            self._lives -= 1
            self._drop()
        if not self._may_talk(command):
            self.release()
            return self._shell.start(command)
        if self._console is None:
            self._console = _Console(_started(self._shell, command), command.job_id)
        return _Answer(self, self._console, command, self._shell.timeout)

    def _may_talk(self, command: Command) -> bool:
        """Whether the console can run a command, which requires that the runner itself has no options."""
        return self._known and self._lives > 0 and not self._shell.options and supported_by_console(command)

    def release(self) -> None:
        """Ends the JVM if it keeps the warehouse to itself."""
        if self._exclusive:
            self.close()

    def close(self) -> None:
        """Ends the JVM."""
        if self._console is not None:
            self._console.leave()
            self._drop()

    def give_up(self, *, unknown: bool = False) -> None:
        """Ends the JVM immediately, with all processes that it started.

        Args:
            unknown: Whether this version has no console, so that the remaining commands run as processes.
        """
        if unknown:
            self._known = False
        if self._console is not None:
            self._lives -= 1
            self._console.kill()
            self._drop()

    def _drop(self) -> None:
        console, self._console = self._console, None
        if console is not None:
            console.drop()


def _started(shell: ShellRunner, command: Command) -> SupervisedProgram:
    argv = [shell.argv(command)[0], "console"]
    return launch(argv, shell.environ_of(command), shell.directory, shell.grace, talks=True)


class _Console:
    """A running JVM with a console.

    Args:
        program: Its process.
        job_id: Job id that the console writes to the audit tables.
    """

    def __init__(self, program: SupervisedProgram, job_id: str) -> None:
        self._program = program
        self._pump = PipeReader(program.stdout, program.stderr)
        self.job_id = job_id

    @property
    def ended(self) -> bool:
        """Whether the process of the console has ended; some output may still be unread."""
        return self.is_finished or self._program.wait(0) is not None

    @property
    def is_finished(self) -> bool:
        """Whether the process of the console has ended and all its output was read."""
        return self._pump.ended

    def send(self, command: Command) -> None:
        """Sends a command to the console.

        Raises:
            OSError: Its process has ended.
        """
        assert self._program.stdin is not None
        self._program.stdin.write((" ".join(command.argv) + "\n").encode())

    def read(self) -> list[Line]:
        """Returns the lines that arrive within a short time."""
        lines = list(self._pump.read(_POLL_SECONDS))
        if not lines and not self.is_finished and self._program.wait(0) is not None:
            self._program.kill()  # its supervisor was killed, and something still holds the pipes
        return lines

    def leave(self) -> None:
        """Ends the console with `exit`, so that it closes the warehouse."""
        with suppress(OSError):
            assert self._program.stdin is not None
            self._program.stdin.write(b"exit\n")
            self._program.stdin.close()
        until = time.monotonic() + _EXIT_SECONDS
        while not self._pump.ended and time.monotonic() < until:
            self.read()
        self.kill()

    def kill(self) -> None:
        """Ends the console and all processes that it started."""
        self._program.stop()
        while self._program.wait(0) is None:
            self.read()
        while not self._pump.ended and self.read():
            pass

    def code(self) -> int | None:
        """Returns the exit code of the console's process; None if it has not ended."""
        return self._program.wait(_POLL_SECONDS)

    def drop(self) -> None:
        """Closes the pipes."""
        self._pump.close()
        self._program.close()


class _Answer:
    """A command that the JVM runs; see `RunHandle`."""

    def __init__(self, runner: ConsoleRunner, console: _Console, command: Command, timeout: float | None) -> None:
        self._runner = runner
        self._console = console
        self._command = command
        self._timeout = timeout
        self._began = time.monotonic()
        self._code: int | None = None
        self._result: CommandExit | None = None
        self._instead: RunHandle | None = None
        self._taken = self._unknown = False
        self._said: list[Line] = []
        self.job_id = console.job_id
        with suppress(OSError):  # its process has ended: the rest of its output is read below
            console.send(command)

    def lines(self) -> Iterator[Line]:
        """Yields the lines of the command as they arrive."""
        while self._result is None:
            yield from self._step()
        if self._instead is not None:
            yield from self._instead.lines()

    def wait(self) -> CommandExit:
        """Waits until the command has ended, and returns its exit."""
        while self._result is None:
            self._step()
        return self._result if self._instead is None else self._instead.wait()

    def cancel(self) -> None:
        """Ends the command together with the JVM, which cannot stop a single command."""
        if self._instead is not None:
            self._instead.cancel()
        elif self._result is None:
            self._runner.give_up()
            self._result = CommandExit(None, time.monotonic() - self._began, cancelled=True)

    def _step(self) -> list[Line]:
        shown = [line for came in self._console.read() for line in self._take(came)]
        if self._result is not None:
            return shown
        seconds = time.monotonic() - self._began
        if self._console.is_finished:
            return shown + self._lines_after_exit(seconds)
        if self._timeout is not None and seconds > self._timeout:
            self._runner.give_up()
            self._result = CommandExit(None, seconds)
            shown.append(_error("StarlakeShell", f"stopped: it took more than {self._timeout:g} seconds (timeout)."))
        return shown

    def _take(self, line: Line) -> list[Line]:
        """Returns the lines to show for one line of output; for an answer, the lines of its message."""
        if line.text.startswith("Unknown command console") or line.text.endswith("Unknown command --> console"):
            self._unknown = True
        if self._result is not None or line.stream == "stderr":
            return [line]
        self._taken = self._taken or line.text.startswith("> ")
        if _TIME.match(line.text):
            return [line, *self._end()]
        answer = _answer(line.text)
        if answer is None:
            return [line]
        self._code = int(answer["exitCode"])
        said = str(answer.get("serve") or "").splitlines()
        if self._code == 0:
            return [Line(text, "stdout") for text in said]
        first, *rest = said or ["it failed without a message"]
        self._said = [_error("Main", first), *(Line(text) for text in rest)]
        return []

    def _end(self) -> list[Line]:
        """Records the exit of the command, and returns the lines that a process would print at its end."""
        code = 1 if self._code is None else self._code
        self._result = CommandExit(code, time.monotonic() - self._began)
        if code == 0:
            return [Line(f"INFO Main: Successfully {' '.join(self._command.argv)}")]
        return self._said or [
            _error("Main", "the console gave no answer: the task or an option is unknown; see the log above")
        ]

    def _lines_after_exit(self, seconds: float) -> list[Line]:
        """Returns the lines after the JVM ended; starts the command again if the JVM had not begun it."""
        code = self._console.code()
        self._runner.give_up(unknown=self._unknown)
        how = "there is no console in this Starlake" if self._unknown else exit_reason(code) or f"exit code {code}"
        self._result = CommandExit(None, seconds)
        if not self._taken:
            try:
                self._instead = self._runner.start(self._command)
            except RunnerError as error:
                return [_error("StarlakeShell", str(error))]
            self.job_id = job_id_of(self._instead, self._command)
            return [Line(f"WARN StarlakeShell: the console ended before it took the command ({how}); run as a process")]
        self._result = CommandExit(code or 1, seconds)
        return [_error("StarlakeShell", f"the console ended in the middle of the command: {how}")]


def _error(logger: str, text: str) -> Line:
    return Line(f"ERROR {logger}: {text}")


def _answer(text: str) -> Mapping[str, Any] | None:
    """Parses the JSON line of an answer; returns None for any other line."""
    if not text.startswith("{") or '"exitCode"' not in text:
        return None
    try:
        read: Any = json.loads(text)
    except ValueError:
        return None
    if not isinstance(read, dict) or not isinstance(cast("dict[str, Any]", read).get("exitCode"), int):
        return None
    return cast("dict[str, Any]", read)
