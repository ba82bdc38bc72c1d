"""What a DAG file says, before it is text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from starlake_dagster_assets.triggers.model import Clock, PreLoad

__all__ = ["AirflowOptions", "AssetRule", "DagSpec", "EnvironmentName", "Naming", "Plan", "TaskSpec"]

EnvironmentName = Literal["shell", "dataproc", "cloud_run", "fargate"]
_EMPTY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Naming:
    """What a translator says of the nodes; whatever is missing is the project's own.

    Attributes:
        keys: Asset key by node id.
        groups: Group by node id; names the DAG that a node is put in.
        extra: Keys that a node reads besides, by node id.
        excluded: Ids of nodes that are left out.
    """

    keys: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    groups: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    extra: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=lambda: MappingProxyType({}))
    excluded: frozenset[str] = frozenset()


@dataclass(frozen=True)
class AirflowOptions:
    """What a user chooses for every DAG; options of a DAG configuration win.

    Attributes:
        prefix: Begins every DAG id and file name.
        start_date: `YYYY-MM-DD`; Airflow 2 refuses a schedule without one.
        retries: `retries`.
        retry_delay: `retry_delay`, seconds; doubled at each retry.
        max_active_runs: `max_active_runs`.
        max_assets: Assets a DAG: Airflow's graph page is quadratic in them.
        root: `SL_ROOT` where the commands run, when the Airflow variable `starlake_root` is not set.
        uri: Of an asset; `{key}` is its key, percent-encoded, `{name}` the name of starlake-airflow.
    """

    prefix: str = "starlake"
    start_date: str = "2024-01-01"
    retries: int = 1
    retry_delay: float = 300
    max_active_runs: int = 1
    max_assets: int = 100
    root: str = ""
    uri: str = "x-starlake://{key}"


@dataclass(frozen=True)
class AssetRule:
    """An asset-triggered schedule: URIs under `&` (all) or `|` (any), or nested rules."""

    word: Literal["&", "|"]
    parts: tuple[AssetRule | str, ...]

    @property
    def uris(self) -> tuple[str, ...]:
        """All URIs, in order, once."""
        found = [uri for part in self.parts for uri in ([part] if isinstance(part, str) else part.uris)]
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class TaskSpec:
    """One task.

    Attributes:
        id: Task id.
        kind: What it does; `skip` is the place where a domain's loads begin.
        args: Argument list of Starlake; items may hold Jinja of our own, values are escaped.
        upstream: Ids of tasks of this DAG.
        inlets: URIs read.
        outlets: URIs made.
        group: Task groups around it, outermost first.
        doc: Markdown.
        pool: `default_pool`.
        preload: For `check`.
    """

    id: str
    kind: Literal["check", "skip", "stage", "load", "transform"]
    args: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    inlets: tuple[str, ...] = ()
    outlets: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    doc: str = ""
    pool: str | None = None
    preload: PreLoad | None = None


@dataclass(frozen=True)
class DagSpec:
    """One DAG, one file."""

    id: str
    description: str
    schedule: Clock | AssetRule | Literal["@continuous"] | None
    tasks: tuple[TaskSpec, ...]
    tags: tuple[str, ...]
    retries: int
    retry_delay: float
    max_active_runs: int
    start_date: str
    priority: int | None = None


@dataclass(frozen=True)
class Plan:
    """All DAGs.

    Attributes:
        dags: By id, sorted.
        uris: URI by node id.
        places: (DAG id, task id) by node id.
        external: URIs that no DAG makes.
        pools: Names of the pools that tasks ask for.
        notes: What cannot be said in Airflow, by name.
    """

    dags: tuple[DagSpec, ...]
    uris: Mapping[str, str]
    places: Mapping[str, tuple[str, str]]
    external: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
