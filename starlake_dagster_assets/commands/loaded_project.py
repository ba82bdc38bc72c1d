"""The parts of a project that a run needs: its root, its model and its graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from starlake_dagster_assets.graph.model import Graph
from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.project.model.project import Project

__all__ = ["ProjectSource"]


class ProjectSource(Protocol):
    """A loaded project; `StarlakeProject` is one."""

    @property
    def env(self) -> str | None:
        """Name of the environment (`SL_ENV`)."""
        ...

    @property
    def options(self) -> Mapping[str, str]:
        """The variables that the project was loaded with."""
        ...

    @property
    def root(self) -> Path:
        """The project's directory."""
        ...

    @property
    def model(self) -> Project:
        """The resolved models."""
        ...

    @property
    def graph(self) -> Graph:
        """The asset graph."""
        ...

    @property
    def problems(self) -> Sequence[Problem]:
        """Problems found in the files of the project."""
        ...
