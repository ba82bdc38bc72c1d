"""`@starlake_assets`, and the assets of a whole project at once."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from starlake_dagster_assets._arguments import ProjectLike, project_of
from starlake_dagster_assets._compat import quiet
from starlake_dagster_assets.assets.binding import Binding, bind, bound_body
from starlake_dagster_assets.assets.environments import resource_keys
from starlake_dagster_assets.assets.iterator import StarlakeEvent
from starlake_dagster_assets.assets.names import group_name
from starlake_dagster_assets.assets.partition_checks import runs_one_partition, validate_partitions
from starlake_dagster_assets.assets.steps import Steps, steps_of
from starlake_dagster_assets.assets.translator import StarlakeTranslator, bound_translator
from starlake_dagster_assets.command.outcome import TaskOptions
from starlake_dagster_assets.command.source import ProjectSource
from starlake_dagster_assets.errors import SelectionError
from starlake_dagster_assets.graph.plan import topological
from starlake_dagster_assets.graph.select import select as select_nodes
from starlake_dagster_assets.resources import StarlakeResource

__all__ = [
    "Execute",
    "Selection",
    "build_starlake_assets",
    "default_name",
    "external_specs",
    "materialize",
    "selected_nodes",
    "starlake_assets",
]

_LONGEST_SELECTION = 40
"""Characters of a selection in the name of a step."""

Selection = str | Sequence[str]
Execute = Callable[[dg.AssetExecutionContext, StarlakeResource], Iterator[StarlakeEvent]]
"""The body of a step: what `starlake_assets` decorates."""


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
    """Makes assets of the tables and tasks of a project; the function runs those that a run selects.

    Args:
        project: The project, or the path of its directory.
        select: Which nodes, in the selection grammar; all by default.
        exclude: Which of them not.
        name: Name of the step; the function's by default.
        translator: What the assets look like.
        partitions_def: Partitions of all these assets.
        backfill_policy: How a backfill cuts them into runs; a range is one run by default.
        op_tags: Tags of the step.
        pool: Concurrency pool of the step.
        retry_policy: How a failed step is retried; a retry runs only what this run has not materialized.
        required_resource_keys: Resources that the function takes from its context.

    Returns:
        A decorator for a function of a context and a `StarlakeResource` that yields events.

    Raises:
        SelectionError: When the selection names nothing or is not of the grammar.
        ProjectError: When two nodes would become one asset.

    Examples:
        Everything, with row counts::

            @starlake_assets(project=StarlakeProject("starbake"))
            def starbake(context: dg.AssetExecutionContext, starlake: StarlakeResource):
                yield from starlake.run(context).fetch_row_counts()

        One domain, twice retried::

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
    name: str | None = None,
    steps: Steps = "auto",
    around: Iterable[Any] = (),
    row_counts: bool = True,
    columns: bool = True,
    preview: int = 0,
    samples: int = 5,
    options: TaskOptions | None = None,
    pool: str | None = None,
    default_pools: Mapping[str, str | None] | None = None,
    retry_policy: dg.RetryPolicy | None = None,
    op_tags: Mapping[str, Any] | None = None,
    execute: Execute | None = None,
    resource_key: str = "starlake",
    environments: Mapping[str, str] | None = None,
) -> list[dg.AssetsDefinition]:
    """The assets of a project, ready to run.

    Args:
        project: The project, or the path of its directory.
        select: Which nodes, in the selection grammar; all by default.
        exclude: Which of them not.
        translator: What the assets look like.
        name: Name of the step, and what the names of several begin with; `starlake_<directory>` by default, followed
            by the selection where there is one.
        steps: How many steps a run has. `project`: one for each set of partitions; a table that fails or has no new
            file stops exactly what reads it, and one process serves all. `group`: one a load domain and a transform
            schema, which can run side by side, but Dagster leaves out a whole group when one table it reads was not
            made. `task`: one a load domain and one a task. `auto`: `project` up to 500 assets; for more a step a job (a
            group, where the translator was bound without triggers), since the time that Dagster takes to load a job
            grows with the steps that it takes part of.
        around: Assets of your own that read the project's: what reads those in turn gets a step of its own.
        row_counts: Count the rows of each table made.
        columns: Read its columns and trace their lineage.
        preview: Show so many rows of it; what `privacy` and `rls` protect is hidden.
        samples: Show so many rows behind a failed check, hidden likewise; 0 shows none.
        options: Variables of transforms: the same for all, or a function of the node.
        pool: Concurrency pool of all steps, whatever their nodes say (`default_pool`).
        default_pools: By resource key, the concurrency pool of the steps whose nodes say none.
        retry_policy: How a failed step is retried, whatever its nodes say (`retries`, `retry_delay`).
        op_tags: Tags of the steps.
        execute: A body of your own for the steps, a generator of events; `row_counts`, `columns`, `preview`, `samples`
            and `options` are then its own business.
        resource_key: Key of the resource that runs them.
        environments: Keys of other resources, by what they run in the selection grammar; the first selection that has
            a node counts.

    Returns:
        One definition a step, in an order in which they can run.

    Raises:
        SelectionError: When the selection names nothing, or its tasks read each other in a circle.
        ProjectError: When two nodes would become one asset.
    """
    project = project_of(project, "build_starlake_assets")
    bound = bound_translator(translator, project, "build_starlake_assets")
    bound.specs()
    chosen = selected_nodes(project, select, exclude)

    keys = resource_keys(project, chosen, environments or {}, resource_key)

    def body(key: str) -> Callable[..., Any]:
        def run(context: dg.AssetExecutionContext) -> Any:
            starlake: StarlakeResource = getattr(context.resources, key)
            if execute is not None:
                yield from execute(context, starlake)
            else:
                yield from materialize(
                    context,
                    starlake,
                    options=options,
                    row_counts=row_counts,
                    columns=columns,
                    preview=preview,
                    samples=samples,
                )

        return run

    known = (options or {}) if execute is None else None  # a body of one's own gives its own
    return [
        _definition(
            body(keys[nodes[0]]),
            bound,
            nodes,
            known,
            name=step,
            pool=pool or bound.get_pool(bound.graph.nodes[nodes[0]]) or (default_pools or {}).get(keys[nodes[0]]),
            retry_policy=retry_policy,
            op_tags=op_tags,
            required_resource_keys={keys[nodes[0]]},
        )
        for step, nodes in steps_of(bound, chosen, steps, name or default_name(project, select, exclude), around, keys)
    ]


def materialize(
    context: dg.AssetExecutionContext,
    starlake: StarlakeResource,
    *,
    options: TaskOptions | None = None,
    row_counts: bool = True,
    columns: bool = True,
    preview: int = 0,
    samples: int = 5,
) -> Iterator[StarlakeEvent]:
    """The body of the steps of `build_starlake_assets`: runs what a step selects.

    Args:
        context: Of the step.
        starlake: Where commands run.
        options: Variables of transforms: the same for all, or a function of the node.
        row_counts: Count the rows of each table made.
        columns: Read its columns and trace their lineage.
        preview: Show so many rows of it.
        samples: Show so many rows behind a failed check.
    """
    events = starlake.run(context, options=options).fetch_samples(samples)
    events = events.fetch_preview(preview) if preview else events
    events = events.fetch_row_counts() if row_counts else events
    yield from events.fetch_column_metadata() if columns else events


def default_name(project: ProjectSource, select: Selection | None = None, exclude: Selection | None = None) -> str:
    """Returns the name of the step of a project: `starlake_<directory>`, followed by the selection.

    Args:
        project: The project.
        select: Of the step; parts of one project that are merged have steps of different names.
        exclude: Which nodes are left out.
    """
    parts = [select or (), ["without", *_words(exclude)] if exclude else ()]
    words = [group_name(word).strip("_") for part in parts for word in _words(part)]
    selection = "_".join(words)
    if len(selection) > _LONGEST_SELECTION:
        selection = f"{selection[:_LONGEST_SELECTION]}_{hashlib.sha256(selection.encode()).hexdigest()[:6]}"
    return "_".join(["starlake", group_name(project.root.name), *([selection] if selection else [])])


def _words(selection: Selection) -> Sequence[str]:
    return [selection] if isinstance(selection, str) else selection


def external_specs(
    project: ProjectSource, translator: StarlakeTranslator, nodes: Collection[str]
) -> list[dg.AssetSpec]:
    """The specs of what the nodes read and the project does not make: incoming files, external tables.

    Args:
        project: The project.
        translator: Bound to the project.
        nodes: Ids of the nodes that are defined.
    """
    graph = project.graph
    wanted = {up for node in nodes for up in graph.upstream[node] if graph.nodes[up].kind == "external"}
    return [translator.spec(graph.nodes[node]) for node in sorted(wanted)]


def selected_nodes(project: ProjectSource, select: Selection | None, exclude: Selection | None) -> tuple[str, ...]:
    """The tables and tasks of a selection, in topological order.

    Raises:
        SelectionError: When there is none.
    """
    found = select_nodes(project.graph, "*" if select is None else select, exclude)
    made = {node for node in found if project.graph.nodes[node].kind != "external"}
    if not made:
        raise SelectionError(f"the selection {select or '*'!r} (without {exclude!r}) names no table and no task.")
    return tuple(node for node in topological(project.graph, made) if node in made)


def _backfill_policy(binding: Binding, definition: dg.PartitionsDefinition[Any]) -> dg.BackfillPolicy:
    """A range of time is one run: one command per domain and task, from the first start to the last end.

    Other partitions have a run each, since a command is told one key.
    """
    with quiet():
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
    binding = bind(translator, nodes)
    of_specs = next((spec.partitions_def for spec in binding.specs if spec.partitions_def is not None), None)
    definition = settings.get("partitions_def") or of_specs
    if definition is not None:
        validate_partitions(binding.nodes.values(), definition, translator.trigger, options)
        if settings.get("backfill_policy") is None:
            settings["backfill_policy"] = _backfill_policy(binding, definition)
    given = {key: value for key, value in settings.items() if value is not None}
    with quiet():
        decorate = dg.multi_asset(
            name=name, specs=list(binding.specs), check_specs=binding.check_specs, can_subset=True, **given
        )
        return decorate(bound_body(fn, binding))
