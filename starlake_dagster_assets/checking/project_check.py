"""Runs all checks of a project: those of loading, of the graph and of the triggers, and those of this package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from starlake_dagster_assets.automation.policies.build import trigger_problems
from starlake_dagster_assets.checking.columns import unknown_columns
from starlake_dagster_assets.checking.embedded import unsupported_by_embedded_engine
from starlake_dagster_assets.checking.engine_differences import find_engine_differences, find_unimported_macros
from starlake_dagster_assets.checking.environment_settings import find_invalid_settings
from starlake_dagster_assets.checking.expectations import broken_expectations
from starlake_dagster_assets.checking.patterns import overlapping_patterns
from starlake_dagster_assets.checking.positions import Positions
from starlake_dagster_assets.checking.syntax import syntax_errors
from starlake_dagster_assets.checking.tables import unknown_tables
from starlake_dagster_assets.checking.variables import unset_variables
from starlake_dagster_assets.commands.redaction import secrets_of
from starlake_dagster_assets.environments import execution_environments
from starlake_dagster_assets.graph.build import build_graph
from starlake_dagster_assets.project.files.environment import MISSING_ENV
from starlake_dagster_assets.project.load import load_project
from starlake_dagster_assets.project.model.problems import UNKNOWN_STRATEGY, Problem

__all__ = ["Engine", "ProjectCheckReport", "check_project"]

Engine = Literal["auto", "duckdb", "starlake"]
"""The engine that runs the commands: the embedded engine, the starlake program, or `auto` if it is not known."""


@dataclass(frozen=True)
class ProjectCheckReport:
    """Result of the check of a project.

    Attributes:
        problems: The problems, in the order of file, line and column.
        tables: Number of load tables that could be read.
        tasks: Number of tasks that could be read.
    """

    problems: tuple[Problem, ...]
    tables: int = 0
    tasks: int = 0

    @property
    def errors(self) -> int:
        """The number of errors."""
        return sum(problem.severity == "error" for problem in self.problems)

    @property
    def warnings(self) -> int:
        """The number of warnings."""
        return len(self.problems) - self.errors


def check_project(
    root: Path,
    *,
    env: str | None = None,
    options: Mapping[str, str] | None = None,
    engine: Engine = "auto",
    portable: bool = False,
) -> ProjectCheckReport:
    """Runs all checks of a project that do not need a run of it; nothing is written into its directory.

    Args:
        root: The project's directory.
        env: The environment.
        options: Variables that take precedence over the env files.
        engine: `duckdb` reports the tables and tasks that the embedded engine rejects as errors; `starlake` does not
            report them; `auto` reports those whose connection is DuckDB as warnings.
        portable: Whether to report as errors what the embedded engine accepts and the starlake program rejects or
            treats differently.

    Raises:
        ProjectError: When the directory is not a Starlake project.
    """
    model, loaded = load_project(root, env=env, options=options)
    if any(problem.code == MISSING_ENV for problem in loaded):  # the others would be those of another environment
        return ProjectCheckReport(_ordered([problem for problem in loaded if problem.code == MISSING_ENV]))
    graph, built = build_graph(model)
    positions = Positions(Path(model.root))
    skipped = {problem.file for problem in loaded if problem.code == UNKNOWN_STRATEGY}
    # what reads a broken object is checked too, so that one run shows all findings
    whole, whole_graph = model, graph
    if any(problem.stops_object for problem in loaded):
        whole = load_project(root, env=env, options=options, keep_broken=True)[0]
        whole_graph = build_graph(whole)[0]

    def deep() -> Iterator[Problem]:
        yield from syntax_errors(model, loaded, positions)
        yield from unknown_tables(whole_graph, whole, positions)
        yield from unset_variables(model, graph, positions)
        yield from unknown_columns(whole_graph, whole, positions)
        yield from broken_expectations(model, positions)
        yield from overlapping_patterns(model)
        environments = execution_environments().values()
        yield from find_invalid_settings(graph.nodes.values(), environments, positions, secrets=secrets_of(model))
        yield from unsupported_by_embedded_engine(model, engine, skipped)
        for problem in (*find_unimported_macros(model), *(find_engine_differences(model) if portable else ())):
            yield problem.model_copy(update={"severity": "error" if portable else problem.severity})

    known = {(problem.file, problem.code, problem.key) for problem in loaded}
    others = (*built, *trigger_problems(model, graph), *deep())
    found = [positions.with_line(one) for one in others if not one.key or (one.file, one.code, one.key) not in known]
    # `syntax_errors` has the details
    examined = [problem for problem in loaded if problem.code != "unparsable-sql"]
    return ProjectCheckReport(_ordered([*examined, *found]), len(model.tables), len(model.tasks))


def _ordered(problems: list[Problem]) -> tuple[Problem, ...]:
    unique = {(problem.code, str(problem)): problem for problem in problems}
    return tuple(
        sorted(unique.values(), key=lambda item: (item.file, item.line or 0, item.column or 0, item.key, item.message))
    )
