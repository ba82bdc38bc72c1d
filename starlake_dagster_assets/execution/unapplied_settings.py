"""Settings of tables that the Starlake program does not apply, as observed with version 1.6."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.plural import first_of
from starlake_dagster_assets.project.model.project import Attribute, Project, Table

__all__ = ["ignored_settings"]

_NATIVE_FORMATS = frozenset({"DSV", "JSON", "JSON_FLAT", "JSON_ARRAY", "POSITION"})
_NATIVE_ENGINES = frozenset({"duckdb", "bigquery", "snowflake"})
_MOST = 5


def ignored_settings(nodes: Iterable[Node], project: Project) -> str:
    """Returns one warning about settings of some tables that the program ignores; empty if there are none.

    Args:
        nodes: Tables and tasks of a run.
        project: The project.
    """
    found: dict[str, list[str]] = {}
    for node in nodes:
        table = node.table
        if table is None or node.kind != "table":
            continue
        connection = project.connection(table.connection)
        engine = connection.engine if connection is not None else ""
        native = _is_native(table, engine)
        for name, attribute in _columns(table.attributes):
            for effect in _effects(attribute, native=native, engine=engine):
                found.setdefault(effect, []).append(f"{node.id}.{name}")
    if not found:
        return ""
    parts = [f"{effect}: {first_of(names, _MOST)}" for effect, names in found.items()]
    return (
        f"Starlake does not apply some settings of these tables. {'; '.join(parts)}. Next: set `loader: spark`, use "
        '`privacy: "SQL: …"`, or do it in a transform; the embedded engine applies all of them.'
    )


def _is_native(table: Table, engine: str) -> bool:
    return table.metadata.loader == "native" and engine in _NATIVE_ENGINES and table.metadata.format in _NATIVE_FORMATS


def _effects(attribute: Attribute, *, native: bool, engine: str) -> Iterator[str]:
    privacy = attribute.privacy.strip().upper()
    if privacy not in ("", "NONE") and not privacy.startswith("SQL:") and (native or engine == "duckdb"):
        yield "`privacy` is ignored, values are stored in clear"
    if not native:
        return
    if attribute.trim != "NONE":
        yield "`trim` is ignored"
    if attribute.default is not None:
        yield "`default` is ignored"
    if attribute.script is not None:
        yield "`script` is ignored, or fails"


def _columns(attributes: Iterable[Attribute], prefix: str = "") -> Iterator[tuple[str, Attribute]]:
    for attribute in attributes:
        yield f"{prefix}{attribute.name}", attribute
        yield from _columns(attribute.attributes, f"{prefix}{attribute.name}.")
