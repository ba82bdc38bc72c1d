"""Groups of the settings of `StarlakeAutomation`, and the group of each option of a DAG configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from starlake_dagster_assets.automation.policies.settings import (
    FORMER_NAMES,
    Guard,
    History,
    IntervalFrom,
    Moment,
    PartitionedBy,
    PartitionWrite,
    Period,
    PreLoadStrategyText,
    Seconds,
    Triggering,
    Words,
    validation_messages,
)
from starlake_dagster_assets.errors import ProjectError, closest_match

__all__ = [
    "FIELDS",
    "FLAT_NAMES",
    "GROUPS",
    "JobSettings",
    "LineageSettings",
    "PartitionSettings",
    "PreLoadSettings",
    "ScheduleSettings",
    "SettingsGroup",
]


class SettingsGroup(BaseModel):
    """A group of settings; None means the default of the setting."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shorthands: ClassVar[Mapping[type, str]] = {}
    """Name of the field that a plain value of a type sets, by type."""
    example: ClassVar[str] = ""

    if not TYPE_CHECKING:  # type checkers see the fields

        def __init__(self, **data: Any) -> None:
            try:
                super().__init__(**data)
            except ValidationError as error:
                raise ProjectError([f"{type(self).__name__}: {text}" for text in validation_messages(error)]) from error

    @model_validator(mode="before")
    @classmethod
    def _known(cls, data: Any) -> Any:
        """Raises an error for an unknown name, with the closest field."""
        for name in _names(data) - cls.model_fields.keys():
            group, field = FLAT_NAMES.get(name, ("", ""))
            near = (
                field if field in cls.model_fields and GROUPS[group] is cls else closest_match(name, cls.model_fields)
            )
            raise ValueError(f"no setting `{name}`" + (f"; did you mean `{near}`?" if near else ""))
        return data

    @classmethod
    def fields_of(cls, value: object) -> dict[str, Any] | None:
        """Returns the fields of a group from an instance, a mapping, or the value of one field; else None."""
        if isinstance(value, cls):
            return {name: getattr(value, name) for name in value.model_fields_set}
        if isinstance(value, Mapping):
            return dict(cast("Mapping[str, Any]", value))
        for kind, field in cls.shorthands.items():
            if type(value) is kind:
                return {field: value}
        return None


class PreLoadSettings(SettingsGroup):
    """Files that a load waits for, and how its sensor lists them.

    In DAG configurations and tags the options have the names in parentheses, if given.

    Attributes:
        strategy: `none` (default), `imported`, `pending` or `ack` (`pre_load_strategy`).
        enabled: Whether files start runs.
        ack_file_path: The file that `ack` waits for (`global_ack_file_path`).
        ack_wait_timeout: Seconds after the tick of a schedule in which files may arrive; 3600 by default.
        incoming_path: The directory that `imported` scans, instead of that of the domain.
        pending_path: The directory that `pending` scans, instead of the stage area of the domain.
        poke_interval: Seconds between two scans of the files; 30 by default (`pre_load_poke_interval`).
        soft_fail: Whether a window that closes without files is a skip instead of a failed run; True by default
            (`pre_load_sensor_soft_fail`).
        stable_for: Seconds for which a file must be unchanged before it counts as complete; 10 by default.
        guard: The check of the files in the run: `files` (a listing, the default), `cli` (`starlake preload`) or
            `none`.
        storage_options: Arguments of fsspec's file systems by protocol, such as `{"s3": {"endpoint_url": "…"}}`. By
            default they find their credentials themselves. Only for the whole project.

    Raises:
        ProjectError: Names each setting that is unknown or whose value cannot be read.

    Examples:
        ::

            StarlakeAutomation(pre_load=PreLoadSettings(strategy="imported", stable_for=60))
    """

    shorthands: ClassVar[Mapping[type, str]] = {str: "strategy", bool: "enabled"}
    example: ClassVar[str] = 'PreLoadSettings(…), a strategy such as "imported", or False'

    strategy: PreLoadStrategyText | None = None
    enabled: bool = True
    ack_file_path: str | None = None
    ack_wait_timeout: Seconds | None = None
    incoming_path: str | None = None
    pending_path: str | None = None
    poke_interval: Period | None = None
    soft_fail: bool | None = None
    stable_for: Seconds | None = None
    guard: Guard | None = None
    storage_options: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict, repr=False)


def _names(data: Any) -> set[str]:
    """Returns the names of the settings in a mapping; empty for other values."""
    return set(cast("Mapping[str, Any]", data)) if isinstance(data, Mapping) else set()


def _switched(value: Any) -> Any:
    """Returns `sensor` for True and `none` for False, and other values unchanged."""
    return ("sensor" if value else "none") if isinstance(value, bool) else value


class LineageSettings(SettingsGroup):
    """Lineage triggers of tasks without a schedule: which upstreams must have new updates.

    In DAG configurations and tags the options have the same names, except `strategy`.

    Attributes:
        triggering: The trigger of such a task after updates of its upstreams: a `sensor` (default), a `condition`
            (Dagster's declarative automation), or `none`.
        strategy: The upstreams that must have updates: `any` (default, as in Starlake), `all`, or an expression over
            names of assets such as `a & (b | c)` (`dataset_triggering_strategy`).
        run_dependencies_first: Whether upstreams without a trigger run in the same job, and upstreams of the
            same schedule in the same run. By default they are watched, and a schedule does not wait for others.
        optional_datasets: Names of upstreams that are watched, but that the task does not wait for.
        optional_dataset_enabled: Whether the task does not wait for upstreams that are materialized less often; True by
            default: a daily task does not wait for a monthly table.
        data_cycle: The cycle in which all upstreams must be materialized: `none`, `hourly`, `daily`, `weekly`,
            `monthly`, `yearly`, a preset of the project or a cron.
        data_cycle_enabled: Whether `data_cycle` applies; True by default if it is set.
        beyond_data_cycle_enabled: Whether an upstream's `freshness` widens the cycle; True by default.
        min_timedelta_between_runs: Seconds between two runs; 0 by default.
        interval: The data interval of a run without a partition, schedule or tag: `declared` (default): the union of
            the intervals of the updates that it consumes, and none if one of them has none;
            `since_last_run`: from the end of the last run until now.
        require_fresh_upstreams: Whether an update that is older than the `freshness` of its upstream does not count;
            False by default: `freshness` only monitors.
        history: The partitions that are requested for a task that was never materialized: `latest` (default): those of
            the newest update, the others are left to a backfill; `all`: all partitions with updates.

    Raises:
        ProjectError: Names each setting that is unknown or whose value cannot be read.

    Examples:
        ::

            StarlakeAutomation(lineage=LineageSettings(strategy="all", min_timedelta_between_runs=900))
    """

    shorthands: ClassVar[Mapping[type, str]] = {bool: "triggering"}
    example: ClassVar[str] = "LineageSettings(…), or False"

    triggering: Annotated[Triggering, BeforeValidator(_switched)] | None = None
    strategy: str | None = None
    run_dependencies_first: bool | None = None
    optional_datasets: Words | None = None
    optional_dataset_enabled: bool | None = None
    data_cycle: str | None = None
    data_cycle_enabled: bool | None = None
    beyond_data_cycle_enabled: bool | None = None
    min_timedelta_between_runs: Seconds | None = None
    interval: IntervalFrom | None = None
    require_fresh_upstreams: bool | None = None
    history: History | None = None


class ScheduleSettings(SettingsGroup):
    """Settings of schedules: whether the crons of a project start runs, and for which data intervals.

    In DAG configurations and tags the options have the same names.

    Attributes:
        enabled: Whether crons start runs. Only for the whole project.
        start_date: Data intervals that begin before it are skipped: a date, or a date and time, in the time zone.
        end_date: Data intervals that begin after it are skipped.
        catchup: Whether the intervals of missed ticks are requested; False by default.

    Raises:
        ProjectError: Names each setting that is unknown or whose value cannot be read.

    Examples:
        ::

            StarlakeAutomation(schedules=ScheduleSettings(start_date="2025-03-01", catchup=True))
    """

    shorthands: ClassVar[Mapping[type, str]] = {bool: "enabled", str: "enabled"}
    example: ClassVar[str] = "ScheduleSettings(…), or False"

    enabled: bool = True
    start_date: Moment | None = None
    end_date: Moment | None = None
    catchup: bool | None = None


class PartitionSettings(SettingsGroup):
    """Settings of asset partitions.

    In DAG configurations and tags the options have the names in parentheses.

    Attributes:
        by: `none` (default): unpartitioned; `cron`: a scheduled node is partitioned by its cron; `sink`: a node is
            partitioned by the partition column of its sink (`partitions`).
        write: `strategy` (default): a partition is written as `writeStrategy` declares; `replace`: its rows are deleted
            and inserted in one transaction, on the embedded engine only (`partition_write`).
        column: The column that `replace` compares with the partition; the first of `sink.partition` by default
            (`partition_column`).

    Raises:
        ProjectError: Names each setting that is unknown or whose value cannot be read.

    Examples:
        ::

            StarlakeAutomation(partitions=PartitionSettings(by="cron", write="replace"))
    """

    shorthands: ClassVar[Mapping[type, str]] = {str: "by"}
    example: ClassVar[str] = 'PartitionSettings(…), or "cron", "sink" or "none"'

    by: PartitionedBy | None = None
    write: PartitionWrite | None = None
    column: str | None = None


class JobSettings(SettingsGroup):
    """Retries, limits and tags of jobs.

    In DAG configurations the options have the same names, except `pool`.

    Attributes:
        pool: Concurrency pool of the steps (`default_pool`).
        retries: Number of times that a failed step is retried.
        retry_delay: Seconds before the first retry; 300 by default.
        max_active_runs: Number of runs of a job at the same time.
        priority_weight: Priority of runs; higher ones start first.
        tags: Tags of the jobs.

    Raises:
        ProjectError: Names each setting that is unknown or whose value cannot be read.

    Examples:
        ::

            StarlakeAutomation(jobs=JobSettings(retries=2, retry_delay=60))
    """

    example: ClassVar[str] = "JobSettings(…)"

    pool: str | None = None
    retries: Annotated[int, Field(ge=0)] | None = None
    retry_delay: Seconds | None = None
    max_active_runs: Annotated[int, Field(ge=1)] | None = None
    priority_weight: int | None = None
    tags: Words | None = None


GROUPS: Mapping[str, type[SettingsGroup]] = {
    "pre_load": PreLoadSettings,
    "lineage": LineageSettings,
    "schedules": ScheduleSettings,
    "partitions": PartitionSettings,
    "jobs": JobSettings,
}
_RENAMED = {
    ("pre_load", "strategy"): "pre_load_strategy",
    ("pre_load", "enabled"): "arrivals",
    ("pre_load", "ack_file_path"): "global_ack_file_path",
    ("pre_load", "poke_interval"): "pre_load_poke_interval",
    ("pre_load", "soft_fail"): "pre_load_sensor_soft_fail",
    ("lineage", "strategy"): "dataset_triggering_strategy",
    ("schedules", "enabled"): "schedules",
    ("partitions", "by"): "partitions",
    ("partitions", "write"): "partition_write",
    ("partitions", "column"): "partition_column",
    ("jobs", "pool"): "default_pool",
}
FIELDS = {
    _RENAMED.get((group, field), field): (group, field) for group, cls in GROUPS.items() for field in cls.model_fields
}
"""The group and field of each setting, by the name that it has in a DAG configuration."""

FLAT_NAMES: Mapping[str, tuple[str, str]] = {
    **{name: where for name, where in FIELDS.items() if name not in GROUPS},
    **{former: FIELDS[name] for former, name in FORMER_NAMES.items()},
}
"""The group and field of each setting, by its name outside of groups; names of groups are not in it."""
