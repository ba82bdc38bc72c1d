"""Definitions from the DAG files that `starlake dag-generate` wrote, to migrate from starlake-dagster."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from starlake_dagster_assets._arguments import ProjectLike, project_of
from starlake_dagster_assets._deprecated import renamed_arguments
from starlake_dagster_assets.automation.policies.build import build_triggers
from starlake_dagster_assets.automation.policies.model import Triggers
from starlake_dagster_assets.automation.policies.starlake_automation import StarlakeAutomation
from starlake_dagster_assets.dagster_assets.build_options import FORMER_METADATA, StarlakeMetadata
from starlake_dagster_assets.definitions import build_definitions
from starlake_dagster_assets.environments import get_environment
from starlake_dagster_assets.errors import ProjectError, RunnerError, StarlakeError
from starlake_dagster_assets.legacy.dag_file_model import DagContext
from starlake_dagster_assets.legacy.dag_file_reader import read_dag_files
from starlake_dagster_assets.legacy.literals import read_dag_context
from starlake_dagster_assets.legacy.project import DagProject, environment_variables
from starlake_dagster_assets.resources import StarlakeResource

__all__ = ["definitions_from_dag_context"]


def definitions_from_dag_context(
    *files: str | Path,
    project: ProjectLike | None = None,
    schedules: Any = None,
    task_deps: Any = None,
    dependencies: Any = None,
    options: Mapping[str, Any] | None = None,
    jobs: Mapping[str, Any] | None = None,
    cron: str | None = None,
    description: str | None = None,
    execution_environment: str | None = None,
    file: str = "dag.py",
    root: str | Path | None = None,
    env: str | None = None,
    starlake: StarlakeResource | None = None,
    automation: StarlakeAutomation | None = None,
    **settings: Any,
) -> dg.Definitions:
    """Builds definitions from DAG files: their tables and tasks as assets, with jobs, schedules and sensors.

    Each schedule of a load file, and each transform file, is a job of that name. No code of a file is run.

    Args:
        files: DAG files that `starlake dag-generate` wrote for Dagster or Airflow, or directories of them.
        project: The project that they were generated from, or the path of its directory: assets have their columns,
            checks, SQL and lineage from it, and the files declare when and how they run. Without it tables and
            tasks are known by name only.
        schedules: Literal of a load file: `[{"schedule", "cron", "domains": [{"name", "tables": [...]}]}]`, or JSON.
        task_deps: Literal of a transform file: a list of trees of `data` and `children`, or its JSON.
        dependencies: Name of `task_deps` in newer files.
        options: Literal of either: options of the DAG configuration, for triggers and for where Starlake runs.
        jobs: Literal of a transform file: `{"domain.task": {"options": "key=value,…"}}`.
        cron: Literal of a transform file.
        description: Literal of either: the description of the job.
        execution_environment: A registered environment, such as `cloud_run`; by default that of the files, else
            `shell`.
        file: The file that contains the literals (`__file__`); the job is named after it.
        root: The project's directory, without `project`; `SL_ROOT` of `sl_env_var` by default.
        env: `SL_ENV`, without `project`; that of `sl_env_var` by default.
        starlake: The resource that runs Starlake, instead of that of the options.
        automation: Settings of all tables and tasks, unless the options of a file set others; by default, schedules
            and sensors are stopped until you switch them on.
        settings: Other arguments of `build_definitions`.

    Returns:
        The definitions.

    Raises:
        ProjectError: For literals of another shape, by path; names that the project does not have; a table with two
            schedules; files that run in two environments; options that cannot be read.

    Examples:
        All files of a directory, over their project::

            defs = definitions_from_dag_context("dags/generated", project=StarlakeProject("starbake"))

        At the end of a generated file, instead of the code after its literals::

            defs = definitions_from_dag_context(schedules=schedules, options=options, file=__file__)
    """
    contexts = [context for path in files for context in read_dag_files(path)]
    trees = task_deps if dependencies is None else dependencies
    if schedules is not None or trees is not None:
        contexts.append(
            read_dag_context(
                Path(file).stem.lower(),
                schedules=schedules,
                dependencies=trees,
                options=options,
                jobs=jobs,
                cron=cron,
                description=description,
                environment=execution_environment,
                file=file,
            )
        )
    elif left := [name for name, one in (("options", options), ("jobs", jobs), ("cron", cron)) if one is not None]:
        text = f"`{left[0]}` belongs to the literals `schedules` or `task_deps`: DAG files contain their own."
        raise ProjectError([text])
    if not contexts:
        raise ProjectError(["no DAG file: give paths of them, or the literals `schedules` or `task_deps`."])
    base = None if project is None else project_of(project, "definitions_from_dag_context")
    if base is not None and (root is not None or env is not None):
        raise ProjectError(["`root` and `env` are those of `project`: give either."])
    source = DagProject(contexts, base, root=root, env=env)
    where = starlake if starlake is not None else _resource(contexts, execution_environment, env)
    if base is None:  # nothing of the warehouse is known: there is nowhere to look
        former = {name: settings.pop(name) for name in FORMER_METADATA if name in settings}
        renamed_arguments("definitions_from_dag_context", former, FORMER_METADATA)
        settings.setdefault("metadata", StarlakeMetadata(**{"row_counts": False, "columns": False, **former}))
    triggers = build_triggers(source, automation)
    return build_definitions(source, select=_chosen(source, triggers), starlake=where, automation=triggers, **settings)


def _chosen(source: DagProject, triggers: Triggers) -> Sequence[str]:
    """Returns the nodes that the files run, and the upstreams that run first in their jobs."""
    mine = {part.job for part in source.parts}
    first = (node for job in triggers.jobs.values() if job.dag in mine for node in job.nodes)
    return sorted({*source.declared_nodes, *first})


def _resource(contexts: Sequence[DagContext], environment: str | None, env: str | None) -> StarlakeResource:
    """Returns the resource that the options of all files describe.

    Args:
        contexts: The files.
        environment: Name of the execution environment of files that do not name one.
        env: Replaces the `SL_ENV` of the files; None = their `SL_ENV` applies.

    Raises:
        ProjectError: When the options describe two resources, or an incomplete one.
    """
    homes = {context.environment or environment or "shell": context for context in contexts}
    if len(homes) > 1:
        each = ", ".join(f"{name} ({context.file})" for name, context in sorted(homes.items()))
        hint = "Create definitions for each environment, in a code location of its own, or give `starlake`."
        raise ProjectError([f"the DAG files run in {len(homes)} environments: {each}. {hint}"])
    try:
        kind = get_environment(next(iter(homes))).resource_class()
    except StarlakeError as error:
        raise ProjectError([f"execution_environment: {error}"]) from error
    options = _agreed(contexts, kind, ignored={"SL_ENV"} if env else set())
    try:
        return kind.from_options(options)
    except RunnerError as error:
        text = str(error).rstrip(".")
        for option, field in kind.option_names.items():
            text = text.replace(f"`{field}` is missing", f"`{option}` is missing")
        raise ProjectError([f"{contexts[0].file}: options: {text}. Next: set them, or pass `starlake`."]) from error


def _agreed(
    contexts: Sequence[DagContext], kind: type[StarlakeResource], ignored: Collection[str]
) -> Mapping[str, str]:
    """Returns the options that the resource knows, which must be equal in all files that set them."""
    found: dict[str, tuple[str, DagContext]] = {}
    problems: list[object] = []
    for context in contexts:
        for name in context.options.keys() & kind.option_names.keys() - {"sl_env_var"}:
            value, first = found.setdefault(name, (context.options[name], context))
            if value != context.options[name]:
                text = f"is another than in {first.file}: one resource runs all files. Give `starlake`."
                problems.append(context.problem(f"options.{name}", text))
    if problems:
        raise ProjectError(problems)
    variables = {name: value for name, value in environment_variables(contexts).items() if name not in ignored}
    options = {name: value for name, (value, _) in found.items()}
    return {**options, "sl_env_var": json.dumps(variables)} if variables else options
