"""Content of a DAG file, before it is rendered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

from starlake_dagster_assets._deprecated import warn_deprecated
from starlake_dagster_assets.automation.policies.model import CronSchedule, PreLoad
from starlake_dagster_assets.errors import ProjectError

__all__ = [
    "MAX_FAILED_RUNS",
    "AirflowOptions",
    "AssetExpression",
    "AuditSchema",
    "ContinuousSchedule",
    "DagSpec",
    "DagSplit",
    "EnvironmentName",
    "ExportPlan",
    "ExternalAsset",
    "FileWait",
    "Granularity",
    "TaskSpec",
]

EnvironmentName = str
"""Name of an environment of the registry that has operators for Airflow."""

DagSplit = Literal["schedule", "domain", "table", "component"]
Granularity = Literal["task", "batch"]
_NONE: Mapping[str, str] = MappingProxyType({})
MAX_FAILED_RUNS = 3
"""Number of failed runs in a row after which Airflow pauses a DAG that files in `stage/` start."""
_AIRFLOW_NAME = re.compile(r"[\w.:/-]*")


@dataclass(frozen=True)
class AirflowOptions:
    """Options for every DAG; those of a DAG configuration take precedence.

    Attributes:
        prefix: Prefix of every DAG id and file name.
        start_date: Default of `start_date`; in the time zone of the project.
        retries: Default of `retries`.
        retry_delay: Default of `retry_delay`: seconds before the first retry, doubled at each further one.
        max_active_runs: Default of `max_active_runs`. Starlake takes no lock: two loads of one table must not run
            at once.
        max_assets: Maximum number of assets per DAG: Airflow's graph page is quadratic in them.
        pool_slots: Deprecated, without effect: the only pool in `pools.json` is that of DuckDB files, with one slot.
        settings: Options of the environment, by the names that DAG configurations use (`dataproc_region`,
            `aws_task_private_subnets`, `SL_STARLAKE_PATH`, …), if no DAG configuration sets them.
        variables_prefix: Prefix of the names of the Airflow variables that the DAGs read (`starlake_root`,
            `dataproc_region`, …), so that several projects have variables of their own.
        checks: Airflow connection to the warehouse, with which tasks query the audit for results of expectations, and
            in a cloud for results of transforms. None = `google_cloud_default` if the audit is in BigQuery and commands
            run on Cloud Run; otherwise no task queries the audit.
        uri: URI of an asset, instead of the one that `ids` defines: `{key}` is its key, percent-encoded, `{name}` its
            name in starlake-airflow.
        airlift: Whether each task can be switched to Dagster, by dagster-airlift and `proxied_state/<DAG id>.yaml`.
        airlift_operator: Operator class with which Airflow calls Dagster, as `module:Name`: a subclass of
            `BaseProxyTaskToDagsterOperator`. By default Dagster is at the URL in `DAGSTER_URL`.
    """

    prefix: str = "starlake"
    start_date: datetime = datetime(2024, 1, 1)
    retries: int = 1
    retry_delay: float = 300
    max_active_runs: int = 1
    max_assets: int = 100
    pool_slots: int | None = None
    settings: Mapping[str, str] = field(default_factory=lambda: _NONE)
    variables_prefix: str = ""
    checks: str | None = None
    uri: str | None = None
    airlift: bool = False
    airlift_operator: str | None = None

    def __post_init__(self) -> None:
        """Raises an error for names that Airflow could read as template code; warns about deprecated options."""
        for option, value in (("variables_prefix", self.variables_prefix), ("checks", self.checks or "")):
            if not _AIRFLOW_NAME.fullmatch(value):
                raise ProjectError(
                    [f"option {option}: {value!r} is not a name of Airflow; expected letters, digits and `_-.:/`."]
                )
        if self.airlift_operator is not None and not re.fullmatch(r"[\w.]+:\w+", self.airlift_operator):
            raise ProjectError([f"option airlift_operator: expected `module:Name`, found {self.airlift_operator!r}."])
        if self.airlift_operator is not None and not self.airlift:
            raise ProjectError(
                ["option airlift_operator: no task can be switched to Dagster without `airlift`. Next: set both."]
            )
        if self.pool_slots is not None:
            warn_deprecated("`AirflowOptions(pool_slots=…)`", "pools that you create in Airflow")


@dataclass(frozen=True)
class AssetExpression:
    """Condition on assets: node ids or URIs, or nested conditions, joined by `&` (all) or `|` (any)."""

    operator: Literal["&", "|"]
    parts: tuple[AssetExpression | str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All names in order, without duplicates."""
        found = [name for part in self.parts for name in ([part] if isinstance(part, str) else part.names)]
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class ContinuousSchedule:
    """Schedule that starts a run when the previous one has ended; each run waits for files."""


@dataclass(frozen=True)
class FileWait:
    """Files that a sensor waits for before a domain is loaded.

    Attributes:
        preload: Pre-load settings: strategy, interval and timeout.
        directory: Directory in which files arrive or are staged, a template of Airflow; "" if there is none.
        ack: Path of the ack file, a template of Airflow; "" for other strategies.
        patterns: Regular expressions of Java for the names of the files.
        acks: Extensions of the ack files that arrive next to the files, by the order of `patterns`; "" = none is
            needed.
    """

    preload: PreLoad
    directory: str = ""
    ack: str = ""
    patterns: tuple[str, ...] = ()
    acks: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskSpec:
    """A task of a DAG.

    Attributes:
        id: Task id.
        kind: `wait` for files, `start` of the loads of a domain, `stage`, `load`, `transform`; `check` and
            `warn` for the results of expectations; `finish` for the event of a whole DAG, `end` for the result of a run
            whose last tasks do not give it.
        argv: Argument list of Starlake, to which `--scheduledDate` and the data interval are added.
        upstream: Ids of the upstream tasks in this DAG.
        inlets: URIs of the assets that the task reads.
        outlets: URIs of the assets that the task updates.
        groups: Task groups around the task, outermost first.
        doc: Documentation in Markdown.
        owner: The owner in Airflow.
        trigger_rule: Trigger rule of Airflow; None = all upstream tasks succeeded.
        waiting: For `wait` and `start`: the files to wait for.
        options: `--options` of one transform, in addition to the data interval.
        spark: Spark properties, if the command runs on Spark.
        checks: For `check` and `warn`: id of the task whose expectations are checked.
        expectations: For `check` and `warn`: the expectations, as the project defines them.
        idle: For `check` and `warn`: whether the task may have found no file for a table, and so has no result of it.
        audited: For `transform`: schema and name of the table whose row in the audit decides the result; None if the
            command itself decides.
        follows: Condition on the updates of other assets under which the task runs; None = no such condition.
        own: URI of the asset whose events record what the task has read, if the task has such a condition.
        present: URIs of the assets that must have been materialized once; None = all assets of the condition.
        arguments: Arguments of the operator from tags and the translator.
    """

    id: str
    kind: Literal["wait", "start", "stage", "load", "transform", "check", "warn", "finish", "end"]
    argv: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    inlets: tuple[str, ...] = ()
    outlets: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    doc: str = ""
    owner: str | None = None
    trigger_rule: str | None = None
    waiting: FileWait | None = None
    options: Mapping[str, str] = field(default_factory=lambda: _NONE)
    spark: Mapping[str, str] = field(default_factory=lambda: _NONE)
    checks: str = ""
    expectations: tuple[str, ...] = ()
    idle: bool = False
    audited: tuple[str, str] | None = None
    follows: AssetExpression | None = None
    own: str = ""
    present: tuple[str, ...] | None = None
    arguments: Mapping[str, Any] = field(default_factory=lambda: _NONE)


@dataclass(frozen=True)
class AuditSchema:
    """The schema of the audit tables, which tasks query.

    Attributes:
        connection: Id of a connection of Airflow.
        name: Name of the schema, as SQL.
        bigquery: Whether it is in BigQuery, which has an operator and a hook of its own.
    """

    connection: str
    name: str
    bigquery: bool = False

    @property
    def arguments(self) -> Mapping[str, str]:
        """Arguments of `end_transform`: the connection, and the table of executed commands."""
        return {"gcp_conn_id" if self.bigquery else "conn_id": self.connection, "table": f"{self.name}.audit"}


@dataclass(frozen=True)
class DagSpec:
    """A DAG and its file.

    Attributes:
        id: DAG id, and the name of the file.
        title: One sentence about the purpose of the DAG.
        sources: Files of the project that the DAG is exported from.
        schedule: Its schedule; None = started by hand only.
        timezone: Time zone of the dates, an IANA name.
        start_date: Start of the time for which the DAG runs.
        end_date: End of the time for which the DAG runs; None = no end.
        catchup: Whether missed ticks are caught up.
        max_active_runs: Maximum number of runs at the same time.
        tags: Tags in Airflow's list of DAGs.
        default_args: Default arguments of the tasks.
        tasks: The tasks in the order of the file, loads before transforms.
        settings: Options of the environment.
        variables_prefix: Prefix of the names of Airflow variables.
        audit: The audit that its tasks query; None if they query none.
        environment: Execution environment of the commands.
        prefix_groups: Whether the ids of tasks begin with the ids of their groups.
        embedded: Whether the file has a function that adds the tasks to a DAG of the user, instead of a DAG.
        airlift: Whether tasks can be switched to Dagster.
        airlift_operator: Operator class that calls Dagster, as `module:Name`; None = that of dagster-airlift.
    """

    id: str
    title: str
    sources: tuple[str, ...]
    schedule: CronSchedule | AssetExpression | ContinuousSchedule | None
    timezone: str
    start_date: datetime
    end_date: datetime | None
    catchup: bool
    max_active_runs: int
    tags: tuple[str, ...]
    default_args: Mapping[str, Any]
    tasks: tuple[TaskSpec, ...]
    settings: Mapping[str, str] = field(default_factory=lambda: _NONE)
    variables_prefix: str = ""
    audit: AuditSchema | None = None
    environment: EnvironmentName = "shell"
    prefix_groups: bool = False
    embedded: bool = False
    airlift: bool = False
    airlift_operator: str | None = None

    @property
    def starts_by_pending_files(self) -> bool:
        """Whether files in `stage/` start the DAG: a file that cannot be loaded stays there and starts it again."""
        waits = [task.waiting for task in self.tasks if task.waiting is not None]
        is_continuous = isinstance(self.schedule, ContinuousSchedule)
        return is_continuous and any(wait.preload.strategy == "pending" for wait in waits)


@dataclass(frozen=True)
class ExternalAsset:
    """An asset that no exported DAG materializes.

    Attributes:
        key: Its asset key.
        reads: URIs of the assets that it reads, if known.
    """

    key: tuple[str, ...]
    reads: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExportPlan:
    """Plan of an export: DAGs, asset URIs, external assets, pools and notes.

    Attributes:
        dags: The DAGs, sorted by id.
        uris: URI by node id.
        node_tasks: (DAG id, task id) by node id.
        external: Assets that no DAG writes, upstream or downstream of the DAGs, by URI.
        pools: Slots of the pools that tasks use, by name.
        notes: Notes on settings that Airflow cannot express.
    """

    dags: tuple[DagSpec, ...]
    uris: Mapping[str, str]
    node_tasks: Mapping[str, tuple[str, str]]
    external: Mapping[str, ExternalAsset] = field(default_factory=lambda: MappingProxyType({}))
    pools: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    notes: tuple[str, ...] = ()
