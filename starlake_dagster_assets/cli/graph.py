"""`starlake-dagster graph` and `starlake-dagster list`: print the dependency graph, or one line per table or task."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from starlake_dagster_assets.cli.options import Env, Exclude, ProjectDirectory, Select, one_of, open_project
from starlake_dagster_assets.graph.build import build_graph
from starlake_dagster_assets.graph.html import to_html
from starlake_dagster_assets.graph.model import Graph, Node
from starlake_dagster_assets.graph.nodes import node_file
from starlake_dagster_assets.graph.render import build_graph_view, to_json, to_mermaid, to_text
from starlake_dagster_assets.graph.select import select
from starlake_dagster_assets.plural import counted

__all__ = ["register_graph"]


class _Format(str, Enum):
    html = "html"
    json = "json"
    mermaid = "mermaid"
    text = "text"


_Partial = Annotated[bool, typer.Option("--partial", help="Shows what can be read although the project has errors.")]


def register_graph(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    app.command("graph")(show_graph)
    app.command("list")(list_nodes)


def show_graph(
    project: ProjectDirectory = Path("."),
    env: Env = None,
    selection: Select = None,
    exclude: Exclude = None,
    format: Annotated[  # noqa: A002
        _Format,
        typer.Option(
            "--format",
            "-f",
            help="Format of the output. html is one page that opens without a network.",
            **one_of(_Format),
        ),
    ] = _Format.text,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Writes to this file instead of stdout.")] = None,
    files: Annotated[bool, typer.Option("--files", help="Also shows incoming files.")] = False,
    parity: Annotated[
        bool, typer.Option("--parity", help="Shows the lineage that the starlake program finds.")
    ] = False,
    partial: _Partial = False,
) -> None:
    """Prints the dependency graph of tables and tasks. Exit code 1 if it has cycles."""
    graph, failed = _read(project, env, partial)
    shown = build_graph_view(graph, _selected(graph, selection, exclude), files=files, parity=parity)
    writers = {_Format.html: to_html, _Format.json: to_json, _Format.mermaid: to_mermaid, _Format.text: to_text}
    text = writers[_Format.json if as_json else format](shown)
    if out is None:
        typer.echo(text)
    else:
        out.write_text(text + "\n", encoding="utf-8")
        typer.echo(f"{out}: {counted(len(shown.nodes), 'node')}, {counted(len(shown.edges), 'edge')}", err=True)
    if failed:
        raise typer.Exit(1)


def list_nodes(
    project: ProjectDirectory = Path("."),
    env: Env = None,
    selection: Select = None,
    exclude: Exclude = None,
    as_json: Annotated[bool, typer.Option("--json", help="Prints one JSON array on stdout.")] = False,
    partial: _Partial = False,
) -> None:
    """Prints one line per table or task: id, kind, raw name, schedule, file."""
    graph, failed = _read(project, env, partial)
    if failed:
        raise typer.Exit(1)
    wanted = _selected(graph, selection, exclude)
    rows = [_row(node) for node in graph.nodes.values() if not node.is_files and (wanted is None or node.id in wanted)]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    lines = [[row["id"], row["kind"], row["raw"], row["cron"] or "-", row["file"] or "-"] for row in rows]
    widths = [max((len(line[column]) for line in lines), default=0) for column in range(5)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def _row(node: Node) -> dict[str, Any]:
    made = node.definition
    return {
        "id": node.id,
        "kind": node.kind,
        "raw": node.raw or node.id,
        "cron": made.cron if made else None,
        "file": node_file(node).file or None,
    }


def _selected(graph: Graph, selection: list[str] | None, exclude: list[str] | None) -> frozenset[str] | None:
    """Returns the selected ids; None for all, incoming files included."""
    if selection is None and not exclude:
        return None
    return select(graph, selection or "*", exclude)


def _read(project: Path, env: str | None, partial: bool) -> tuple[Graph, bool]:
    """Returns the graph, and whether the command fails because of its cycles.

    Errors are printed on stderr; errors other than cycles end the program unless `partial` is set.
    """
    loaded = open_project(project, env=env, on_error="skip")
    graph, found = build_graph(loaded.model)
    errors = [problem for problem in dict.fromkeys([*loaded.problems, *found]) if problem.severity == "error"]
    for problem in errors:
        typer.echo(f"error: {problem}", err=True)
    if not partial and any(problem.code != "cycle" for problem in errors):
        raise typer.Exit(1)
    return graph, bool(errors) and not partial
