"""`starlake-dagster test`: runs the unit tests of a project on the embedded engine."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from xml.etree import ElementTree

import typer

from starlake_dagster_assets.cli.options import Env, Options, ProjectDirectory, parse_variables

if TYPE_CHECKING:
    from starlake_dagster_assets.engine.unit_tests.run import UnitTestResult

__all__ = ["register_unit_tests"]

_COLORS = {"passed": "green", "failed": "red", "error": "red"}


def register_unit_tests(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command("test")(run_tests)


def run_tests(
    project: ProjectDirectory = Path("."),
    env: Env = None,
    options: Options = None,
    load: Annotated[bool, typer.Option("--load", help="Runs only tests of loads.")] = False,
    transform: Annotated[bool, typer.Option("--transform", help="Runs only tests of transforms.")] = False,
    domain: Annotated[str | None, typer.Option(help="Runs only tests of this domain.")] = None,
    table: Annotated[
        str | None, typer.Option(help="Runs only tests of this table or task: its name, or domain.name.")
    ] = None,
    test: Annotated[str | None, typer.Option(help="Runs only tests of this name.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Writes the results to this file as JUnit XML.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Prints one JSON object on stdout.")] = False,
) -> None:
    """Runs the unit tests of metadata/tests, each on its own database. Exit code 1 if a test does not pass."""
    from starlake_dagster_assets.engine.unit_tests.discovery import TestSelection, find_unit_tests, select_unit_tests
    from starlake_dagster_assets.engine.unit_tests.run import run_unit_tests
    from starlake_dagster_assets.execution.backends.extras import require_extra

    require_extra("duckdb", "duckdb")
    root = project.expanduser().resolve()
    selection = TestSelection(load, transform, domain, table, test)
    tests = select_unit_tests(find_unit_tests(root), selection)
    results = list[Any]()
    for result in run_unit_tests(root, tests, env=env, options=parse_variables(options)):
        results.append(result)
        if not as_json:
            _print(result)
    counts = Counter(result.status for result in results)
    if as_json:
        print(json.dumps(_json(results), ensure_ascii=False, indent=2))
    else:
        print(", ".join(f"{counts[status]} {status}" for status in _COLORS if counts[status]))
    if junit is not None:
        _write_junit(junit, results)
    if counts["failed"] or counts["error"]:
        raise typer.Exit(1)


def _print(result: UnitTestResult) -> None:
    status = typer.style(result.status, fg=_COLORS[result.status]) if sys.stdout.isatty() else result.status
    print(f"{status}  {result.test.id}  ({result.seconds:.2f} s)", flush=True)
    for line in result.lines():
        print(f"    {line}")


def _json(results: Sequence[UnitTestResult]) -> dict[str, Any]:
    counts = Counter(result.status for result in results)
    tests = [
        {
            "id": result.test.id,
            "kind": result.test.kind,
            "domain": result.test.domain,
            "target": result.test.target,
            "name": result.test.name,
            "status": result.status,
            "seconds": round(result.seconds, 3),
            "error": result.error or None,
            "rejected": list(result.rejected),
            "differences": [
                {
                    "name": difference.name,
                    "columns": list(difference.columns),
                    "missing_columns": list(difference.missing_columns),
                    "unexpected_columns": list(difference.unexpected_columns),
                    "differing_rows": [{"expected": row.expected, "actual": row.actual} for row in difference.changed],
                    "missing_rows": list(difference.missing_rows),
                    "unexpected_rows": list(difference.unexpected_rows),
                }
                for difference in result.differences
            ],
        }
        for result in results
    ]
    return {"tests": tests, **{status: counts[status] for status in _COLORS}}


def _write_junit(path: Path, results: Sequence[UnitTestResult]) -> None:
    counts = Counter(result.status for result in results)
    seconds = f"{sum(result.seconds for result in results):.3f}"
    totals = {"tests": str(len(results)), "failures": str(counts["failed"]), "errors": str(counts["error"])}
    suite = ElementTree.Element("testsuite", {"name": "starlake", "time": seconds, **totals})
    for result in results:
        test = result.test
        name = f"{test.kind}.{test.domain}.{test.target}"
        attributes = {"classname": name, "name": _xml(test.name), "time": f"{result.seconds:.3f}"}
        case = ElementTree.SubElement(suite, "testcase", attributes)
        if result.status != "passed":
            kind, text = ("failure" if result.status == "failed" else "error"), _xml("\n".join(result.lines()))
            ElementTree.SubElement(case, kind, {"message": text.partition("\n")[0]}).text = text
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def _xml(text: str) -> str:
    """Returns the text with an escape sequence for each character that XML does not allow."""
    return "".join(char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1] for char in text)
