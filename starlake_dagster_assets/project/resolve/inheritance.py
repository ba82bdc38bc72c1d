"""Settings that a table inherits from its domain, and a task from `transform.default`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlake_dagster_assets.project.files.validation import part
from starlake_dagster_assets.project.model.project import Acl, Application, Metadata, Sink, WriteStrategy

__all__ = ["acls", "merge_metadata", "merge_task", "resolve_metadata", "sink_of", "strategy"]

Raw = Mapping[str, Any]

_JOINED = ("presql", "postsql", "rls", "acl", "expectations")
_SHARED = ("schedule", "dag_ref", "database", "connection_ref", "parse_sql", "task_timeout_ms", "freshness")
_UNIONS = ("tags",)
_EMPTY_FORMATS = {"JSON_ARRAY": "JSON"}


def merge_metadata(domain: Raw, table: Raw) -> dict[str, Any]:
    """Merges `metadata` of a table over that of its domain, key by key; values are replaced, not merged.

    Args:
        domain: Keys of `load.metadata`.
        table: Keys of `table.metadata`.
    """
    return {**domain, **table}


def resolve_metadata(found: Raw, application: Application) -> Metadata:
    """Fills in defaults for keys that neither the table nor its domain sets.

    Args:
        found: The merged keys.
        application: The project's settings.

    Returns:
        The metadata. `JSON_ARRAY` is read as `JSON`; the loader is that of the table, its connection or the project.
    """
    values = {key: value for key, value in found.items() if key != "extensions"}
    values["format"] = _EMPTY_FORMATS.get(str(values.get("format")), values.get("format", "DSV"))
    values.setdefault("empty_is_null", application.empty_is_null)
    if values.get("with_header") is None:
        values["with_header"] = values["format"] != "POSITION"  # which has a header only if it is declared
    values["ack"] = (values.get("ack") or "").lstrip(".") or None
    values["dag_ref"] = _stem(values.get("dag_ref")) or application.dag_ref_load
    values["schedule"] = values.get("schedule") or None
    # pydantic copies defaults deeply, which is most of the time spent here
    values["write_strategy"] = strategy(part(values, "write_strategy"), application)
    values.setdefault("sink", Sink())
    sink = part(values, "sink")
    name = sink.get("connection_ref") or application.load_connection_ref or application.connection_ref
    connection = application.connections.get(name)
    own = values.get("loader") or (connection.loader if connection else None)
    values["loader"] = (own or application.loader).lower()
    return Metadata.model_validate(values)


def strategy(found: Raw, application: Application) -> WriteStrategy:
    """Returns a write strategy; SCD2 without column names gets those of the project."""
    values = dict(found)
    if values.get("type") == "SCD2":
        values["start_ts"] = values.get("start_ts") or application.scd2_start_timestamp
        values["end_ts"] = values.get("end_ts") or application.scd2_end_timestamp
    if not values.get("type"):
        values.pop("type", None)
    return WriteStrategy.model_validate(values)


def merge_task(default: Raw, task: Raw) -> dict[str, Any]:
    """Returns a task merged over `transform.default`.

    Args:
        default: Keys of `transform.default`.
        task: Keys of the task.

    Returns:
        The merged keys: lists of SQL, grants and expectations joined (default first), tags united, `sink` merged
        key by key, the rest task over default but `freshness`, which is default over task. Unlike in the starlake
        program, nothing is lost or applied twice.
    """
    merged = dict(task)
    for key in _JOINED:
        both = [*(default.get(key) or ()), *(task.get(key) or ())]
        if both:
            merged[key] = both
    for key in _UNIONS:
        both = dict.fromkeys([*(default.get(key) or ()), *(task.get(key) or ())])
        if both:
            merged[key] = list(both)
    if default.get("sink"):
        merged["sink"] = {**default["sink"], **(part(task, "sink"))}
    for key in (*_SHARED, "write_strategy", "sync_strategy", "streams", "primary_key"):
        if key in default and (key not in merged or key == "freshness"):
            merged[key] = default[key]
    return merged


def acls(found: Any) -> tuple[Acl, ...]:
    """Returns the entries of `acl`; a grant that is written as `a,b` becomes two grants."""
    return tuple(
        Acl.model_validate({**item, "grants": [part.strip() for text in item["grants"] for part in text.split(",")]})
        for item in found or ()
    )


def sink_of(found: Raw) -> Sink:
    """Returns the sink of a task."""
    return Sink.model_validate(part(found, "sink"))


def _stem(name: str | None) -> str | None:
    return name.removesuffix(".sl.yml") or None if name else None
