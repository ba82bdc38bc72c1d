"""Runs unit tests, each on a database of its own, which is removed at the end."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb

from starlake_dagster_assets.commands.model import Line
from starlake_dagster_assets.commands.redaction import redact, secrets_of
from starlake_dagster_assets.engine.areas import area
from starlake_dagster_assets.engine.command_output import CommandOutput
from starlake_dagster_assets.engine.commands.load import LoadRequest, run_load_command
from starlake_dagster_assets.engine.commands.transform import TransformRequest, run_transform
from starlake_dagster_assets.engine.quoting import qualified
from starlake_dagster_assets.engine.reading.accepted_rows import Column
from starlake_dagster_assets.engine.reading.column_types import column_type, target_columns
from starlake_dagster_assets.engine.reading.workspace import remove_leftovers, temporary_directory
from starlake_dagster_assets.engine.session import EngineOptions, Session, open_session
from starlake_dagster_assets.engine.unit_tests.comparison import Difference, compare, insert_texts
from starlake_dagster_assets.engine.unit_tests.discovery import UnitTest, names_of
from starlake_dagster_assets.engine.unit_tests.files import InputTable, TestFiles, read_rows, unit_test_variables
from starlake_dagster_assets.engine.unit_tests.isolation import isolated_options, isolated_project
from starlake_dagster_assets.engine.unit_tests.values import is_exact
from starlake_dagster_assets.engine.writing.strategies import scd2_columns
from starlake_dagster_assets.engine.writing.table_names import resolve_names
from starlake_dagster_assets.engine.writing.user_statements import run_script, translated
from starlake_dagster_assets.errors import EngineError, StarlakeError, closest_match
from starlake_dagster_assets.project.files.rendering import Renderer, RenderError
from starlake_dagster_assets.project.load import load_project
from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.project.model.project import Project, Table, Task, WriteStrategy
from starlake_dagster_assets.project.resolve.java_regex import compile_java

__all__ = ["UnitTestResult", "run_unit_tests"]

_LEADING_ZERO = re.compile(r"[-+]?0\d|\+")
"""Pattern of texts with digits that are not numbers, such as postal codes."""


@dataclass(frozen=True)
class UnitTestResult:
    """Result of a unit test.

    Attributes:
        test: The test.
        status: `passed`; `failed` if a result differs from the expected one; `error` if the test cannot run.
        seconds: Duration in seconds.
        differences: Differences from the expected results; empty unless the status is `failed`.
        error: Reason why the test could not be run; "" unless the status is `error`.
        rejected: Reasons of rows that the load rejected, for a test that failed.
    """

    test: UnitTest
    status: Literal["passed", "failed", "error"]
    seconds: float
    differences: tuple[Difference, ...] = ()
    error: str = ""
    rejected: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """Yields lines of text with the error, the differences and the rejected rows."""
        yield from self.error.splitlines()
        for difference in self.differences:
            yield f"{difference.name}:"
            yield from (f"  {line}" for line in difference.lines())
        if self.rejected:
            yield "rejected rows:"
            yield from (f"  {reason}" for reason in self.rejected)


def run_unit_tests(
    root: Path,
    tests: Sequence[UnitTest],
    *,
    env: str | None = None,
    options: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Iterator[UnitTestResult]:
    """Runs tests one after the other, and yields each result as soon as it is available.

    Args:
        root: The project's directory.
        tests: The tests.
        env: Name of the environment (`metadata/env.<NAME>.sl.yml`); by default that of the process.
        options: Variables by name; they take precedence over those of the tests.
        environ: The process environment; by default `os.environ`.

    Raises:
        ProjectError: The directory is not a Starlake project.
    """
    remove_leftovers()
    runs = _Runs(root, env, dict(options or {}), environ)
    for test in tests:
        yield runs.run(test)


@dataclass(frozen=True)
class _Target:
    """The table or task of a test."""

    item: Table | Task

    @property
    def connection(self) -> str:
        return self.item.run_connection if isinstance(self.item, Task) else self.item.connection

    @property
    def name(self) -> str:
        item = self.item
        schema, table = (item.domain, item.table) if isinstance(item, Task) else (item.final_domain, item.final_name)
        return qualified(schema, table)


class _Runs:
    """Runs of the tests of one project, which is read once per set of variables."""

    def __init__(
        self, root: Path, env: str | None, options: Mapping[str, str], environ: Mapping[str, str] | None
    ) -> None:
        self._root = root
        self._env = env
        self._options = options
        self._environ = environ
        self._projects: dict[tuple[tuple[str, str], ...], tuple[Project, Sequence[Problem]]] = {}
        self._project(self._options)

    def run(self, test: UnitTest) -> UnitTestResult:
        """Runs one test; an error becomes its result."""
        started = time.monotonic()
        secrets = secrets_of(self._project(self._options)[0])
        try:
            # DuckDB compares paths without symbolic links with its allowed directories
            with temporary_directory("test") as folder:
                differences, rejected = self._run(test, folder.resolve())
        except (StarlakeError, RenderError, duckdb.Error, OSError, UnicodeDecodeError) as error:
            text = redact(str(error) or type(error).__name__, secrets)
            return UnitTestResult(test, "error", time.monotonic() - started, error=text)
        found = tuple(difference for difference in differences if difference)
        seconds = time.monotonic() - started
        if not found:
            return UnitTestResult(test, "passed", seconds)
        return UnitTestResult(test, "failed", seconds, found, rejected=rejected)

    def _project(self, options: Mapping[str, str]) -> tuple[Project, Sequence[Problem]]:
        key = tuple(sorted(options.items()))
        if key not in self._projects:
            self._projects[key] = load_project(self._root, env=self._env, options=options, environ=self._environ)
        return self._projects[key]

    def _run(self, test: UnitTest, folder: Path) -> tuple[list[Difference], tuple[str, ...]]:
        files = TestFiles.of(test)
        variables = unit_test_variables(test, dict(self._project(self._options)[0].variables))
        original, problems = self._project({**variables, **self._options})
        project, settings = isolated_project(original, folder), isolated_options(original, folder)
        target = _target(project, problems, test)
        journal = CommandOutput(_drop)
        renderer = Renderer(
            self._root / "metadata", {macro.file.removeprefix("metadata/"): macro.text for macro in project.macros}
        )
        with open_session(project, target.connection, journal, settings) as session:
            for table in files.given:
                _create(session, project, table)
            for script in files.scripts:
                run_script(session, renderer.render(script.read_text(encoding="utf-8"), project.variables))
        _execute(project, target, files, journal, settings)
        with open_session(project, target.connection, journal, settings) as session:
            differences = list[Difference]()
            for expected in files.expected:
                sql = _query(session, project, target, renderer, expected.query)
                differences.append(compare(session.con, expected.name, sql, read_rows(expected.file)))
            return differences, _rejected(session, project)


def _target(project: Project, problems: Sequence[Problem], test: UnitTest) -> _Target:
    """Returns the table or task of a test.

    Raises:
        EngineError: The project has no table or task of that name, or it has an error.
    """
    items: Sequence[Table | Task] = project.tables if test.kind == "load" else project.tasks
    for item in items:
        if (test.domain, test.target) in names_of(item):
            return _Target(item)
    prefix = f"metadata/{test.kind}/{test.domain}/{test.target}."
    errors = [str(problem) for problem in problems if problem.severity == "error" and problem.file.startswith(prefix)]
    what = "table" if test.kind == "load" else "task"
    if errors:
        raise EngineError(f"the {what} {test.domain}.{test.target} has an error: {errors[0]}")
    guess = closest_match(f"{test.domain}.{test.target}", [".".join(names_of(item)[0]) for item in items])
    hint = f"; did you mean {guess}?" if guess else ""
    raise EngineError(f"the project has no {what} {test.domain}.{test.target}{hint}")


def _create(session: Session, project: Project, table_input: InputTable) -> None:
    """Creates a table that exists before the test, with the types of the project if it describes the table."""
    rows = read_rows(table_input.file)
    declared = {column.name.lower(): column for column in _declared(project, table_input)}
    name = qualified(table_input.schema, table_input.table)
    session.con.execute(f"CREATE SCHEMA IF NOT EXISTS {qualified(table_input.schema)}")
    if declared:
        unknown = [column for column in rows.columns if column.lower() not in declared]
        if unknown:
            guess = closest_match(unknown[0], [column.name for column in declared.values()])
            hint = f"; did you mean {guess}?" if guess else ""
            raise EngineError(
                f"{table_input.file.name}: {table_input.schema}.{table_input.table} has no column {unknown[0]}{hint}"
            )
        columns = list(declared.values())
    else:
        columns = [
            Column(column, _inferred(session.con, [row[index] for row in rows.rows]))
            for index, column in enumerate(rows.columns)
        ]
    if not columns:
        raise EngineError(f"{table_input.file.name}: the table has no columns; write a CSV file with a header")
    definition = ", ".join(f"{qualified(column.name)} {column.type}" for column in columns)
    session.con.execute(f"CREATE TABLE {name} ({definition})")
    types = {column.name.lower(): column.type for column in columns}
    try:
        inexact = insert_texts(session.con, name, {column: types[column.lower()] for column in rows.columns}, rows.rows)
    except EngineError as error:
        raise EngineError(f"{table_input.file.name}: {error}") from error
    if inexact:
        raise EngineError(f"{table_input.file.name}: {inexact[0]}")


def _declared(project: Project, table_input: InputTable) -> Sequence[Column]:
    """Returns the columns that the project describes; none if it does not describe all types."""
    name = (table_input.schema.lower(), table_input.table.lower())
    for table in project.tables:
        if (table.final_domain.lower(), table.final_name.lower()) == name:
            return [*target_columns(table, project), *_scd2(project, table.metadata.write_strategy)]
        if (table.domain.lower(), table.stem.lower()) == name:
            raise EngineError(
                f"{table_input.file.name}: the table {table.raw} is {table.id} in the warehouse; "
                f"name the file {table.id}{table_input.file.suffix}"
            )
    for item in (*project.externals, *project.tasks):
        table_name = item.table if isinstance(item, Task) else item.name
        if (item.domain.lower(), table_name.lower()) == name and item.attributes:
            stored = [attribute for attribute in item.attributes if not attribute.ignore]
            if all(attribute.type for attribute in stored):
                found = [Column(attribute.final_name, column_type(attribute, project)) for attribute in stored]
                return [*found, *(_scd2(project, item.write_strategy) if isinstance(item, Task) else ())]
    return ()


def _scd2(project: Project, strategy: WriteStrategy) -> Sequence[Column]:
    if strategy.type.upper() != "SCD2":
        return ()
    return [Column(name, "TIMESTAMP") for name in scd2_columns(strategy, project.application)]


def _inferred(con: duckdb.DuckDBPyConnection, column: Sequence[str | None]) -> str:
    """Returns the narrowest type that holds all values of a column exactly."""
    values = [value for value in column if value is not None]
    for kind in ("BIGINT", "DOUBLE", "DECIMAL(38, 18)", "DATE", "TIMESTAMP", "BOOLEAN") if values else ():
        sql = f"SELECT list_transform(?::VARCHAR[], lambda value: TRY_CAST(value AS {kind})::VARCHAR)"
        found: list[str | None] = con.execute(sql, [values]).fetchall()[0][0]
        if all(_keeps(text, kind, printed) for text, printed in zip(values, found, strict=True)):
            return kind
    return "VARCHAR"


def _keeps(text: str, kind: str, printed: str | None) -> bool:
    if printed is None or not is_exact(text, kind, printed, None):
        return False
    number = kind in {"BIGINT", "DOUBLE"} or kind.startswith("DECIMAL")
    return _LEADING_ZERO.match(text) is None if number else kind != "BOOLEAN" or text.lower() == printed


def _execute(
    project: Project, target: _Target, files: TestFiles, journal: CommandOutput, settings: EngineOptions
) -> None:
    item = target.item
    if isinstance(item, Task):
        run_transform(project, TransformRequest(item.raw), journal, settings, {})
        return
    stage = area(project, "stage", item.domain_name)
    stage.mkdir(parents=True)
    for name, path in files.incoming:
        if not compile_java(item.pattern).fullmatch(name):
            raise EngineError(f"{path.name}: the name {name} does not match the pattern of {item.raw}, {item.pattern}")
        shutil.copyfile(path, stage / name)
    run_load_command(project, LoadRequest((item.domain,), (item.stem,)), journal, settings, {})


def _query(session: Session, project: Project, target: _Target, renderer: Renderer, query: str | None) -> str:
    """Returns the query of a result: a text without SELECT is a list of columns of the target."""
    if query is None:
        return f"FROM {target.name}"
    sql = renderer.render(query, project.variables).strip().rstrip(";")
    if "select" not in sql.lower():
        return f"SELECT {sql} FROM {target.name}"
    return translated(session, resolve_names(sql, project, session.dialect))


def _rejected(session: Session, project: Project) -> tuple[str, ...]:
    """Returns the reasons of at most ten rows that the load rejected."""
    audit = project.application.audit.domain
    try:
        found = session.con.execute(f"SELECT ERROR FROM {qualified(audit, 'rejected')} LIMIT 10").fetchall()
    except duckdb.CatalogException:
        return ()
    return tuple(" ".join(str(row[0]).split()) for row in found)


def _drop(line: Line) -> None:
    """Ignores a line."""
