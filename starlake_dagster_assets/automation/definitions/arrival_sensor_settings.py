"""Settings of an arrival sensor: the tables that wait for files, their asset keys, and the pre-load policy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from starlake_dagster_assets.automation.definitions.incoming_file_assets import file_keys, find_condition_nodes
from starlake_dagster_assets.automation.file_arrivals.directory_scan import FileMatcher
from starlake_dagster_assets.automation.file_arrivals.paths import ack_path, directory
from starlake_dagster_assets.automation.policies.model import CronSchedule, PreLoad
from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.dagster_assets.specs.partitions import partitioned_by_rows
from starlake_dagster_assets.dagster_assets.specs.translator import StarlakeTranslator
from starlake_dagster_assets.execution.file_store import Store
from starlake_dagster_assets.project.model.project import Domain, Table

__all__ = ["ArrivalGroup", "ArrivalSensor"]


@dataclass(frozen=True)
class ArrivalGroup:
    """Tables of one domain that one arrival sensor watches, with the same pre-load policy.

    Attributes:
        name: Name of the sensor.
        job: Name of the job.
        domain: The domain.
        tables: Tables by node id, in the order of the domain.
        pre_load: The policy.
        cron_schedule: The schedule whose ticks open windows; None if files are waited for at any time.
    """

    name: str
    job: str
    domain: Domain
    tables: Mapping[str, Table]
    pre_load: PreLoad
    cron_schedule: CronSchedule | None


class ArrivalSensor:
    """Settings of an arrival sensor, from the project.

    Args:
        project: The project.
        translator: Translator that is bound to the project.
        group: The tables and their policy.
        store: Lists files.
        tags: Tags of every run.
    """

    def __init__(
        self,
        project: ProjectSource,
        translator: StarlakeTranslator,
        group: ArrivalGroup,
        store: Store,
        tags: Mapping[str, str],
    ) -> None:
        self.group, self.store, self.tags = group, store, tags
        self.answering: Sequence[ArrivalGroup] = ()
        """The groups that wait for the same ack file, including the group of this sensor."""
        self.model = project.model
        self.zone = ZoneInfo(group.pre_load.timezone if group.cron_schedule is None else group.cron_schedule.timezone)
        staged = group.pre_load.strategy == "pending"
        self.watched = FileMatcher(group.tables, group.domain.tables, staged=staged)
        self.elsewhere = FileMatcher(group.tables, staged=True)
        self.keys = {node: translator.spec(translator.graph.nodes[node]).key for node in group.tables}
        self.file_keys = file_keys(translator, group.tables)
        self.by_condition = find_condition_nodes(translator, group.tables)
        parts = {node: translator.spec(translator.graph.nodes[node]).partitions_def for node in group.tables}
        # Loads whose partitions are those of their rows run without one, and report those that the rows went into.
        rows = any(
            partitioned_by_rows(translator.graph.nodes[node], one, translator.trigger(translator.graph.nodes[node]))
            for node, one in parts.items()
        )
        self.partitions = None if rows else next(iter(parts.values()))

    def validate_paths(self) -> str:
        """Renders the paths of the sensor once, so that a wrong path fails when the definitions are built.

        Returns:
            The ack file of today; "" for other strategies.
        """
        now = datetime.now(self.zone)
        directory(self.group.pre_load, self.model, self.group.domain, now)
        return self.path(now) if self.group.pre_load.strategy == "ack" else ""

    def path(self, moment: datetime) -> str:
        """Returns the path that the sensor waits for at a moment: a directory, or an ack file."""
        find = ack_path if self.group.pre_load.strategy == "ack" else directory
        return find(self.group.pre_load, self.model, self.group.domain, moment)
