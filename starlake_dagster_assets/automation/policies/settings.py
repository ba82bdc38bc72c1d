"""Settings of tables, tasks and DAG configurations that say when they run, by the names of Starlake's options."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal, cast
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from starlake_dagster_assets.automation.policies.model import Intervals, Partitions, PreLoadStrategy
from starlake_dagster_assets.errors import closest_match

__all__ = [
    "FORMER_NAMES",
    "Guard",
    "History",
    "IntervalFrom",
    "Moment",
    "NodeSettings",
    "PartitionWrite",
    "PartitionedBy",
    "Period",
    "Seconds",
    "Status",
    "Strategy",
    "TimeZone",
    "Triggering",
    "Words",
    "known_timezone",
    "validation_messages",
]

FORMER_NAMES = {"load_dependencies": "run_dependencies_first"}
"""Settings that had another name."""


def _words(value: Any) -> Any:
    """Returns a list, also from the notations of DAG configurations: `a, b`, `a b`, `["a", "b"]` or `['a', 'b']`."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("["):
        try:
            return json.loads(text.replace("'", '"'))
        except ValueError as error:
            raise ValueError(f"`{text}` is not a list: {error}") from error
    return re.findall(r"[^\s,]+", text)


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _moment(value: Any) -> Any:
    """Returns a date or an instant; a date without a time is its first instant."""
    if not isinstance(value, str):
        return value
    text = re.sub(r"Z$", "+00:00", value.strip())
    text = re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", text) if "T" in text or ":" in text else text
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"`{value}` is no date such as 2024-05-02 or 2024-05-02T06:00:00") from error


@cache
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones())  # reads a directory


def known_timezone(name: str) -> str:
    """Returns the name of a time zone unchanged.

    Args:
        name: IANA name.

    Raises:
        ValueError: When there is no such time zone. The message suggests the closest name.
    """
    if name not in _timezones():
        near = closest_match(name, _timezones())
        raise ValueError(f"no time zone `{name}`." + (f" Did you mean `{near}`?" if near else ""))
    return name


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
Seconds = Annotated[float, Field(ge=0)]
Period = Annotated[float, Field(gt=0)]
TimeZone = Annotated[str, AfterValidator(known_timezone)]
Strategy = Annotated[PreLoadStrategy, BeforeValidator(_lower)]
Guard = Annotated[Literal["files", "cli", "none"], BeforeValidator(_lower)]
Triggering = Annotated[Literal["sensor", "condition", "none"], BeforeValidator(_lower)]
History = Annotated[Literal["latest", "all"], BeforeValidator(_lower)]
PartitionedBy = Annotated[Partitions, BeforeValidator(_lower)]
IntervalFrom = Annotated[Intervals, BeforeValidator(_lower)]
PartitionWrite = Annotated[Literal["strategy", "replace"], BeforeValidator(_lower)]
Status = Literal["STOPPED", "RUNNING"]


class NodeSettings(BaseModel):
    """Settings of a table or a task. None: not set here, so the next setting in the order of precedence counts.

    The same names are options of a DAG configuration (`metadata/dags/*.sl.yml`) and, except those of jobs, tags
    (`pre_load_strategy=ack`) of a table or a task; there, values are texts.

    Attributes:
        pre_load_strategy: `none`, `imported`, `pending` or `ack`: which files a load waits for; `none` by default.
        global_ack_file_path: The file that `ack` waits for.
        ack_wait_timeout: Seconds after the tick of a schedule in which the files may still come; 3600 by default.
        incoming_path: Where `imported` looks, instead of the domain's own directory.
        pending_path: Where `pending` looks, instead of the domain's stage area.
        pre_load_poke_interval: Seconds between two looks at files.
        pre_load_sensor_soft_fail: Whether a window that closes without files is a skip, not a failure.
        stable_for: Seconds that a file must have kept its size and time before it counts.
        guard: Who looks again in the run: `files` (a listing), `cli` (`starlake preload`) or `none`.
        triggering: What makes a task without a cron run once its upstreams have moved: a `sensor` (default), a
            `condition` (Dagster's declarative automation), or `none`.
        dataset_triggering_strategy: `any` (default, as in Starlake), `all`, or an expression such as `a & (b | c)`
            over names of assets: which upstreams must have moved.
        run_dependencies_first: Whether upstreams that nobody else runs are made in the same job, and upstreams of the
            same schedule in the same run (formerly `load_dependencies`, still accepted); else they are watched, which
            is the default, and a schedule does not wait for others.
        optional_datasets: Names of upstreams that are watched but never waited for.
        optional_dataset_enabled: Whether upstreams that are made less often than the task are not waited for; True
            by default: a monthly table does not hold a daily task.
        data_cycle_enabled: Whether `data_cycle` is in force; True by default where it is said.
        data_cycle: `none`, `hourly`, `daily`, `weekly`, `monthly`, `yearly`, a preset of the project or a cron: in one
            of its cycles the upstreams must be made together.
        beyond_data_cycle_enabled: Whether the cycle is wider by an upstream's `freshness`; True by default.
        min_timedelta_between_runs: Seconds between two runs; 0 by default.
        interval: The data interval of a task in a run without a partition and a schedule: `declared` (default): the
            union of the partitions and intervals of the updates that it consumes; `since_last_run`: from the end of
            the last run until now.
        require_fresh_upstreams: Whether an update that is older than the `freshness` of its upstream does not count;
            False by default: `freshness` only monitors.
        history: `latest` (default): of a task that was never materialized the partitions of the newest update are
            requested; `all`: all partitions with updates.
        timezone: IANA name; that of the project (`SL_TIMEZONE`) by default.
        start_date: From when schedules tick.
        end_date: Until when.
        catchup: Whether ticks that were missed are made up for; False by default.
        partitions: `cron`: a scheduled node is partitioned by its cron; `sink`: by the partition column of its sink;
            `none` (default).
        partition_write: `strategy` (default): a partition is written as `writeStrategy` says; `replace`: its rows are
            deleted and inserted in one transaction, on the embedded engine only.
        partition_column: The column that `replace` compares with the partition; the first of `sink.partition` by
            default.
        default_pool: Concurrency pool.
        retries: How often a failed step is retried.
        retry_delay: Seconds before the first retry.
        max_active_runs: Runs of a job at the same time.
        priority_weight: Priority of runs; the higher the sooner.
        tags: Of a job.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pre_load_strategy: Strategy | None = None
    global_ack_file_path: str | None = None
    ack_wait_timeout: Seconds | None = None
    incoming_path: str | None = None
    pending_path: str | None = None
    pre_load_poke_interval: Period | None = None
    pre_load_sensor_soft_fail: bool | None = None
    stable_for: Seconds | None = None
    guard: Guard | None = None
    triggering: Triggering | None = None
    dataset_triggering_strategy: str | None = None
    run_dependencies_first: bool | None = None
    optional_datasets: Words | None = None
    optional_dataset_enabled: bool | None = None
    data_cycle_enabled: bool | None = None
    data_cycle: str | None = None
    beyond_data_cycle_enabled: bool | None = None
    min_timedelta_between_runs: Seconds | None = None
    interval: IntervalFrom | None = None
    require_fresh_upstreams: bool | None = None
    history: History | None = None
    timezone: TimeZone | None = None
    start_date: Moment | None = None
    end_date: Moment | None = None
    catchup: bool | None = None
    partitions: PartitionedBy | None = None
    partition_write: PartitionWrite | None = None
    partition_column: str | None = None
    default_pool: str | None = None
    retries: Annotated[int, Field(ge=0)] | None = None
    retry_delay: Seconds | None = None
    max_active_runs: Annotated[int, Field(ge=1)] | None = None
    priority_weight: int | None = None
    tags: Words | None = None

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        """Returns the present name of an option, and a hint for an unknown name."""
        if not isinstance(data, Mapping):
            return data
        found = dict(cast("Mapping[str, Any]", data))
        for former, name in FORMER_NAMES.items():
            if former in found:
                value = found.pop(former)
                if found.setdefault(name, value) != value:
                    raise ValueError(f"`{name}` is also given as `{former}`, with another value; keep one")
        for name in found.keys() - cls.model_fields.keys():
            near = closest_match(name, [*cls.model_fields, *FORMER_NAMES])
            raise ValueError(f"no setting `{name}`" + (f"; did you mean `{near}`?" if near else ""))
        return found


def validation_messages(error: ValidationError) -> list[str]:
    """Returns one sentence per invalid value; never the values of `storage_options`, which may be secrets."""
    found: list[str] = []
    for one in error.errors():
        name = ".".join(str(part) for part in one["loc"] if isinstance(part, str))
        message = one["msg"].removeprefix("Value error, ")
        is_shown = one["type"] != "value_error" and not name.startswith("storage_options")
        shown = f"; found {one['input']!r}" if is_shown else ""
        found.append(f"{name}: {message}{shown}." if name else f"{message}.")
    return [text.replace("?.", "?").replace("..", ".") for text in found]
