"""The resolved project: frozen models with every default, inheritance, rename and variable applied.

The keys of files are declared in `project.files.schema`, not here. All paths of locations are posix paths
relative to the project's root, so that a manifest written on one machine is valid on another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from starlake_dagster_assets.project.model.settings import (
    Application,
    Areas,
    Audit,
    Connection,
    ExpectationSettings,
    RefInput,
    RefOutput,
    RefRule,
    TypeDef,
)
from starlake_dagster_assets.project.model.values import (
    Acl,
    Attribute,
    Expectation,
    Format,
    Freshness,
    Frozen,
    Location,
    Metadata,
    Position,
    Rls,
    Sink,
    WriteStrategy,
    shared,
)

__all__ = [
    "Acl",
    "Application",
    "Areas",
    "Attribute",
    "Audit",
    "Connection",
    "DagConfig",
    "Domain",
    "Expectation",
    "ExpectationSettings",
    "ExternalTable",
    "Format",
    "Freshness",
    "Frozen",
    "Location",
    "Macro",
    "Metadata",
    "Position",
    "Project",
    "RefInput",
    "RefOutput",
    "RefRule",
    "Rls",
    "Sink",
    "Table",
    "Task",
    "TransformDomain",
    "TypeDef",
    "WriteStrategy",
]


class WriteTarget(Frozen):
    """Common attributes of tables and tasks: the sink, description, access and checks of a table in a database."""

    database: str = ""
    attributes: tuple[Attribute, ...] = ()
    comment: str | None = None
    primary_key: tuple[str, ...] = ()
    presql: tuple[str, ...] = ()
    postsql: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    expectations: tuple[Expectation, ...] = ()
    rls: tuple[Rls, ...] = ()
    acl: tuple[Acl, ...] = ()
    streams: tuple[str, ...] = ()
    connection: str = ""
    """Name of the connection to which it is written: `sink.connectionRef`; by default the default connection of loads,
    or the connection that runs the SQL of a task."""
    cron: str | None = None
    """The schedule as a cron expression, presets resolved; None if unscheduled."""
    location: Location
    """The YAML file if there is one, else the SQL or Python file."""
    digest: str
    """Hash of the YAML, SQL and macros after rendering: part of the code version."""


class Table(WriteTarget):
    """Target table of a load, with raw names for commands and final names for the warehouse."""

    domain: str
    """Directory name: a value of `--domains`."""
    domain_name: str
    """`load.name`: the name of the data areas (`stage/<domain_name>`)."""
    stem: str
    """File stem: a value of `--tables`."""
    name: str
    """Name of the table in its file (`table.name`)."""
    final_domain: str
    final_name: str
    pattern: str
    metadata: Metadata
    filter: str | None = None

    @property
    def raw(self) -> str:
        """`<directory>.<file stem>`: the name on the command line."""
        return f"{self.domain}.{self.stem}"

    @property
    def id(self) -> str:
        """`<schema>.<table>` by final names."""
        return f"{self.final_domain}.{self.final_name}"


class Domain(Frozen):
    """A directory of `metadata/load`."""

    directory: str
    name: str
    final_name: str
    database: str = ""
    comment: str | None = None
    tags: tuple[str, ...] = ()
    incoming: str | None = None
    """`metadata.directory` of the domain: the directory from which `stage` takes files."""
    ack: str | None = None
    tables: tuple[Table, ...]
    location: Location


class Task(WriteTarget):
    """A transform, with its SQL rendered, split into sections and stripped of comments."""

    transform_domain: str
    """Directory below `metadata/transform`."""
    stem: str
    domain: str
    """`task.domain`, by default the transform domain (after refs)."""
    table: str
    """`task.table`, by default the stem (after refs)."""
    sql: str | None = None
    """The main SQL, rendered, without comments; None for Python tasks."""
    source_sql: str | None = None
    """The main SQL as written by the user (unrendered), for display."""
    python: str | None = None
    """Path of the Python script, relative to the project root."""
    parse_sql: bool = True
    run_connection: str = ""
    """Name of the connection that runs the SQL (`connectionRef`, else the default for transforms)."""
    sink: Sink = shared(Sink())
    write_strategy: WriteStrategy = shared(WriteStrategy())
    schedule: str | None = None
    dag_ref: str | None = None
    freshness: Freshness | None = None
    sync_strategy: Literal["NONE", "ADD", "ALL"] = "ADD"
    references: tuple[str, ...] = ()
    """Dotted names of the tables that the parser finds in the SQL: as spelled, without CTEs, in order of appearance."""
    starlake_references: tuple[str, ...] = ()
    """References that the regular expressions of the starlake program find."""
    sql_location: Location | None = None

    @property
    def source_location(self) -> Location:
        """Location of the SQL or Python file, or of the YAML file if the SQL is in it."""
        return self.sql_location or self.location

    @property
    def raw(self) -> str:
        """`<task.domain>.<file stem>`: the name on the command line (`transform --name`)."""
        return f"{self.domain}.{self.stem}"

    @property
    def id(self) -> str:
        """`<schema>.<table>` by final names."""
        return f"{self.domain}.{self.table}"


class TransformDomain(Frozen):
    """A directory of `metadata/transform`."""

    directory: str
    name: str
    comment: str | None = None
    tasks: tuple[Task, ...]
    location: Location


class ExternalTable(Frozen):
    """A table described below `metadata/external`: tasks read it, the project does not load it."""

    domain: str
    name: str
    attributes: tuple[Attribute, ...] = ()
    comment: str | None = None
    tags: tuple[str, ...] = ()
    location: Location

    @property
    def id(self) -> str:
        """`<schema>.<table>` by final names."""
        return f"{self.domain}.{self.name}"


class Macro(Frozen):
    """A `.j2` file below `expectations/` or `macros/`."""

    file: str
    text: str
    kind: Literal["expectation", "macro"]


class DagConfig(Frozen):
    """`dags/<name>.sl.yml`. Values are not rendered here: their variables belong to the DAG."""

    name: str
    template: str
    filename: str
    comment: str | None = None
    options: Mapping[str, str] = Field(default_factory=dict)
    location: Location


class Project(Frozen):
    """A whole Starlake project for one environment and one set of options."""

    root: str
    """Absolute path of the project."""
    env: str | None
    """Name of the environment (`SL_ENV`); None for none."""
    variables: Mapping[str, str] = Field(repr=False)
    """All variables in force, for texts that are rendered at run time; may hold secrets, never logged or cached."""
    application: Application
    types: Mapping[str, TypeDef]
    domains: tuple[Domain, ...] = ()
    transforms: tuple[TransformDomain, ...] = ()
    externals: tuple[ExternalTable, ...] = ()
    dags: Mapping[str, DagConfig] = Field(default_factory=dict)
    macros: tuple[Macro, ...] = ()

    @property
    def tables(self) -> tuple[Table, ...]:
        """All load tables, in the order of their domains."""
        return tuple(table for domain in self.domains for table in domain.tables)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All tasks, in the order of their transform domains."""
        return tuple(task for domain in self.transforms for task in domain.tasks)

    def connection(self, name: str) -> Connection | None:
        """Returns the connection of that name, or None."""
        return self.application.connections.get(name)

    def dialect(self, connection: str) -> str:
        """Returns the SQL dialect of a connection; "" if there is no connection of that name."""
        found = self.connection(connection)
        return found.dialect if found else ""
