"""Settings of a project: `application.sl.yml` with its connections, and the types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from starlake_dagster_assets.project.model.values import Frozen, Location

__all__ = [
    "Application",
    "Areas",
    "Audit",
    "Connection",
    "ExpectationSettings",
    "RefInput",
    "RefOutput",
    "RefRule",
    "TypeDef",
]


class Connection(Frozen):
    """Connection of `application.connections.<name>`."""

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
        """Database engine that stores the tables: `duckdb`, `bigquery`, `snowflake`, `postgresql`, …, or `spark`."""
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
    """Settings of `application.audit`."""

    active: bool = True
    domain: str = "audit"
    max_errors: int = 100
    detailed_load_audit: bool = False
    connection: str = ""
    database: str = ""


class ExpectationSettings(Frozen):
    """Settings of `application.expectations`."""

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
    """A rule of `refs.sl.yml`."""

    input: RefInput
    output: RefOutput


class Application(Frozen):
    """`application.sl.yml`: the keys that the graph or a run depends on."""

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
    max_jobs: int = 1
    """Number of tables that a load processes at the same time (`sparkScheduling.maxJobs`)."""
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
    """An entry of `types/*.sl.yml` or of the packaged list of types."""

    name: str
    pattern: str
    primitive_type: str = "string"
    zone: str | None = None
    sample: str | None = None
    comment: str | None = None
    ddl_mapping: Mapping[str, str] = Field(default_factory=dict)
