"""Types of triggers, jobs and policies: independent of Dagster, shared with the Airflow export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

from starlake_dagster_assets._deprecated import warn_deprecated
from starlake_dagster_assets.project.model.problems import Problem

__all__ = [
    "AllOf",
    "AnyOf",
    "Condition",
    "CronSchedule",
    "Intervals",
    "Job",
    "Partitions",
    "PreLoad",
    "PreLoadStrategy",
    "Trigger",
    "TriggerKind",
    "Triggers",
    "Upstream",
    "UpstreamCondition",
]

PreLoadStrategy = Literal["none", "imported", "pending", "ack"]
Partitions = Literal["none", "cron", "sink"]
TriggerKind = Literal["schedule", "arrival", "lineage", "condition", "none"]
Intervals = Literal["declared", "since_last_run"]


@dataclass(frozen=True)
class PreLoad:
    """Condition under which the files of a table are ready to be loaded.

    Attributes:
        strategy: `pre_load_strategy`.
        incoming_path: `incoming_path`: the directory that `imported` scans, instead of the domain's own; may name
            `{domain}`, `{SL_DATASETS}` and other variables, rendered at each tick.
        pending_path: `pending_path`: the directory that `pending` scans, instead of the domain's stage area.
        global_ack_file_path: `global_ack_file_path`: the file that `ack` waits for; may name `{domain}`,
            `{SL_DATASETS}` and the date.
        ack_wait_timeout: `ack_wait_timeout`: seconds after the tick of a schedule in which the files may still arrive.
        poke_interval: `pre_load_poke_interval`: seconds between two scans.
        soft_fail: `pre_load_sensor_soft_fail`: whether a window that closes without files is a skip, not a failure.
        stable_for: Seconds that a file must have kept its size and time before it counts.
        guard: Check in the run: `files` (a listing), `cli` (`starlake preload`), or none.
        timezone: Time zone of the dates in paths, an IANA name.
        storage_options: Arguments of fsspec's file systems by protocol, such as `{"s3": {"endpoint_url": "…"}}`; by
            default they find their credentials themselves.
    """

    strategy: PreLoadStrategy = "none"
    incoming_path: str | None = None
    pending_path: str | None = None
    global_ack_file_path: str | None = None
    ack_wait_timeout: float = 3600
    poke_interval: float = 30
    soft_fail: bool = True
    stable_for: float = 10
    guard: Literal["files", "cli", "none"] = "files"
    timezone: str = "UTC"
    storage_options: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: MappingProxyType({}), repr=False, compare=False
    )


@dataclass(frozen=True)
class CronSchedule:
    """A cron expression of five fields, in a time zone (IANA name).

    Attributes:
        cron: The expression.
        timezone: IANA name.
        start: `start_date`: data intervals that begin earlier are not requested; in the time zone if without offset.
        end: `end_date`: data intervals that begin later are not requested.
        catchup: `catchup`: intervals that were missed, since the start or the last run, are caught up.
    """

    cron: str
    timezone: str = "UTC"
    start: datetime | None = None
    end: datetime | None = None
    catchup: bool = False


@dataclass(frozen=True)
class Upstream:
    """Condition that a node has been materialized since the last run."""

    node: str


@dataclass(frozen=True)
class AllOf:
    """Condition of which every part must hold."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class AnyOf:
    """Condition of which at least one part must hold."""

    parts: tuple[Condition, ...]


Condition = Upstream | AllOf | AnyOf


@dataclass(frozen=True)
class UpstreamCondition:
    """Condition on the upstreams of a node before it is materialized.

    Attributes:
        condition: The condition, over the nodes that are watched.
        optional: `optional_dataset_enabled` and tags: watched, but never waited for.
        slower: Upstreams updated less often than the node: their last state counts, they are not waited for.
        freshness: `freshness` of upstreams in seconds, by node id; it widens the data cycle (`beyond_data_cycle`).
        require_fresh_upstreams: Whether an update that is older than the freshness of its upstream does not count.
        must_exist: Watched nodes that must have been materialized at least once, because the node reads them.
        data_cycle: `data_cycle`: cron of the cycle in which all upstreams must be materialized; None = no cycle.
        beyond_data_cycle: `beyond_data_cycle_enabled`: the `freshness` of an upstream widens its cycle on both sides.
        min_interval: `min_timedelta_between_runs`: seconds between two runs.
        all_history: `history=all`: partitions are due for updates from before the first run, too.
    """

    condition: Condition
    optional: frozenset[str] = frozenset()
    slower: frozenset[str] = frozenset()
    freshness: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    must_exist: frozenset[str] = frozenset()
    data_cycle: str | None = None
    beyond_data_cycle: bool = False
    min_interval: float = 0
    require_fresh_upstreams: bool = False
    all_history: bool = False


@dataclass(frozen=True)
class Trigger:
    """Trigger of a node: exactly one of a schedule, files, upstreams, or none.

    Attributes:
        node: Id of the node.
        triggered_by: `schedule`: has a `cron_schedule`, and a `preload` if its tick waits for files; `arrival`: has a
            `preload`; `lineage` and `condition`: have an `upstream_condition`; `none`: started by hand, or in the job
            of its downstreams.
        job: Name of the job in which the node runs.
        partitions: `partitions`: by its cron, by the partition column of its sink, or none.
        replaced_column: The column by which a partition is deleted and inserted (`partition_write=replace`); "" if the
            write strategy writes partitions.
        bounds: Time zone, start and end of the partitions of a sink, without a cron; None = those of the schedule,
            else the defaults.
        interval: `interval`: the data interval of a run without a partition and a schedule, `declared` by the updates
            that it consumes, or the time since the last run (`since_last_run`).
    """

    node: str
    triggered_by: TriggerKind
    job: str
    preload: PreLoad | None = None
    cron_schedule: CronSchedule | None = None
    upstream_condition: UpstreamCondition | None = None
    partitions: Partitions = "none"
    replaced_column: str = ""
    bounds: CronSchedule | None = None
    interval: Intervals = "declared"

    @property
    def is_lineage(self) -> bool:
        """Whether updates of its upstreams start the node, by a sensor or a condition."""
        return self.triggered_by in ("lineage", "condition")

    @property
    def owner(self) -> TriggerKind:
        """Former name of `triggered_by`."""
        warn_deprecated("`Trigger.owner`", "`Trigger.triggered_by`")
        return self.triggered_by


@dataclass(frozen=True)
class Job:
    """Nodes that run together: nodes of one DAG configuration, or else of one domain, with the same trigger.

    Attributes:
        name: Unique name of letters, digits and underscores.
        nodes: Ids in topological order, including upstreams that run first (`run_dependencies_first`).
        description: `comment` of the DAG configuration.
        dag: Name of the DAG configuration; None if there is none.
        file: Name of its DAG file without the suffix, as `filename` renders it; "" if there is none.
        schedule: Starlake's name of its schedule, if that DAG file has several; else "".
        tags: `tags`.
        options: All `options` as texts, also those without a field here.
        pool: `default_pool`.
        retries: `retries`.
        retry_delay: `retry_delay`, seconds.
        max_active_runs: `max_active_runs`.
        priority: `priority_weight`.
    """

    name: str
    nodes: tuple[str, ...]
    description: str | None = None
    dag: str | None = None
    file: str = ""
    schedule: str = ""
    tags: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    pool: str | None = None
    retries: int | None = None
    retry_delay: float | None = None
    max_active_runs: int | None = None
    priority: int | None = None


@dataclass(frozen=True)
class Triggers:
    """All triggers of a project.

    Attributes:
        triggers: Triggers by node id.
        jobs: Jobs by name.
        problems: Unknown options, and values that were left out.
        prefix: Prefix of the names of jobs, schedules and sensors (`name_prefix`).
        status: Whether schedules and sensors are on from the start (`status`).
        timezone: Time zone of data cycles (`timezone`); None = that of the project.
    """

    triggers: Mapping[str, Trigger]
    jobs: Mapping[str, Job]
    problems: tuple[Problem, ...] = ()
    prefix: str = ""
    status: Literal["STOPPED", "RUNNING"] = "STOPPED"
    timezone: str | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """The problems as texts."""
        return tuple(str(problem) for problem in self.problems)
