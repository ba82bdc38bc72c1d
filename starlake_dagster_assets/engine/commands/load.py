"""The `load` command: loads files from `stage` into tables, one transaction per file."""

from __future__ import annotations

import filecmp
import shutil
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import duckdb

from starlake_dagster_assets.atomic_file import replaced_file
from starlake_dagster_assets.commands.model import LoadCompleted
from starlake_dagster_assets.engine.areas import area, free_name, list_files, move_file
from starlake_dagster_assets.engine.command_output import CommandOutput, printable
from starlake_dagster_assets.engine.commands.load_results import LoadResults
from starlake_dagster_assets.engine.reading.workspace import remove_leftovers
from starlake_dagster_assets.engine.session import EngineOptions, Session, exclusive, open_session
from starlake_dagster_assets.engine.writing.adaptive import check_adaptive, strategy_for
from starlake_dagster_assets.engine.writing.audit import Auditor, audit_job_id
from starlake_dagster_assets.engine.writing.file_moves import (
    DomainAreas,
    IngestingFiles,
    RowCounts,
    format_file_uris,
    list_ingesting_files,
    list_orphaned_ticket_paths,
)
from starlake_dagster_assets.engine.writing.ingest import evaluate_recorded_expectations, run_load
from starlake_dagster_assets.engine.writing.load_settings import LoadJob, check_load
from starlake_dagster_assets.engine.writing.transaction import run_uninterrupted
from starlake_dagster_assets.errors import EngineError, closest_match
from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.project.model.project import Domain, Project, Table
from starlake_dagster_assets.project.resolve.java_regex import compile_java

__all__ = ["LoadRequest", "run_load_command"]

_SOURCE = "IngestionWorkflow"
_BY_TIME = "ai.starlake.job.load.IngestionTimeStrategy"
_BY_NAME = "ai.starlake.job.load.IngestionNameStrategy"
_JOBS = {
    "DSV": "DsvIngestionJob",
    "POSITION": "PositionIngestionJob",
    "XML": "XmlIngestionJob",
    "PARQUET": "ParquetIngestionJob",
}


@dataclass(frozen=True)
class LoadRequest:
    """Arguments of `load`; None means that an option is not given, which selects all.

    Attributes:
        domains: `--domains`: directories.
        tables: `--tables`: file stems.
        files: `--files`: copied to stage first.
        scheduled: `--scheduledDate`.
    """

    domains: tuple[str, ...] | None = None
    tables: tuple[str, ...] | None = None
    files: tuple[str, ...] = ()
    scheduled: str | None = None


@dataclass(frozen=True)
class _Context:
    project: Project
    request: LoadRequest
    journal: CommandOutput
    options: EngineOptions
    environ: Mapping[str, str]
    results: LoadResults
    broken: Sequence[PurePosixPath]
    """Files of tables and domains that are left out of the project."""


def run_load_command(
    project: Project,
    request: LoadRequest,
    journal: CommandOutput,
    options: EngineOptions,
    environ: Mapping[str, str],
    problems: Sequence[Problem] = (),
) -> None:
    """Loads the files of the requested domains and tables.

    A failed file is moved back to stage; the others are still loaded.

    Args:
        project: The project.
        request: The domains, tables and files to load.
        journal: Receives the markers and the summary.
        options: Settings of the engine.
        environ: Environment variables of the command, for the JOBID.
        problems: Problems of tables and tasks that are left out of the project; such a table fails if it is requested.

    Raises:
        EngineError: At least one file failed; the message has the errors of all of them.
    """
    _order(project)
    results = LoadResults(journal, options, [str(problem) for problem in problems if _is_requested(problem, request)])
    broken = [PurePosixPath(problem.file) for problem in problems]
    context = _Context(project, request, journal, options, environ, results, broken)
    remove_leftovers()
    domains = _selected(context)
    _copy_files(context, domains)
    journal.info(_SOURCE, f"Domains that will be watched: {','.join(domain.name for domain, _ in domains)}")
    for domain, tables in domains:
        names = [(domain.name, table.name) for table in tables]
        with (
            results.isolated(tables=names, last=True),
            exclusive(area(project, "stage", domain.name), journal, options),
        ):
            _load_domain(context, domain, tables)
    options.report(LoadCompleted())
    if results.errors:
        journal.error(_SOURCE, "Some tables failed to be loaded")
        raise EngineError("\n".join(results.errors))
    journal.info(_SOURCE, "All tables loaded successfully")
    results.summarize()


def _is_requested(problem: Problem, request: LoadRequest) -> bool:
    """Whether a problem belongs to a requested table or to its domain."""
    top, kind, *parts = (*PurePosixPath(problem.file).parts, "", "")
    if (top, kind) != ("metadata", "load"):
        return False
    stem = parts[1].removesuffix(".yml").removesuffix(".yaml").removesuffix(".sl")
    wanted = request.domains is None or parts[0] in request.domains
    return wanted and (request.tables is None or stem in (*request.tables, "_config"))


def _order(project: Project) -> bool:
    """Returns whether files are loaded by name instead of by time; raises an error for any other order."""
    wanted = project.application.load_strategy_class
    if wanted not in {_BY_TIME, _BY_NAME}:
        raise EngineError(
            f"application.loadStrategyClass {wanted!r}: the embedded engine has {_BY_TIME} and {_BY_NAME}"
        )
    return wanted == _BY_NAME


def _selected(context: _Context) -> list[tuple[Domain, list[Table]]]:
    request, journal = context.request, context.journal
    named = "all" if request.domains is None else ",".join(request.domains)
    journal.info(_SOURCE, "Loading all domains" if request.domains is None else f"Loading domains : {named}")
    only = request.tables
    journal.info(_SOURCE, "Loading all tables" if only is None else f"Loading tables : {','.join(only)}")
    known = [domain.directory for domain in context.project.domains]
    for name in request.domains or ():
        if name not in known:
            guess = closest_match(name, known)
            journal.warn("SchemaHandler", f"Domain {name} not found" + (f"; did you mean {guess}?" if guess else ""))
    result: list[tuple[Domain, list[Table]]] = []
    for domain in context.project.domains:
        if request.domains is not None and domain.directory not in request.domains:
            continue
        tables = [table for table in domain.tables if only is None or table.stem in only or table.name in only]
        if tables:
            result.append((domain, tables))
        else:
            journal.warn("SchemaHandler", f"Domain {domain.name} discarded because it's empty")
    _warn_unknown_tables(context, result)
    return result


def _warn_unknown_tables(context: _Context, domains: Sequence[tuple[Domain, list[Table]]]) -> None:
    found = {name for _, tables in domains for table in tables for name in (table.stem, table.name)}
    known = [table.stem for table in context.project.tables]
    for name in context.request.tables or ():
        if name not in found:
            guess = closest_match(name, known)
            text = f"Table {name} not found" + (f"; did you mean {guess}?" if guess and guess != name else "")
            context.journal.warn("SchemaHandler", text)


def _copy_files(context: _Context, domains: Sequence[tuple[Domain, list[Table]]]) -> None:
    """Copies the files of `--files` to the stage of the first domain with a matching table, or of the only domain."""
    for text in context.request.files:
        file = Path(text.removeprefix("file:"))
        file = file if file.is_absolute() else Path(context.project.root) / file
        if not file.is_file():
            raise EngineError(f"--files: {file} is not a file")
        fitting = [domain for domain, tables in domains if _table_of(file, tables) is not None]
        if not fitting and len(domains) != 1:
            raise EngineError(f"--files: no table of the selected domains has a pattern for {file.name}")
        stage = area(context.project, "stage", (fitting or [domains[0][0]])[0].name)
        stage.mkdir(parents=True, exist_ok=True)
        there = stage / file.name
        if file.resolve() == there.resolve():
            continue
        if there.exists() and not filecmp.cmp(file, there, shallow=False):
            raise EngineError(f"--files: another {printable(there)} is waiting to be loaded; load it first")
        with replaced_file(there) as part:
            shutil.copyfile(file, part)


def _load_domain(context: _Context, domain: Domain, tables: Sequence[Table]) -> None:
    journal, passage = context.journal, DomainAreas(context.project, domain.name, context.journal)
    journal.info(_SOURCE, f"Watch Domain: {domain.name}")
    journal.info(_SOURCE, f"List files in file:{passage.stage}")
    passage.stage.mkdir(parents=True, exist_ok=True)
    if waiting := list_files(passage.quarantine).files:
        names = ", ".join(printable(file.name) for file in waiting[:5])
        journal.warn(_SOURCE, f"{len(waiting)} file(s) in {passage.quarantine} are not loaded: {names}")
    for link in list_files(passage.stage).links:
        journal.warn(_SOURCE, f"{printable(link)} is not loaded: it is a link to a file outside of the stage area")
    passage.remove_partial_tickets()
    for connection in sorted({table.connection for table in tables}):
        _load_connection(context, passage, tables, connection)
    if context.request.tables is None and not any(file.parent.name == domain.directory for file in context.broken):
        _unresolved(passage, domain.tables)


def _load_connection(context: _Context, passage: DomainAreas, tables: Sequence[Table], connection: str) -> None:
    """Loads the files of the tables of one connection, in one session."""

    def mine(file: Path) -> bool:
        owner = _table_of(file, tables)
        return owner is not None and owner.connection == connection

    stuck, gone = (
        [file for file in found if mine(file)]
        for found in (list_ingesting_files(passage), list_orphaned_ticket_paths(passage))
    )
    if not stuck and not gone and not any(mine(file) for file in _files(passage.stage)):
        context.journal.info(_SOURCE, "No Files found to ingest.")
        return
    owners = [_table_of(file, tables) for file in [*stuck, *_files(passage.stage)]]
    names = [(passage.domain, table.name) for table in owners if table is not None and table.connection == connection]
    with (
        context.results.isolated(tables=names, last=True),
        open_session(context.project, connection, context.journal, context.options) as session,
    ):
        passage.forget_orphans(gone, session)
        recovered = passage.recover(stuck, session, Auditor(session, context.project, "", None))
        for table, files in _resolved(context, passage, tables, recovered):
            if table.connection == connection:
                landed = [item for item in recovered if _table_of(item[0].files[0], tables) is table]
                with context.results.isolated(table.location, tables=[(passage.domain, table.name)]):
                    _load_table(context, session, passage, table, landed, files)


def _resolved(
    context: _Context,
    passage: DomainAreas,
    tables: Sequence[Table],
    recovered: Sequence[tuple[IngestingFiles, RowCounts]],
) -> Iterator[tuple[Table, list[Path]]]:
    """Yields each table with its files to load, in order; a file belongs to the first table whose pattern matches."""
    by_name = _order(context.project)
    landed = {file for entry, _ in recovered for file in entry.files}
    files = [file for file in [*list_ingesting_files(passage), *_files(passage.stage)] if file not in landed]
    files = [file for file in files if file.exists()]  # a file that was removed in the meantime is no failure
    files.sort(key=lambda file: (0 if by_name else _changed(file), file.name))
    found = {file: _table_of(file, tables) for file in [*landed, *files]}
    for table in tables:
        if any(owner is table for owner in found.values()):
            yield table, [file for file in files if found[file] is table]


def _load_table(
    context: _Context,
    session: Session,
    passage: DomainAreas,
    table: Table,
    landed: Sequence[tuple[IngestingFiles, RowCounts]],
    files: Sequence[Path],
) -> None:
    """Loads the files of a table; files whose rows are committed already are only reported again and archived."""
    named = [*(file for entry, _ in landed for file in entry.files), *files]
    names = ",".join(printable(file.name) for file in named)
    context.journal.info(_SOURCE, f"Ingest resolved file : {names} as table {passage.domain}.{table.name}")
    results = context.results
    with results.table((passage.domain, table.name), named):
        for entry, counts in landed:
            with results.isolated(table.location):
                _finish(context, passage, _job(context, session, passage, table, entry), counts, recovered=True)
        for group in _jobs(context, table, files):
            if context.options.cancelled.is_set():
                raise EngineError("cancelled")
            with results.isolated(table.location):
                _load_files(context, session, passage, table, group)


def _jobs(context: _Context, table: Table, files: Sequence[Path]) -> Iterator[list[Path]]:
    """Yields the files of each job: one file, or several if loads are grouped (`application.grouped`, `groupedMax`)."""
    application = context.project.application
    size = max(1, application.grouped_max) if application.grouped and not table.metadata.write_strategy.types else 1
    for start in range(0, len(files), size):
        yield list(files[start : start + size])


def _load_files(context: _Context, session: Session, passage: DomainAreas, table: Table, files: Sequence[Path]) -> None:
    if table.metadata.write_strategy.types:
        check_adaptive(table.metadata.write_strategy)
    strategy = strategy_for(table, context.project.application, files[0])
    check_load(session, context.project, table, strategy)
    passage.check_archive()
    job = _job(context, session, passage, table, IngestingFiles(tuple(files), None))
    entry = passage.move_to_ingesting(files, table.final_domain)
    context.journal.out(
        f"Loading\nFormat: {table.metadata.format}\nFile(s): {format_file_uris(entry.files)}\n"
        f"Table: {passage.domain}.{table.name}"
    )
    job = replace(job, strategy=strategy, entry=entry)
    with _returned_unless_committed(passage, job, context.options):
        counts = run_load(job)
    _finish(context, passage, job, counts, recovered=False)


def _job(context: _Context, session: Session, passage: DomainAreas, table: Table, entry: IngestingFiles) -> LoadJob:
    default = f"{passage.domain}-{table.name}-{entry.files[0].name}"
    name = audit_job_id(context.project, context.environ, default)
    auditor = Auditor(session, context.project, name, context.request.scheduled)
    strategy = table.metadata.write_strategy
    tolerant = context.options.may_reject_all
    return LoadJob(session, context.project, table, strategy, entry, auditor, context.journal, tolerant)


def _finish(context: _Context, passage: DomainAreas, job: LoadJob, counts: RowCounts, *, recovered: bool) -> None:
    """Completes a load after its commit: the marker line, expectations that are not recorded yet, the archive."""
    paths = format_file_uris(job.entry.files)
    context.journal.info(
        _JOBS.get(job.table.metadata.format, "JsonIngestionJob"),
        f"ingestion-summary -> files: [{paths}], domain: {passage.domain}, schema: {job.table.name}, "
        f"input: {counts.input}, accepted: {counts.accepted}, rejected:{counts.rejected}",
    )
    if recovered:
        job.auditor.take_over_partitions(counts.job, job.table.domain_name, job.table.name)
    try:
        evaluate_recorded_expectations(job, recovered=recovered)
    except duckdb.InterruptException as error:
        raise EngineError("cancelled") from error
    finally:
        started = time.monotonic()
        passage.archive_files(job.entry, job.session)
    context.journal.out(f"Archive duration takes {int((time.monotonic() - started) * 1000)}ms")
    context.results.add((passage.domain, job.table.name), job.entry.files, counts)


@contextmanager
def _returned_unless_committed(passage: DomainAreas, job: LoadJob, options: EngineOptions) -> Generator[None]:
    """Moves files back to stage if the block fails before their commit; otherwise the next load archives them."""
    try:
        yield
    except BaseException as error:
        # a cancellation interrupts every query until the command ends, also those that clean up
        not_committed = run_uninterrupted(lambda: job.entry.committed(job.session)) is None
        if not_committed:
            passage.return_to_stage(job.entry.files)
        if isinstance(error, duckdb.InterruptException):
            raise EngineError("cancelled") from error
        given_back = isinstance(error, EngineError) and not_committed
        if given_back and (message := passage.quarantine_failed(job.entry, job.auditor, options.quarantine_after)):
            raise EngineError(f"{error}\n{message}") from error
        raise


def _unresolved(passage: DomainAreas, tables: Sequence[Table]) -> None:
    """Moves files that match no table of the domain to the area `unresolved`."""
    for file in _files(passage.stage):
        if _table_of(file, tables) is None:
            passage.unresolved.mkdir(parents=True, exist_ok=True)
            message = f"no table of {passage.domain} has a pattern for {printable(file.name)}: to unresolved"
            passage.journal.warn(_SOURCE, message)
            move_file(file, free_name(passage.unresolved / file.name))


def _files(folder: Path) -> list[Path]:
    return list(list_files(folder).files)


def _changed(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def _table_of(file: Path, tables: Sequence[Table]) -> Table | None:
    return next((table for table in tables if compile_java(table.pattern).fullmatch(file.name)), None)
