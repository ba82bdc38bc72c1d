"""The resolved project: frozen models with every default, inheritance, rename and variable applied.

Nothing here knows how a file is spelled; `project.schema` does. All paths of locations are posix paths
relative to the project's root, so that a manifest made on one machine is valid on another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

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

Format = Literal[
    "DSV", "POSITION", "JSON", "JSON_FLAT", "XML", "TEXT_XML", "PARQUET", "GENERIC", "KAFKA", "KAFKASTREAM", "DATAFRAME"
]
View = Literal["TABLE", "VIEW", "MATERIALIZED_VIEW", "HYBRID"]
StrategyType = str
"""Upper case for the engine's own strategies, as written for a custom template."""


class Frozen(BaseModel):
    """A value object: immutable, no unknown keys, read by its Python names or by Starlake's camelCase ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Location(Frozen):
    """Where something is written: a posix path relative to the project root, and a 1-based line if known."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


# ------------------------------------------------------------------ values shared by files and resolved models


class Position(Frozen):
    """`attributes[].position`: 0-based, inclusive character positions (POSITION format)."""

    first: int
    last: int


class WriteStrategy(Frozen):
    """`writeStrategy` (format reference 2.4)."""

    type: StrategyType = "APPEND"
    types: Mapping[str, str] = Field(default_factory=dict)
    key: tuple[str, ...] = ()
    timestamp: str | None = None
    on: Literal["TARGET", "SOURCE_AND_TARGET"] = "TARGET"
    start_ts: str | None = None
    end_ts: str | None = None
    query_filter: str | None = None


class Sink(Frozen):
    """`sink` (format reference 2.5). `connection_ref` is "" where the default connection applies."""

    connection_ref: str = ""
    partition: tuple[str, ...] = ()
    clustering: tuple[str, ...] = ()
    days: int | None = None
    require_partition_filter: bool | None = None
    materialized_view: View = "TABLE"
    enable_refresh: bool | None = None
    refresh_interval_ms: int | None = None
    sharding: tuple[str, ...] = ()
    format: str | None = None
    extension: str | None = None
    coalesce: bool | None = None
    path: str | None = None
    id: str | None = None
    options: Mapping[str, str] = Field(default_factory=dict)


class Expectation(Frozen):
    """`expectations[]`. `fail_on_error` is None where the item does not say: the application decides."""

    expect: str
    fail_on_error: bool | None = None


class Acl(Frozen):
    """`acl[]`: grants of one role."""

    role: str
    grants: tuple[str, ...] = ()
    name: str = ""


class Rls(Frozen):
    """`rls[]`: row-level security."""

    name: str
    predicate: str = "TRUE"
    grants: tuple[str, ...] = ()
    description: str = ""


class Freshness(Frozen):
    """`freshness`: durations in words, such as `3 days`."""

    warn: str | None = None
    error: str | None = None


class Attribute(Frozen):
    """One column of a table or of a task's documentation (format reference 2.2)."""

    name: str
    type: str = "string"
    array: bool = False
    required: bool = False
    rename: str | None = None
    privacy: str = "NONE"
    script: str | None = None
    default: str | None = None
    ignore: bool = False
    trim: Literal["NONE", "LEFT", "RIGHT", "BOTH"] = "NONE"
    position: Position | None = None
    foreign_key: str | None = None
    comment: str | None = None
    tags: tuple[str, ...] = ()
    sample: str | None = None
    metric_type: str | None = None
    access_policy: str | None = None
    attributes: tuple[Attribute, ...] = ()

    @property
    def final_name(self) -> str:
        """The column's name in the warehouse: `rename` or `name`."""
        return self.rename or self.name


class Metadata(Frozen):
    """`metadata` of a table after the domain's was merged under it and the defaults were filled in (2.3)."""

    format: Format = "DSV"
    encoding: str = "UTF-8"
    separator: str = ";"
    quote: str = '"'
    escape: str = "\\"
    with_header: bool = True
    multiline: bool = False
    array: bool = False
    null_value: str | None = None
    empty_is_null: bool = True
    options: Mapping[str, str] = Field(default_factory=dict)
    directory: str | None = None
    ack: str | None = None
    loader: Literal["spark", "native"] = "spark"
    write_strategy: WriteStrategy = WriteStrategy()
    sink: Sink = Sink()
    schedule: str | None = None
    dag_ref: str | None = None
    freshness: Freshness | None = None


# ------------------------------------------------------------------------------------------ resolved objects


class Table(Frozen):
    """One load target. Raw names for commands, final names for the warehouse (format reference 1.2)."""

    domain: str
    """Directory name: what `--domains` takes."""
    domain_name: str
    """`load.name`: the name of the data areas (`stage/<domain_name>`)."""
    stem: str
    """File stem: what `--tables` takes."""
    name: str
    """`table.name`."""
    final_domain: str
    final_name: str
    database: str = ""
    pattern: str
    attributes: tuple[Attribute, ...]
    metadata: Metadata
    comment: str | None = None
    primary_key: tuple[str, ...] = ()
    presql: tuple[str, ...] = ()
    postsql: tuple[str, ...] = ()
    filter: str | None = None
    tags: tuple[str, ...] = ()
    expectations: tuple[Expectation, ...] = ()
    rls: tuple[Rls, ...] = ()
    acl: tuple[Acl, ...] = ()
    streams: tuple[str, ...] = ()
    connection: str = ""
    """Name of the connection it is written to (`sink.connectionRef`, else the default for loads)."""
    cron: str | None = None
    """The schedule as a cron expression, presets resolved; None when unscheduled."""
    location: Location
    digest: str
    """Hash of the rendered YAML: part of the code version."""

    @property
    def raw(self) -> str:
        """`<directory>.<file stem>`: the name the command line knows."""
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
    """`metadata.directory` of the domain: where `stage` takes files from."""
    ack: str | None = None
    tables: tuple[Table, ...]
    location: Location


class Task(Frozen):
    """One transform (format reference 2.6), with its SQL rendered, split into sections and stripped of comments."""

    transform_domain: str
    """Directory below `metadata/transform`."""
    stem: str
    domain: str
    """`task.domain`, by default the transform domain (after refs, 3.4)."""
    table: str
    """`task.table`, by default the stem (after refs, 3.4)."""
    database: str = ""
    sql: str | None = None
    """The main SQL, rendered, without comments; None for Python tasks."""
    source_sql: str | None = None
    """The main SQL as the user wrote it (unrendered), for people to read."""
    python: str | None = None
    """Path of the Python script, relative to the project root."""
    presql: tuple[str, ...] = ()
    postsql: tuple[str, ...] = ()
    parse_sql: bool = True
    run_connection: str = ""
    """Name of the connection that runs the SQL (`connectionRef`, else the default for transforms)."""
    connection: str = ""
    """Name of the connection it writes to (`sink.connectionRef`, else `run_connection`)."""
    sink: Sink = Sink()
    write_strategy: WriteStrategy = WriteStrategy()
    cron: str | None = None
    schedule: str | None = None
    dag_ref: str | None = None
    tags: tuple[str, ...] = ()
    freshness: Freshness | None = None
    streams: tuple[str, ...] = ()
    primary_key: tuple[str, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    sync_strategy: Literal["NONE", "ADD", "ALL"] = "ADD"
    expectations: tuple[Expectation, ...] = ()
    rls: tuple[Rls, ...] = ()
    acl: tuple[Acl, ...] = ()
    comment: str | None = None
    references: tuple[str, ...] = ()
    """Dotted names the SQL reads, by the parser, as spelled, CTEs left out, in order of appearance."""
    parity_references: tuple[str, ...] = ()
    """What the engine's own regular expressions find (3.1)."""
    location: Location
    """The YAML file if there is one, else the SQL or Python file."""
    sql_location: Location | None = None
    digest: str
    """Hash of YAML, SQL and macros after rendering: part of the code version."""

    @property
    def raw(self) -> str:
        """`<task.domain>.<file stem>`: the name the command line knows (`transform --name`)."""
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
    """A table described below `metadata/external`: read by tasks, loaded by nobody here."""

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


class Connection(Frozen):
    """`application.connections.<name>` (2.7)."""

    name: str
    type: str
    loader: str | None = None
    spark_format: str | None = None
    quote: str | None = None
    separator: str | None = None
    options: Mapping[str, str] = Field(default_factory=dict, repr=False)
    transpile_dialect: str | None = None

    @property
    def engine(self) -> str:
        """What stores the tables: `duckdb`, `bigquery`, `snowflake`, `postgresql`, …, or `spark`."""
        kind = self.type.lower()
        if kind in {"bigquery", "bq"}:
            return "bigquery"
        if "sfUrl" in self.options or kind == "snowflake":
            return "snowflake"
        if kind == "jdbc":
            url = self.options.get("url", "")
            parts = url.split(":")
            name = parts[1].lower() if len(parts) > 1 else ""
            if name == "arrow-flight-sql":
                return self.options.get("dialect", "duckdb")
            return "mysql" if name == "mariadb" else name
        return "spark"

    @property
    def dialect(self) -> str:
        """The sqlglot dialect of SQL run on this connection."""
        if self.transpile_dialect:
            return self.transpile_dialect.lower()
        if self.type.lower() == "databricks":
            return "databricks"
        known = {"postgresql": "postgres", "sqlserver": "tsql"}
        return known.get(self.engine, self.engine)


class Areas(Frozen):
    """`application.area`: names or bases of the file areas."""

    incoming: str = "incoming"
    stage: str = "stage"
    unresolved: str = "unresolved"
    archive: str = "archive"
    ingesting: str = "ingesting"
    replay: str = "replay"


class Audit(Frozen):
    """`application.audit`."""

    active: bool = True
    domain: str = "audit"
    max_errors: int = 100
    detailed_load_audit: bool = False
    connection: str = ""
    database: str = ""


class ExpectationSettings(Frozen):
    """`application.expectations`."""

    active: bool = True
    fail_on_error: bool = False


class RefInput(Frozen):
    """The left side of a rule of `refs.sl.yml`: Java regular expressions, full match; None = part not declared."""

    database: str | None = None
    domain: str | None = None
    table: str


class RefOutput(Frozen):
    """The right side of a rule of `refs.sl.yml`."""

    database: str = ""
    domain: str = ""
    table: str = ""


class RefRule(Frozen):
    """One rule of `refs.sl.yml` (3.4)."""

    input: RefInput
    output: RefOutput


class Application(Frozen):
    """`application.sl.yml`: what bears on the graph or on a run (2.7)."""

    connections: Mapping[str, Connection] = Field(default_factory=dict, repr=False)
    connection_ref: str = ""
    load_connection_ref: str = ""
    transform_connection_ref: str = ""
    loader: Literal["spark", "native"] = "spark"
    database: str = ""
    tenant: str = ""
    datasets: str
    """Absolute path or URL of the data root (`SL_DATASETS`)."""
    areas: Areas = Areas()
    audit: Audit = Audit()
    expectations: ExpectationSettings = ExpectationSettings()
    dag_ref_load: str | None = None
    dag_ref_transform: str | None = None
    schedule_presets: Mapping[str, str] = Field(default_factory=dict)
    refs: tuple[RefRule, ...] = ()
    archive: bool = True
    grouped: bool = False
    grouped_max: int = 1_000_000
    load_strategy_class: str = "ai.starlake.job.load.IngestionTimeStrategy"
    reject_all_on_error: bool = False
    reject_with_value: bool = False
    sink_replay_to_file: bool = False
    empty_is_null: bool = True
    scd2_start_timestamp: str = "sl_start_ts"
    scd2_end_timestamp: str = "sl_end_ts"
    sync_yaml_with_db: bool = True
    create_schema_if_not_exists: bool = True
    job_id_env_name: str | None = None
    timezone: str = "UTC"
    privacy_options: Mapping[str, str] = Field(default_factory=dict)
    location: Location | None = None


class TypeDef(Frozen):
    """One entry of `types/*.sl.yml` or of the packaged list (6.3)."""

    name: str
    pattern: str
    primitive_type: str = "string"
    zone: str | None = None
    sample: str | None = None
    comment: str | None = None
    ddl_mapping: Mapping[str, str] = Field(default_factory=dict)


class Macro(Frozen):
    """A `.j2` file below `expectations/` or `macros/`."""

    file: str
    text: str
    kind: Literal["expectation", "macro"]


class DagConfig(Frozen):
    """`dags/<name>.sl.yml` (2.9). Values are not rendered here: their variables belong to the DAG."""

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
    """`SL_ENV`."""
    variables: Mapping[str, str] = Field(repr=False)
    """All variables in force (2.8), for what is rendered at run time; may hold secrets, never logged or cached."""
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
        """The connection of that name, or None."""
        return self.application.connections.get(name)
