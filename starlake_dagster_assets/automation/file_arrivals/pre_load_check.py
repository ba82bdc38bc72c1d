"""Pre-load check: the files of some tables in a directory, listed by a tick and again before the load."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from starlake_dagster_assets.automation.file_arrivals.directory_scan import DirectoryScan, FileMatcher, FileSet
from starlake_dagster_assets.automation.file_arrivals.paths import ack_path, directory, rendered
from starlake_dagster_assets.automation.policies.model import PreLoad
from starlake_dagster_assets.automation.policies.skip_reasons import duration_text, listed, short_hash
from starlake_dagster_assets.execution.file_store import Store, content_of
from starlake_dagster_assets.execution.outcome import NotReady
from starlake_dagster_assets.project.model.project import Domain, Project, Table

__all__ = ["FirstListings", "PreLoadCheck"]


class FirstListings:
    """First listing of the unstable files of each table in a run, with its time, by node id."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[FileSet, float]] = {}

    def note(self, node: str, files: FileSet) -> None:
        """Records the set of files of a table, unless the table already has one."""
        self._seen.setdefault(node, (files, time.monotonic()))

    def at(self, node: str) -> float:
        """Returns the time of the listing, in seconds of `time.monotonic`."""
        return self._seen[node][1]

    def digest(self, node: str) -> str:
        """Returns the digest of the files of a table."""
        return self._seen[node][0].digest

    def names(self, node: str) -> tuple[str, ...]:
        """Returns the names of the files of a table."""
        return self._seen[node][0].names


@dataclass(frozen=True)
class PreLoadCheck:
    """Check of the files of tables of one domain that have the same pre-load policy.

    Attributes:
        pre_load: The policy.
        project: The models.
        domain: The domain.
        tables: Tables by node id.
        moment: Gives the date in paths.
        store: Lists files.
    """

    pre_load: PreLoad
    project: Project
    domain: Domain
    tables: Mapping[str, Table]
    moment: datetime
    store: Store

    @property
    def ack(self) -> str | None:
        """Path of the ack file of strategy `ack`; None for other strategies."""
        waits = self.pre_load.strategy == "ack"
        return ack_path(self.pre_load, self.project, self.domain, self.moment) if waits else None

    @property
    def directory(self) -> str:
        """Directory that the sensor lists."""
        return directory(self.pre_load, self.project, self.domain, self.moment)

    @property
    def elsewhere(self) -> str:
        """Directory that Starlake takes the files from; "" if the domain has none."""
        own = replace(self.pre_load, incoming_path=None, pending_path=None)
        if own.strategy != "pending" and not self.domain.incoming:
            return ""
        return directory(own, self.project, self.domain, self.moment)

    def files_elsewhere(self) -> Mapping[str, FileSet]:
        """Returns the files by node id if Starlake takes files from another directory than the listed one.

        Raises:
            StoreError: When the directory cannot be read.
        """
        return {} if self.directory.rstrip("/") == self.elsewhere.rstrip("/") else self._scan(self.tables).sets

    def path(self, text: str) -> str:
        """Returns a path with its variables filled in."""
        return rendered(text, self.project, self.domain, self.moment, "path")

    def acknowledged(self) -> Mapping[str, NotReady]:
        """Deletes the ack file, as `starlake preload` does; returns the reasons why tables are not loaded, by node id.

        Raises:
            StoreError: When the ack file cannot be read or deleted.
        """
        path = self.ack or ""
        file = self.store.file(path)
        if file is None:
            return dict.fromkeys(self.tables, NotReady(f"not ready: the ack file {path} is not there"))
        self.store.consume(path, content_of(file))
        return {}

    def ready(
        self, vouched: Mapping[str, str], first: FirstListings, log: Callable[[str], None]
    ) -> Mapping[str, NotReady]:
        """Evaluates whether the files are complete; returns the reasons why tables are not loaded, by node id.

        A set of files counts when the sensor found it stable, when its last file was written `stable_for` seconds ago,
        or when it is unchanged `stable_for` seconds after the first listing of the run.

        Args:
            vouched: The digests of the sets that the sensor has found stable, by the short hash of the table.
            first: The first listings of this run.
            log: Logs a message before the run waits.

        Raises:
            StoreError: When the directory cannot be read.
        """
        scan = self._scan(self.tables)
        remarks = "".join(f"; {remark}" for remark in scan.remarks())
        not_ready = {
            node: NotReady(f"not ready: no file of it is in {scan.directory}{remarks}")
            for node in self.tables.keys() - scan.sets.keys() - self._staged()
        }
        unstable = self.unstable_tables(scan, vouched, first)
        if not unstable:
            return not_ready
        listed_at = max(first.at(node) for node in unstable)
        if (wait := listed_at + self.pre_load.stable_for - time.monotonic()) > 0:
            names = listed([name for node in unstable for name in scan.sets[node].names])
            log(
                f"{scan.directory}: {names} changed less than {duration_text(self.pre_load.stable_for)} ago; waiting "
                f"{duration_text(wait)} to see whether they are still being written (`stable_for`)."
            )
            time.sleep(wait)
            scan = self._scan({node: self.tables[node] for node in unstable})
        for node in unstable:
            if node not in scan.sets or scan.sets[node].digest != first.digest(node):
                within = duration_text(self.pre_load.stable_for)
                names = listed(first.names(node))
                not_ready[node] = NotReady(f"not ready: {names} changed within {within} and may still be written")
        return not_ready

    def list_first(self, vouched: Mapping[str, str], first: FirstListings) -> None:
        """Lists the files, so that `stable_for` begins at the same time for all domains of a run.

        Raises:
            StoreError: When the directory cannot be read.
        """
        self.unstable_tables(self._scan(self.tables), vouched, first)

    def unstable_tables(self, scan: DirectoryScan, vouched: Mapping[str, str], first: FirstListings) -> list[str]:
        """Returns the ids of the tables whose files may still be written; records the first listing of each."""
        if not self.pre_load.stable_for:
            return []
        unknown = [node for node, files in scan.sets.items() if vouched.get(short_hash(node)) != files.digest]
        found = [node for node in unknown if not self._is_stable(scan, node)]
        for node in found:
            first.note(node, scan.sets[node])
        return found

    def _is_stable(self, scan: DirectoryScan, node: str) -> bool:
        written = scan.modified(scan.sets[node].names)
        return written is not None and time.time() - written >= self.pre_load.stable_for

    def _scan(self, tables: Mapping[str, Table]) -> DirectoryScan:
        watched = FileMatcher(tables, self.domain.tables, staged=self.pre_load.strategy == "pending")
        return watched.scan(time.time(), self.store.listing(self.directory))

    def _staged(self) -> frozenset[str]:
        """Returns the tables that already have files in the stage area, which `load` takes too."""
        if self.pre_load.strategy == "pending":
            return frozenset()
        place = directory(PreLoad("pending"), self.project, self.domain, self.moment)
        watched = FileMatcher(self.tables, staged=True)
        return frozenset(watched.scan(time.time(), self.store.listing(place)).sets)
