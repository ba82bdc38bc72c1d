"""The nodes of an export, with their options."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from starlake_dagster_assets.airflow.node_environments import NodeEnvironments
from starlake_dagster_assets.airflow.plan.expectations import find_audit_schema
from starlake_dagster_assets.airflow.plan.export_lineage import ExportLineage, build_export_lineage
from starlake_dagster_assets.airflow.plan.ids import Ids
from starlake_dagster_assets.airflow.plan.model import (
    AirflowOptions,
    AuditSchema,
    DagSplit,
    EnvironmentName,
    Granularity,
)
from starlake_dagster_assets.automation.policies.model import Triggers
from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.graph.display_names import AssetOverrides

__all__ = ["ExportRequest"]


@dataclass(frozen=True)
class ExportRequest:
    """Nodes to export, with their options.

    Attributes:
        project: The project.
        triggers: The trigger of each node.
        selected: Ids of the nodes that get a task; other assets that these nodes read become external assets.
        environments: Execution environment of each node.
        naming: Keys, groups and edges from a translator or definitions.
        options: Options of every DAG.
        split: The property that the nodes of a DAG share in addition to their trigger.
        granularity: One task per table, or one for all tables of a domain in a DAG.
        ids: Form of task ids and URIs: similar to those of starlake-airflow, equal to those, or from asset keys.
    """

    project: ProjectSource
    triggers: Triggers
    selected: frozenset[str]
    environments: NodeEnvironments = field(default_factory=NodeEnvironments)
    naming: AssetOverrides = field(default_factory=AssetOverrides)
    options: AirflowOptions = field(default_factory=AirflowOptions)
    split: DagSplit = "domain"
    granularity: Granularity = "task"
    ids: Ids = "starlake"

    def audit(self, environment: EnvironmentName) -> AuditSchema | None:
        """Returns the audit that tasks of an environment can query for expectation results; None if there is none."""
        return find_audit_schema(self.project, environment, self.options)

    @cached_property
    def lineage(self) -> ExportLineage:
        """Lineage of the export, with the edges that Dagster has."""
        return build_export_lineage(self.project.graph, self.naming)
