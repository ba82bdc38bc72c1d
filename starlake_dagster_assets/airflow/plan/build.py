"""Builds the DAGs of an export: nodes that start together share a DAG, and Airflow assets connect the DAGs."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from starlake_dagster_assets.airflow.dag_options import DUCKDB_POOL, Templates, default_args, pool_of
from starlake_dagster_assets.airflow.notes import notes_of, notes_of_default_args, pool_notes
from starlake_dagster_assets.airflow.plan.dag_events import DagEvents
from starlake_dagster_assets.airflow.plan.dag_names import DagNameParts, name_of_cron, names_of_dags
from starlake_dagster_assets.airflow.plan.export_lineage import Key
from starlake_dagster_assets.airflow.plan.export_request import ExportRequest
from starlake_dagster_assets.airflow.plan.file_sensors import waiting_for
from starlake_dagster_assets.airflow.plan.grouping import (
    DagNodes,
    FileTrigger,
    Start,
    connected_components,
    drop_covered_upstreams,
    group_into_dags,
    reduce_condition,
    topological_order,
)
from starlake_dagster_assets.airflow.plan.ids import asset_uri, task_id, unique
from starlake_dagster_assets.airflow.plan.model import (
    AssetExpression,
    ContinuousSchedule,
    DagSpec,
    EnvironmentName,
    ExportPlan,
    ExternalAsset,
    TaskSpec,
)
from starlake_dagster_assets.airflow.plan.operator_arguments import arguments_of
from starlake_dagster_assets.airflow.plan.starlake_airflow_ids import (
    starlake_airflow_dag_ids,
    with_starlake_airflow_ids,
)
from starlake_dagster_assets.airflow.plan.tasks import TaskBuilder, no_duplicates
from starlake_dagster_assets.airflow.render.task_documentation import source_files, tags_of_dag, title
from starlake_dagster_assets.automation.policies.model import (
    CronSchedule,
    Job,
    PreLoad,
    Trigger,
    UpstreamCondition,
)
from starlake_dagster_assets.automation.policies.options import task_options
from starlake_dagster_assets.environments import get_environment
from starlake_dagster_assets.graph.model import Graph, Node

__all__ = ["plan_dags"]

_NO_JOB = Job("", ())


def plan_dags(request: ExportRequest) -> ExportPlan:
    """Plans the DAGs of an export.

    Raises:
        ProjectError: For names that collide and for cycles, each by name.
        CommandError: For names that cannot be written on a command line.
    """
    return _Planner(request).plan()


class _Planner:
    def __init__(self, request: ExportRequest) -> None:
        self._request = request
        self._graph: Graph = request.lineage.graph
        naming = request.naming
        self._nodes = {
            node.id: node
            for node in self._graph.nodes.values()
            if node.kind != "external" and node.id in request.selected and node.id not in naming.excluded
        }
        self._keys = request.lineage.keys
        self._uris = {node: self._uri(key) for node, key in self._keys.items()}
        self._events = DagEvents((), (), request.ids)
        self._waits: Mapping[str, Collection[tuple[str, PreLoad]]] = {}

    def plan(self) -> ExportPlan:
        request, ids = self._request, self._task_ids()
        found = group_into_dags(self._order(), self._starts, self._scopes(), request.options.max_assets)
        groups = request.naming.groups
        names = names_of_dags(found, self._graph, request.options.prefix, request.split, self._name_parts, groups)
        members = [([self._nodes[node] for node in one.nodes], self._jobs[one.nodes[0]]) for one in found]
        if request.ids == "starlake-airflow":
            names = starlake_airflow_dag_ids(members, names)
        parts = request.environments.parts(self._nodes)
        makers = {where: self._maker(where, {node: ids[node] for node in nodes}) for where, nodes in parts.items()}
        self._events = DagEvents(found, names, request.ids)
        asset_uris = {uri: uri for node, uri in self._uris.items() if not self._graph.nodes[node].is_files}
        unique("URI", {**asset_uris, **self._events.named}, "use another --prefix.")
        tasks = [makers[self._environment(one)].tasks(one, self._events.of(one)) for one in found]
        self._waits = {where: maker.waits for where, maker in makers.items()}
        dags = [self._dag(*one) for one in zip(names, found, tasks, strict=True)]
        places = {
            node: (name, makers[self._environment(dag_nodes)].task_of(self._graph.nodes[node]))
            for name, dag_nodes in zip(names, found, strict=True)
            for node in dag_nodes.nodes
        }
        if request.ids == "starlake-airflow":
            dags, places = with_starlake_airflow_ids(dags, members, places)
        used = any(dag.default_args.get("pool") == DUCKDB_POOL for dag in dags)
        pools = {DUCKDB_POOL: 1} if self._pool and used else {}
        dag_numbers = {node: number for number, dag_nodes in enumerate(found) for node in dag_nodes.nodes}
        notes = notes_of(request, found, dag_numbers, self._triggers, self._preloads, self._waits)
        notes += pool_notes(self._jobs, self._pool, self._arguments, request.options.settings)
        notes += notes_of_default_args(self._jobs, request.options.settings, request.environments)
        return ExportPlan(
            tuple(sorted(dags, key=lambda dag: dag.id)),
            self._uris,
            places,
            self._external,
            pools,
            notes,
        )

    def _maker(self, environment: EnvironmentName, ids: Mapping[str, str]) -> TaskBuilder:
        """Returns the builder of the tasks of an environment."""
        request, model = self._request, self._request.project.model
        renderer = get_environment(environment).operator_renderer()
        return TaskBuilder(
            self._graph,
            ids,
            self._uris,
            {node: [self._uri(key) for key in keys] for node, keys in request.lineage.outside.items()},
            self._preloads,
            waiting_for(self._preloads, self._templates, environment),
            request.granularity,
            {name: task_options(model, node) for name in ids if (node := self._nodes[name]).task},
            self._rules,
            {node: condition.must_exist for node, condition in self._conditions.items()},
            model.application if request.audit(environment) is not None else None,
            not (renderer.local_files or renderer.reads_log),
            self._arguments,
        )

    def _templates(self, node: str) -> Templates:
        options = self._request.options
        settings = {**options.settings, **self._jobs[node].options}
        return Templates(self._request.project, options.variables_prefix, settings)

    @cached_property
    def _arguments(self) -> Mapping[str, Mapping[str, Any]]:
        """Arguments of the operators, by node id."""
        given, where = self._request.naming.airflow, self._request.environments.of
        pool, root = self._pool, self._request.project.root
        nodes = self._nodes.items()
        found = {name: arguments_of(one, given.get(name, {}), pool, where(name), root) for name, one in nodes}
        return {name: self._templates(name).with_root(one) for name, one in found.items()}

    def _environment(self, dag_nodes: DagNodes) -> EnvironmentName:
        """Returns the environment of a DAG, which all of its nodes share."""
        return self._request.environments.of(dag_nodes.nodes[0])

    @cached_property
    def _pool(self) -> str | None:
        return pool_of(self._request.project)

    # ---------------------------------------------------------------------------------------------- names

    def _uri(self, key: tuple[str, ...]) -> str:
        return asset_uri(key, self._request.ids, self._request.options.uri)

    def _task_ids(self) -> dict[str, str]:
        ids = {name: task_id(node, self._keys[name], self._request.ids) for name, node in self._nodes.items()}
        other = "" if self._request.ids == "asset" else "use --ids asset, or "
        unique("task id", ids, f"{other}rename one.")
        asset_uris = {node.id: self._uris[node.id] for node in self._graph.nodes.values() if not node.is_files}
        known = {self._keys[node] for node in asset_uris}
        own = {"/".join(one.key): uri for uri, one in self._external.items() if one.key not in known}
        unique("URI", {**asset_uris, **own}, f"{other}give one another key.")
        return ids

    @cached_property
    def _external(self) -> Mapping[str, ExternalAsset]:
        """Assets without a task, by URI: assets that tasks read, and assets that read from tasks."""
        lineage = self._request.lineage
        made = {self._keys[node] for node in self._nodes}
        read: set[Key] = {key for node in self._nodes for key in lineage.outside.get(node, ())}
        ups = {up for node in self._nodes for up in self._graph.upstream[node]}
        read |= {self._keys[up] for up in ups if not self._graph.nodes[up].is_files}
        keys = sorted((read | lineage.external_neighbours(made)) - made)
        return {
            self._uri(key): ExternalAsset(key, tuple(map(self._uri, lineage.upstreams_in_project.get(key, ()))))
            for key in keys
        }

    # --------------------------------------------------------------------------------------------- starts

    @cached_property
    def _triggers(self) -> Mapping[str, Trigger]:
        known = self._request.triggers.triggers
        return {node: known.get(node) or Trigger(node, "none", "") for node in self._nodes}

    @cached_property
    def _jobs(self) -> Mapping[str, Job]:
        jobs = self._request.triggers.jobs
        of = {node: job for job in jobs.values() for node in job.nodes}
        return {node: jobs.get(one.job) or of.get(node) or _NO_JOB for node, one in self._triggers.items()}

    @cached_property
    def _conditions(self) -> Mapping[str, UpstreamCondition]:
        triggers = self._triggers.items()
        return {node: one.upstream_condition for node, one in triggers if one.upstream_condition is not None}

    @cached_property
    def _rules(self) -> Mapping[str, AssetExpression]:
        found: dict[str, AssetExpression] = {}
        conditions = {node: one.condition for node, one in self._conditions.items()}
        for node, one in self._conditions.items():
            rule = reduce_condition(
                drop_covered_upstreams(one.condition, conditions), self._nodes, one.optional | one.slower
            )
            if rule is not None:
                found[node] = rule
        return found

    @cached_property
    def _own_starts(self) -> Mapping[str, Start]:
        return {node: self._start(trigger) for node, trigger in self._triggers.items()}

    @cached_property
    def _starts(self) -> Mapping[str, Start]:
        return {node: self._own_starts[self._leader(node)] for node in self._own_starts}

    def _leader(self, node: str) -> str:
        """Returns the node in whose DAG a node runs: itself, or the closest downstream node with a trigger."""
        if self._triggers[node].triggered_by != "none":
            return node
        inside, stack, seen = self._own_starts.keys() & self._jobs[node].nodes, [node], {node}
        while stack:
            one = stack.pop(0)
            if self._own_starts[one] is not None:
                return one
            more = [down for down in self._graph.downstream[one] if down in inside and down not in seen]
            seen.update(more)
            stack += more
        return node

    def _start(self, trigger: Trigger) -> Start:
        if trigger.cron_schedule:
            return trigger.cron_schedule
        if trigger.triggered_by == "arrival" and trigger.node in self._preloads:
            return FileTrigger(self._preloads[trigger.node])
        return self._rules.get(trigger.node)

    @cached_property
    def _preloads(self) -> Mapping[str, PreLoad]:
        """Pre-load settings of the tables that wait for files, by node id."""
        found = {node: trigger.preload for node, trigger in self._triggers.items() if self._nodes[node].table}
        return {node: preload for node, preload in found.items() if preload and preload.strategy != "none"}

    @cached_property
    def _mixed(self) -> frozenset[str]:
        """Directories of domains whose tables have different pre-load settings."""
        seen: dict[str, set[PreLoad | None]] = {}
        for name, node in self._nodes.items():
            if node.table:
                seen.setdefault(node.table.domain, set()).add(self._preloads.get(name))
        return frozenset(domain for domain, found in seen.items() if len(found) > 1)

    def _order(self) -> list[str]:
        """Returns the nodes in topological order of the upstreams that they read or wait for."""
        before: dict[str, list[str]] = {}
        for node in self._nodes:
            rule = self._rules.get(node)
            read = [up for up in self._graph.upstream[node] if up in self._nodes]
            before[node] = [*read, *(rule.names if rule else ())]
        return topological_order(before)

    # --------------------------------------------------------------------------------------------- scopes

    def _scopes(self) -> Mapping[str, tuple[Hashable, ...]]:
        leaders = {name: self._nodes[self._leader(name)] for name in self._nodes}
        where = self._request.environments.of
        return {
            name: (*self._settings(node.id), *self._scope(node), self._mix(name), where(name))
            for name, node in leaders.items()
        }

    def _mix(self, node: str) -> Hashable:
        table = self._nodes[node].table
        return (table.domain, self._preloads.get(node)) if table and table.domain in self._mixed else None

    def _settings(self, node: str) -> tuple[Hashable, ...]:
        """Returns the settings of a DAG that apply to all of its tasks."""
        job = self._jobs[node]
        common = (job.dag, job.description, job.pool, job.retries, job.retry_delay, job.max_active_runs, job.priority)
        return (*common, job.tags, tuple(sorted(job.options.items())))

    def _scope(self, node: Node) -> tuple[Hashable, ...]:
        file = self._job_file(node.id)
        if file and self._request.split == "domain":
            return (file,)
        group = self._request.naming.groups.get(node.id, node.domain)
        directory = node.table.domain if node.table else ""
        return {
            "schedule": (),
            "domain": (node.kind, group, directory),
            "table": (node.id,),
            "component": (self._components[node.id],),
        }[self._request.split]

    @cached_property
    def _components(self) -> Mapping[str, str]:
        return connected_components(self._graph, self._nodes)

    def _job_file(self, node: str) -> str | None:
        """Returns the file name of a node's DAG configuration, without its suffix; None without a DAG configuration."""
        job = self._jobs[node]
        return job.name if job.dag else None

    def _file(self, dag_nodes: DagNodes) -> str | None:
        return self._job_file(dag_nodes.nodes[-1]) if self._request.split == "domain" else None

    def _name_parts(self, dag_nodes: DagNodes) -> DagNameParts:
        return DagNameParts(self._label(dag_nodes), self._file(dag_nodes), self._environment(dag_nodes))

    def _label(self, dag_nodes: DagNodes) -> str:
        """Returns the part of a DAG's name for its trigger; "" if assets or nothing starts the DAG."""
        if isinstance(dag_nodes.start, CronSchedule):
            return name_of_cron(dag_nodes.start.cron, self._request.project.model.application.schedule_presets)
        return "files" if isinstance(dag_nodes.start, FileTrigger) else ""

    # ----------------------------------------------------------------------------------------------- DAGs

    def _dag(self, name: str, dag_nodes: DagNodes, tasks: Sequence[TaskSpec]) -> DagSpec:
        request, nodes = self._request, [self._graph.nodes[node] for node in dag_nodes.nodes]
        job = self._jobs[dag_nodes.nodes[0]]
        clock = dag_nodes.start if isinstance(dag_nodes.start, CronSchedule) else None
        where = self._environment(dag_nodes)
        templates = self._templates(dag_nodes.nodes[0])
        no_duplicates(name, tasks)
        return DagSpec(
            id=name,
            title=templates.without_local_root(job.description or title(nodes)),
            sources=source_files(nodes),
            schedule=self._schedule(dag_nodes),
            timezone=(clock.timezone if clock else None) or request.project.model.application.timezone or "UTC",
            start_date=(clock.start if clock else None) or request.options.start_date,
            end_date=clock.end if clock else None,
            catchup=clock.catchup if clock else False,
            max_active_runs=job.max_active_runs or request.options.max_active_runs,
            tags=tuple(map(templates.without_local_root, tags_of_dag(nodes, job))),
            default_args=templates.with_root(default_args(job, request.options, self._pool)),
            tasks=tuple(replace(task, doc=templates.without_local_root(task.doc)) for task in tasks),
            settings=templates.settings,
            variables_prefix=request.options.variables_prefix,
            audit=request.audit(where) if any(task.checks or task.audited for task in tasks) else None,
            environment=where,
            airlift=request.options.airlift,
            airlift_operator=request.options.airlift_operator,
        )

    def _schedule(self, dag_nodes: DagNodes) -> CronSchedule | AssetExpression | ContinuousSchedule | None:
        start = dag_nodes.start
        if isinstance(start, AssetExpression):
            return self._events.schedule(dag_nodes, self._uris)
        if not isinstance(start, FileTrigger):
            return start
        table = self._graph.nodes[dag_nodes.nodes[0]].table
        known = self._waits[self._environment(dag_nodes)]
        return ContinuousSchedule() if table is not None and (table.domain, start.preload) in known else None
