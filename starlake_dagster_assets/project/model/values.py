"""Values that files and models share: frozen, read by their Python names or by Starlake's camelCase ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.dataclasses import dataclass

__all__ = [
    "STRATEGIES",
    "Acl",
    "Attribute",
    "Expectation",
    "Format",
    "Freshness",
    "Frozen",
    "Location",
    "Metadata",
    "Position",
    "Rls",
    "Sink",
    "WriteStrategy",
    "shared",
]

STRATEGIES = (
    "APPEND",
    "OVERWRITE",
    "UPSERT_BY_KEY",
    "UPSERT_BY_KEY_AND_TIMESTAMP",
    "OVERWRITE_BY_PARTITION",
    "DELETE_THEN_INSERT",
    "SCD2",
)
"""Starlake's built-in write strategies; anything else is the name of a template."""

Format = Literal[
    "DSV", "POSITION", "JSON", "JSON_FLAT", "XML", "TEXT_XML", "PARQUET", "GENERIC", "KAFKA", "KAFKASTREAM", "DATAFRAME"
]
_NAMED = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)
View = Literal["TABLE", "VIEW", "MATERIALIZED_VIEW", "HYBRID"]
StrategyType = str
"""Name of a write strategy: in upper case if it is built in, as written if it is a custom template."""


class Frozen(BaseModel):
    """A value object: immutable, no unknown keys, read by its Python names or by Starlake's camelCase ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


def shared(value: Frozen) -> Any:
    """Returns a default that all objects share; otherwise pydantic copies a default with a mapping for each object."""
    return Field(default_factory=lambda: value)


class Location(Frozen):
    """Position in a file: a posix path relative to the project root, and a 1-based line if known."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


class Position(Frozen):
    """`attributes[].position`: 0-based, inclusive character positions (POSITION format)."""

    first: int
    last: int


class WriteStrategy(Frozen):
    """Write strategy of a table or task (`writeStrategy`)."""

    type: StrategyType = "APPEND"
    types: Mapping[str, str] = Field(default_factory=dict)
    key: tuple[str, ...] = ()
    timestamp: str | None = None
    on: Literal["TARGET", "SOURCE_AND_TARGET"] = "TARGET"
    start_ts: str | None = None
    end_ts: str | None = None
    query_filter: str | None = None


class Sink(Frozen):
    """Sink of a table or task (`sink`); `connection_ref` is "" if the default connection applies."""

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
    """Item of `expectations[]`; `fail_on_error` is None if the item does not set it: the application decides."""

    expect: str
    fail_on_error: bool | None = None

    def blocks(self, default: bool) -> bool:
        """Whether a failure blocks the table: its rows are rolled back, and its downstreams do not run.

        Args:
            default: `application.expectations.failOnError`: applies if the item sets no `failOnError`.
        """
        return default if self.fail_on_error is None else self.fail_on_error


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


@dataclass(frozen=True, slots=True, kw_only=True, config=_NAMED)
class Attribute:
    """Column of a table or of a task's documentation.

    A dataclass with slots, because a project has many: half the memory of a model, and quicker to read.
    """

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
    """`metadata` of a table, merged with that of its domain and with the defaults."""

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
    write_strategy: WriteStrategy = shared(WriteStrategy())
    sink: Sink = shared(Sink())
    schedule: str | None = None
    dag_ref: str | None = None
    freshness: Freshness | None = None
