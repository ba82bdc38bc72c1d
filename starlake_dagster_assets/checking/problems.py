"""All problems of a project: of its load, its graph and its triggers, and those that this package looks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from starlake_dagster_assets.checking.columns import unknown_columns
from starlake_dagster_assets.checking.embedded import refusals
from starlake_dagster_assets.checking.expectations import broken_expectations
from starlake_dagster_assets.checking.patterns import overlapping_patterns
from starlake_dagster_assets.checking.places import Places
from starlake_dagster_assets.checking.syntax import syntax_errors
from starlake_dagster_assets.checking.tables import unknown_tables
from starlake_dagster_assets.graph.build import build_graph
from starlake_dagster_assets.project.environment import MISSING_ENV
from starlake_dagster_assets.project.load import load_project
from starlake_dagster_assets.project.problems import Problem
from starlake_dagster_assets.triggers.build import trigger_problems

__all__ = ["Engine", "Findings", "check_project"]

Engine = Literal["auto", "duckdb", "starlake"]
"""What runs the commands: the embedded engine, the real program, or not said."""


@dataclass(frozen=True)
class Findings:
    """What a check of a project found.

    Attributes:
        problems: By file, line and column.
        tables: How many load tables could be read.
        tasks: How many tasks could be read.
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
    root: Path, *, env: str | None = None, options: Mapping[str, str] | None = None, engine: Engine = "auto"
) -> Findings:
    """Checks everything that can be known of a project without running it; nothing is written into it.

    Args:
        root: The project's directory.
        env: The environment.
        options: Variables that win over the env files.
        engine: `duckdb` makes what the embedded engine refuses an error; `starlake` leaves it out; by default it is a
            warning where the connection is DuckDB.

    Raises:
        ProjectError: When the directory is not a Starlake project.
    """
    model, loaded = load_project(root, env=env, options=options)
    if any(problem.code == MISSING_ENV for problem in loaded):  # the rest would be that of another environment
        return Findings(_ordered([problem for problem in loaded if problem.code == MISSING_ENV]))
    graph, built = build_graph(model)
    places = Places(Path(model.root))

    def deep() -> Iterator[Problem]:
        yield from syntax_errors(model, loaded, places)
        yield from unknown_tables(graph, model, places)
        yield from unknown_columns(graph, model, places)
        yield from broken_expectations(model, places)
        yield from overlapping_patterns(model)
        yield from refusals(model, engine)

    found = [*loaded, *built, *trigger_problems(model, graph)]
    examined = [problem for problem in found if problem.code != "unparsable-sql"]  # `syntax_errors` says more
    return Findings(_ordered([*examined, *deep()]), len(model.tables), len(model.tasks))


def _ordered(problems: list[Problem]) -> tuple[Problem, ...]:
    unique = {(problem.code, str(problem)): problem for problem in problems}
    return tuple(
        sorted(unique.values(), key=lambda item: (item.file, item.line or 0, item.column or 0, item.key, item.message))
    )
