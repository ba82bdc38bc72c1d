"""Checks again in a run, before tables are loaded, that the files of the tables exist.

If files are missing, as in a run that a person started, or that waited in a queue while the files were removed, the run
reports the missing files and succeeds. It fails only if it cannot determine whether the files exist.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from types import MappingProxyType
from zoneinfo import ZoneInfo

from starlake_dagster_assets.automation.file_arrivals.directory_scan import FileSet
from starlake_dagster_assets.automation.file_arrivals.pre_load_check import FirstListings, PreLoadCheck
from starlake_dagster_assets.automation.file_arrivals.preload_command import run_preload_command
from starlake_dagster_assets.automation.file_arrivals.tags import sets_in
from starlake_dagster_assets.automation.policies.model import PreLoad
from starlake_dagster_assets.automation.policies.skip_reasons import listed
from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.errors import StarlakeError
from starlake_dagster_assets.execution.backends.protocol import Runner
from starlake_dagster_assets.execution.file_store import Store
from starlake_dagster_assets.execution.outcome import NotReady, RunSettings
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.project.model.project import Table

__all__ = ["GuardedRun"]


def _discard(text: str) -> None:
    """Discards a log message."""


class GuardedRun:
    """Pre-load check of one run, passed as `RunSettings.not_ready`.

    Args:
        pre_load: The policy of a table; its `guard` selects the check: `files`, `cli` or `none`.
        source: The project.
        runner: Runs `starlake preload`, for `guard="cli"`.
        settings: Settings of the run.
        tags: Tags of the run, with the sets of files that its sensor has found.
        tables: All tables that the run loads: the run waits once for their unstable files, not once per domain.
        log: Logs a message before the run waits.
    """

    def __init__(
        self,
        pre_load: Callable[[Node], PreLoad | None],
        source: ProjectSource,
        runner: Runner,
        settings: RunSettings,
        tags: Mapping[str, str] = MappingProxyType({}),
        tables: Sequence[Node] = (),
        log: Callable[[str], None] = _discard,
    ) -> None:
        self._pre_load = pre_load
        self._source = source
        self._runner = runner
        self._settings = settings
        self._vouched = sets_in(tags)
        self._unseen = tuple(tables)
        self._first = FirstListings()
        self._elsewhere: dict[str, FileSet] = {}
        self._log = log
        self._now = settings.window[1] if settings.window is not None else datetime.now(timezone.utc)

    def __call__(self, nodes: Sequence[Node]) -> Mapping[str, NotReady]:
        """Returns the reasons why tables of one domain are not loaded now, by node id.

        Args:
            nodes: Tables of one domain that are to be loaded.
        """
        unseen, self._unseen = self._unseen, ()
        for pre_load, tables in self._policies(unseen):
            with suppress(StarlakeError):  # raised again when the domain is loaded
                self._list_first(pre_load, tables)
        not_ready: dict[str, NotReady] = {}
        for pre_load, tables in self._policies(nodes):
            not_ready |= self._tried(pre_load, tables)
        return not_ready

    def empty_load_failure(self, node: Node) -> str:
        """Returns the reason why a load without files counts as failed; "" if it does not.

        It has failed if the files that were there before the load are still in `incoming_path` or `pending_path`, and
        Starlake takes files from another directory.

        Args:
            node: A table whose load found no file.
        """
        files, pre_load = self._elsewhere.get(node.id), self._pre_load(node)
        if files is None or pre_load is None or self._files_elsewhere([node]).get(node.id) != files:
            return ""
        check = self._check(pre_load, {node.id: node.table} if node.table is not None else {})
        option = "pending_path" if pre_load.strategy == "pending" else "incoming_path"
        looks = f"{check.elsewhere}, the stage area" if option == "pending_path" else f"{check.elsewhere or 'nowhere'}"
        return (
            f"no file was loaded, and {listed(files.names)} lie in {check.directory} ({option}) as before: Starlake "
            f"takes the files of domain {check.domain.name} from {looks} ({check.domain.location}). "
            f"Next: set {option} and the `directory` of the domain to the same path."
        )

    def note_files_elsewhere(self, nodes: Sequence[Node]) -> None:
        """Records, before the loads, the files in `incoming_path` or `pending_path` that Starlake does not take."""
        self._elsewhere |= self._files_elsewhere(nodes)

    def _files_elsewhere(self, nodes: Sequence[Node]) -> dict[str, FileSet]:
        """Returns the files in `incoming_path` or `pending_path` if Starlake takes none from there, by node id."""
        found: dict[str, FileSet] = {}
        for pre_load, tables in self._policies(nodes):
            if pre_load.incoming_path or pre_load.pending_path:
                with suppress(StarlakeError):  # raised again when the domain is loaded
                    found |= self._check(pre_load, tables).files_elsewhere()
        return found

    def _tried(self, pre_load: PreLoad, tables: Mapping[str, Table]) -> Mapping[str, NotReady]:
        try:
            return self._evaluate(pre_load, tables)
        except StarlakeError as error:
            return dict.fromkeys(tables, NotReady(f"unknown whether its files have arrived: {error}", True))

    def _policies(self, nodes: Sequence[Node]) -> list[tuple[PreLoad, dict[str, Table]]]:
        """Returns the tables by node id, grouped by domain and policy."""
        found: dict[tuple[str, str], tuple[PreLoad, dict[str, Table]]] = {}
        for node in nodes:
            pre_load = self._pre_load(node)
            if node.table is None or pre_load is None or pre_load.strategy == "none" or pre_load.guard == "none":
                continue
            found.setdefault((node.table.domain, repr(pre_load)), (pre_load, {}))[1][node.id] = node.table
        return list(found.values())

    def _list_first(self, pre_load: PreLoad, tables: Mapping[str, Table]) -> None:
        if pre_load.guard == "files" and pre_load.strategy != "ack":
            self._check(pre_load, tables).list_first(self._vouched, self._first)

    def _evaluate(self, pre_load: PreLoad, tables: Mapping[str, Table]) -> Mapping[str, NotReady]:
        if pre_load.strategy == "ack" and self._vouched:
            return {}  # the sensor has seen the ack file, and deletes it
        check = self._check(pre_load, tables)
        if pre_load.guard == "cli":
            return run_preload_command(check, self._runner, self._settings)
        if pre_load.strategy == "ack":
            return check.acknowledged()
        return check.ready(self._vouched, self._first, self._log)

    def _check(self, pre_load: PreLoad, tables: Mapping[str, Table]) -> PreLoadCheck:
        domain = self._source.graph.domains[next(iter(tables.values())).domain]
        moment = self._now.astimezone(ZoneInfo(pre_load.timezone))
        return PreLoadCheck(pre_load, self._source.model, domain, tables, moment, Store(pre_load.storage_options))
