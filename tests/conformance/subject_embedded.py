"""The embedded engine on a real project: what the scripted program is told is in the files here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from starlake_dagster_assets.commands import build
from starlake_dagster_assets.commands.model import Command
from starlake_dagster_assets.execution.backends.duckdb.runner import EmbeddedRunner
from starlake_dagster_assets.execution.backends.protocol import Runner, StepAttempt
from tests.conformance.subject import SECRET, Deed, Subject, write_project

__all__ = ["SUBJECTS"]

SLOW = "select count(*) as n from range(100000000) a, range(1000000) b where a.range + b.range > 7"


class EmbeddedRunning:
    """A project in a directory."""

    def __init__(self, work: Path) -> None:
        self.root = write_project(work / "project")
        self._holding: subprocess.Popen[bytes] | None = None
        self.faults = {"outage": self._hold, "recovery": self._let_go}

    def _hold(self) -> None:
        """Another program has the file open."""
        path = self.root / "datasets" / "duckdb.db"
        path.parent.mkdir(parents=True, exist_ok=True)
        script = f"import duckdb, sys; con = duckdb.connect({str(path)!r}); print(flush=True); sys.stdin.read()"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._holding = subprocess.Popen([sys.executable, "-c", script], **pipes)
        assert self._holding.stdout is not None and self._holding.stdout.readline()

    def _let_go(self) -> None:
        if self._holding is not None:
            self._holding.communicate()

    def prepare(self, deed: Deed, job_id: str = "job-1") -> Command:
        if deed == "hang":
            slow = self.root / "metadata" / "transform" / "kpi" / "slow.sql"
            slow.parent.mkdir(parents=True, exist_ok=True)
            slow.write_text(SLOW)
            return build.transform("kpi.slow", job_id=job_id)
        stage = self.root / "datasets" / "stage" / "sales"
        stage.mkdir(parents=True, exist_ok=True)
        for name in ("orders", "customers"):
            broken = deed in ("all_failed", "tells_secret") or (deed == "part_failure" and name == "customers")
            (stage / f"{name}_1.csv").unlink(missing_ok=True)
            if deed != "no_file":
                (stage / f"{name}_1.csv").write_text(f"{SECRET};the;columns\n1;2;3\n" if broken else "id\n1\n2\n")
        return build.load("sales", ["orders", "customers"], job_id=job_id)

    def runner(self, attempt: StepAttempt | None = None, timeout: float | None = None) -> Runner:
        return EmbeddedRunner(self.root, timeout=timeout)

    def processes(self) -> int:
        return 0

    def arguments(self) -> list[tuple[str, ...]]:
        return []

    def alive(self) -> bool:
        return False


@contextmanager
def opened(work: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedRunning]:
    running = EmbeddedRunning(work)
    yield running
    running.faults["recovery"]()


SUBJECTS = [Subject("embedded", opened)]
