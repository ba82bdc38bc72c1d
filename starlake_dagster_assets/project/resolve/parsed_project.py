"""Types that the modules of this package share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlake_dagster_assets.project.files.discovery import SourceFile, Sources
from starlake_dagster_assets.project.files.key_validation import ParsedFile
from starlake_dagster_assets.project.model.problem_collector import ProblemReport
from starlake_dagster_assets.project.model.problems import INVALID_SCHEDULE
from starlake_dagster_assets.project.model.project import Application, RefRule, TypeDef
from starlake_dagster_assets.project.resolve.schedules import cron_of

__all__ = ["Analysis", "Analyze", "ParsedProject"]


@dataclass(frozen=True)
class Analysis:
    """Result of parsing a SQL text.

    Attributes:
        references: Names of the tables that it reads.
        parity: Names that the starlake program's regular expressions find.
        error: Reason why it cannot be parsed; None if it can.
    """

    references: tuple[str, ...]
    parity: tuple[str, ...]
    error: str | None


Analyze = Callable[[str, str], Analysis]


@dataclass(frozen=True)
class ParsedProject:
    """Parsed files of a project, and the settings with which they are resolved.

    Attributes:
        sources: The files.
        parsed: The content of each file, by path.
        application: The settings, refs included.
        types: The types by name.
        macros: The names of the macros of `expectations/` and `macros/`.
        report: Collector of problems.
        analyze: Returns the references of SQL in a dialect.
        root: The absolute path of the project.
    """

    sources: Sources
    parsed: Mapping[str, ParsedFile]
    application: Application
    types: Mapping[str, TypeDef]
    macros: frozenset[str]
    report: ProblemReport
    analyze: Analyze
    root: str

    @property
    def refs(self) -> tuple[RefRule, ...]:
        """The rules that rename references."""
        return self.application.refs

    def by_domain(self, kind: str) -> dict[str, list[SourceFile]]:
        """Returns the files of one kind, by directory, in order."""
        found: dict[str, list[SourceFile]] = {}
        for file in self.sources.of(kind):
            found.setdefault(file.domain, []).append(file)
        return found

    def cron(self, schedule: str | None, file: str, path: tuple[str | int, ...]) -> str | None:
        """Returns the cron expression of a schedule; an invalid one is reported at `file` and `path`."""
        try:
            return cron_of(schedule, self.application.schedule_presets)
        except ValueError as error:
            self.report.error(file, path, str(error), INVALID_SCHEDULE)
            return None

    def check_dag(self, name: str | None, file: str, path: tuple[str | int, ...]) -> None:
        """Reports a `dagRef` that names no file of `dags/`."""
        if name and name.removesuffix(".sl.yml") not in {dag.stem for dag in self.sources.of("dag")}:
            hint = f"Add metadata/dags/{name.removesuffix('.sl.yml')}.sl.yml, or remove the key."
            self.report.warning(file, path, f"`{name}` is not a file of metadata/dags.", "unknown-dag", hint)

    def check_connection(self, name: str | None, file: str, path: tuple[str | int, ...]) -> None:
        """Reports a connection that the application does not declare."""
        from starlake_dagster_assets.errors import closest_match

        known = self.application.connections
        if not name or name in known:
            return
        close = closest_match(name, known)
        hint = f"Did you mean `{close}`?" if close else f"Known connections: {', '.join(sorted(known)) or 'none'}."
        self.report.error(file, path, f"unknown connection `{name}`.", "unknown-connection", hint)
