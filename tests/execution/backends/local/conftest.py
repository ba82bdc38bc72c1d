from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from starlake_dagster_assets import StarlakeProject, build_definitions
from starlake_dagster_assets.resources import StarlakeShell
from tests.fakes.script import Scripted

_APPLICATION = """
version: 1
application:
  connectionRef: main
  expectations: {{active: true}}
  connections:
    main: {{type: jdbc, options: {{url: "{url}", driver: org.duckdb.DuckDBDriver}}}}
"""
_UNREADABLE = "jdbc:h2:mem:x"
_DUCKDB = "jdbc:duckdb:{{SL_ROOT}}/x.db"
_CONFIG = 'version: 1\nload: {name: sales, metadata: {directory: "{{SL_ROOT}}/datasets/incoming/sales"}}\n'
_TABLE = """
version: 1
table:
  name: NAME
  pattern: "NAME-.*.csv"
  metadata: {format: DSV, separator: ",", withHeader: true}
  attributes: [{name: id, type: long}]
"""


class Bench:
    """A project of some tables and tasks, a scripted `starlake`, a Dagster instance in memory, or on disk."""

    def __init__(self, work: Path, *, on_disk: bool = False) -> None:
        self.root = work / "project"
        self.scripted = Scripted(work / "scripted")
        (work / "home").mkdir()
        if on_disk:
            home, quiet = str(work / "home"), {"telemetry": {"enabled": False}}
            self.instance = dg.DagsterInstance.local_temp(home, overrides=quiet)
        else:
            self.instance = dg.DagsterInstance.ephemeral(str(work / "home"))

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def project(self, tables: Sequence[str] = (), tasks: Mapping[str, str] | None = None, duckdb: bool = False) -> None:
        """Tables of the domain `sales`, and tasks of the domain `kpi` by name."""
        self.write("metadata/application.sl.yml", _APPLICATION.format(url=_DUCKDB if duckdb else _UNREADABLE))
        if tables:
            self.write("metadata/load/sales/_config.sl.yml", _CONFIG)
        for table in tables:
            self.write(f"metadata/load/sales/{table}.sl.yml", _TABLE.replace("NAME", table))
            self.write(f"datasets/incoming/sales/{table}-1.csv", "id\n1\n2\n")
        for task, sql in (tasks or {}).items():
            self.write(f"metadata/transform/kpi/{task}.sql", sql)

    def resource(self, **fields: Any) -> StarlakeShell:
        env = {**self.scripted.environ, **fields.pop("env", {})}
        return StarlakeShell(env=env, **{"starlake": str(self.scripted.path), "grace": 2.0, **fields})

    def source(self, **settings: Any) -> StarlakeProject:
        return StarlakeProject(self.root, cache_dir=self.root.parent / "cache", **settings)

    def materialize(self, resource: StarlakeShell, **settings: Any) -> dg.ExecuteInProcessResult:
        """Runs everything in this process."""
        defs = build_definitions(self.source(), starlake=resource, **settings)
        resolve = getattr(defs, "resolve_implicit_global_asset_job_def", None)
        job = resolve() if resolve else defs.get_implicit_global_asset_job_def()
        return job.execute_in_process(instance=self.instance, raise_on_error=False)


@pytest.fixture
def bench(tmp_path: Path) -> Any:
    made = Bench(tmp_path)
    with made.instance:
        yield made


@pytest.fixture
def bench_on_disk(tmp_path: Path) -> Any:
    """A bench whose instance writes files, for tests that look into them."""
    made = Bench(tmp_path, on_disk=True)
    with made.instance:
        yield made
