"""`starlake-dagster airflow export`: writes a project as DAG files for Airflow."""

from __future__ import annotations

import json
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from starlake_dagster_assets.cli.options import Env, Exclude, Select, one_of, open_project
from starlake_dagster_assets.errors import StarlakeError
from starlake_dagster_assets.plural import counted

if TYPE_CHECKING:
    from starlake_dagster_assets.airflow.export import ExportReport
    from starlake_dagster_assets.airflow.plan.model import EnvironmentName

__all__ = ["register_airflow"]


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
    starlake_airflow = "starlake-airflow"
    asset = "asset"


def register_airflow(app: typer.Typer) -> None:
    """Adds the command to the program."""
    airflow = typer.Typer(help="Exports a project to Airflow.", no_args_is_help=True)
    airflow.callback()(_airflow)
    airflow.command("export")(export)
    app.add_typer(airflow, name="airflow")


def _airflow() -> None:
    """Exports a project to Airflow."""


def export(
    project: Annotated[
        Path | None,
        typer.Argument(
            metavar="PROJECT",
            help="The directory that contains metadata/. By default the current one, or the project of --definitions.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory to which the DAG files are written.")] = Path(
        "dags"
    ),
    env: Env = None,
    environment: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[TERMS=]NAME",
            help="The execution environment of all commands, or of a selection. It must have Airflow operators, such "
            "as cloud_run. Can be repeated. By default as in --definitions, otherwise shell.",
        ),
    ] = None,
    select: Select = None,
    exclude: Exclude = None,
    split: Annotated[
        _Split, typer.Option(help="Which tables and tasks with the same trigger share a DAG.", **one_of(_Split))
    ] = _Split.domain,
    granularity: Annotated[
        _Granularity, typer.Option(help="task: one load per table. batch: one load per domain.", **one_of(_Granularity))
    ] = _Granularity.task,
    ids: Annotated[
        _Ids,
        typer.Option(
            help="Ids like those of starlake-airflow, exactly those of starlake-airflow, or asset keys.", **one_of(_Ids)
        ),
    ] = _Ids.starlake,
    prefix: Annotated[str, typer.Option(help="Prefix of each DAG id.")] = "starlake",
    variables_prefix: Annotated[str, typer.Option(help="Prefix of each Airflow variable.")] = "",
    checks: Annotated[
        str | None,
        typer.Option(help="Airflow connection to the warehouse, with which tasks query the audit."),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Default of an option of DAG configurations. Can be repeated.",
        ),
    ] = None,
    translator: Annotated[str | None, typer.Option(help="Your translator, as package.module:Name.")] = None,
    definitions: Annotated[
        str | None,
        typer.Option(
            help="Your Dagster definitions, as package.module:name. Exports their project, translator and settings."
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the export. Only files of an earlier export with this name are replaced."),
    ] = None,
    task_groups: Annotated[
        bool,
        typer.Option("--task-groups", help="Writes functions that add the tasks to your own DAGs, instead of DAGs."),
    ] = False,
    airlift: Annotated[
        bool,
        typer.Option("--airlift", help="Lets you switch each task to Dagster, with dagster-airlift."),
    ] = False,
    airlift_operator: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:NAME", help="With --airlift: the operator class with which Airflow calls Dagster."
        ),
    ] = None,
    ids_map: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Writes a JSON file that maps the ids of starlake-airflow to those of this export."
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Writes nothing. Exit code 1 if files are stale.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Prints one JSON object on stdout.")] = False,
) -> None:
    """Writes a project as DAG files for Airflow 2.10 and later."""
    from starlake_dagster_assets.airflow.export import export_airflow
    from starlake_dagster_assets.airflow.plan.model import AirflowOptions
    from starlake_dagster_assets.automation.policies.starlake_automation import StarlakeAutomation

    if airlift and task_groups:
        raise typer.BadParameter(
            "leave out one of the two: dagster-airlift needs DAGs.", param_hint="--airlift, --task-groups"
        )
    if granularity is _Granularity.batch and ids is _Ids.starlake_airflow:
        wrong = "leave out one of the two: starlake-airflow has no task for several tables."
        raise typer.BadParameter(wrong, param_hint="--granularity batch, --ids starlake-airflow")
    if ids_map is not None and not _can_be_written(ids_map, None if check else out):
        raise typer.BadParameter(f"{ids_map}: expected a file in an existing directory.", param_hint="--ids-map")
    automation_options, settings = _options(option or [])
    everywhere, elsewhere = _environments(environment or [])
    if definitions and (translator or automation_options):
        wrong = "--translator" if translator else f"--option {next(iter(automation_options))}"
        raise typer.BadParameter(f"{wrong} is set by the definitions; pass it to build_definitions there.")
    report = export_airflow(
        _source(project, env, definitions),
        out,
        environment=everywhere,
        environments=elsewhere,
        select=select,
        exclude=exclude,
        split=cast("Any", split.value),
        granularity=cast("Any", granularity.value),
        ids=cast("Any", ids.value),
        options=AirflowOptions(
            prefix=prefix,
            settings=settings,
            variables_prefix=variables_prefix,
            checks=checks,
            airlift=airlift,
            airlift_operator=airlift_operator,
        ),
        automation=None if definitions else StarlakeAutomation.from_options(automation_options),
        translator=_translator(translator) if translator else None,
        name=name,
        task_groups=task_groups,
        check=check,
    )
    if ids_map is not None:
        ids_map.write_text(json.dumps(report.former_ids, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    if as_json:
        typer.echo(json.dumps(_as_json(report, check), indent=2))
    else:
        _print_report(report, check)
    if check and report.stale:
        raise typer.Exit(1)


def _source(project: Path | None, env: str | None, definitions: str | None) -> Any:
    """Returns the project, or the asset graph of the definitions if they are given."""
    if definitions is None:
        return open_project(project or Path(), env=env)
    opened = open_project(project, env=env) if project else None
    from starlake_dagster_assets.definitions_asset_graph import definitions_graph

    return definitions_graph(_loaded(definitions, "--definitions"), opened)


def _print_report(report: ExportReport, check: bool) -> None:
    words = ("stale", "to be removed") if check else ("written", "removed")
    for word, names in zip(words, (report.written, report.removed), strict=True):
        for name in names:
            typer.echo(f"{word}: {name}")
    typer.echo(f"{counted(len(report.plan.dags), 'DAG')}; {counted(len(report.unchanged), 'file')} as before")
    if report.notes:
        typer.echo("\nNot in Airflow:")
    for note in report.notes:
        typer.echo(f"- {note}")


def _as_json(report: ExportReport, check: bool) -> dict[str, Any]:
    words = ("stale", "to_be_removed") if check else ("written", "removed")
    return {
        "dags": len(report.plan.dags),
        words[0]: list(report.written),
        words[1]: list(report.removed),
        "unchanged": list(report.unchanged),
        "notes": [str(note) for note in report.notes],
    }


def _environments(texts: list[str]) -> tuple[EnvironmentName | None, dict[str, EnvironmentName]]:
    """Returns the default environment, and the environment of each selection."""
    from starlake_dagster_assets.airflow.node_environments import validate_environment

    everywhere: EnvironmentName | None = None
    elsewhere: dict[str, EnvironmentName] = {}
    for text in texts:
        selection, equals, name = text.rpartition("=")
        try:
            known = validate_environment(name)
        except StarlakeError as error:
            raise typer.BadParameter(str(error), param_hint="--environment") from error
        if (everywhere if not equals else elsewhere.get(selection)) not in (None, known):
            raise typer.BadParameter(f"{text!r}: another environment is already set.", param_hint="--environment")
        if equals:
            elsewhere[selection] = known
        else:
            everywhere = known
    return everywhere, elsewhere


def _options(texts: list[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Separates options of triggers and runs from options of the environment."""
    from starlake_dagster_assets.automation.policies.options import list_ignored_options
    from starlake_dagster_assets.automation.policies.settings import FORMER_NAMES, NodeSettings
    from starlake_dagster_assets.errors import closest_match

    ours = {*NodeSettings.model_fields, *FORMER_NAMES}
    known = {*ours, *list_ignored_options()}
    found: tuple[dict[str, Any], dict[str, str]] = ({}, {})
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not (name in known or name.startswith("SL_")):
            close = closest_match(name, known)
            hint = f" Did you mean `{close}`?" if close and close != name else " Expected NAME=VALUE."
            raise typer.BadParameter(f"{text!r} is not an option of a DAG configuration.{hint}", param_hint="--option")
        found[name not in ours][name] = value
    return found


def _can_be_written(file: Path, created: Path | None) -> bool:
    """Whether a file may be written: its directory exists, or is the one that the export creates."""
    directory = file.parent
    is_created = created is not None and not created.exists() and directory.resolve() == created.resolve()
    return not file.is_dir() and (directory.is_dir() or is_created)


def _translator(reference: str) -> Any:
    found = _loaded(reference, "--translator")
    if not hasattr(found, "naming"):
        wrong = f"{reference!r}: expected a StarlakeTranslator, found {type(found).__name__}."
        raise typer.BadParameter(wrong, param_hint="--translator")
    return found


def _loaded(reference: str, option: str) -> Any:
    """Imports the object of a reference `module:name`; calls it if it is a class or a function."""
    module, _, name = reference.partition(":")
    try:
        found: Any = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise typer.BadParameter(f"{reference!r}: {error}", param_hint=option) from error
    return found() if callable(found) else found
