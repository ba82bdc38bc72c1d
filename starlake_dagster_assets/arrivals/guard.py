"""The guard in a run: before tables are loaded it looks once more whether their files are there.

A run that a person started, or that waited in a queue while the files were taken away, says so and is green; only what
nobody can tell is a failure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from types import MappingProxyType
from zoneinfo import ZoneInfo

from starlake_dagster_assets.arrivals.guard_cli import asked_of_starlake
from starlake_dagster_assets.arrivals.looks import ACK
from starlake_dagster_assets.arrivals.scene import Scene
from starlake_dagster_assets.arrivals.stores import Store
from starlake_dagster_assets.arrivals.tags import sets_in
from starlake_dagster_assets.command.outcome import Held, RunSettings
from starlake_dagster_assets.command.source import ProjectSource
from starlake_dagster_assets.errors import StarlakeError
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.project.model import Table
from starlake_dagster_assets.runners.protocol import Runner
from starlake_dagster_assets.triggers.model import PreLoad
from starlake_dagster_assets.triggers.words import short

__all__ = ["GuardedRun"]


class GuardedRun:
    """The guard of one run: what `RunSettings.not_ready` asks.

    Args:
        pre_load: The policy of a table; its `guard` says who looks: `files`, `cli` or `none`.
        source: The project.
        runner: Where `starlake preload` runs, for `guard="cli"`.
        settings: Of the run.
        tags: Of the run: what the sensor that asked for it has seen.
    """

    def __init__(
        self,
        pre_load: Callable[[Node], PreLoad | None],
        source: ProjectSource,
        runner: Runner,
        settings: RunSettings,
        tags: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._pre_load = pre_load
        self._source = source
        self._runner = runner
        self._settings = settings
        self._vouched = sets_in(tags)
        self._now = settings.window[1] if settings.window is not None else datetime.now(timezone.utc)

    def __call__(self, nodes: Sequence[Node]) -> Mapping[str, Held]:
        """Why tables of one domain are not loaded now, by node id.

        Args:
            nodes: Tables of one domain that are to be loaded.
        """
        held: dict[str, Held] = {}
        policies: dict[str, tuple[PreLoad, list[Node]]] = {}
        for node in nodes:
            pre_load = self._pre_load(node)
            if pre_load is not None and pre_load.strategy != "none" and pre_load.guard != "none":
                policies.setdefault(repr(pre_load), (pre_load, []))[1].append(node)
        for pre_load, members in policies.values():
            tables = {node.id: node.table for node in members if node.table is not None}
            try:
                held |= self._asked(pre_load, tables)
            except StarlakeError as error:
                held |= dict.fromkeys(tables, Held(f"nobody can tell whether its files are there: {error}", True))
        return held

    def _asked(self, pre_load: PreLoad, tables: Mapping[str, Table]) -> Mapping[str, Held]:
        if pre_load.strategy == "ack" and short(ACK) in self._vouched:
            return {}  # the sensor has seen the ack file, and deletes it
        domain = self._source.graph.domains[next(iter(tables.values())).domain]
        moment = self._now.astimezone(ZoneInfo(pre_load.timezone))
        scene = Scene(pre_load, self._source.model, domain, tables, moment, Store(pre_load.storage_options))
        if pre_load.guard == "cli":
            return asked_of_starlake(scene, self._runner, self._settings)
        return scene.acknowledged() if pre_load.strategy == "ack" else scene.ready(self._vouched)
