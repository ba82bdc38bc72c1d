"""`@starlake_assets`, and `build_starlake_assets` for the assets of a whole project."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from starlake_dagster_assets._arguments import ProjectLike, items_of, project_of
from starlake_dagster_assets._compat import suppress_dagster_warnings
from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.dagster_assets.build_options import StarlakeMetadata, StarlakeSteps, resolve_option_groups
from starlake_dagster_assets.dagster_assets.resource_assignment import resource_keys
from starlake_dagster_assets.dagster_assets.results.iterator import StarlakeEvent
from starlake_dagster_assets.dagster_assets.specs.names import group_name
from starlake_dagster_assets.dagster_assets.specs.translator import StarlakeTranslator, bound_translator
from starlake_dagster_assets.dagster_assets.step_binding import StepBinding, build_step_binding
from starlake_dagster_assets.dagster_assets.steps.body import bound_body, events_of
from starlake_dagster_assets.dagster_assets.steps.grouping import StepSplit, steps_of
from starlake_dagster_assets.dagster_assets.steps.partition_checks import runs_one_partition, validate_partitions
from starlake_dagster_assets.dagster_assets.steps.run_config import StarlakeRunConfig
from starlake_dagster_assets.errors import SelectionError
from starlake_dagster_assets.execution.outcome import TaskOptions
from starlake_dagster_assets.graph.acyclic_groups import sort_topologically
from starlake_dagster_assets.graph.select import quote_selection
from starlake_dagster_assets.graph.select import select as select_nodes
from starlake_dagster_assets.resources import StarlakeResource

__all__ = [
    "Selection",
    "assets_of",
    "build_starlake_assets",
    "default_name",
    "external_specs",
    "materialize",
    "selected_nodes",
    "starlake_assets",
]

_LONGEST_SELECTION = 40
"""Maximum number of characters of a selection in the name of a step."""

Selection = str | Sequence[str]


def starlake_assets(
    *,
    project: ProjectLike,
    select: Selection | None = None,
    exclude: Selection | None = None,
    name: str | None = None,
    translator: StarlakeTranslator | None = None,
    partitions_def: dg.PartitionsDefinition[Any] | None = None,
    backfill_policy: dg.BackfillPolicy | None = None,
    op_tags: Mapping[str, Any] | None = None,
    pool: str | None = None,
    retry_policy: dg.RetryPolicy | None = None,
    required_resource_keys: set[str] | None = None,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Decorates the function that runs the selected tables and tasks of a project, and defines their assets.

    Args:
        project: The project, or the path of its directory.
        select: Tables and tasks in the selection grammar; all by default.
        exclude: Tables and tasks that are left out.
        name: Name of the step; the function's by default.
        translator: Defines the attributes of the assets.
        partitions_def: Partitions of all these assets.
        backfill_policy: How a backfill splits them into runs; a range is one run by default.
        op_tags: Tags of the step.
        pool: Concurrency pool of the step.
        retry_policy: How a failed step is retried; a retry runs only what this run has not materialized.
        required_resource_keys: Keys of the resources that the function reads from its context.

    Returns:
        A decorator for a function that takes a context and a `StarlakeResource`, and yields events.

    Raises:
        SelectionError: When the selection matches nothing or cannot be parsed.
        ProjectError: When two nodes would become one asset.

    Examples:
        Everything, with row counts::

            @starlake_assets(project=StarlakeProject("starbake"))
            def starbake(context: dg.AssetExecutionContext, starlake: StarlakeResource):
                yield from starlake.run(context).fetch_row_counts()

        One domain, with two retries::

            @starlake_assets(project=project, select="domain:sales", retry_policy=dg.RetryPolicy(max_retries=2))
            def sales(context: dg.AssetExecutionContext, starlake: StarlakeResource):
                yield from starlake.run(context)

        With variables for the SQL::

            @starlake_assets(project=project, select="tag:nightly")
            def nightly(context: dg.AssetExecutionContext, starlake: StarlakeResource):
                yield from starlake.run(context, options={"country": "FR"})
    """
    project = project_of(project, "starlake_assets")
    bound = bound_translator(translator, project, "starlake_assets")
    bound.specs()
    nodes = selected_nodes(project, select, exclude)

    def decorate(fn: Callable[..., Any]) -> dg.AssetsDefinition:
        return _definition(
            fn,
            bound,
            nodes,
            None,
            name=name or fn.__name__,
            partitions_def=partitions_def,
            backfill_policy=backfill_policy,
            op_tags=op_tags,
            pool=pool,
            retry_policy=retry_policy,
            required_resource_keys=required_resource_keys,
        )

    return decorate


def build_starlake_assets(
    project: ProjectLike,
    *,
    select: Selection | None = None,
    exclude: Selection | None = None,
    translator: StarlakeTranslator | None = None,
    metadata: StarlakeMetadata | None = None,
    steps: StarlakeSteps | StepSplit = "auto",
    extra_assets: Iterable[Any] = (),
    environments: Mapping[str, str] | None = None,
    **deprecated: Any,
) -> list[dg.AssetsDefinition]:
    """Builds the assets of a project for your own `Definitions`.

    Args:
        project: The project, or the path of its directory.
        select: Tables and tasks in the selection grammar; all by default.
        exclude: Tables and tasks that are left out.
        translator: Defines the attributes of the assets.
        metadata: Metadata that is read from the warehouse after each load and transform.
        steps: How steps are built and run: `StarlakeSteps`, or its `split` alone, such as `"group"`.
        extra_assets: Your own assets that read tables of the project. Tables and tasks that read those assets have
            a separate step.
        environments: Keys of other resources, by selections in the selection grammar; the first selection that
            contains a node applies to it.
        deprecated: Former names of arguments; they work with a `DeprecationWarning`.

    Returns:
        One definition per step, in an order in which they can run.

    Raises:
        SelectionError: When the selection names nothing, or its tasks read each other in a cycle.
        ProjectError: When two nodes would become one asset.
        TypeError: When an argument has the wrong type.

    Examples:
        Together with assets, jobs and resources of your own::

            assets = build_starlake_assets(project, select="domain:sales")
            defs = dg.Definitions(assets=[*assets, report], resources={"starlake": StarlakeDuckDB()})

        One step per domain, without reading the warehouse after it::

            build_starlake_assets(
                project, steps="group", metadata=StarlakeMetadata(row_counts=False, columns=False, samples=0)
            )
    """
    name = "build_starlake_assets"
    also = {"around": "extra_assets=…", "default_pools": "get_pool of a StarlakeTranslator"}
    shown, cut, rest = resolve_option_groups(build_starlake_assets, metadata, steps, deprecated, also)
    if cut.executor is not None:
        raise TypeError(f"{name} builds assets only: pass `executor` to dg.Definitions, or use build_definitions.")
    source = project_of(project, name)
    return assets_of(
        bound_translator(translator, source, name),
        select=select,
        exclude=exclude,
        metadata=shown,
        steps=cut,
        extra_assets=[*items_of(extra_assets, name, "extra_assets", "[weekly_report]"), *rest.get("around", ())],
        environments=environments or {},
        default_pools=rest.get("default_pools") or {},
    )


def assets_of(
    translator: StarlakeTranslator,
    *,
    select: Selection | None,
    exclude: Selection | None,
    metadata: StarlakeMetadata,
    steps: StarlakeSteps,
    extra_assets: Iterable[Any],
    environments: Mapping[str, str],
    default_pools: Mapping[str, str | None],
) -> list[dg.AssetsDefinition]:
    """Builds the assets of a project, as `build_starlake_assets` does.

    Args:
        translator: Translator that is bound to the project.
        select: Tables and tasks.
        exclude: Tables and tasks that are left out.
        metadata: Metadata that is read from the warehouse.
        steps: How steps are built.
        extra_assets: Assets of the user.
        environments: Keys of other resources, by selection.
        default_pools: By resource key, the concurrency pool of the steps whose nodes have none.
    """
    project = translator.source
    translator.specs()
    chosen = selected_nodes(project, select, exclude)
    keys = resource_keys(project, chosen, environments, steps.resource_key)

    def body(key: str) -> Callable[..., Any]:
        def run(context: dg.AssetExecutionContext, config: StarlakeRunConfig) -> Any:
            starlake: StarlakeResource = getattr(context.resources, key)
            if steps.execute is not None:
                yield from events_of(steps.execute(context, starlake))
            else:
                yield from materialize(context, starlake, options=steps.options, metadata=metadata)

        return run

    known = (steps.options or {}) if steps.execute is None else None  # a body of the user passes its own

    def pool(node: str) -> str | None:
        return steps.pool or translator.get_pool(translator.graph.nodes[node]) or default_pools.get(keys[node])

    name = steps.name or default_name(project, select, exclude)
    return [
        _definition(
            body(keys[nodes[0]]),
            translator,
            nodes,
            known,
            name=step,
            pool=pool(nodes[0]),
            retry_policy=steps.retry_policy,
            op_tags=steps.op_tags,
            required_resource_keys={keys[nodes[0]]},
        )
        for step, nodes in steps_of(translator, chosen, steps.split, name, extra_assets, keys)
    ]


def materialize(
    context: dg.AssetExecutionContext,
    starlake: StarlakeResource,
    *,
    options: TaskOptions | None = None,
    metadata: StarlakeMetadata | None = None,
) -> Iterator[StarlakeEvent]:
    """Runs the selected assets of a step: the default body of the steps of `build_starlake_assets`.

    Args:
        context: Context of the step.
        starlake: Where commands run.
        options: Variables of transforms: the same for all, or a function of the node.
        metadata: Metadata that is read from the warehouse after each load and transform.
    """
    wanted = metadata or StarlakeMetadata()
    events = starlake.run(context, options=options).fetch_samples(wanted.samples)
    events = events.fetch_preview(wanted.preview) if wanted.preview else events
    events = events.fetch_row_counts() if wanted.row_counts else events
    yield from events.fetch_column_metadata() if wanted.columns else events


def default_name(project: ProjectSource, select: Selection | None = None, exclude: Selection | None = None) -> str:
    """Returns the name of the step of a project: `starlake_<directory>`, followed by the selection.

    Args:
        project: The project.
        select: Selection of the step; it distinguishes the steps of merged parts of one project.
        exclude: Selection of nodes that are left out.
    """
    parts = [select or (), ["without", *_selection_texts(exclude)] if exclude else ()]
    words = [group_name(word).strip("_") for part in parts for word in _selection_texts(part)]
    selection = "_".join(words)
    if len(selection) > _LONGEST_SELECTION:
        selection = f"{selection[:_LONGEST_SELECTION]}_{hashlib.sha256(selection.encode()).hexdigest()[:6]}"
    return "_".join(["starlake", group_name(project.root.name), *([selection] if selection else [])])


def _selection_texts(selection: Selection) -> Sequence[str]:
    return [selection] if isinstance(selection, str) else selection


def external_specs(
    project: ProjectSource, translator: StarlakeTranslator, nodes: Collection[str]
) -> list[dg.AssetSpec]:
    """Returns the specs of the external nodes that some nodes read: incoming files and external tables.

    Args:
        project: The project.
        translator: Translator that is bound to the project.
        nodes: Ids of the nodes that are defined.
    """
    graph = project.graph
    wanted = {up for node in nodes for up in graph.upstream[node] if graph.nodes[up].kind == "external"}
    return [translator.spec(graph.nodes[node]) for node in sorted(wanted)]


def selected_nodes(project: ProjectSource, select: Selection | None, exclude: Selection | None) -> tuple[str, ...]:
    """Returns the ids of the tables and tasks of a selection, in topological order.

    Raises:
        SelectionError: When the selection contains no table and no task.
    """
    found = select_nodes(project.graph, "*" if select is None else select, exclude)
    produced = {node for node in found if project.graph.nodes[node].kind != "external"}
    if not produced:
        raise SelectionError(f"the selection {quote_selection(select, exclude)} names no table and no task.")
    return tuple(node for node in sort_topologically(project.graph, produced) if node in produced)


def _backfill_policy(binding: StepBinding, definition: dg.PartitionsDefinition[Any]) -> dg.BackfillPolicy:
    """Returns a policy with one run for a range of time windows: one command per domain and task covers the range.

    Other partitions have one run per key, since a command takes one key.
    """
    with suppress_dagster_warnings():
        if runs_one_partition(binding.nodes.values(), definition):
            return dg.BackfillPolicy.multi_run(1)
        return dg.BackfillPolicy.single_run()


def _definition(
    fn: Callable[..., Any],
    translator: StarlakeTranslator,
    nodes: Sequence[str],
    options: TaskOptions | None,
    *,
    name: str,
    **settings: Any,
) -> dg.AssetsDefinition:
    binding = build_step_binding(translator, nodes)
    of_specs = next((spec.partitions_def for spec in binding.specs if spec.partitions_def is not None), None)
    definition = settings.get("partitions_def") or of_specs
    if definition is not None:
        validate_partitions(binding.nodes.values(), definition, translator.trigger, options)
        if settings.get("backfill_policy") is None:
            settings["backfill_policy"] = _backfill_policy(binding, definition)
    arguments = {key: value for key, value in settings.items() if value is not None}
    with suppress_dagster_warnings():
        decorate = dg.multi_asset(
            name=name, specs=list(binding.specs), check_specs=binding.check_specs, can_subset=True, **arguments
        )
        return decorate(bound_body(fn, binding))
