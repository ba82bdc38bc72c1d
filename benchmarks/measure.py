"""One side of a comparison in a process of its own: CPU seconds of the parts that it marks, and its peak memory."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["ABSENT", "MARK", "Call", "Failed", "Meter", "NotMeasured", "cpu_seconds", "run"]

ROOT = Path(__file__).resolve().parents[1]
MARK = "measured: "
ABSENT = "not measured: "


class NotMeasured(Exception):
    """A side cannot run here; its text says why."""


class Failed(Exception):
    """A side ended with an error; its text is what it printed."""


@dataclass(frozen=True)
class Call:
    """A function of a module of `benchmarks.sides`.

    Attributes:
        function: `module:function`.
        given: Its arguments.
        python: The interpreter; this one by default.
    """

    function: str
    given: Mapping[str, Any] = field(default_factory=dict[str, Any])
    python: str = sys.executable


class Meter:
    """Measures parts of this process and of the processes that it waits for."""

    def __init__(self) -> None:
        self.parts: list[dict[str, Any]] = []
        self.notes: dict[str, Any] = {}

    @contextmanager
    def __call__(self, side: str) -> Generator[None, None, None]:
        """A part; several with one name are repeats of it."""
        wall, cpu = time.perf_counter(), cpu_seconds()
        yield
        self.add(side, cpu=cpu_seconds() - cpu, wall=time.perf_counter() - wall)

    def add(self, side: str, **took: float) -> None:
        """A part that was measured elsewhere: `cpu` and `wall` in seconds, `count` of things."""
        self.parts.append({"side": side, **took})


def run(call: Call, work: Path) -> dict[str, Any]:
    """Runs one side in a process of its own.

    Returns:
        `parts`, each with `side`, `cpu` and `wall` in seconds; `process`, the CPU seconds of the whole process; `peak`,
        its memory at most, in bytes; `notes`.

    Raises:
        NotMeasured: It cannot run here.
        Failed: It ended with an error.
    """
    if not Path(call.python).exists():
        raise NotMeasured(f"there is no {call.python}; `make {Path(call.python).parents[1].name}/.installed` makes it")
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environ = {**os.environ, "DAGSTER_DISABLE_TELEMETRY": "1", "PYTHONPATH": os.pathsep.join(paths)}
    command = [call.python, "-m", "benchmarks.side", call.function, str(work), json.dumps(dict(call.given))]
    done = subprocess.run(command, env=environ, cwd=work, capture_output=True, text=True, check=False)
    for line in reversed(done.stdout.splitlines()):
        if line.startswith(MARK):
            return json.loads(line.removeprefix(MARK))
        if line.startswith(ABSENT):
            raise NotMeasured(line.removeprefix(ABSENT))
    raise Failed(f"{call.function} {dict(call.given)}:\n{done.stdout[-500:]}\n{done.stderr[-1500:]}")


def cpu_seconds() -> float:
    """Of this process and of those that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
