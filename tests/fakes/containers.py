"""The processes of a fake service: what a container would run, its lines kept with their times."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone

__all__ = ["Container"]


class Container:
    """A process whose lines are kept.

    Args:
        argv: Program and arguments.
        environ: Its environment, besides PATH.
        ended: Called with the exit code as a shell would say it.
    """

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str], ended: Callable[[int], None]) -> None:
        self.lines: list[tuple[datetime, str]] = []
        self.raw_lines: list[bytes] = []
        """The same lines as bytes, with their line breaks."""
        self._ended = ended
        self.process = subprocess.Popen(
            list(argv),
            env={"PATH": os.environ["PATH"], **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._silent = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def stop(self) -> None:
        """TERM, and KILL where that does not help; returns when nothing of it writes any more."""
        if self.process.poll() is not None:
            return
        os.killpg(self.process.pid, signal.SIGTERM)
        if not self._silent.wait(3):
            os.killpg(self.process.pid, signal.SIGKILL)
            self._silent.wait(3)

    def _watch(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            text = line.decode("utf-8", "replace").rstrip("\n")
            self.raw_lines.append(line)
            self.lines.append((datetime.now(timezone.utc), text))
        self._silent.set()
        code = self.process.wait()
        self.process.stdout.close()
        self._ended(code if code >= 0 else 128 - code)
