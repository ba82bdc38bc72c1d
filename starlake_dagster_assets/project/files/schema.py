"""Keys that files of tables, tasks, types, refs and DAGs may have; most are optional."""

from __future__ import annotations

import json
from typing import Annotated, Any, cast

from pydantic import BeforeValidator, Field

from starlake_dagster_assets.project.files.schema_values import (
    Bool,
    FileModel,
    Int,
    Name,
    Text,
    TextList,
    TextMap,
    choice,
)
from starlake_dagster_assets.project.model.values import STRATEGIES

__all__ = [
    "AttributeFile",
    "DagFile",
    "LoadFile",
    "MetadataFile",
    "RefsFile",
    "SinkFile",
    "TableFile",
    "TaskFile",
    "TransformFile",
    "TypesFile",
    "WriteStrategyFile",
]

FORMATS = (
    "DSV",
    "POSITION",
    "JSON",
    "JSON_FLAT",
    "JSON_ARRAY",
    "XML",
    "TEXT_XML",
    "PARQUET",
    "GENERIC",
    "KAFKA",
    "KAFKASTREAM",
    "DATAFRAME",
)
PRIMITIVES = (
    "string",
    "long",
    "int",
    "integer",
    "short",
    "byte",
    "double",
    "decimal",
    "boolean",
    "date",
    "timestamp",
    "variant",
    "struct",
)


def _strategy(value: object) -> object:
    """Returns a built-in strategy in upper case, and any other name, that of a template, unchanged."""
    if isinstance(value, str) and value.strip().upper() in STRATEGIES:
        return value.strip().upper()
    return value


FormatText = Annotated[str, BeforeValidator(choice(FORMATS, {"FIXED": "POSITION"}))]
Loader = Annotated[str, BeforeValidator(choice(("spark", "native")))]
WriteStrategyText = Annotated[Text, BeforeValidator(_strategy)]
Trim = Annotated[str, BeforeValidator(choice(("NONE", "LEFT", "RIGHT", "BOTH")))]
Metric = Annotated[str, BeforeValidator(choice(("DISCRETE", "CONTINUOUS", "TEXT", "NONE")))]
Merge = Annotated[str, BeforeValidator(choice(("TARGET", "SOURCE_AND_TARGET")))]
ViewText = Annotated[str, BeforeValidator(choice(("TABLE", "VIEW", "MATERIALIZED_VIEW", "HYBRID")))]
Primitive = Annotated[str, BeforeValidator(choice(PRIMITIVES))]
Sync = Annotated[str, BeforeValidator(choice(("NONE", "ADD", "ALL")))]


class PositionFile(FileModel):
    """Keys of `attributes[].position`."""

    first: Int
    last: Int


class WriteStrategyFile(FileModel):
    """Keys of `writeStrategy`."""

    type: WriteStrategyText | None = None
    types: TextMap | None = None
    key: TextList | None = None
    timestamp: Text | None = None
    on: Merge | None = None
    start_ts: Text | None = None
    end_ts: Text | None = None
    query_filter: Text | None = None


class SinkFile(FileModel):
    """Keys of `sink`."""

    connection_ref: Text | None = None
    partition: TextList | None = None
    clustering: TextList | None = None
    days: Int | None = None
    require_partition_filter: Bool | None = None
    materialized_view: ViewText | None = None
    enable_refresh: Bool | None = None
    refresh_interval_ms: Int | None = None
    sharding: TextList | None = None
    format: Text | None = None
    extension: Text | None = None
    coalesce: Bool | None = None
    path: Text | None = None
    id: Text | None = None
    options: TextMap | None = None


class ExpectationFile(FileModel):
    """Keys of `expectations[]`."""

    expect: Text
    fail_on_error: Bool | None = None


class AclFile(FileModel):
    """Keys of `acl[]`."""

    role: Text
    grants: TextList
    name: Text | None = None


class RlsFile(FileModel):
    """Keys of `rls[]`."""

    name: Text
    predicate: Text | None = None
    grants: TextList
    description: Text | None = None


class FreshnessFile(FileModel):
    """Keys of `freshness`."""

    warn: Text | None = None
    error: Text | None = None


class AttributeFile(FileModel):
    """Keys of `attributes[]`."""

    name: Name
    type: Text | None = None
    array: Bool | None = None
    required: Bool | None = None
    rename: Text | None = None
    privacy: Text | None = None
    script: Text | None = None
    default: Text | None = None
    ignore: Bool | None = None
    trim: Trim | None = None
    position: PositionFile | None = None
    foreign_key: Text | None = None
    comment: Text | None = None
    tags: TextList | None = None
    sample: Text | None = None
    metric_type: Metric | None = None
    access_policy: Text | None = None
    attributes: tuple[AttributeFile, ...] | None = None


class MetadataFile(FileModel):
    """Keys of `metadata` of a domain or of a table."""

    format: FormatText | None = None
    encoding: Text | None = None
    separator: Text | None = None
    quote: Text | None = None
    escape: Text | None = None
    with_header: Bool | None = None
    multiline: Bool | None = None
    array: Bool | None = None
    null_value: Text | None = None
    empty_is_null: Bool | None = None
    options: TextMap | None = None
    directory: Text | None = None
    ack: Text | None = None
    loader: Loader | None = None
    write_strategy: WriteStrategyFile | None = None
    sink: SinkFile | None = None
    schedule: Text | None = None
    dag_ref: Text | None = None
    freshness: FreshnessFile | None = None
    extensions: TextList | None = None


class TableFile(FileModel):
    """Keys of `table` in a file below `load/` or `external/`."""

    name: Name
    pattern: Text
    attributes: tuple[AttributeFile, ...]
    rename: Text | None = None
    metadata: MetadataFile | None = None
    comment: Text | None = None
    sample: Text | None = None
    pattern_sample: Text | None = None
    primary_key: TextList | None = None
    presql: TextList | None = None
    postsql: TextList | None = None
    filter: Text | None = None
    tags: TextList | None = None
    expectations: tuple[ExpectationFile, ...] | None = None
    rls: tuple[RlsFile, ...] | None = None
    acl: tuple[AclFile, ...] | None = None
    streams: TextList | None = None


class ExternalTableFile(TableFile):
    """Keys of a table below `external/`, which needs no pattern because the project does not load it."""

    pattern: Text = ""  # pyright: ignore[reportIncompatibleVariableOverride]
    attributes: tuple[AttributeFile, ...] = ()


class LoadFile(FileModel):
    """Keys of `load` in `_config.sl.yml`."""

    name: Text | None = None
    rename: Text | None = None
    database: Text | None = None
    metadata: MetadataFile | None = None
    comment: Text | None = None
    tags: TextList | None = None


class TaskFile(FileModel):
    """Keys of `task`, `transform.default` or one of `transform.tasks`."""

    name: Text | None = None
    domain: Text | None = None
    table: Text | None = None
    database: Text | None = None
    sql: Text | None = None
    python: Text | None = None
    presql: TextList | None = None
    postsql: TextList | None = None
    parse_sql: Bool | None = Field(default=None, alias="parseSQL")
    connection_ref: Text | None = None
    sink: SinkFile | None = None
    write_strategy: WriteStrategyFile | None = None
    schedule: Text | None = None
    dag_ref: Text | None = None
    tags: TextList | None = None
    freshness: FreshnessFile | None = None
    streams: TextList | None = None
    primary_key: TextList | None = None
    attributes: tuple[AttributeFile, ...] | None = None
    sync_strategy: Sync | None = None
    expectations: tuple[ExpectationFile, ...] | None = None
    rls: tuple[RlsFile, ...] | None = None
    acl: tuple[AclFile, ...] | None = None
    comment: Text | None = None
    task_timeout_ms: Int | None = None
    dataset_triggering_strategy: Text | None = Field(default=None, alias="dataset_triggering_strategy")
    partition: TextList | None = None


class TransformFile(FileModel):
    """Keys of `transform` in `_config.sl.yml`; its inline tasks are checked one by one."""

    name: Text | None = None
    comment: Text | None = None
    default: TaskFile | None = None
    tasks: list[Any] | None = None


class TypeFile(FileModel):
    """Keys of `types[]`."""

    name: Text
    pattern: Text
    primitive_type: Primitive | None = None
    zone: Text | None = None
    sample: Text | None = None
    comment: Text | None = None
    ddl_mapping: TextMap | None = None


class TypesFile(FileModel):
    """Keys of a types file, as the mapping {types: [...]}, so that each invalid entry has its own path."""

    types: tuple[TypeFile, ...]


class RefInputFile(FileModel):
    """Keys of `refs[].input`."""

    database: Text | None = None
    domain: Text | None = None
    table: Text


class RefOutputFile(FileModel):
    """Keys of `refs[].output`."""

    database: Text | None = None
    domain: Text | None = None
    table: Text | None = None


class RefFile(FileModel):
    """Keys of `refs[]`."""

    input: RefInputFile
    output: RefOutputFile


class RefsFile(FileModel):
    """Keys of a refs file, as the mapping {refs: [...]}."""

    refs: tuple[RefFile, ...]


def _written_out(options: Any) -> Any:
    """Returns the options, with those of one task (`"<domain.task>": {"options": "k=v"}`) as JSON text."""
    if not isinstance(options, dict):
        return options
    found = cast("dict[str, Any]", options)
    return {name: json.dumps(value) if isinstance(value, dict) else value for name, value in found.items()}


class DagFile(FileModel):
    """Keys of `dag`."""

    template: Text
    filename: Text
    comment: Text | None = None
    options: Annotated[TextMap, BeforeValidator(_written_out)] | None = None
