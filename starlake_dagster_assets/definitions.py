"""Builds the Dagster definitions of a whole project in one call."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, cast, get_args

import dagster as dg

from starlake_dagster_assets._arguments import ProjectLike, items_of, project_of
from starlake_dagster_assets._compat import in_process_executor
from starlake_dagster_assets.automation.definitions.build import build_automation
from starlake_dagster_assets.automation.definitions.conditions import with_bound_conditions
from starlake_dagster_assets.automation.definitions.freshness_checks import build_freshness_checks
from starlake_dagster_assets.automation.definitions.incoming_file_assets import build_incoming_files
from starlake_dagster_assets.automation.policies.build import build_triggers, filter_triggers
from starlake_dagster_assets.automation.policies.model import Triggers
from starlake_dagster_assets.automation.policies.starlake_automation import StarlakeAutomation, settings_of
from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.dagster_assets.build_options import StarlakeMetadata, StarlakeSteps, resolve_option_groups
from starlake_dagster_assets.dagster_assets.decorator import Selection, assets_of, external_specs
from starlake_dagster_assets.dagster_assets.resource_assignment import (
    find_settings_problems,
    named_environments,
    resource_keys,
    resource_of,
)
from starlake_dagster_assets.dagster_assets.results.unit_test_checks import build_unit_test_checks
from starlake_dagster_assets.dagster_assets.specs.translator import External, StarlakeTranslator, bound_translator
from starlake_dagster_assets.dagster_assets.steps.grouping import StepSplit
from starlake_dagster_assets.problem_summary import summarize
from starlake_dagster_assets.resources import StarlakeResource
from starlake_dagster_assets.resources.env_vars import is_complete, with_definition_values
from starlake_dagster_assets.resources.guarded_calls import call_resource

__all__ = ["build_definitions"]


def build_definitions(
    project: ProjectLike,
    *,
    starlake: StarlakeResource | None = None,
    environments: Mapping[str, StarlakeResource] | None = None,
    select: Selection | None = None,
    exclude: Selection | None = None,
    translator: StarlakeTranslator | None = None,
    automation: StarlakeAutomation | Triggers | None = None,
    metadata: StarlakeMetadata | None = None,
    steps: StarlakeSteps | StepSplit = "auto",
    external: External = "dependencies",
    extra_assets: Iterable[Any] = (),
    resources: Mapping[str, Any] | None = None,
    **deprecated: Any,
) -> dg.Definitions:
    """Builds the definitions of a whole project: assets, checks, jobs, sensors, schedules, and the resource.

    Args:
        project: The project, or the path of its directory.
        starlake: Where commands run; the embedded engine by default.
        environments: Where the commands of some nodes run instead, by selections in the selection grammar:
            `{"domain:logs": StarlakeDataproc(…)}`. The first selection that contains a node applies to it. A step has
            one environment.
        select: Tables and tasks in the selection grammar; all by default.
        exclude: Tables and tasks that are left out.
        translator: Defines the attributes of the assets.
        automation: How the assets are triggered. By default as the project configures: its crons are schedules, tasks
            without one follow their upstreams, and all schedules and sensors are stopped until you switch them on.
            `StarlakeAutomation.off()` builds the jobs only. Also takes the result of `build_triggers`, for triggers
            that you changed.
        metadata: Metadata that is read from the warehouse after each load and transform.
        steps: How steps are built and run: `StarlakeSteps`, or its `split` alone, such as `"group"`.
        external: How incoming files and external tables appear in the asset graph. `dependencies`: keys that tables and
            tasks depend on; any other asset of the code location may define them. `specs`: external assets with
            description, kinds and columns, except those that `extra_assets` define; for a project whose sources no
            other asset defines. `without_files`: as `dependencies`, without the incoming files.
        extra_assets: Your own assets, such as a Python asset downstream.
        resources: Your own resources.
        deprecated: Former names of arguments; they work with a `DeprecationWarning`.

    Returns:
        The definitions, for a `definitions.py`.

    Raises:
        TypeError: When an argument has the wrong type, such as a class instead of an instance.
        ProjectError: When the project has errors, or two nodes would become one asset.
        SelectionError: When the selection matches nothing, or tasks read each other in a cycle.

    Examples:
        Everything, on the embedded engine::

            defs = build_definitions(StarlakeProject("starbake", env="DUCKDB"))

        With the starlake program, one step per domain, sensors and schedules on::

            defs = build_definitions(
                project,
                starlake=StarlakeShell(),
                steps="group",
                automation=StarlakeAutomation(status="RUNNING"),
            )

        With five rows of each table in the UI, and your own asset downstream::

            defs = build_definitions(project, metadata=StarlakeMetadata(preview=5), extra_assets=[report])

        Two projects in one code location::

            sales = build_definitions("sales", steps=StarlakeSteps(resource_key="starlake_sales"))
            crm = build_definitions("crm", steps=StarlakeSteps(resource_key="starlake_crm"))
            defs = dg.Definitions.merge(sales, crm)
    """
    shown, cut, rest = resolve_option_groups(
        build_definitions, metadata, steps, deprecated, {"triggers": "automation=…"}
    )
    project = project_of(project, "build_definitions")
    keys, others = named_environments(environments or {}, cut.resource_key)
    places = {cut.resource_key: resource_of(starlake, "build_definitions", "starlake"), **others}
    known = {key: with_definition_values(where) for key, where in places.items()}
    for where in places.values():
        if not hasattr(where, "resource_cls"):  # else run config has some of its fields
            call_resource(where, "validate_against", project)
    triggers = _triggers(project, automation, rest.get("triggers"))
    bound = bound_translator(translator, project, "build_definitions", triggers).with_external(_validated(external))
    extra = items_of(extra_assets, "build_definitions", "extra_assets", "[weekly_report]")
    assets = assets_of(
        bound,
        select=select,
        exclude=exclude,
        metadata=shown,
        steps=cut,
        extra_assets=extra,
        environments=keys,
        default_pools={key: call_resource(where, "pool", project) for key, where in known.items()},
    )
    made = _keys([*assets, *extra])
    nodes = [
        node
        for node, spec in bound.specs().items()
        if spec.key in made and project.graph.nodes[node].kind != "external"
    ]
    specs = external_specs(project, bound, nodes) if external == "specs" else []
    restricted_triggers = filter_triggers(triggers, frozenset(nodes))
    observed = build_incoming_files(bound, restricted_triggers, made)
    made |= _keys(observed)
    sources = [spec for spec in specs if spec.key not in made]
    ignored = find_settings_problems(bound, places, resource_keys(project, nodes, keys, cut.resource_key))
    for warning in summarize([*project.problems, *triggers.problems, *ignored], project):
        dg.get_dagster_logger("starlake").warning(warning)
    started = build_automation(project, restricted_triggers, translator=bound)
    extra, own_conditions = with_bound_conditions(bound, restricted_triggers, extra)
    fresh = [project.graph.nodes[node] for node in nodes]
    checks, freshness = build_freshness_checks(bound, fresh, prefix=triggers.prefix)
    watching: list[dg.SensorDefinition] = []
    for key, where in known.items():
        if is_complete(places[key]):
            own = key.removeprefix(cut.resource_key).removeprefix("_")
            prefix = f"{triggers.prefix}{own}_" if own else triggers.prefix
            watching += call_resource(where, "sensors", key, prefix=prefix)
    executor = cut.executor
    if executor is None and any(call_resource(where, "single_writer", project) for where in known.values()):
        executor = in_process_executor()
    return dg.Definitions(
        assets=[*assets, *observed, *sources, *extra],
        resources={**(resources or {}), **places},
        executor=executor,
        jobs=started.jobs,
        schedules=started.schedules,
        sensors=[*watching, *started.sensors, *own_conditions, *freshness],
        asset_checks=[*checks, *build_unit_test_checks(bound, fresh)],
    )


def _triggers(project: ProjectSource, automation: StarlakeAutomation | Triggers | None, former: Any) -> Triggers:
    """Returns the triggers that were passed, or those that `build_triggers` returns for the settings."""
    if isinstance(automation, Triggers):
        return automation
    if former is None:
        return build_triggers(project, automation)
    chosen = settings_of(automation, "build_definitions")
    return replace(former, status=chosen.status, timezone=chosen.timezone)


def _validated(external: str) -> External:
    """Returns the argument `external` after validating it.

    Raises:
        ValueError: When the value is unknown.
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
