"""A whole project as Dagster definitions, in one call."""

from collections.abc import Iterable, Mapping
from typing import Any, cast, get_args

import dagster as dg

from starlake_dagster_assets._arguments import ProjectLike, items_of, project_of
from starlake_dagster_assets._compat import in_process_executor
from starlake_dagster_assets.assets.decorator import (
    Execute,
    Selection,
    build_starlake_assets,
    external_specs,
)
from starlake_dagster_assets.assets.environments import named_environments, resource_of
from starlake_dagster_assets.assets.steps import Steps
from starlake_dagster_assets.assets.translator import External, StarlakeTranslator, bound_translator
from starlake_dagster_assets.automation.build import build_automation
from starlake_dagster_assets.automation.freshness import build_freshness_checks
from starlake_dagster_assets.command.outcome import TaskOptions
from starlake_dagster_assets.problem_summary import summarize
from starlake_dagster_assets.resources import StarlakeResource
from starlake_dagster_assets.resources.variables import at_definition, is_complete
from starlake_dagster_assets.triggers.build import build_triggers, restricted
from starlake_dagster_assets.triggers.model import Triggers
from starlake_dagster_assets.triggers.settings import StarlakeAutomation

__all__ = ["build_definitions"]


def build_definitions(
    project: ProjectLike,
    *,
    starlake: StarlakeResource | None = None,
    environments: Mapping[str, StarlakeResource] | None = None,
    select: Selection | None = None,
    exclude: Selection | None = None,
    translator: StarlakeTranslator | None = None,
    extra_assets: Iterable[Any] = (),
    external: External = "dependencies",
    resources: Mapping[str, Any] | None = None,
    executor: dg.ExecutorDefinition | dg.Executor | None = None,
    name: str | None = None,
    steps: Steps = "auto",
    row_counts: bool = True,
    columns: bool = True,
    preview: int = 0,
    samples: int = 5,
    options: TaskOptions | None = None,
    pool: str | None = None,
    retry_policy: dg.RetryPolicy | None = None,
    automation: StarlakeAutomation | None = None,
    triggers: Triggers | None = None,
    execute: Execute | None = None,
    resource_key: str = "starlake",
) -> dg.Definitions:
    """Everything that a project makes and reads, the resource that runs it, and what starts it.

    Assets, checks, jobs, sensors and schedules.

    Args:
        project: The project, or the path of its directory.
        starlake: Where commands run; the embedded engine by default.
        environments: Where the commands of some nodes run instead, by what they are in the selection grammar:
            `{"domain:logs": StarlakeDataproc(…)}`. The first selection that has a node counts. A step has one
            environment.
        select: Which nodes, in the selection grammar; all by default.
        exclude: Which of them not.
        translator: What the assets look like.
        extra_assets: Assets of your own, such as a Python asset downstream.
        external: What incoming files and external tables are in the asset graph. `dependencies`: keys that tables and
            tasks depend on; any other asset of the code location may define them. `specs`: external assets with
            description, kinds and columns, defined here, except those that `extra_assets` define: for a project whose
            sources nothing else defines. `without_files`: as `dependencies`, without the incoming files.
        resources: Resources of your own.
        executor: How steps are run. With the embedded engine, in one process by default, because a DuckDB file has
            one writer; where Dagster can, a failed step does not stop those whose inputs are there.
        name: Name of the step; `starlake_<directory>` by default, followed by the selection where there is one.
        steps: How many steps a run has; see `build_starlake_assets`.
        row_counts: Count the rows of each table made.
        columns: Read its columns and trace their lineage.
        preview: Show so many rows of it; what `privacy` and `rls` protect is hidden.
        samples: Show so many rows behind a failed check, hidden likewise; 0 shows none.
        options: Variables of transforms: the same for all, or a function of the node.
        pool: Concurrency pool of all steps. By default `default_pool` of their nodes, else
            `starlake_duckdb_<file name>` where they write a DuckDB file.
        retry_policy: How a failed step is retried. By default `retries` and `retry_delay` of what failed in it.
        automation: What starts the assets. By default what the project says: its crons are schedules, tasks without
            one follow what they read, and all of them are stopped until someone switches them on.
            `StarlakeAutomation.off()` leaves the jobs alone.
        triggers: What `build_triggers` made of the project and `automation`, looked at or changed; made here by
            default.
        execute: A body of your own for the steps; see `build_starlake_assets`.
        resource_key: Key of the resource: another one for each project of a code location that has several.

    Returns:
        The definitions, for a `definitions.py`.

    Raises:
        TypeError: When an argument is of another kind, such as a class instead of an instance.
        ProjectError: When the project has errors, or two nodes would become one asset.
        SelectionError: When the selection names nothing, or tasks read each other in a circle.

    Examples:
        ::

            defs = build_definitions(StarlakeProject("starbake", env="DUCKDB"))
    """
    project = project_of(project, "build_definitions")
    keys, others = named_environments(environments or {}, resource_key)
    places = {resource_key: resource_of(starlake, "build_definitions", "starlake"), **others}
    known = {key: at_definition(where) for key, where in places.items()}
    triggers = build_triggers(project, automation) if triggers is None else triggers
    bound = bound_translator(translator, project, "build_definitions", triggers).with_external(_validated(external))
    extra = items_of(extra_assets, "build_definitions", "extra_assets", "[weekly_report]")
    assets = build_starlake_assets(
        project,
        select=select,
        exclude=exclude,
        translator=bound,
        name=name,
        steps=steps,
        around=extra,
        row_counts=row_counts,
        columns=columns,
        preview=preview,
        samples=samples,
        options=options,
        pool=pool,
        default_pools={key: where.pool(project) for key, where in known.items()},
        retry_policy=retry_policy,
        execute=execute,
        resource_key=resource_key,
        environments=keys,
    )
    made = _keys([*assets, *extra])
    nodes = [
        node
        for node, spec in bound.specs().items()
        if spec.key in made and project.graph.nodes[node].kind != "external"
    ]
    specs = external_specs(project, bound, nodes) if external == "specs" else []
    sources = [spec for spec in specs if spec.key not in made]
    for warning in summarize([*project.problems, *triggers.problems], project):
        dg.get_dagster_logger("starlake").warning(warning)
    started = build_automation(project, restricted(triggers, frozenset(nodes)), automation=automation, translator=bound)
    fresh = [project.graph.nodes[node] for node in nodes]
    checks, freshness = build_freshness_checks(bound, fresh, prefix=triggers.prefix)
    watching: list[dg.SensorDefinition] = []
    for key, where in known.items():
        if is_complete(places[key]):
            own = key.removeprefix(resource_key).removeprefix("_")
            watching += where.sensors(key, prefix=f"{triggers.prefix}{own}_" if own else triggers.prefix)
    if executor is None and any(where.single_writer(project) for where in known.values()):
        executor = in_process_executor()
    return dg.Definitions(
        assets=[*assets, *sources, *extra],
        resources={**(resources or {}), **places},
        executor=executor,
        jobs=started.jobs,
        schedules=started.schedules,
        sensors=[*watching, *started.sensors, *freshness],
        asset_checks=checks,
    )


def _validated(external: str) -> External:
    """Returns the argument `external`.

    Raises:
        ValueError: When it is none of its values.
    """
    known = get_args(External)
    if external not in known:
        values = ", ".join(f"`{one}`" for one in known)
        raise ValueError(f"build_definitions: unknown value `{external}` of `external`; expected one of {values}.")
    return cast("External", external)


def _keys(assets: Iterable[Any]) -> set[dg.AssetKey]:
    keys: set[dg.AssetKey] = set()
    for asset in assets:
        if isinstance(asset, dg.AssetsDefinition):
            keys |= set(asset.keys)
        elif isinstance(asset, dg.AssetSpec):
            keys.add(asset.key)
    return keys
