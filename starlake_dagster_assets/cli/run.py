"""`starlake-dagster run`: materializes a project without Dagster, through the same core and the same runner."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from starlake_dagster_assets.command.model import Line
from starlake_dagster_assets.command.outcome import Outcome
from starlake_dagster_assets.command.source import ProjectSource
from starlake_dagster_assets.runners.protocol import Runner

__all__ = ["register"]

_WORDS = {"materialized": "materialized", "failed": "failed", "nothing": "skipped", "skipped": "skipped"}
_COLUMNS = ("rows in", "accepted", "rejected", "seconds")


class Environment(str, Enum):
    """Where commands run: the embedded engine, or the real program on this machine."""

    duckdb = "duckdb"
    shell = "shell"


class Launcher(str, Enum):
    """How the real program is started; see `StarlakeShell`."""

    process = "process"
    dagster_shell = "dagster_shell"
    console = "console"


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command("run")(run)


def run(
    project: Annotated[Path, typer.Argument(help="Directory of the Starlake project.")],
    env: Annotated[str | None, typer.Option(help="Environment: env.<NAME>.sl.yml.")] = None,
    select: Annotated[list[str] | None, typer.Option(help="Nodes to run, in the selection grammar.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Nodes to leave out.")] = None,
    options: Annotated[list[str] | None, typer.Option("--option", help="A variable, NAME=VALUE.")] = None,
    database: Annotated[Path | None, typer.Option(help="DuckDB file; the connection's own by default.")] = None,
    transpile_from: Annotated[str | None, typer.Option(help="SQL dialect of the project, such as bigquery.")] = None,
    environment: Annotated[Environment, typer.Option(help="The embedded engine, or the program.")] = Environment.duckdb,
    starlake: Annotated[str | None, typer.Option(help="The program; SL_STARLAKE_PATH by default.")] = None,
    launcher: Annotated[Launcher, typer.Option(help="How the program is started.")] = Launcher.process,
    verbose: Annotated[bool, typer.Option(help="Show what the engine prints (stderr).")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Loads and transforms a whole project, or a selection of it."""
    from starlake_dagster_assets.command.execute import execute, ordered
    from starlake_dagster_assets.command.outcome import RunSettings
    from starlake_dagster_assets.command.source import secrets_of
    from starlake_dagster_assets.graph.select import select as select_nodes
    from starlake_dagster_assets.runners.embedded import embedded_runner
    from starlake_dagster_assets.runners.protocol import is_eager
    from starlake_dagster_assets.starlake_project import StarlakeProject

    given = _variables(options or [])
    source = StarlakeProject(project, env=env, options=given)
    chosen = select_nodes(source.graph, select or "*", exclude or None)
    if environment is Environment.shell:
        runner = _real_program(source, starlake, launcher)
    else:
        runner = embedded_runner(
            source.root, env=source.env, options=given, database=database, transpile_from=transpile_from
        )
    settings = RunSettings(
        job_prefix=uuid.uuid4().hex[:12],
        options=given,
        secrets=secrets_of(source.model),
        hold=not is_eager(runner),
        on_line=_echo if verbose else _drop,
    )
    domains, tasks = ordered(source.graph, chosen)
    names = [node.id for group in domains for node in group] + [node.id for node in tasks]
    report = _Report(names, runner, as_json)
    for item in execute(source, chosen, runner, settings):
        if isinstance(item, Outcome):
            report.add(item)
        else:
            report.settle(item.outcome)
    report.end()
    if report.failed:
        raise typer.Exit(1)


class _Report:
    """Prints a line a table as it becomes known, then the totals.

    Args:
        names: What will be told, for the width of the first column.
        runner: Whose witness counts the rows of a task's result.
        as_json: One object at the end instead.
    """

    def __init__(self, names: Iterable[str], runner: Runner, as_json: bool) -> None:
        self._width = max((len(name) for name in names), default=4)
        self._witness = runner.witness()
        self._as_json = as_json
        self._outcomes: dict[str, Outcome] = {}
        self._rows: dict[str, int | None] = {}
        self._color = sys.stdout.isatty() and not as_json
        self._line("table", *_COLUMNS)

    @property
    def failed(self) -> int:
        """How many failed."""
        return sum(1 for outcome in self._outcomes.values() if outcome.status == "failed")

    def add(self, outcome: Outcome) -> None:
        """Takes an outcome and prints its line."""
        node = outcome.node
        self._outcomes[node.id] = outcome
        rows = self._rows[node.id] = self._count(outcome)
        cells = [_cell(outcome.input), _cell(rows), _cell(outcome.rejected), f"{outcome.seconds:.2f}"]
        self._line(node.id, *cells, note=_note(outcome), style=_WORDS[outcome.status])

    def settle(self, outcome: Outcome) -> None:
        """Takes what is known of an outcome now that its command has ended."""
        self._outcomes[outcome.node.id] = outcome
        self._rows[outcome.node.id] = self._count(outcome)

    def _count(self, outcome: Outcome) -> int | None:
        """The rows of a task's result, once the warehouse can be read; those that a load accepted."""
        node = outcome.node
        if node.kind != "task" or outcome.status != "materialized" or not outcome.settled or self._witness is None:
            return outcome.accepted
        try:
            return self._witness.row_count(node.key[-2], node.key[-1])
        except Exception as error:  # any driver may be behind it; the task was made
            print(f"{node.id}: its rows cannot be counted: {error}", file=sys.stderr)
            return None

    def end(self) -> None:
        """Prints the totals."""
        words = [_WORDS[outcome.status] for outcome in self._outcomes.values()]
        counts = {word: words.count(word) for word in ("materialized", "failed", "skipped")}
        if self._as_json:
            print(json.dumps({"assets": [self._json(one) for one in self._outcomes.values()], **counts}, indent=2))
            return
        print(
            f"{counts['materialized']} assets materialized, {counts['failed']} failed, {counts['skipped']} skipped",
            flush=True,
        )

    def _line(self, name: str, *cells: str, note: str = "", style: str = "") -> None:
        if self._as_json:
            return
        text = f"{name:<{self._width}}" + "".join(f"  {cell:>9}" for cell in cells)
        if self._color:
            from rich.console import Console
            from rich.text import Text

            color = {"failed": "red", "skipped": "yellow", "materialized": "green"}.get(style, "bold")
            Console(soft_wrap=True, highlight=False).print(Text(text, style=color), Text(note))
        else:
            print(f"{text}  {note}".rstrip(), flush=True)

    def _json(self, outcome: Outcome) -> dict[str, Any]:
        return {
            "id": outcome.node.id,
            "kind": outcome.node.kind,
            "status": outcome.status,
            "reason": outcome.reason,
            "input": outcome.input,
            "accepted": self._rows[outcome.node.id],
            "rejected": outcome.rejected,
            "seconds": round(outcome.seconds, 3),
            "files": list(outcome.files),
        }


def _cell(count: int | None) -> str:
    return "-" if count is None else str(count)


def _note(outcome: Outcome) -> str:
    """What did not go well, on one line."""
    if outcome.status == "materialized":
        broken = [check.expectation.expect for check in outcome.checks if not check.passed]
        return f"expectation failed: {', '.join(broken)}" if broken else ""
    return f"{_WORDS[outcome.status]}: {' '.join(outcome.reason.split())}"


def _variables(texts: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{text!r}: expected NAME=VALUE.", param_hint="--option")
        found[name] = value
    return found


def _real_program(source: ProjectSource, starlake: str | None, launcher: Launcher) -> Runner:
    from starlake_dagster_assets.resources.shell import StarlakeShell

    return StarlakeShell(starlake=starlake, launcher=launcher.value).runner(source)


def _echo(line: Line) -> None:
    print(line.text, file=sys.stderr, flush=True)


def _drop(line: Line) -> None:
    """Takes a line and drops it."""
