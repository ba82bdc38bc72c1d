"""`starlake-dagster airflow export`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any, cast

import typer

__all__ = ["register"]


class _Environment(str, Enum):
    shell = "shell"
    dataproc = "dataproc"
    cloud_run = "cloud_run"
    fargate = "fargate"


class _Split(str, Enum):
    schedule = "schedule"
    domain = "domain"
    table = "table"
    component = "component"


class _Granularity(str, Enum):
    task = "task"
    batch = "batch"


class _Ids(str, Enum):
    starlake = "starlake"
    asset = "asset"


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    airflow = typer.Typer(help="Airflow DAG files of a project.", no_args_is_help=True)
    airflow.callback()(_airflow)
    airflow.command("export")(export)
    app.add_typer(airflow, name="airflow")


def _airflow() -> None:
    """Airflow DAG files of a project."""


def export(
    project: Annotated[Path, typer.Argument(help="Directory of the Starlake project.")],
    out: Annotated[Path, typer.Option("--out", help="Directory of the DAG files.")] = Path("dags"),
    env: Annotated[str | None, typer.Option(help="Environment: env.<NAME>.sl.yml.")] = None,
    environment: Annotated[_Environment, typer.Option(help="Where commands run.")] = _Environment.shell,
    select: Annotated[list[str] | None, typer.Option(help="Nodes, in the selection grammar.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Nodes to leave out.")] = None,
    split: Annotated[_Split, typer.Option(help="What the nodes of a DAG share.")] = _Split.domain,
    granularity: Annotated[_Granularity, typer.Option(help="A task a table, or a domain.")] = _Granularity.task,
    ids: Annotated[_Ids, typer.Option(help="Task ids of starlake-airflow, or asset keys.")] = _Ids.starlake,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 when files are stale.")] = False,
) -> None:
    """Writes a project as Airflow DAG files, for Airflow 2.9 and later."""
    from starlake_dagster_assets.airflow.export import export_airflow
    from starlake_dagster_assets.starlake_project import StarlakeProject

    report = export_airflow(
        StarlakeProject(project, env=env),
        out,
        environment=cast("Any", environment.value),
        select=select,
        exclude=exclude,
        split=cast("Any", split.value),
        granularity=cast("Any", granularity.value),
        ids=cast("Any", ids.value),
        check=check,
    )
    words = ("stale", "to be removed") if check else ("written", "removed")
    for word, names in zip(words, (report.written, report.removed), strict=True):
        for name in names:
            typer.echo(f"{word}: {name}")
    typer.echo(f"{len(report.unchanged)} files unchanged, {len(report.plan.dags)} DAGs")
    for note in report.notes:
        typer.echo(f"not in Airflow: {note}")
    if check and report.stale:
        raise typer.Exit(1)
