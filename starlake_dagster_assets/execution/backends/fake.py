"""A runner for tests: replays scripted lines and records the commands, without running a program."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from starlake_dagster_assets._deprecated import renamed_arguments, warn_deprecated
from starlake_dagster_assets.commands.model import AuditRow, Command, CommandExit, ExpectationRow, Line
from starlake_dagster_assets.execution.backends.protocol import RunnerCapabilities
from starlake_dagster_assets.execution.warehouse.reader import WarehouseReader
from starlake_dagster_assets.project.model.project import Expectation

__all__ = ["FakeHandle", "FakeRunner", "FakeWarehouseReader", "FakeWitness", "Script", "loaded_lines"]


@dataclass(frozen=True)
class Script:
    """Output and exit code of a command.

    Attributes:
        lines: Its lines (stderr).
        exit_code: Its exit code.
        error: Raised after the lines, as when a connection is lost or the run is interrupted. For a command that fails,
            give an error line and an exit code instead.

    Raises:
        TypeError: A line or an error is not of its type.
    """

    lines: Sequence[str] = ()
    exit_code: int | None = 0
    error: BaseException | None = None

    def __post_init__(self) -> None:
        lines, error = cast("object", self.lines), cast("object", self.error)
        if isinstance(lines, (str, bytes)):
            raise TypeError(f"Script: `lines` is a list of lines; found the text {lines!r}. Give a list of it.")
        if error is not None and not isinstance(error, BaseException):
            raise TypeError(
                f"Script: `error` is an exception that is raised; found {error!r}. Give RunnerError({error!r}), or for "
                f'a command that fails: Script(["ERROR Main: {error}"], exit_code=1).'
            )


@dataclass
class FakeWarehouseReader(WarehouseReader):
    """Warehouse reader that returns given values, for tests.

    Attributes:
        audit_rows: Returned for their job id; a row with job id "" matches every command.
        expectation_rows: The same for expectations.
        tables: Columns by (schema, table).
        counts: Rows by (schema, table).
        supports_concurrent_reads: Whether it may be read while a command runs.
    """

    audit_rows: list[AuditRow] = field(default_factory=lambda: [])
    expectation_rows: list[ExpectationRow] = field(default_factory=lambda: [])
    tables: dict[tuple[str, str], list[tuple[str, str]]] = field(default_factory=lambda: {})
    counts: dict[tuple[str, str], int] = field(default_factory=lambda: {})
    supports_concurrent_reads: bool = False

    def audit(self, job_id: str) -> Sequence[AuditRow]:
        """Returns the rows of that job."""
        return [row for row in self.audit_rows if row.job_id in ("", job_id)]

    def expectations(self, job_id: str) -> Sequence[ExpectationRow]:
        """Returns the rows of that job."""
        return [row for row in self.expectation_rows if row.job_id in ("", job_id)]

    def columns(self, schema: str, table: str) -> Sequence[tuple[str, str]]:
        """Returns the columns given for the table."""
        return self.tables.get((schema, table), [])

    def row_count(self, schema: str, table: str) -> int | None:
        """Returns the count given for the table."""
        return self.counts.get((schema, table))


class _EveryExpectationHolds(WarehouseReader):
    """A warehouse in which every expectation holds; everything else is unknown."""

    def audit(self, job_id: str) -> None:
        """Returns None: unknown."""

    def expectations(self, job_id: str) -> None:
        """Returns None: unknown."""

    def columns(self, schema: str, table: str) -> None:
        """Returns None: unknown."""

    def row_count(self, schema: str, table: str) -> None:
        """Returns None: unknown."""

    def evaluate(self, schema: str, table: str, expectations: Sequence[Expectation]) -> Sequence[ExpectationRow]:
        """Returns a successful result per expectation."""
        found = [one.expect for one in expectations]
        return [ExpectationRow("", schema, table, text, text, "", 0, "", True) for text in found]


_DEFAULT_READER = _EveryExpectationHolds()


class FakeWitness(FakeWarehouseReader):
    """Deprecated: `FakeWarehouseReader`."""

    def __init__(self, *args: Any, live: bool = False, **kwargs: Any) -> None:
        warn_deprecated("`FakeWitness`", "`FakeWarehouseReader`")
        super().__init__(*args, supports_concurrent_reads=live, **kwargs)


class FakeHandle:
    """Handle of a command whose script is replayed."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.cancelled = False

    def lines(self) -> Iterator[Line]:
        """Yields the scripted lines, then raises the scripted error."""
        for text in self._script.lines:
            if self.cancelled:
                return
            yield Line(text)
        if self._script.error is not None:
            raise self._script.error

    def wait(self) -> CommandExit:
        """Returns the scripted exit code."""
        return CommandExit(None if self.cancelled else self._script.exit_code, 0.0, self.cancelled)

    def cancel(self) -> None:
        """Records that the command was cancelled."""
        self.cancelled = True


class FakeRunner:
    """Runner that replays one script per command.

    Args:
        scripts: By the command as typed (`transform --name kpi.revenue`), by its name (`load`), or a function from
            command to script. Other commands succeed: a transform reports it, a load finds no file.
        reader: The warehouse, one in which every expectation holds by default. With None no warehouse can be read, and
            blocking expectations are unknown.
        lossless_log: False if lines may be lost, as with the log service of a remote environment.
        deprecated: `witness`, the deprecated name of `reader`.

    Examples:
        >>> runner = FakeRunner({"load": Script(loaded_lines("sales", "orders", accepted=3))})
        >>> runner.start(Command("transform", ("--name", "kpi.revenue"))).wait().exit_code
        0
        >>> [command.argv for command in runner.commands]
        [('transform', '--name', 'kpi.revenue')]
    """

    def __init__(
        self,
        scripts: Mapping[str, Script] | Callable[[Command], Script | None] | None = None,
        reader: WarehouseReader | None = _DEFAULT_READER,
        *,
        lossless_log: bool = True,
        **deprecated: Any,
    ) -> None:
        self.capabilities = RunnerCapabilities(has_lossless_log=lossless_log)
        self._scripts: Mapping[str, Script] | Callable[[Command], Script | None] = {} if scripts is None else scripts
        if not callable(self._scripts):
            for words, script in self._scripts.items():
                _checked(script, words)
        given = renamed_arguments("FakeRunner", deprecated, {"witness": "reader"}, parameters=("scripts", "reader"))
        self._reader: WarehouseReader | None = given.get("witness", reader)
        self.commands: list[Command] = []
        self.handles: list[FakeHandle] = []

    def start(self, command: Command) -> FakeHandle:
        """Records the command and replays its script."""
        self.commands.append(command)
        handle = FakeHandle(self._script(command) or Script([_success(command)]))
        self.handles.append(handle)
        return handle

    def warehouse_reader(self) -> WarehouseReader | None:
        """Returns the configured reader."""
        return self._reader

    def _script(self, command: Command) -> Script | None:
        if callable(self._scripts):
            return _checked(self._scripts(command), command.name)
        typed = " ".join(command.argv)
        exact = next((script for words, script in self._scripts.items() if words == typed), None)
        near = (script for words, script in self._scripts.items() if typed.startswith(words + " "))
        return exact or next(near, None)


def loaded_lines(
    domain: str, table: str, *, file: str = "", found: int | None = None, accepted: int = 1, rejected: int = 0
) -> list[str]:
    """Returns the lines of a load of one file.

    Args:
        domain: `load.name`.
        table: `table.name`.
        file: The file's name, `<table>.csv` by default.
        found: Rows read; accepted + rejected by default.
        accepted: Rows accepted.
        rejected: Rows rejected.

    Returns:
        The lines that the starlake program prints: announcement, summary, archive.
    """
    name = file or f"{table}.csv"
    path = f"file:/data/ingesting/{domain}/{name}"
    total = accepted + max(rejected, 0) if found is None else found
    return [
        _info("IngestionWorkflow", f"Ingest resolved file : {name} as table {domain}.{table}"),
        _info(
            "DsvIngestionJob",
            f"ingestion-summary -> files: [{path}], domain: {domain}, schema: {table}, "
            f"input: {total}, accepted: {accepted}, rejected:{rejected}",
        ),
        _info("IngestionWorkflow", f"Backing up file {path} to file:/data/archive/{domain}/{name}"),
    ]


def _checked(script: object, words: str) -> Script | None:
    if script is None or isinstance(script, Script):
        return script
    raise TypeError(f"FakeRunner: the script of `{words}` is a Script; found {script!r}. Give Script([...]).")


def _success(command: Command) -> str:
    return _info("Main", f"Successfully {' '.join(command.argv)}")


def _info(logger: str, text: str) -> str:
    return f"26/01/01 00:00:00 INFO {logger}: {text}"
