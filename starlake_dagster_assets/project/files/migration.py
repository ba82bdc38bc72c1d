"""Migrates files of older versions to version 1, in memory."""

from __future__ import annotations

from typing import Any, cast

__all__ = ["ROOT_KEYS", "migrate", "unwrap_tables"]

Raw = dict[str, Any]

ROOT_KEYS = ("application", "env", "refs", "types", "load", "table", "transform", "task", "dag", "extract")
_LISTS = {"refs", "types"}


def migrate(kind: str, document: Raw) -> Raw:
    """Migrates a file without `version` to version 1.

    Args:
        kind: Its root key.
        document: The parsed mapping; it is not changed.

    Returns:
        A mapping with `version: 1` and the root key. Other values are left unchanged: validation
        reports them.
    """
    found = dict(document)
    if kind == "table":
        found = _rename(found, {"schema": "table", "schemas": "tables"})
        if "tables" in found and "table" not in found:
            found = unwrap_tables(found)
    if kind not in found:
        shared = {key: found.pop(key) for key in ("tables", "schemas") if kind == "load" and key in found}
        found = {kind: found if kind not in _LISTS else found.get(kind), **shared}
    content = found[kind]
    if isinstance(content, dict):
        found[kind] = _content(kind, cast("Raw", content))
    if kind == "types" and isinstance(content, dict):
        found[kind] = content
    if kind == "load":
        _inline_tables(found)
    return {"version": "1", **found}


def unwrap_tables(document: Raw) -> Raw:
    """Keeps the first table of a `tables:` list, as the starlake program does for a `<table>.sl.yml`.

    Args:
        document: The mapping of a table file.

    Returns:
        The mapping with `table` instead of `tables`.
    """
    rest = {key: value for key, value in document.items() if key != "tables"}
    tables = document.get("tables")
    items = cast("list[object]", tables) if isinstance(tables, list) else [tables]
    return {**rest, "table": items[0] if items else None}


def _content(kind: str, content: Raw) -> Raw:
    if kind == "table":
        return _table(content)
    if kind == "load":
        found = dict(content)
        if isinstance(found.get("metadata"), dict):
            found["metadata"] = _metadata(found["metadata"])
        return found
    if kind == "task":
        return _task(content)
    if kind == "transform":
        return _transform(content)
    if kind == "application" and isinstance(content.get("audit"), dict):
        audit = cast("Raw", content["audit"])
        return {**content, "audit": {**audit, "sink": _sink(audit["sink"])[0]}} if _is_map(audit, "sink") else content
    if kind == "extract":
        return _rename(content, {"globalJdbcSchema": "default"})
    return content


def _inline_tables(found: Raw) -> None:
    """Moves tables inside `load` to a key next to it; the caller adds them to the domain."""
    content = cast("Raw", found["load"]) if isinstance(found["load"], dict) else {}
    for key in ("tables", "schemas"):
        if key in content:
            found.setdefault("tables", content.pop(key))
        if key in found and key != "tables":
            found.setdefault("tables", found.pop(key))
    tables = found.get("tables")
    if isinstance(tables, list):
        found["tables"] = [
            _table(cast("Raw", item)) if isinstance(item, dict) else item for item in cast("list[object]", tables)
        ]


def _transform(content: Raw) -> Raw:
    found = dict(content)
    if isinstance(found.get("default"), dict):
        found["default"] = _task(found["default"])
    tasks = found.get("tasks")
    if isinstance(tasks, list):
        items = cast("list[object]", tasks)
        found["tasks"] = [_task(cast("Raw", item)) if isinstance(item, dict) else item for item in items]
    return found


def _table(content: Raw) -> Raw:
    found = dict(content)
    found.pop("flat", None)
    merge = found.pop("merge", None)
    metadata = found.get("metadata")
    if isinstance(merge, dict):
        base = cast("Raw", metadata) if isinstance(metadata, dict) else {}
        metadata = _merge(base, cast("Raw", merge))
    if isinstance(metadata, dict):
        found["metadata"] = _metadata(cast("Raw", metadata))
    return found


def _task(content: Raw) -> Raw:
    found = _rename(content, {"attributesDesc": "attributes", "dataset": "table"})
    for key in ("engine", "sqlEngine", "flat"):
        found.pop(key, None)
    merge = found.pop("merge", None)
    if isinstance(merge, dict):
        found = _merge(found, cast("Raw", merge))
    return _metadata(found, keep_upsert=True)


def _merge(owner: Raw, merge: Raw) -> Raw:
    """Moves `merge: {key, timestamp}` into the write strategy; keys of the write strategy take precedence."""
    found = dict(owner)
    strategy = {key: merge[key] for key in ("key", "timestamp", "queryFilter") if merge.get(key)}
    written = owner.get("writeStrategy")
    own = cast("Raw", written) if isinstance(written, dict) else {}
    if _has_type(own):
        return {**found, "writeStrategy": {**strategy, **own}}
    if strategy.get("key") and strategy.get("timestamp"):
        kind = "UPSERT_BY_KEY_AND_TIMESTAMP"
    elif strategy.get("key"):
        kind = "DELETE_THEN_INSERT"
    else:
        kind = _write(owner.get("write"))
    found.pop("write", None)
    found["writeStrategy"] = {"type": kind, **strategy, **own}
    return found


def _write(value: object) -> str:
    return "OVERWRITE" if isinstance(value, str) and value.upper() == "OVERWRITE" else "APPEND"


def _metadata(content: Raw, *, keep_upsert: bool = False) -> Raw:
    """Migrates write modes, sinks and strategies of `metadata` and of tasks; the upserts of tasks keep their name."""
    found = dict(content)
    found.pop("mode", None)
    write = found.pop("write", None)
    strategy = found.get("writeStrategy")
    if write is not None and not _has_type(strategy):
        strategy = {"type": _write(write), **(cast("Raw", strategy) if isinstance(strategy, dict) else {})}
    if isinstance(found.get("sink"), dict):
        sink, overwrite = _sink(found["sink"])
        found["sink"] = sink
        if overwrite and not _has_type(strategy):
            strategy = {
                **(cast("Raw", strategy) if isinstance(strategy, dict) else {}),
                "type": "OVERWRITE_BY_PARTITION",
            }
    if isinstance(strategy, dict):
        strategy = cast("Raw", strategy) if keep_upsert else _upsert(cast("Raw", strategy))
    if strategy is not None:
        found["writeStrategy"] = strategy
    return found


def _is_map(owner: Raw, key: str) -> bool:
    return isinstance(owner.get(key), dict)


def _has_type(strategy: object) -> bool:
    return isinstance(strategy, dict) and bool(strategy.get("type") or strategy.get("types"))  # pyright: ignore


def _upsert(strategy: Raw) -> Raw:
    found = dict(strategy)
    if str(found.get("type")).upper() == "UPSERT_BY_KEY":
        found["type"] = "DELETE_THEN_INSERT"
    types = found.get("types")
    if isinstance(types, dict):
        found["types"] = {
            "DELETE_THEN_INSERT" if key.upper() == "UPSERT_BY_KEY" else key: value
            for key, value in cast("Raw", types).items()
        }
    return found


def _sink(content: Raw) -> tuple[Raw, bool]:
    found = dict(content)
    found.pop("type", None)
    overwrite = str(found.pop("dynamicPartitionOverwrite", "")).lower() == "true"
    timestamp = found.pop("timestamp", None)
    if isinstance(timestamp, str) and timestamp:
        found["partition"] = [timestamp]
    partition = found.get("partition")
    if isinstance(partition, dict) and "attributes" in partition:
        found["partition"] = cast("Raw", partition)["attributes"]
    return found, overwrite


def _rename(content: Raw, names: dict[str, str]) -> Raw:
    return {names.get(key, key) if names.get(key) not in content else key: value for key, value in content.items()}
