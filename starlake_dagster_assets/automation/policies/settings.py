"""Settings that decide when tables and tasks run, by the names of Starlake's options."""

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
    "PreLoadStrategyText",
    "Seconds",
    "Status",
    "TimeZone",
    "Triggering",
    "Words",
    "validate_timezone",
    "validation_messages",
]

FORMER_NAMES = {"load_dependencies": "run_dependencies_first"}
"""Present names of settings, by their former names."""


def _parse_list(value: Any) -> Any:
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
    """Parses a date or an instant; a date without a time is its first instant."""
    if not isinstance(value, str):
        return value
    text = re.sub(r"Z$", "+00:00", value.strip())
    text = re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", text) if "T" in text or ":" in text else text
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"`{value}` is not a date such as 2024-05-02 or 2024-05-02T06:00:00") from error


@cache
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones())  # reads a directory


def validate_timezone(name: str) -> str:
    """Returns the name of a time zone unchanged, if the time zone exists.

    Args:
        name: IANA name.

    Raises:
        ValueError: When there is no such time zone. The message suggests the closest name.
    """
    if name not in _timezones():
        near = closest_match(name, _timezones())
        raise ValueError(f"no time zone `{name}`." + (f" Did you mean `{near}`?" if near else ""))
    return name


Words = Annotated[tuple[str, ...], BeforeValidator(_parse_list)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
Seconds = Annotated[float, Field(ge=0)]
Period = Annotated[float, Field(gt=0)]
TimeZone = Annotated[str, AfterValidator(validate_timezone)]
PreLoadStrategyText = Annotated[PreLoadStrategy, BeforeValidator(_lower)]
Guard = Annotated[Literal["files", "cli", "none"], BeforeValidator(_lower)]
Triggering = Annotated[Literal["sensor", "condition", "none"], BeforeValidator(_lower)]
History = Annotated[Literal["latest", "all"], BeforeValidator(_lower)]
PartitionedBy = Annotated[Partitions, BeforeValidator(_lower)]
IntervalFrom = Annotated[Intervals, BeforeValidator(_lower)]
PartitionWrite = Annotated[Literal["strategy", "replace"], BeforeValidator(_lower)]
Status = Literal["STOPPED", "RUNNING"]


class NodeSettings(BaseModel):
    """Settings of a table or task, by the names of options in DAG configurations and tags; None = the default.

    The groups of `StarlakeAutomation` document each of them: `PreLoadSettings`, `LineageSettings`, `ScheduleSettings`,
    `PartitionSettings` and `JobSettings`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pre_load_strategy: PreLoadStrategyText | None = None
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
        """Replaces former names of options with present ones; raises an error with a hint for an unknown name."""
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
