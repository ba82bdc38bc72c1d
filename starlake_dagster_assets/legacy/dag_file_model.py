"""Contents of a DAG file of `starlake dag-generate`: schedules with their tables, tasks with upstreams, options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from starlake_dagster_assets.project.model.problems import Problem

__all__ = ["DagContext", "DagNode", "DagSchedule", "DagTable"]


def _none() -> Mapping[Any, Any]:
    return MappingProxyType({})


@dataclass(frozen=True)
class DagTable:
    """A table of a `schedules` literal.

    Attributes:
        domain: `name` of the domain, as passed to the command line.
        name: `name` of the table, as passed to the command line.
        final_domain: `final_name` of the domain; None if the literal does not contain it.
        final_name: `final_name` of the table; None if the literal does not contain it.
        path: Its path in the literal.
    """

    domain: str
    name: str
    final_domain: str | None = None
    final_name: str | None = None
    path: str = field(default="", compare=False)

    @property
    def raw(self) -> str:
        """Table name as passed to `starlake`."""
        return f"{self.domain}.{self.name}"

    @property
    def id(self) -> str:
        """`<schema>.<table>` by final names."""
        return f"{self.final_domain or self.domain}.{self.final_name or self.name}"


@dataclass(frozen=True)
class DagSchedule:
    """Item of `schedules`: its label (`daily`, `cron1`; None if it has none), its cron, its tables."""

    name: str | None
    cron: str | None
    tables: tuple[DagTable, ...]


@dataclass(frozen=True)
class DagNode:
    """Table or task of a dependency tree; the occurrences of a node in the tree are merged.

    Attributes:
        name: `data.name`: the full name of a task, or a table as SQL spells it.
        kind: `data.typ`.
        sink: `data.sink`: the table that a task writes; by default the name.
        cron: `data.cron`.
        freshness: `data.freshness`: seconds; 0 = not set.
        reads: Keys of its `children`, in order.
        path: Its first path in the literal.
    """

    name: str
    kind: Literal["table", "task"]
    sink: str
    cron: str | None = None
    freshness: float = 0
    reads: tuple[tuple[str, str], ...] = ()
    path: str = field(default="", compare=False)

    @property
    def key(self) -> tuple[str, str]:
        """Kind and lower-case name, because SQL may spell the name of one table in several ways."""
        return (self.kind, self.name.lower())

    def with_more(self, other: DagNode) -> DagNode:
        """Returns this node with missing values filled in from another occurrence of the node."""
        return DagNode(
            self.name,
            self.kind,
            self.sink if self.sink != self.name else other.sink,
            self.cron or other.cron,
            self.freshness or other.freshness,
            tuple(dict.fromkeys([*self.reads, *other.reads])),
            self.path,
        )


@dataclass(frozen=True)
class DagContext:
    """Contents of a DAG file of `starlake dag-generate`.

    Attributes:
        name: Name of the file without its suffix; the job is named after it.
        file: Path of the file; "" if the literals were passed without a file.
        line: Line of the literal; None if it is unknown.
        schedules: `schedules` of a load file.
        roots: Keys of the tasks that the file runs.
        nodes: The tables and tasks of its trees by key.
        options: `options`, as texts.
        task_options: `jobs`: the variables of single transforms by full name.
        cron: `cron` of a transform file.
        description: `description`.
        environment: The execution environment by its registered name; None if the file does not set it.
    """

    name: str
    file: str = ""
    line: int | None = None
    schedules: tuple[DagSchedule, ...] = ()
    roots: tuple[tuple[str, str], ...] = ()
    nodes: Mapping[tuple[str, str], DagNode] = field(default_factory=_none)
    options: Mapping[str, str] = field(default_factory=_none)
    task_options: Mapping[str, Mapping[str, str]] = field(default_factory=_none)
    cron: str | None = None
    description: str | None = None
    environment: str | None = None

    def problem(self, path: str, message: str, hint: str = "", code: str = "dag-context") -> Problem:
        """Returns a problem of this file's literals."""
        return Problem(file=self.file or self.name, line=self.line, key=path, message=message, hint=hint, code=code)
