"""Supervises a program for a step: ends the program's whole process tree on request, or when the step has ended.

A script of the standard library alone, started as `python -I -S supervisor.py <control> <grace> <program> <argument>…`.
`control` is a file descriptor or the path of a pipe that the step holds open: a byte on it, or its end, stops the tree.
Its own exit is the program's: the same code, the same signal.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from select import select

__all__ = ["PATH", "descendants", "main", "members"]

PATH = os.path.abspath(__file__)
"""Path of this script."""

_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of linux/prctl.h
_POLL_SECONDS = 0.5
_LAST_SECONDS = 5.0
_CANNOT_START = 127


def main(argv: list[str]) -> int:
    """Runs a program until the program and all processes that it started have ended.

    Args:
        argv: Control, seconds from the first signal to the last one, program, its arguments.

    Returns:
        The exit code of the program; the negative number of the signal if a signal ended it.
    """
    control, grace, program = argv[0], float(argv[1]), argv[2:]
    adopts = _adopt_orphans()
    woken, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK) if hasattr(os, "pipe2") else os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    asked: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # handlers, not SIG_IGN: what is ignored would be ignored by the program too
        signal.signal(number, lambda number, frame: asked.append(number))
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    held = int(control) if control.isdigit() else os.open(control, os.O_RDONLY)
    os.set_inheritable(held, False)
    defaults = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE]
    try:
        leader = os.posix_spawn(program[0], program, os.environ, setsigdef=defaults, setpgroup=0)
    except OSError as error:
        os.write(2, f"ERROR Supervisor: {program[0]} cannot be started: {error.strerror}\n".encode())
        return _CANNOT_START
    return _Tree(leader, grace, adopts).watch(held, woken, asked)


class _Tree:
    """A program and all processes that it started.

    Args:
        leader: The program's pid, and its process group.
        grace: Seconds from the first signal to the last one.
        adopts: Whether orphans of the tree become children of this process.
    """

    def __init__(self, leader: int, grace: float, adopts: bool) -> None:
        self._leader = leader
        self._grace = grace
        self._adopts = adopts
        self._status: int | None = None
        self._stages: list[tuple[float, int]] = []

    def watch(self, control: int, woken: int, asked: list[int]) -> int:
        """Waits for the end of the tree; see `main`."""
        watched = [control, woken]
        while self._reap():
            if self._status is not None:
                self._begin(signal.SIGTERM)  # it has ended: what it left behind goes too
            ready, _, _ = select(watched, [], [], self._signal_due())
            if woken in ready:
                os.read(woken, 4096)
            if asked or control in ready:
                watched = [woken]
                self._begin(signal.SIGINT)
        return os.waitstatus_to_exitcode(self._status or 0)

    def _begin(self, first: int) -> None:
        if self._stages:
            return
        now = time.monotonic()
        chain = [signal.SIGINT, signal.SIGTERM] if first == signal.SIGINT else [signal.SIGTERM]
        step = self._grace / len(chain)
        self._stages = [(now + index * step, number) for index, number in enumerate(chain)]
        self._stages += [(now + self._grace, signal.SIGKILL), (now + self._grace + _LAST_SECONDS, 0)]

    def _signal_due(self) -> float:
        """Sends the signals that are due, and returns the seconds to wait until the next step."""
        while self._stages and self._stages[0][0] <= time.monotonic():
            _, number = self._stages[0]
            self._send(number or signal.SIGKILL)
            if number in (signal.SIGKILL, 0):  # again and again, for those started meanwhile
                self._stages[0] = (time.monotonic() + _POLL_SECONDS / 10, number)
                break
            del self._stages[0]
        if not self._stages:
            return _POLL_SECONDS
        return max(0.0, min(_POLL_SECONDS, self._stages[0][0] - time.monotonic()))

    def _send(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._leader, number)
        for pid in descendants(os.getpid()):
            with suppress(ProcessLookupError, PermissionError):
                if os.getpgid(pid) != self._leader:
                    os.kill(pid, number)

    def _reap(self) -> bool:
        """Collects child processes that have ended; returns whether any process is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                if not self._adopts:  # what is left of the group is no child of ours and cannot be waited for
                    with suppress(ProcessLookupError, PermissionError):
                        os.killpg(self._leader, signal.SIGKILL)
                return False
            if pid == 0:
                return True
            if pid == self._leader:
                self._status = status


def descendants(pid: int) -> set[int]:
    """Returns the processes that a process started, and their descendants; none without `/proc`."""
    return _closure({pid}, {child: parent for child, parent, _ in _processes()}) - {pid}


def members(session: int) -> set[int]:
    """Returns the processes of a session, without zombies; none without `/proc`."""
    return {pid for pid, _, of in _processes() if of == session}


def _closure(known: set[int], parents: dict[int, int]) -> set[int]:
    while more := {child for child, parent in parents.items() if parent in known} - known:
        known = known | more
    return known


def _processes() -> list[tuple[int, int, int]]:
    """Returns pid, parent and session of all running processes."""
    found: list[tuple[int, int, int]] = []
    try:
        names = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return found
    for name in names:
        with suppress(OSError, ValueError, IndexError):
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                state, parent, _, session = file.read().rpartition(")")[2].split()[:4]
            if state not in "ZX":
                found.append((int(name), int(parent), int(session)))
    return found


def _adopt_orphans() -> bool:
    """Turns orphans of the tree into children of this process, so that they can be waited for; Linux only."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        import ctypes

        return ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0) == 0
    except (ImportError, OSError, AttributeError):
        return False


def _leave(code: int) -> None:
    """Exits with the exit code or the signal of the program."""
    if code < 0:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.set_wakeup_fd(-1)
        with suppress(OSError, ValueError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    _leave(main(sys.argv[1:]))
