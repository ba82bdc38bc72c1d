"""Tasks of a DAG: waits, stages and loads of domains; transforms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from starlake_dagster_assets.airflow.plan.expectations import select_expectations
from starlake_dagster_assets.airflow.plan.grouping import DagNodes, is_met_by_any_update
from starlake_dagster_assets.airflow.plan.ids import id_part
from starlake_dagster_assets.airflow.plan.model import AssetExpression, FileWait, Granularity, TaskSpec
from starlake_dagster_assets.airflow.plan.operator_arguments import shared_arguments
from starlake_dagster_assets.airflow.render.task_documentation import document
from starlake_dagster_assets.automation.policies.model import PreLoad
from starlake_dagster_assets.commands import build
from starlake_dagster_assets.commands.spark import spark_of
from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.graph.model import Graph, Node
from starlake_dagster_assets.graph.owners import owners_of
from starlake_dagster_assets.project.model.project import Application
from starlake_dagster_assets.project.resolve.file_matching import ack_extension

__all__ = ["TaskBuilder", "no_duplicates"]

_CHECKS = {"imported": "incoming_files", "pending": "pending_files", "ack": "ack_file"}
_RULES = {"any": "none_failed_min_one_success", "clock": "none_failed"}
_EXIT_CODE_ONLY = "\nResult: exit code only. Airflow reads neither the log nor the audit.\n"


@dataclass(frozen=True)
class TaskBuilder:
    """Builder of the tasks of a DAG.

    Attributes:
        graph: The graph.
        ids: Task id by node id, of all nodes that have a task.
        uris: URI by node id, of all nodes.
        extra: Additional URIs that a node reads, by node id.
        preloads: Pre-load settings of the tables that wait for files, by node id.
        waits: Files that a sensor waits for, by directory of the domain and pre-load settings.
        granularity: One task per table, or one for all tables of a domain in a DAG.
        options: `--options` of a transform, by node id.
        rules: The condition on updates of other nodes under which each node runs.
        present: Nodes that must have been materialized once before a node runs, by node id.
        application: Defines the default of `failOnError` of expectations; None if no task can query the audit.
        logs_unread: Whether commands run in a cloud, where no task reads their log.
        arguments: Arguments of the operators, by node id.
    """

    graph: Graph
    ids: Mapping[str, str]
    uris: Mapping[str, str]
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    preloads: Mapping[str, PreLoad] = field(default_factory=dict[str, PreLoad])
    waits: Mapping[tuple[str, PreLoad], FileWait] = field(default_factory=dict[tuple[str, PreLoad], FileWait])
    granularity: Granularity = "task"
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    rules: Mapping[str, AssetExpression] = field(default_factory=dict[str, AssetExpression])
    present: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    application: Application | None = None
    logs_unread: bool = False
    arguments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])

    def task_of(self, node: Node) -> str:
        """Returns the id of the task that materializes a node."""
        if self.granularity == "batch" and node.table:
            return f"load_{id_part(node.table.domain)}"
        return self.ids[node.id]

    def outlet_task_of(self, node: Node) -> str:
        """Returns the id of the task that has the outlets of a node: its blocking check, or else its own task."""
        return self._blocking_checks.get(self.task_of(node), self.task_of(node))

    @cached_property
    def _blocking_checks(self) -> Mapping[str, str]:
        """Id of the blocking check of each task that has one, by task id."""
        if self.application is None:
            return {}
        nodes = [self.graph.nodes[node] for node in self.ids]
        tasks = {self.task_of(node) for node in nodes if select_expectations([node], self.application, blocking=True)}
        return {task: f"check_{task}" for task in tasks}

    def tasks(self, dag_nodes: DagNodes, finished: str | None = None) -> list[TaskSpec]:
        """Returns the tasks of a DAG, loads first.

        Args:
            dag_nodes: The nodes of the DAG.
            finished: URI of the event of the whole DAG; None if no other DAG follows it.
        """
        nodes = [self.graph.nodes[node] for node in dag_nodes.nodes]
        domains: dict[str, list[Node]] = {}
        for node in nodes:
            if node.table:
                domains.setdefault(node.table.domain, []).append(node)
        transforms = [node for node in nodes if node.task]
        schemas = {node.domain for node in transforms}
        alone = len(domains) + len(schemas) == 1
        found = [
            task
            for domain, members in domains.items()
            for task in self._domain(domain, members, () if alone else (id_part(domain),))
        ]
        inside = set(dag_nodes.nodes)
        for schema in sorted(schemas):
            groups = () if alone else (f"{id_part(schema)}_transform",)
            members = [node for node in transforms if node.domain == schema]
            made = [(self._transform(node, dag_nodes, inside, groups), node) for node in members]
            found += [task for transform, node in made for task in self._with(transform, [node])]
        return [*found, *_ends(found, finished)]

    def _domain(self, domain: str, nodes: list[Node], around: tuple[str, ...]) -> list[TaskSpec]:
        name = id_part(domain)
        stems = tuple(node.table.stem for node in nodes if node.table)
        first = (*around, f"pre_load_{name}")
        tasks: list[TaskSpec] = []
        before: tuple[str, ...] = ()
        preload = self.preloads.get(nodes[0].id)
        waiting = self.waits.get((domain, preload)) if preload else None
        if waiting is not None and (strategy := waiting.preload.strategy) != "none":
            command = build.preload(domain, stems, strategy=strategy, ack_file="ACK" if strategy == "ack" else None)
            check, start = f"check_{name}_{_CHECKS[strategy]}", f"skip_or_start_loading_{name}"
            tables = [node.table for node in nodes if node.table]
            # `stage` takes a file with its ack file: the pending files have none any more
            acks = tuple(ack_extension(table) for table in tables) if strategy == "imported" else ()
            waiting = replace(waiting, patterns=tuple(table.pattern for table in tables), acks=acks)
            tasks.append(TaskSpec(check, "wait", command.argv, groups=first, waiting=waiting))
            tasks.append(TaskSpec(start, "start", command.argv, (check,), groups=first, waiting=waiting))
            before = (start,)
        stage = TaskSpec(f"import_{name}", "stage", build.stage(domain, stems).argv, before, groups=first)
        tasks.append(stage)
        batches = [nodes] if self.granularity == "batch" else [[node] for node in nodes]
        group = f"load_{name}" if f"load_{name}" not in self.ids.values() else f"{name}_load"
        inside = around if self.granularity == "batch" else (*around, group)
        loads = [self._load(domain, batch, stage.id, inside) for batch in batches]
        return [*tasks, *(task for load, batch in zip(loads, batches, strict=True) for task in self._with(load, batch))]

    def _with(self, task: TaskSpec, nodes: Sequence[Node]) -> Iterator[TaskSpec]:
        """Yields a task and its checks; a blocking check gets the outlets of the task."""
        check = self._blocking_checks.get(task.id)
        yield replace(task, outlets=()) if check else task
        if self.application is None:
            return
        idle = task.kind == "load" and (self.logs_unread or len(nodes) > 1)
        both = TaskSpec("", "check", (), (task.id,), groups=task.groups, owner=task.owner, checks=task.id, idle=idle)
        if check:
            texts = select_expectations(nodes, self.application, blocking=True)
            yield replace(both, id=check, inlets=task.inlets, outlets=task.outlets, expectations=texts)
        if texts := select_expectations(nodes, self.application, blocking=False):
            yield replace(both, id=f"warn_{task.id}", kind="warn", inlets=task.outlets, expectations=texts)

    def _load(self, domain: str, nodes: Sequence[Node], stage: str, groups: tuple[str, ...]) -> TaskSpec:
        spark = [spark_of(node.tags) for node in nodes]
        return TaskSpec(
            self.task_of(nodes[0]),
            "load",
            build.load(domain, [node.table.stem for node in nodes if node.table]).argv,
            (stage,),
            inlets=tuple(dict.fromkeys(uri for node in nodes for uri in self._inlets(node))),
            outlets=tuple(self.uris[node.id] for node in nodes),
            groups=groups,
            doc=document(nodes),
            owner=_owner_of_nodes(nodes),
            spark=spark[0] if all(one == spark[0] for one in spark) else {},
            arguments=shared_arguments(self.task_of(nodes[0]), {node.id: self.arguments[node.id] for node in nodes}),
        )

    def _transform(self, node: Node, dag_nodes: DagNodes, inside: set[str], groups: tuple[str, ...]) -> TaskSpec:
        rule = self.rules.get(node.id)
        followed = rule.names if rule else ()
        here = [up for up in dict.fromkeys([*self.graph.upstream[node.id], *followed]) if up in inside]
        return TaskSpec(
            self.ids[node.id],
            "transform",
            build.transform(node.raw).argv,
            tuple(dict.fromkeys(self.outlet_task_of(self.graph.nodes[up]) for up in here)),
            inlets=self._inlets(node),
            outlets=(self.uris[node.id],),
            groups=groups,
            doc=(document([node]) + (_EXIT_CODE_ONLY if self.logs_unread and not self.application else "")).lstrip(),
            owner=_owner_of_nodes([node]),
            audited=(node.task.domain, node.task.table)
            if self.logs_unread and self.application and node.task
            else None,
            trigger_rule=self._trigger_rule(node.id, here, dag_nodes) if here else None,
            follows=self._by_uri(rule) if rule else None,
            own=self.uris[node.id] if rule else "",
            present=self._present(node.id, rule) if rule else None,
            options=self.options.get(node.id, {}),
            spark=spark_of(node.tags),
            arguments=self.arguments[node.id],
        )

    def _trigger_rule(self, node: str, here: Sequence[str], dag_nodes: DagNodes) -> str | None:
        """Returns the trigger rule of a task: a skipped upstream (no file) skips only the tasks that wait for it."""
        rule = self.rules.get(node)
        if rule is None or dag_nodes.follows_updates or not is_met_by_any_update(rule):
            return _RULES["clock"]
        return _RULES["any" if set(rule.names) <= set(here) else "clock"]

    def _by_uri(self, rule: AssetExpression) -> AssetExpression:
        parts = [self.uris[part] if isinstance(part, str) else self._by_uri(part) for part in rule.parts]
        return AssetExpression(rule.operator, tuple(parts))

    def _present(self, node: str, rule: AssetExpression) -> tuple[str, ...] | None:
        """Returns the URIs of assets that must have been materialized once; None for all assets of the condition."""
        found = [name for name in rule.names if name in self.present[node]]
        return None if len(found) == len(rule.names) else tuple(self.uris[name] for name in found)

    def _inlets(self, node: Node) -> tuple[str, ...]:
        known = [self.uris[up] for up in self.graph.upstream[node.id] if not self.graph.nodes[up].is_files]
        return tuple(dict.fromkeys([*known, *self.extra.get(node.id, ())]))


def _ends(found: Sequence[TaskSpec], finished: str | None) -> list[TaskSpec]:
    """Returns the last tasks of a DAG, which decide the state of a run: a failed `warn` task does not fail the run."""
    warnings = [task for task in found if task.kind == "warn"]
    made = tuple(task.id for task in found if task.outlets)
    ends: list[TaskSpec] = []
    if finished is not None:
        ends.append(TaskSpec("finish", "finish", upstream=made, outlets=(finished,), trigger_rule="all_done"))
    if ends or warnings:
        ends.append(TaskSpec("end", "end", upstream=made, trigger_rule="none_failed"))
    if warnings:
        noted = tuple(task.id for task in warnings)
        ends.append(TaskSpec("warnings_noted", "end", upstream=noted, trigger_rule="all_done"))
    return ends


def _owner_of_nodes(nodes: Sequence[Node]) -> str | None:
    found = dict.fromkeys(owner for node in nodes for owner in owners_of(node))
    return ", ".join(found) or None


def no_duplicates(dag: str, tasks: Sequence[TaskSpec]) -> None:
    """Raises an error if two tasks, or a task and a group, have the same id, which Airflow rejects.

    Args:
        dag: Id of the DAG.
        tasks: Tasks of the DAG.

    Raises:
        ProjectError: One problem per id.
    """
    ids = [task.id for task in tasks]
    groups = {group for task in tasks for group in task.groups}
    twice = sorted({one for one in ids if ids.count(one) > 1} | (groups & set(ids))) if _doubled(ids, groups) else []
    if twice:
        raise ProjectError(
            [
                *(f"{dag}: two of its tasks or groups would be called `{one}` in Airflow." for one in twice),
                "Next: use --ids asset or another --split, or rename one.",
            ]
        )


def _doubled(ids: Sequence[str], groups: set[str]) -> bool:
    return len({*ids, *groups}) < len(ids) + len(groups)
