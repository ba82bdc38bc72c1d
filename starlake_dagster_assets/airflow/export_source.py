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
    """Something that names the nodes of a project; `StarlakeTranslator` is one."""

    def naming(self, source: ProjectSource) -> AssetOverrides:
        """Returns the names of a project's nodes."""
        ...


@dataclass(frozen=True)
class DefinitionsGraph:
    """Asset graph of a project in Dagster definitions; `definitions_graph` creates it.

    Attributes:
        project: The project.
        naming: Keys, groups and edges of its assets, those that are left out, and the assets that are not its own.
        triggers: The trigger of each table and task; None if the definitions do not have it.
        environments: Where each table and task runs, by node id, in the words of the command line; nothing where a
            resource of yours runs it.
    """

    project: ProjectSource
    naming: AssetOverrides
    triggers: Triggers | None = None
    environments: Mapping[str, str] = field(default_factory=lambda: _NOWHERE)
