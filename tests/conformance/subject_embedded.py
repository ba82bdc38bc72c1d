"""The embedded engine on a real project: what the scripted program is told is in the files here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from starlake_dagster_assets.command import build
from starlake_dagster_assets.command.model import Command
from starlake_dagster_assets.runners.duckdb import EmbeddedRunner
from starlake_dagster_assets.runners.protocol import Attempt, Runner
from tests.conformance.subject import Deed, Subject

__all__ = ["SUBJECTS"]

APPLICATION = """version: 1
application:
  connectionRef: duckdb
  connections:
    duckdb:
      type: jdbc
      options:
        url: "jdbc:duckdb:{{SL_ROOT}}/datasets/duckdb.db"
"""
TABLE = """version: 1
table:
  name: %(name)s
  pattern: "%(name)s.*\\\\.csv"
  metadata: {format: DSV, withHeader: true, separator: ","}
  attributes: [{name: id, type: int}]
"""
SLOW = "select count(*) as n from range(100000000) a, range(1000000) b where a.range + b.range > 7"


class EmbeddedRunning:
    """A project in a directory."""

    def __init__(self, work: Path) -> None:
        self.root = work / "project"
        self._files(
            {
                "application.sl.yml": APPLICATION,
                "load/sales/_config.sl.yml": "version: 1\nload:\n  name: sales\n",
                "load/sales/orders.sl.yml": TABLE % {"name": "orders"},
                "load/sales/customers.sl.yml": TABLE % {"name": "customers"},
                "transform/kpi/slow.sql": SLOW,
            }
        )

    def _files(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            path = self.root / "metadata" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def prepare(self, deed: Deed, job_id: str = "job-1") -> Command:
        if deed == "hang":
            return build.transform("kpi.slow", job_id=job_id)
        stage = self.root / "datasets" / "stage" / "sales"
        stage.mkdir(parents=True, exist_ok=True)
        for name in ("orders", "customers"):
            broken = deed == "all_failed" or (deed == "part_failure" and name == "customers")
            (stage / f"{name}_1.csv").unlink(missing_ok=True)
            if deed != "no_file":
                (stage / f"{name}_1.csv").write_text("not;the;columns\n1;2;3\n" if broken else "id\n1\n2\n")
        return build.load("sales", ["orders", "customers"], job_id=job_id)

    def runner(self, attempt: Attempt | None = None, timeout: float | None = None) -> Runner:
        return EmbeddedRunner(self.root)

    def processes(self) -> int:
        return 0

    def alive(self) -> bool:
        return False


@contextmanager
def opened(work: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedRunning]:
    yield EmbeddedRunning(work)


SUBJECTS = [Subject("embedded", opened, times_out=False)]
