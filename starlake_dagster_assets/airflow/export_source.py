"""Source of an export: a project, or the asset graph of a project in Dagster definitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from starlake_dagster_assets.automation.policies.model import Triggers
from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.graph.display_names import AssetOverrides

__all__ = ["DefinitionsGraph", "NamingSource"]


_NOWHERE: Mapping[str, str] = MappingProxyType({})


class NamingSource(Protocol):
    """Protocol of objects that name the nodes of a project, such as `StarlakeTranslator`."""

    def naming(self, source: ProjectSource) -> AssetOverrides:
        """Returns the keys, groups and dependencies of a project's nodes."""
        ...


@dataclass(frozen=True)
class DefinitionsGraph:
    """Asset graph of a project in Dagster definitions; `definitions_graph` creates it.

    Attributes:
        project: The project.
        naming: Keys, groups and edges of the project's assets, the excluded ones, and the assets outside the project.
        triggers: The trigger of each table and task; None if the definitions do not contain the triggers.
        environments: Execution environment of each table and task by node id, under its name on the command line;
            nodes that a resource of your own runs are left out.
    """

    project: ProjectSource
    naming: AssetOverrides
    triggers: Triggers | None = None
    environments: Mapping[str, str] = field(default_factory=lambda: _NOWHERE)
