"""Where the files of some tables lie at one moment, and a second look at them before they are loaded."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from starlake_dagster_assets.arrivals.looks import Look, Watched
from starlake_dagster_assets.arrivals.places import ack_path, directory, rendered
from starlake_dagster_assets.arrivals.stores import Store, content_of
from starlake_dagster_assets.command.outcome import Held
from starlake_dagster_assets.project.model import Domain, Project, Table
from starlake_dagster_assets.triggers.model import PreLoad
from starlake_dagster_assets.triggers.words import listed, short, span

__all__ = ["Scene"]


@dataclass(frozen=True)
class Scene:
    """Tables of one domain that are waited for by one policy.

    Attributes:
        pre_load: The policy.
        project: The models.
        domain: The domain.
        tables: By node id.
        moment: Gives the date in paths.
        store: Looks at files.
    """

    pre_load: PreLoad
    project: Project
    domain: Domain
    tables: Mapping[str, Table]
    moment: datetime
    store: Store

    @property
    def ack(self) -> str | None:
        """The ack file of strategy `ack`."""
        waits = self.pre_load.strategy == "ack"
        return ack_path(self.pre_load, self.project, self.domain, self.moment) if waits else None

    def path(self, text: str) -> str:
        """A path with its variables."""
        return rendered(text, self.project, self.domain, self.moment, "path")

    def acknowledged(self) -> Mapping[str, Held]:
        """Takes the ack file, as `starlake preload` does: why tables are not loaded, by node id.

        Raises:
            StoreError: When nobody can tell.
        """
        path = self.ack or ""
        file = self.store.file(path)
        if file is None:
            return dict.fromkeys(self.tables, Held(f"not ready: the ack file {path} is not there"))
        self.store.consume(path, content_of(file))
        return {}

    def ready(self, vouched: Mapping[str, str]) -> Mapping[str, Held]:
        """Looks at the files, twice where nobody vouches for them: why tables are not loaded, by node id.

        Args:
            vouched: The digests of the sets that the sensor has found stable, by the short hash of the table.

        Raises:
            StoreError: When nobody can tell.
        """
        look = self._look(self.tables)
        remarks = "".join(f"; {remark}" for remark in look.remarks())
        held = {
            node: Held(f"not ready: no file of it is in {look.place}{remarks}")
            for node in self.tables.keys() - look.sets.keys() - self._staged()
        }
        unknown = [node for node, files in look.sets.items() if vouched.get(short(node)) != files.digest]
        if not unknown or not self.pre_load.stable_for:
            return held
        time.sleep(self.pre_load.stable_for)
        again = self._look({node: self.tables[node] for node in unknown})
        for node in unknown:
            if node not in again.sets or again.sets[node].digest != look.sets[node].digest:
                within = span(self.pre_load.stable_for)
                names = listed(look.sets[node].names)
                held[node] = Held(f"not ready: {names} changed within {within} and may still be written")
        return held

    def _look(self, tables: Mapping[str, Table]) -> Look:
        watched = Watched(tables, self.domain.tables, staged=self.pre_load.strategy == "pending")
        place = directory(self.pre_load, self.project, self.domain, self.moment)
        return watched.look(time.time(), self.store.listing(place))

    def _staged(self) -> frozenset[str]:
        """Tables that have files in the stage area already: `load` takes them too."""
        if self.pre_load.strategy == "pending":
            return frozenset()
        place = directory(PreLoad("pending"), self.project, self.domain, self.moment)
        watched = Watched(self.tables, staged=True)
        return frozenset(watched.look(time.time(), self.store.listing(place)).sets)
