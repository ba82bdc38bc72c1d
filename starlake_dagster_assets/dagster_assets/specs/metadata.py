"""Metadata of an asset definition: columns, SQL, files, names."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import dagster as dg

from starlake_dagster_assets._compat import suppress_dagster_warnings
from starlake_dagster_assets.dagster_assets.specs.wording import schedule_text, strategy_text
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.project.model.project import Attribute, ExternalTable, Location, Project

__all__ = ["definition_metadata", "describe", "described_schema", "engine_of", "table_name"]


def engine_of(node: Node, project: Project) -> str:
    """Returns the engine that stores a table: `duckdb`, `bigquery`, …; "" if the project does not declare it."""
    thing = node.definition
    connection = project.connection(thing.connection) if thing is not None else None
    return connection.engine if connection is not None else ""


def table_name(node: Node) -> str:
    """Returns the name of a table, `[database.]schema.table` by final names."""
    database = (node.definition.database if node.definition else "") or ""
    name = ".".join(node.target) if node.task else node.id
    return f"{database}.{name}" if database else name


def describe(node: Node, *, with_sql: bool = True) -> str | None:
    """Returns the description of a node: its comment in the project and, if `with_sql` is set, its SQL source."""
    thing = node.task or node.external or node.table
    parts: list[str] = []
    if node.is_files and node.table is not None:
        which = f" that match `{node.table.pattern}`" if node.is_described else ""
        parts.append(f"Files for {node.table.id}{which}.")
    elif thing is not None and thing.comment:
        parts.append(thing.comment)
    sql = (node.task.source_sql or node.task.sql) if node.task and with_sql else None
    if sql:
        fence = "```" if "```" not in sql else "~~~"
        parts.append(f"{fence}sql\n{sql.strip()}\n{fence}")
    return "\n\n".join(parts) or None


def definition_metadata(node: Node, project: Project, root: Path | None) -> dict[str, Any]:
    """Returns the metadata of an asset's definition.

    Args:
        node: The table, task, external table or set of files.
        project: The project's models.
        root: The project's directory, for code references; None to leave them out.

    Returns:
        Dagster's own keys (`dagster/…`) and ours (`starlake/…`).
    """
    metadata: dict[str, Any] = {}
    if not node.is_files:
        metadata["dagster/table_name"] = table_name(node)
    metadata.update(_settings(node))
    if not node.is_files:
        if engine := engine_of(node, project):
            metadata["dagster/storage_kind"] = engine
        if schema := described_schema(node):
            metadata["dagster/column_schema"] = schema
    if root is not None and (locations := _locations(node)):
        metadata["dagster/code_references"] = _references(tuple(locations), root)
    if node.raw:
        metadata["starlake/raw"] = node.raw
    metadata["starlake/node"] = node.id
    return metadata


def _settings(node: Node) -> Mapping[str, Any]:
    thing = node.definition
    if thing is None:
        return {}
    if not node.is_described:
        return {"starlake/schedule": schedule_text(thing.cron)} if thing.cron else {}
    found: dict[str, str | None] = {}
    if not node.is_files:
        strategy = node.write_strategy
        found |= {"starlake/write_strategy": strategy_text(strategy) if strategy else None}
        found |= {"starlake/schedule": schedule_text(thing.cron) if thing.cron else None}
    if node.table is not None:
        found |= {"starlake/pattern": node.table.pattern, "starlake/format": node.table.metadata.format}
        found |= {"starlake/directory": node.table.metadata.directory}
    if not node.is_files:
        found["starlake/connection"] = thing.connection
    return {key: value for key, value in found.items() if value}


def described_schema(node: Node) -> dg.TableSchema | None:
    """Returns the columns that the project describes: type, comment, keys, privacy; None if it describes none."""
    thing = node.task or node.external or node.table
    if thing is None or not thing.attributes:
        return None
    keys = () if isinstance(thing, ExternalTable) else thing.primary_key
    return dg.TableSchema(columns=[_column(one, keys) for one in thing.attributes if not one.ignore])


def _column(attribute: Attribute, keys: Sequence[str]) -> dg.TableColumn:
    is_key = attribute.name in keys or attribute.final_name in keys
    other = ["primary key"] if is_key else []
    other += [f"references {attribute.foreign_key}"] if attribute.foreign_key else []
    other += [f"privacy {attribute.privacy}"] if attribute.privacy.upper() != "NONE" else []
    nullable, unique = not (attribute.required or is_key), is_key and len(keys) == 1
    return _shared(attribute.final_name, _type(attribute), attribute.comment, nullable, unique, tuple(other))


@lru_cache(maxsize=4096)  # tables have columns in common, and Dagster validates each object
def _shared(
    name: str, kind: str, comment: str | None, nullable: bool, unique: bool, other: tuple[str, ...]
) -> dg.TableColumn:
    constraints = dg.TableColumnConstraints(nullable=nullable, unique=unique, other=list(other))
    return dg.TableColumn(name=name, type=kind, description=comment, constraints=constraints)


def _type(attribute: Attribute) -> str:
    name = attribute.type
    if attribute.attributes:
        name = "struct<" + ", ".join(f"{one.final_name}: {_type(one)}" for one in attribute.attributes) + ">"
    return f"array<{name}>" if attribute.array else name


def _locations(node: Node) -> list[Location]:
    thing = node.task or node.external or node.table
    found = [thing.location] if thing is not None and node.is_described else []
    if node.task is not None and node.task.sql_location is not None:
        found.append(node.task.sql_location)
    return list(dict.fromkeys(found))


@lru_cache(maxsize=8)  # a table and its files, one after the other, are described by the same file
def _references(locations: tuple[Location, ...], root: Path) -> dg.CodeReferencesMetadataValue:
    with suppress_dagster_warnings():
        return dg.CodeReferencesMetadataValue(
            code_references=[
                dg.LocalFileCodeReference(
                    file_path=str(root / location.file), line_number=location.line or 1, label=location.file
                )
                for location in locations
            ]
        )
