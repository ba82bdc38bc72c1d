"""Settings of a load job, and the check that the embedded engine supports them."""

from __future__ import annotations

from dataclasses import dataclass

from starlake_dagster_assets.engine.command_output import CommandOutput
from starlake_dagster_assets.engine.reading.column_types import target_columns
from starlake_dagster_assets.engine.reading.read import check_readable
from starlake_dagster_assets.engine.reading.type_patterns import Patterns
from starlake_dagster_assets.engine.session import Session
from starlake_dagster_assets.engine.writing.audit import Auditor
from starlake_dagster_assets.engine.writing.file_moves import IngestingFiles
from starlake_dagster_assets.engine.writing.schema_sync import Target
from starlake_dagster_assets.engine.writing.strategies import validate_strategy
from starlake_dagster_assets.engine.writing.unsupported_settings import check_load_sink, check_schema
from starlake_dagster_assets.errors import EngineError
from starlake_dagster_assets.project.model.project import Project, Table, WriteStrategy
from starlake_dagster_assets.project.resolve.strategy_templates import template_names

__all__ = ["LoadJob", "check_load"]

_NATIVE_FORMATS = {"DSV", "JSON", "JSON_FLAT"}


@dataclass(frozen=True)
class LoadJob:
    """Settings and state of a load job.

    Attributes:
        session: The connection of the table.
        project: The project.
        table: The table.
        strategy: Its write strategy, chosen for these files.
        entry: The files, in `ingesting`.
        auditor: Writes the audit rows.
        journal: Receives the messages.
        may_reject_all: Whether a file of which every row is rejected counts as loaded.
    """

    session: Session
    project: Project
    table: Table
    strategy: WriteStrategy
    entry: IngestingFiles
    auditor: Auditor
    journal: CommandOutput
    may_reject_all: bool = False

    @property
    def native(self) -> bool:
        """Whether the audit has the form that Starlake's native loader writes."""
        return self.table.metadata.loader == "native" and self.table.metadata.format in _NATIVE_FORMATS

    @property
    def target(self) -> Target:
        """The table by its final names."""
        return Target(self.table.final_domain, self.table.final_name)


def check_load(
    session: Session, project: Project, table: Table, strategy: WriteStrategy, patterns: Patterns | None = None
) -> None:
    """Raises an error for a table that cannot be loaded, before a file is touched.

    Raises:
        EngineError: Its sink, format, a type or its write strategy is unsupported, unknown or incomplete.
    """
    check_load_sink(table, session.connection)
    check_schema(session.con, table.final_domain, table.location)
    check_readable(session.con, project, table, patterns)
    names = [column.name for column in target_columns(table, project)]
    try:
        validate_strategy(strategy, table.metadata.sink.partition, names, template_names(project.root, "duckdb"))
    except EngineError as error:
        raise EngineError(f"{table.location}: {error}") from error
