"""`StarlakeProject`: the directory of a project, its content and its problems."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from starlake_dagster_assets._arguments import command_options, directory_of
from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.project.cache.prepared import read_prepared, write_prepared
from starlake_dagster_assets.project.files.environment import MISSING_ENV
from starlake_dagster_assets.project.load import ProjectLoader
from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.project.model.project import Project

if TYPE_CHECKING:
    from dagster import AssetKey

    from starlake_dagster_assets.dagster_assets.specs.translator import StarlakeTranslator
    from starlake_dagster_assets.graph.model import Graph

__all__ = ["StarlakeProject"]


class StarlakeProject:
    """A Starlake project: the directory that holds `metadata/application.sl.yml`.

    The project is read once, when its content is first needed. Nothing is written into its directory.

    Args:
        root: The project's directory.
        env: The environment, `env.<NAME>.sl.yml`; by default that of `SL_ENV` or of the project's own files.
        options: Variables that take precedence over the env files, as `--options` of the command line.
        cache_dir: Directory of the manifest, with which the next load is fast; by default the user's cache directory.
        on_error: `raise` raises an error for a project with errors. `skip` leaves out the objects that have them, and
            the tasks that depend on these; `problems` lists all of them. An environment that does not exist is an error
            in both cases.
        manifest: The file that `prepare` writes. If it is given, the project is read from it and not from its
            directory. Written when the image of a code location is built, it saves the parsing in each process.

    Examples:
        ::

            project = StarlakeProject("starbake", env="DUCKDB")
            [table.id for table in project.model.tables]

        With a manifest, which `dagster dev` writes again and `starlake-dagster prepare` writes when an image is built::

            project = StarlakeProject("starbake", env="DUCKDB", manifest="starbake.manifest.json")
            project.prepare_if_dev()
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        env: str | None = None,
        options: Mapping[str, str] | None = None,
        cache_dir: str | Path | None = None,
        on_error: Literal["raise", "skip"] = "raise",
        manifest: str | Path | None = None,
    ) -> None:
        if on_error not in {"raise", "skip"}:
            raise ProjectError([f"on_error takes `raise` or `skip`, not `{on_error}`."])
        self._root = directory_of(root).expanduser().resolve()
        self._env = env or None
        self._options = command_options(options, "StarlakeProject(options=…)")
        self._cache_dir = Path(cache_dir) if cache_dir else None
        self._on_error: Literal["raise", "skip"] = on_error
        self._manifest = Path(manifest).expanduser().absolute() if manifest else None

    @property
    def root(self) -> Path:
        """The absolute path of the project."""
        return self._root

    @property
    def env(self) -> str | None:
        """The environment in use: the argument `env`, or else that of `SL_ENV` or of the files."""
        return self._loaded[0].env

    @property
    def on_error(self) -> Literal["raise", "skip"]:
        """Handling of objects with errors: `raise` or `skip`."""
        return self._on_error

    @property
    def options(self) -> Mapping[str, str]:
        """The variables given as `options`."""
        return dict(self._options)

    @property
    def model(self) -> Project:
        """The content of the project: its domains, tables, tasks, connections and settings.

        Raises:
            ProjectError: When the project has errors and `on_error` is `raise`; it names all of them. Also when the
                environment does not exist.
        """
        project, problems = self._loaded
        errors = [problem for problem in problems if problem.stops_object]
        if errors and (self._on_error == "raise" or any(problem.code == MISSING_ENV for problem in errors)):
            raise ProjectError(errors)
        return project

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All problems of the project's files, in the order of file and line; they are not raised."""
        return self._loaded[1]

    @property
    def manifest(self) -> Path | None:
        """The file that the project is read from; None if it is read from its directory."""
        return self._manifest

    def prepare(self, manifest: str | Path | None = None) -> Path:
        """Reads the files of the project and writes the result into one file.

        Args:
            manifest: The file; that of the project by default.

        Returns:
            The path of the file.

        Raises:
            ProjectError: When the project has errors and `on_error` is `raise`, or there is no file to write to.
        """
        path = Path(manifest).expanduser().absolute() if manifest else self._manifest
        if path is None:
            raise ProjectError([f"{self!r} has no manifest: pass the path to write it to."])
        fresh = StarlakeProject(
            self._root, env=self._env, options=self._options, cache_dir=self._cache_dir, on_error=self._on_error
        )
        fresh.graph  # noqa: B018 - what cannot be loaded is not written
        write_prepared(path, fresh._loaded[0], fresh.problems, env=self._env, options=self._options)
        return path

    def prepare_if_dev(self) -> None:
        """Calls `prepare` under `dagster dev` and `dg dev`, so that changes of the project take effect.

        Raises:
            ProjectError: As `prepare`.
        """
        if os.environ.get("DAGSTER_IS_DEV_CLI"):
            self.prepare()

    @property
    def graph(self) -> Graph:
        """The asset graph: tables, tasks and external nodes, with their dependencies.

        Raises:
            ProjectError: As `model` does, also for errors of the graph itself.
        """
        graph, problems = self._built
        errors = [problem for problem in problems if problem.severity == "error"]
        if errors and self._on_error == "raise":
            raise ProjectError(errors)
        return graph

    @property
    def graph_problems(self) -> tuple[Problem, ...]:
        """All problems of the graph, such as cycles; they are not raised."""
        return self._built[1]

    @cached_property
    def whole_graph(self) -> Graph:
        """The graph including the nodes that `on_error="skip"` leaves out; unreadable files are external nodes."""
        from starlake_dagster_assets.graph.broken_dependents import add_unreadable_nodes

        return add_unreadable_nodes(self._with_broken, self.problems) if self._has_broken else self.graph

    def asset_key(self, name: str, *, translator: StarlakeTranslator | None = None) -> AssetKey:
        """Returns the Dagster asset key of a table, a task, an external table or the files of a table.

        Args:
            name: `schema.table` by final names or the raw name (`<directory>.<file>`); a table name alone is enough
                if only one node has it. The incoming files of a table are `incoming.<domain>.<table>`.
            translator: The translator of the assets, if it changes asset keys.

        Raises:
            SelectionError: When no node has this name (the message has the closest one), or several nodes have it.
            ProjectError: As `graph`.

        Examples:
            Your own asset that reads a table of the project::

                @dg.asset(deps=[project.asset_key("kpi.revenue")])
                def report(): ...
        """
        from starlake_dagster_assets.dagster_assets.specs.translator import bound_translator
        from starlake_dagster_assets.graph.find import find_node

        node = find_node(self.graph, name)
        return bound_translator(translator, self, "asset_key").spec(node).key

    @cached_property
    def _built(self) -> tuple[Graph, tuple[Problem, ...]]:
        from starlake_dagster_assets.graph.build import build_graph

        graph, problems = build_graph(self.model)
        return graph, tuple(problems)

    @cached_property
    def _loaded(self) -> tuple[Project, tuple[Problem, ...]]:
        if self._manifest is not None:
            return read_prepared(self._manifest, self._root, env=self._env, options=self._options)
        project, problems = self._read
        if not self._has_broken:
            return project, problems
        from starlake_dagster_assets.graph.broken_dependents import drop_broken_dependents

        kept, left_out = drop_broken_dependents(project, self._with_broken, problems)
        return kept, (*problems, *left_out)

    @cached_property
    def _loader(self) -> ProjectLoader:
        loader = ProjectLoader(self._root)
        if self._on_error == "skip":  # the files are read once, with and without the objects that have errors
            loader.keep()
        return loader

    @cached_property
    def _read(self) -> tuple[Project, tuple[Problem, ...]]:
        return self._loader.load(env=self._env, options=self._options, cache_dir=self._cache_dir)

    @property
    def _has_broken(self) -> bool:
        """Whether objects are left out because their files have errors."""
        if self._manifest is not None or self._on_error == "raise":
            return False
        return any(problem.stops_object for problem in self._read[1])

    @cached_property
    def _with_broken(self) -> Graph:
        """The graph including the objects that have errors, as far as they could be read."""
        from starlake_dagster_assets.graph.build import build_graph

        whole, _ = self._loader.load(env=self._env, options=self._options, cache_dir=self._cache_dir, keep_broken=True)
        return build_graph(whole)[0]

    def __repr__(self) -> str:
        return f"StarlakeProject({str(self._root)!r}, env={self._env!r})"
