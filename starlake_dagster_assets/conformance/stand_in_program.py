"""Stand-in for the Starlake program, which an environment starts in the conformance suite."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["BURST", "LINES", "LONG", "NOT_UTF8", "SEPARATORS", "Behaviour", "ScriptedProgram", "is_alive"]

Behaviour = Literal["success", "failure", "hang", "wait", "lines", "burst", "unusual", "killed", "vanished"]

_AT = "26/01/01 00:00:00 INFO Main: line"
LINES = [f"{_AT} {number} é" for number in range(200)]
LINES[20:23] = [f"\tat ai.starlake.job.Main: line 20 {'x' * 4000}", f"{_AT} twice", f"{_AT} twice"]
"""Lines of the behaviour `lines`; the program waits for `proceed` in the middle of line 100."""
BURST = [f"{_AT} {number} of a burst" for number in range(2_000)]
"""Lines of the behaviour `burst`, which are written at once."""
NOT_UTF8 = f"{_AT} not UTF-8: caf".encode() + b"\xe9 \xff end"
SEPARATORS = f"{_AT} with a\u2028line separator, a\x0cform feed and a\x85next line"
LONG = f"{_AT} long {'0123456789' * 2_500} end"
"""Lines of the behaviour `unusual`; the last line of its log has no line break."""
_PROGRAM = """
import json, os, pathlib, signal, sys, time
here = pathlib.Path(__file__).parent
behaviour = (here / "behaviour").read_text()
env = {name: value for name, value in os.environ.items() if name.startswith("SL_")}
run = {"pid": os.getpid(), "argv": sys.argv[1:], "env": env}

def end_late(number, frame):  # as a JVM with shutdown hooks
    time.sleep(0.6)
    (here / f"ended-{os.getpid()}").touch()
    os._exit(143)

signal.signal(signal.SIGTERM, end_late)
with open(here / "runs", "a") as runs:
    runs.write(json.dumps(run) + "\\n")
out = open(1, "w", encoding="utf-8", buffering=1)
at = "26/01/01 00:00:00 "
files = "files: [/p/orders.csv], domain: sales, schema: orders, input: 3, accepted: 3, rejected:0"
out.write(at + "INFO IngestionWorkflow: Ingest resolved file : orders.csv as table sales.orders\\n")
if behaviour == "hang":
    time.sleep(600)
while behaviour == "wait" and not (here / "go").exists():
    time.sleep(0.01)
if behaviour == "lines":
    text = "".join(line + "\\n" for line in json.loads((here / "lines").read_text()))
    middle = text.index("line 100 ") + 4
    out.write(text[:middle])
    out.flush()
    while not (here / "go").exists():
        time.sleep(0.01)
    out.write(text[middle:])
if behaviour in ("burst", "unusual"):
    out.flush()
    data = (here / behaviour).read_bytes()
    while data:
        data = data[os.write(1, data):]
if behaviour == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if behaviour == "vanished":  # with all processes that were started for it, so that none reports an exit code
    since, pids = float((here / "since").read_text()), []
    pid = os.getpid()
    while pid > 1:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if int(fields[19]) / os.sysconf("SC_CLK_TCK") < since:
            break
        pids.append(pid)
        pid = int(fields[1])
    for pid in reversed(pids):
        os.kill(pid, signal.SIGKILL)
    time.sleep(600)
if behaviour == "failure":
    out.write(at + "ERROR IngestionWorkflow: orders.csv is not readable\\n")
    out.write(at + "ERROR IngestionWorkflow: Some tables failed to be loaded\\n")
    out.write("Starlake failed to execute command with args " + " ".join(sys.argv[1:]) + "\\n")
    sys.stderr.write("java.lang.IllegalStateException: a line of stderr\\n")
    sys.exit(int((here / "code").read_text()))
out.write(at + "INFO IngestionAudit$: ingestion-summary -> " + files + "\\n")
out.write(at + "INFO IngestionWorkflow: All tables loaded successfully\\n")
out.write(at + "INFO Main: Successfully " + " ".join(sys.argv[1:]) + ("" if behaviour == "unusual" else "\\n"))
"""


@dataclass(frozen=True)
class ScriptedProgram:
    """Stand-in for the Starlake program, which your environment must start.

    Attributes:
        directory: Directory of its files, which its executions must be able to read and write.
        is_new: Whether to write the files of the program.
    """

    directory: Path
    is_new: bool = True

    def __post_init__(self) -> None:
        if self.is_new:
            self._write()

    def _write(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "program.py").write_text(_PROGRAM, encoding="utf-8")
        (self.directory / "lines").write_text(json.dumps(LINES), encoding="utf-8")
        (self.directory / "burst").write_text("".join(f"{line}\n" for line in BURST), encoding="utf-8")
        unusual = [NOT_UTF8, SEPARATORS.encode(), LONG.encode()]
        (self.directory / "unusual").write_bytes(b"".join(line + b"\n" for line in unusual))
        argv = shlex.join([sys.executable, "-I", "-S", str(self.directory / "program.py")])
        self.path.write_text(f'#!/bin/sh\n{argv} "$@"\nexit $?\n', encoding="utf-8")  # as Starlake's own launcher
        self.path.chmod(0o755)
        self.behave("success")

    @property
    def path(self) -> Path:
        """Path of the executable."""
        return self.directory / "starlake"

    def behave(self, behaviour: Behaviour, *, exit_code: int = 1) -> None:
        """Sets the behaviour of the next executions.

        Args:
            behaviour: `wait` and `lines` end after `proceed`, `hang` never ends. A signal ends the program if it is
                `killed`, and all processes of the execution if it has `vanished`.
            exit_code: Exit code of a `failure`.
        """
        (self.directory / "behaviour").write_text(behaviour)
        (self.directory / "code").write_text(str(exit_code))
        (self.directory / "since").write_text(
            str(time.clock_gettime(time.CLOCK_BOOTTIME) - 1 / os.sysconf("SC_CLK_TCK"))
        )

    def proceed(self) -> None:
        """Lets waiting executions end."""
        (self.directory / "go").touch()

    def runs(self) -> Sequence[Mapping[str, Any]]:
        """Returns `argv`, `env` and `pid` of each execution that was started."""
        path = self.directory / "runs"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def is_running(self) -> bool:
        """Whether an execution still runs."""
        pids = [int(run["pid"]) for run in self.runs()]
        return any(is_alive(pid) and not (self.directory / f"ended-{pid}").exists() for pid in pids)


def is_alive(pid: int) -> bool:
    """Whether a process runs; a process that has ended and waits for its parent does not run."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False
