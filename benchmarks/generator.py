"""Projects of any size, the same for the same seed: tables by domain, and layers of tasks that read each other.

The plan is made without files, so that a floor can build the very same assets by hand.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["APPLICATION", "DUCKDB", "Plan", "Shape", "TablePlan", "TaskPlan", "plan", "write_project"]

TYPES = ("long", "string", "double", "date", "timestamp", "boolean", "int", "decimal")
APPLICATION = """version: 1
application:
  loader: native
  connectionRef: duckdb
  audit: {sink: {connectionRef: duckdb}}
  connections:
    duckdb:
      type: jdbc
      options: {url: "jdbc:duckdb:{{SL_ROOT}}/datasets/duckdb.db", driver: org.duckdb.DuckDBDriver}
"""
"""`application.sl.yml` of a project on a DuckDB file, with its audit there."""

DUCKDB = {
    "type": "jdbc",
    "options": {"url": "jdbc:duckdb:{{SL_ROOT}}/datasets/duckdb.db", "driver": "org.duckdb.DuckDBDriver"},
}


@dataclass(frozen=True)
class Shape:
    """How a project looks.

    Attributes:
        tables: Loaded tables.
        tasks: Transforms.
        columns: Of each of them.
        fan_in: How many a task reads.
        depth: Layers of tasks.
        domain: Tables or tasks of a domain.
        seed: Of what is drawn.
    """

    tables: int
    tasks: int = 0
    columns: int = 20
    fan_in: int = 2
    depth: int = 10
    domain: int = 100
    seed: int = 7


@dataclass(frozen=True)
class TablePlan:
    """A table: its domain, its name, its columns with their types, the line of its file."""

    domain: str
    name: str
    columns: tuple[tuple[str, str], ...]

    @property
    def id(self) -> str:
        return f"{self.domain}.{self.name}"

    @property
    def file(self) -> str:
        return f"metadata/load/{self.domain}/{self.name}.sl.yml"


@dataclass(frozen=True)
class TaskPlan(TablePlan):
    """A task: what it reads, and its SQL."""

    reads: tuple[str, ...]
    sql: str

    @property
    def file(self) -> str:
        return f"metadata/transform/{self.domain}/{self.name}.sl.yml"


@dataclass(frozen=True)
class Plan:
    """A whole project."""

    tables: tuple[TablePlan, ...]
    tasks: tuple[TaskPlan, ...]


def plan(shape: Shape) -> Plan:
    """What a project of that shape holds."""
    columns = tuple((f"c{n:02}" if n else "id", TYPES[n % len(TYPES)]) for n in range(shape.columns))
    tables = tuple(
        TablePlan(f"d{number // shape.domain}", f"t{number % shape.domain}", columns) for number in range(shape.tables)
    )
    return Plan(tables, tuple(_tasks(shape, [table.id for table in tables], columns)))


def _tasks(shape: Shape, tables: Sequence[str], columns: tuple[tuple[str, str], ...]) -> Iterator[TaskPlan]:
    """Layer by layer: a task reads one of the layer below, and others of anywhere below."""
    dice = random.Random(shape.seed)
    size = max(1, shape.tasks // max(1, shape.depth))
    below: list[str] = list(tables)
    layer: list[str] = list(tables)
    made: list[str] = []
    for number in range(shape.tasks):
        if number and number % size == 0:
            below, layer, made = [*below, *made], made, []
        reads = [dice.choice(layer), *(dice.choice(below) for _ in range(shape.fan_in - 1))]
        reads = list(dict.fromkeys(reads))
        sql = _SHAPES[number % len(_SHAPES)](reads, [name for name, _ in columns])
        task = TaskPlan(f"m{number // shape.domain}", f"k{number % shape.domain}", columns, tuple(reads), sql)
        made.append(task.id)
        yield task


def _joined(reads: Sequence[str], columns: Sequence[str]) -> str:
    """CTEs that are joined."""
    last = columns[-1]
    others = "".join(
        f",\nother{n} as (\n  select id, max({last}) as newest, count(*) as n\n  from {name}\n  group by id\n)"
        for n, name in enumerate(reads[1:])
    )
    joins = "".join(f"\nleft join other{n} on other{n}.id = base.id" for n in range(len(reads) - 1))
    newest = f"coalesce(other0.newest, base.{last}) as {last}" if reads[1:] else f"base.{last}"
    kept = ",\n  ".join(f"base.{name}" for name in columns[:-1])
    return (
        f"with base as (\n  select {', '.join(columns)}\n  from {reads[0]}\n  where id is not null\n){others}\n"
        f"select\n  {kept},\n  {newest}\nfrom base{joins}\nwhere base.id > 0\n"
    )


def _united(reads: Sequence[str], columns: Sequence[str]) -> str:
    """A union."""
    names = ", ".join(columns)
    return "\nunion all\n".join(f"select {names}\nfrom {name}\nwhere id is not null" for name in reads) + "\n"


def _windowed(reads: Sequence[str], columns: Sequence[str]) -> str:
    """The newest row of a key, by a window."""
    names = ", ".join(f"t.{name}" for name in columns)
    joins = "".join(f"\n  inner join {name} as u{n} on u{n}.id = t.id" for n, name in enumerate(reads[1:]))
    return (
        f"with ranked as (\n  select {names},\n"
        f"    row_number() over (partition by t.id order by t.{columns[-1]} desc) as place,\n"
        f"    lag(t.{columns[-1]}) over (partition by t.id order by t.{columns[-1]}) as earlier\n"
        f"  from {reads[0]} as t{joins}\n)\n"
        f"select {', '.join(columns)}\nfrom ranked\nwhere place = 1\n"
    )


def _grouped(reads: Sequence[str], columns: Sequence[str]) -> str:
    """An aggregate over a subquery, with a condition that reads another table."""
    counted = ",\n  ".join(f"max({name}) as {name}" for name in columns[1:])
    test = f"\nwhere id in (select id from {reads[1]} where id is not null)" if reads[1:] else ""
    return f"select\n  id,\n  {counted}\nfrom (select * from {reads[0]}) as t{test}\ngroup by id\nhaving count(*) > 0\n"


_SHAPES = (_joined, _united, _windowed, _grouped)


def write_project(root: Path, shape: Shape, connection: dict[str, object] = DUCKDB) -> Plan:
    """Writes a project of that shape.

    Args:
        root: Its directory.
        shape: Of the project.
        connection: Where all is stored.
    """
    made = plan(shape)
    files: dict[str, str] = {}
    application = {"connectionRef": "main", "connections": {"main": connection}}
    files["metadata/application.sl.yml"] = json.dumps({"version": 1, "application": application}, indent=2)
    for table in made.tables:
        config = f"metadata/load/{table.domain}/_config.sl.yml"
        if config not in files:
            files[config] = (
                f"version: 1\nload:\n  name: {table.domain}\n"
                f'  metadata:\n    directory: "{{{{SL_ROOT}}}}/datasets/incoming/{table.domain}"\n'
            )
        files[table.file] = (
            f'version: 1\ntable:\n  name: {table.name}\n  pattern: "{table.name}-.*[.]csv"\n'
            f"  comment: What {table.name} holds.\n"
            f'  metadata:\n    format: DSV\n    separator: ","\n    withHeader: true\n'
            f"    writeStrategy: {{type: UPSERT_BY_KEY, key: [id]}}\n  attributes:\n{_attributes(table, 4)}"
        )
    for task in made.tasks:
        files[task.file] = (
            f"version: 1\ntask:\n  writeStrategy: {{type: OVERWRITE}}\n  tags: [nightly]\n"
            f"  attributes:\n{_attributes(task, 4)}"
        )
        files[task.file.removesuffix(".sl.yml") + ".sql"] = task.sql
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return made


def _attributes(made: TablePlan, indent: int) -> str:
    pad = " " * indent
    return "".join(
        f'{pad}- name: "{name}"\n{pad}  type: "{kind}"\n{pad}  required: {"true" if name == "id" else "false"}\n'
        for name, kind in made.columns
    )
