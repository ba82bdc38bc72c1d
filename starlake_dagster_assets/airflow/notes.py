"""Notes on settings of a project that exported files cannot express."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from starlake_dagster_assets.airflow.dag_options import configured_pool, ignored_arguments
from starlake_dagster_assets.airflow.manifest import areas_in_manifest
from starlake_dagster_assets.airflow.node_environments import NodeEnvironments
from starlake_dagster_assets.airflow.plan.argument_types import BASE_ARGUMENTS
from starlake_dagster_assets.airflow.plan.export_lineage import ExportLineage, Key
from starlake_dagster_assets.airflow.plan.export_request import ExportRequest
from starlake_dagster_assets.airflow.plan.grouping import DagNodes, FileTrigger
from starlake_dagster_assets.airflow.plan.ids import asset_uri
from starlake_dagster_assets.airflow.plan.model import MAX_FAILED_RUNS, AssetExpression, EnvironmentName
from starlake_dagster_assets.airflow.runtime.store_areas import STORES
from starlake_dagster_assets.automation.policies.append_interval_checks import reads_interval
from starlake_dagster_assets.automation.policies.model import CronSchedule, Job, PreLoad, Trigger, UpstreamCondition
from starlake_dagster_assets.environments import get_environment
from starlake_dagster_assets.errors import closest_match
from starlake_dagster_assets.execution.expectation_checks import named_expectations
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.plural import first_of

__all__ = ["notes_of", "notes_of_default_args", "pool_notes"]

_FEW = 5


def notes_of(
    request: ExportRequest,
    found: Sequence[DagNodes],
    dag_numbers: Mapping[str, int],
    triggers: Mapping[str, Trigger],
    preloads: Mapping[str, PreLoad],
    waits: Mapping[str, Collection[tuple[str, PreLoad]]],
) -> tuple[str, ...]:
    """Returns one sentence per setting that the exported files cannot express.

    Args:
        request: The nodes to export, with their options.
        found: The DAGs.
        dag_numbers: Number of the DAG by node id.
        triggers: Triggers by node id.
        preloads: Pre-load settings of the tables that wait for files, by node id.
        waits: Directories of domains and pre-load settings that a sensor can wait for, by environment.
    """
    graph, lineage = request.lineage.graph, request.lineage
    notes = list(request.triggers.warnings)
    ordered = _Ordered(graph.upstream, dag_numbers, found)
    for node in dag_numbers:
        notes += _of_watch(node, triggers[node].upstream_condition)
        notes += _of_holes(request.project.graph.nodes[node], triggers[node].cron_schedule)
        late = [up for up in graph.upstream[node] if up in dag_numbers and not ordered.before(up, node)]
        if late:
            why = (
                "starts with its DAG"
                if triggers[node].upstream_condition
                else f"starts by {_how(found[dag_numbers[node]])}"
            )
            notes.append(f"{node}: {why}; it does not wait for {', '.join(late)}")
        gone = [up for up in graph.upstream[node] if up not in dag_numbers and graph.nodes[up].kind != "external"]
        if gone:
            notes.append(f"{node}: it does not wait for {', '.join(gone)}, which this export does not contain")
        notes += [_of_outside(node, key, lineage) for key in lineage.outside.get(node, ())]
    for dag_nodes in found:
        notes += _of_start(dag_nodes, request, triggers)
    notes += _of_sql(request, dag_numbers)
    for node, preload in preloads.items():
        known = waits[request.environments.of(node)]
        notes += _of_files(node, preload, request, known)
        if isinstance(found[dag_numbers[node]].start, FileTrigger):
            notes += _of_pending_files(graph.nodes[node], preload, known)
    for key in sorted(lineage.external_neighbours(lineage.keys[node] for node in dag_numbers)):
        notes += _of_own(key, lineage, dag_numbers)
    for environment, nodes in request.environments.parts(dag_numbers).items():
        for of_environment in (_of_checks, _of_loads, _of_transforms):
            notes += of_environment(request, environment, nodes)
    return tuple(dict.fromkeys([*notes, *_of_names(request, dag_numbers), *_of_dagster(request, dag_numbers)]))


def _of_start(dag_nodes: DagNodes, request: ExportRequest, triggers: Mapping[str, Trigger]) -> Iterator[str]:
    """Yields notes on the nodes of a DAG without a schedule that are meant to follow others, or that are transforms."""
    if dag_nodes.start is not None:
        return
    cut = [node for node in dag_nodes.nodes if triggers[node].upstream_condition is not None]
    graph = request.project.graph
    loose = [node for node in dag_nodes.nodes if node not in cut and graph.nodes[node].kind == "task"]
    if cut:
        yield (
            f"{_few(cut)}: nothing starts their DAG, because the export contains none of the upstreams that they "
            "follow; trigger it by hand, or select these upstreams, too"
        )
    if loose:
        yield (
            f"{_few(loose)}: nothing starts their DAG, because they have no schedule and follow no upstream; trigger "
            "it by hand, or set a schedule"
        )


def _of_sql(request: ExportRequest, here: Collection[str]) -> Iterator[str]:
    """Yields notes on tasks whose SQL cannot be parsed, so that edges from the tables that it reads are missing."""
    files = {problem.file for problem in request.project.problems if problem.code == "unparsable-sql"}
    nodes = request.project.graph.nodes
    for node in here:
        task = nodes[node].task
        if task is not None and (file := task.source_location.file) in files:
            yield (
                f"{node}: the SQL in {file} cannot be parsed: the task does not wait for tables that only this SQL "
                "names. `starlake-dagster check` shows the position"
            )


class _Ordered:
    """Order of the nodes, by task dependencies within a DAG and by the assets that start DAGs."""

    def __init__(
        self, upstream: Mapping[str, Sequence[str]], dag_numbers: Mapping[str, int], found: Sequence[DagNodes]
    ) -> None:
        self._upstream, self._dag_numbers = upstream, dag_numbers
        self._starts: list[frozenset[str]] = [frozenset(self._started_by(dag_nodes, found)) for dag_nodes in found]

    def _started_by(self, dag_nodes: DagNodes, found: Sequence[DagNodes]) -> Iterator[str]:
        """Yields the nodes whose updates start a DAG; for a DAG that is followed as a whole, all of its nodes."""
        names = dag_nodes.start.names if isinstance(dag_nodes.start, AssetExpression) else ()
        numbers = [self._dag_numbers[name] for name in names]
        for name, number in zip(names, numbers, strict=True):
            yield from found[number].nodes if dag_nodes.follows_updates and numbers.count(number) > 1 else (name,)

    def before(self, first: str, then: str) -> bool:
        """Whether an asset is updated before another, through task dependencies and the assets that start DAGs."""
        seen, stack = {then}, [then]
        while stack:
            node = stack.pop()
            here = self._dag_numbers[node]
            waited = [up for up in self._upstream[node] if self._dag_numbers.get(up) == here]
            for one in (*waited, *self._starts[here]):
                if one == first:
                    return True
                if one not in seen:
                    seen.add(one)
                    stack.append(one)
        return False


def _of_outside(node: str, key: Key, lineage: ExportLineage) -> str:
    behind = lineage.list_upstream_nodes(key)
    more = f" or its upstreams, {_few(behind)}" if behind else ""
    return f"{node}: this project does not produce {'/'.join(key)}; it is an inlet, and no task waits for it{more}"


def pool_notes(
    jobs: Mapping[str, Job],
    pool: str | None,
    arguments: Mapping[str, Mapping[str, Any]],
    settings: Mapping[str, str],
) -> tuple[str, ...]:
    """Returns notes on configured pools that are not used, or that must be created in Airflow.

    Args:
        jobs: Job settings by node id.
        pool: The pool that all tasks which write a DuckDB file share; None for other warehouses.
        arguments: Arguments of the operators, by node id.
        settings: Options that apply if a DAG configuration does not set them.
    """
    named: dict[str, list[str]] = {}
    for node, one in arguments.items():
        if name := one.get("pool"):
            named.setdefault(name, []).append(node)
    for node, job in jobs.items():
        if (name := configured_pool(job, settings)) and "pool" not in arguments.get(node, {}):
            named.setdefault(name, []).append(node)
    if pool is not None:
        found = {name: nodes for name, nodes in named.items() if name != pool}
        return tuple(
            f"pool {name} of {_few(nodes)}: not used; what writes a DuckDB file shares the pool {pool}"
            for name, nodes in sorted(found.items())
        )
    found = {name: nodes for name, nodes in named.items() if name != "default_pool"}
    return tuple(
        f"pool {name} of {_few(nodes)}: create it in Airflow; pools.json does not"
        for name, nodes in sorted(found.items())
    )


def notes_of_default_args(
    jobs: Mapping[str, Job], settings: Mapping[str, str], environments: NodeEnvironments
) -> tuple[str, ...]:
    """Returns notes on names in `default_dag_args` that are no arguments of operators, so that Airflow ignores them.

    Args:
        jobs: Job settings by node id.
        settings: Options that apply if a DAG configuration does not set them.
        environments: Execution environment of each node.
    """
    notes: dict[str, None] = {}
    for node, job in jobs.items():
        renderer = get_environment(environments.of(node)).operator_renderer()
        known = BASE_ARGUMENTS | {*renderer.operator_arguments, "params"}
        for name in ignored_arguments(job, settings, known) if renderer.operator else ():
            close = closest_match(name, known)
            hint = f"; did you mean `{close}`?" if close else ""
            notes.setdefault(f"option default_dag_args: Airflow ignores `{name}`, which no operator has{hint}")
    return tuple(notes)


def _of_own(key: Key, lineage: ExportLineage, dag_numbers: Mapping[str, int]) -> Iterator[str]:
    """Yields a note on an asset of the user that reads exported nodes and needs a DAG of the user."""
    nodes = [lineage.nodes[one] for one in lineage.upstreams_in_project.get(key, ()) if one in lineage.nodes]
    read = [node for node in nodes if node in dag_numbers]
    if read:
        yield f"{'/'.join(key)}: an asset of yours that reads {_few(read)}; a DAG of yours can start by their assets"


def _of_watch(node: str, watch: UpstreamCondition | None) -> Iterator[str]:
    if watch is None:
        return
    settings = {
        "min_timedelta_between_runs": watch.min_interval,
        "data_cycle": watch.data_cycle,
    }
    names = [name for name, value in settings.items() if value]
    if names:
        yield f"{node}: {' and '.join(names)} of its trigger"


def _of_holes(node: Node, clock: CronSchedule | None) -> Iterator[str]:
    """Yields a note if the SQL of a task reads the interval of a tick and missed ticks are not caught up."""
    has_sql = node.task is not None and bool(node.task.source_sql or node.task.sql)
    if has_sql and reads_interval(node) and clock is not None and not clock.catchup:
        yield (
            f"{node.id}: its SQL reads the interval of a tick and its DAG has no catchup: ticks that are missed "
            "leave holes in the table. Set the option catchup=true, or run a backfill for them"
        )


def _of_files(
    node: str, preload: PreLoad, request: ExportRequest, waits: Collection[tuple[str, PreLoad]]
) -> Iterator[str]:
    table, environment = request.project.graph.nodes[node].table, request.environments.of(node)
    if table is None:
        return
    if (table.domain, preload) not in waits:
        yield (
            f"load {table.domain}: its files are in no store that {environment} can look at; "
            f"pre_load_strategy {preload.strategy} waits for nothing, and needs a schedule: without one a person "
            "starts the DAG"
        )
    elif get_environment(environment).operator_renderer().local_files and (
        preload.incoming_path or preload.pending_path
    ):
        yield f"load {table.domain}: incoming_path and pending_path; `starlake preload` reads those of the project"
    if preload.stable_for > 0 and preload.strategy != "ack":
        yield f"load {table.domain}: stable_for; a file that is still being written ends the wait"


def _of_pending_files(node: Node, preload: PreLoad, waits: Collection[tuple[str, PreLoad]]) -> Iterator[str]:
    """Yields a note if a file that cannot be loaded starts a DAG repeatedly."""
    if node.table is not None and preload.strategy == "pending" and (node.table.domain, preload) in waits:
        domain = node.table.domain
        yield (
            f"load {domain}: a file in stage/{domain} that cannot be loaded stays there and starts the DAG again; "
            f"Airflow pauses the DAG after {MAX_FAILED_RUNS} failed runs in a row (in a DAG of your own, set "
            "max_consecutive_failed_dag_runs). Then move the file away, and unpause the DAG"
        )


def _of_checks(request: ExportRequest, environment: EnvironmentName, here: Sequence[str]) -> Iterator[str]:
    """Yields notes on expectations that no exported task checks: these can fail a load, but no transform."""
    application, inside = request.project.model.application, frozenset(here)
    nodes = [node for name, node in request.project.graph.nodes.items() if name in inside]
    if request.audit(environment) is not None:
        return
    silent = [node.id for node in nodes if node.task and named_expectations(node, application)]
    loads = [node.id for node in nodes if node.table and named_expectations(node, application)]
    if silent:
        asks = get_environment(environment).operator_renderer().has_job_ids
        where = "with --checks tasks query it" if asks else f"no task can query it on {environment}"
        yield f"expectations of {_few(silent)}: Starlake writes them to its audit and fails no transform; {where}"
    if loads and not application.expectations.fail_on_error:
        yield (
            f"expectations of {_few(loads)}: no load fails by them, because application.expectations.failOnError is "
            "not set; `failOnError` of a single expectation blocks in Dagster, and here with --checks"
        )


def _of_loads(request: ExportRequest, environment: EnvironmentName, here: Sequence[str]) -> Iterator[str]:
    loads = [name for name in here if request.project.graph.nodes[name].kind == "table"]
    datasets = areas_in_manifest(request.project)["datasets"]
    renderer = get_environment(environment).operator_renderer()
    if loads and not renderer.local_files and not datasets.startswith(STORES):
        root = "SL_ROOT" in datasets
        where = "unless the variable starlake_root is a gs:// or s3:// URL" if root else f"which are in {datasets}"
        evidence = (
            "The output of the driver is then the only evidence"
            if renderer.reads_log
            else "Exit code 0 of the first try then counts as loaded, also without a file"
        )
        yield (
            f"loads of {_few(loads)}: Airflow cannot list their files, {where}. {evidence}; a retry fails, because its "
            "result is unknown"
        )
    elif loads and request.granularity == "batch":
        yield f"loads of {_few(loads)}: a task loads several tables; a file of one of them updates the assets of all"


def _of_transforms(request: ExportRequest, environment: EnvironmentName, here: Sequence[str]) -> Iterator[str]:
    tasks = [name for name in here if request.project.graph.nodes[name].kind == "task"]
    renderer = get_environment(environment).operator_renderer()
    if tasks and not (renderer.local_files or renderer.reads_log) and request.audit(environment) is None:
        asks = renderer.has_job_ids and request.project.model.application.audit.active
        why = "with --checks they query the audit" if asks else "no task can query the audit"
        yield (
            f"transforms of {_few(tasks)} on {environment}: exit code 0 is the only evidence that they succeeded; {why}"
        )


def _of_names(request: ExportRequest, here: Collection[str]) -> Iterator[str]:
    """Yields a note on datasets whose names have letters that starlake-airflow replaces."""
    if request.ids != "starlake" or request.options.uri:
        return
    keys = request.lineage.keys
    other = [node for node in here if asset_uri(keys[node], "starlake") != asset_uri(keys[node], "starlake-airflow")]
    if other:
        yield (
            f"datasets of {_few(other)}: starlake-airflow replaces letters that are not ASCII in their names. If a DAG "
            "of yours waits for such a dataset of starlake-airflow, export with --ids starlake-airflow"
        )


def _of_dagster(request: ExportRequest, dag_numbers: Mapping[str, int]) -> Iterator[str]:
    """Yields notes on nodes whose environment differs from that of the Dagster definitions."""
    found: dict[tuple[str, str], list[str]] = {}
    for node in dag_numbers:
        there, here = request.environments.dagster.get(node), request.environments.of(node)
        if there is not None and there != here:
            found.setdefault((there, here), []).append(node)
    for (there, here), nodes in found.items():
        yield f"{_few(nodes)}: run by {there} in Dagster, by {here} here"


def _how(dag_nodes: DagNodes) -> str:
    if isinstance(dag_nodes.start, CronSchedule):
        return f"`{dag_nodes.start.cron}`"
    return "files" if isinstance(dag_nodes.start, FileTrigger) else "hand"


def _few(names: Sequence[str]) -> str:
    return first_of(names, _FEW)
