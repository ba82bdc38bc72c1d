"""A small project to write and run commands on."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from starlake_dagster_assets.engine.commands.program import execute_command

APPLICATION = """
version: 1
application:
  connectionRef: duckdb
  connections:
    duckdb:
      type: jdbc
      options:
        url: "jdbc:duckdb:{{SL_ROOT}}/datasets/duckdb.db"
"""
CONFIG = """
version: 1
load:
  name: shop
  metadata:
    directory: "{{SL_ROOT}}/datasets/incoming/shop"
"""


class Workbench:
    """A project in a directory, and what its commands print."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environ = {key: value for key, value in os.environ.items() if not key.startswith("SL_")}
        self.environ["SL_ROOT"] = str(root)
        self.stdout: list[str] = []
        self.stderr: list[str] = []
        self.write("metadata/application.sl.yml", APPLICATION)
        self.write("metadata/load/shop/_config.sl.yml", CONFIG)

    @property
    def database(self) -> Path:
        return self.root / "datasets" / "duckdb.db"

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return file

    def application(self, extra: str) -> None:
        """More keys of `application`, indented by two."""
        self.write("metadata/application.sl.yml", APPLICATION + textwrap.indent(textwrap.dedent(extra).strip(), "  "))

    def table(self, name: str = "orders", *, metadata: str = "", extra: str = "", attributes: str = "") -> None:
        """A CSV table with id, v and ts, all integers but v."""
        attributes = attributes or "[{name: id, type: int}, {name: v}, {name: ts, type: int}]"
        text = f"version: 1\ntable:\n  name: {name}\n  pattern: '{name}.*\\.csv'\n  attributes: {attributes}\n"
        text += '  metadata:\n    format: DSV\n    separator: ","\n'
        text += textwrap.indent(textwrap.dedent(metadata), "    ") + "\n"
        text += textwrap.indent(textwrap.dedent(extra), "  ")
        self.write(f"metadata/load/shop/{name}.sl.yml", text)

    def task(self, name: str, sql: str, yaml: str = "") -> None:
        domain, stem = name.split(".")
        self.write(f"metadata/transform/{domain}/{stem}.sql", sql)
        if yaml:
            body = "version: 1\ntask:\n" + textwrap.indent(textwrap.dedent(yaml).strip(), "  ")
            self.write(f"metadata/transform/{domain}/{stem}.sl.yml", body)

    def file(self, name: str, *rows: str, header: str = "id,v,ts", area: str = "stage") -> Path:
        """A file of the stage area."""
        return self.write(f"datasets/{area}/shop/{name}", "\n".join([header, *rows]) + "\n")

    def run(self, *argv: str, **environ: str) -> int:
        """Runs a command; what it prints is kept until the next one."""
        self.stdout, self.stderr = [], []
        streams = {"stdout": self.stdout, "stderr": self.stderr}
        return execute_command(argv, {**self.environ, **environ}, lambda line: streams[line.stream].append(line.text))

    def ok(self, *argv: str, **environ: str) -> None:
        assert self.run(*argv, **environ) == 0, "\n".join(self.stderr)

    @property
    def errors(self) -> str:
        return "\n".join(line for line in self.stderr if "ERROR" in line or line.startswith("Error"))

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self.database.parent.mkdir(parents=True, exist_ok=True)
        with duckdb.connect(str(self.database)) as con:
            con.execute("SET TimeZone='UTC'")
            return con.execute(sql, list(values)).fetchall()

    def files(self, area: str) -> list[str]:
        folder = self.root / "datasets" / area / "shop"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Locks and manifests of these tests stay out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def make_bench() -> type[Workbench]:
    """For tests that need one bench an example."""
    return Workbench


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(tmp_path / "project")
