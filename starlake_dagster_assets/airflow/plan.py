"""From graph and triggers to DAGs: loads by domain and clock, transforms by domain and trigger."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable, Sequence
from typing import Literal

from starlake_dagster_assets.airflow.grouping import Bundle, bundles
from starlake_dagster_assets.airflow.ids import Ids, asset_uri, task_id, unique, word
from starlake_dagster_assets.airflow.model import AirflowOptions, AssetRule, DagSpec, Naming, Plan, TaskSpec
from starlake_dagster_assets.command import build
from starlake_dagster_assets.graph.model import Graph, Node
from starlake_dagster_assets.triggers.model import (
    AllOf,
    Clock,
    Condition,
    Job,
    Trigger,
    Triggers,
    Upstream,
)

__all__ = ["Granularity", "Split", "jinja", "plan_dags"]

Split = Literal["schedule", "domain", "table", "component"]
Granularity = Literal["task", "batch"]

_TEMPLATE = re.compile(r"\{(?=[{%#])")
_FILE = re.compile(r"\.(sh|bash|json|ya?ml|sql|md)$", re.I)
_END = "(data_interval_end | default(dag_run.run_after, true))"
SCHEDULED_DATE = "{{ " + _END + ".strftime('%Y-%m-%dT%H:%M:%S+0000') }}"
_SINCE = (
    "{{ prev_start_date_success.strftime('%Y-%m-%dT%H:%M:%S') if prev_start_date_success else '1970-01-01T00:00:00' }}"
)
_UNTIL = "{{ " + _END + ".strftime('%Y-%m-%dT%H:%M:%S') }}"
OPTIONS = ",".join(
    f"{name}={value}"
    for name, value in (
        ("sl_start_date", _SINCE),
        ("sl_end_date", _UNTIL),
        ("sl_data_interval_start", _SINCE),
        ("sl_data_interval_end", _UNTIL),
    )
)


def jinja(text: str) -> str:
    """A text that Jinja renders to itself, and that no operator takes for the name of a template file."""
    escaped = _TEMPLATE.sub("{{ '{' }}", text)
    return escaped + "{{ '' }}" if _FILE.search(escaped) else escaped


def plan_dags(
    graph: Graph,
    triggers: Triggers,
    *,
    select: Iterable[str] | None = None,
    naming: Naming | None = None,
    options: AirflowOptions | None = None,
    split: Split = "domain",
    granularity: Granularity = "task",
    ids: Ids = "starlake",
    waits: bool = True,
) -> Plan:
    """The DAGs of a project.

    Args:
        graph: The project's graph.
        triggers: Who makes each node.
        select: Ids of nodes; all by default. What they read of others becomes an external asset.
        naming: What a translator says.
        options: For every DAG.
        split: What the nodes of a DAG have in common besides their trigger.
        granularity: A task a table, or one for all tables of a domain in a DAG.
        ids: Task ids of starlake-airflow, or of asset keys.
        waits: Whether the environment can tell that files are not there yet.

    Raises:
        ProjectError: For names that collide and circles, each by name.
        CommandError: For names that no command line can say.
    """
    planner = _Planner(graph, triggers, naming or Naming(), options or AirflowOptions(), split, granularity, ids, waits)
    return planner.plan(set(select) if select is not None else set(graph.nodes))


class _Planner:
    def __init__(
        self,
        graph: Graph,
        triggers: Triggers,
        naming: Naming,
        options: AirflowOptions,
        split: Split,
        granularity: Granularity,
        ids: Ids,
        waits: bool,
    ) -> None:
        self.graph, self.triggers, self.naming, self.options = graph, triggers, naming, options
        self.split, self.granularity, self.waits = split, granularity, waits
        self.ids: Ids = ids
        self.uris = {
            node.id: asset_uri(options.uri, naming.keys.get(node.id, node.key)) for node in graph.nodes.values()
        }
        self.home: dict[str, int] = {}
        self.tasks: dict[str, str] = {}
        self.notes: list[str] = []
        self._components: dict[str, str] = {}

    def plan(self, chosen: set[str]) -> Plan:
        nodes = [n for n in self.graph.nodes.values() if n.id in chosen and n.kind != "external"]
        nodes = [n for n in nodes if n.id not in self.naming.excluded]
        self.tasks = {n.id: task_id(n, self.naming.keys.get(n.id, n.key), self.ids) for n in nodes}
        unique("task id", self.tasks, "Use --ids asset, or rename one.")
        named = {n.id: self.uris[n.id] for n in self.graph.nodes.values() if n.id in self.tasks or n.kind == "external"}
        unique("URI", named, "Give one another key, or another URI template.")
        keys = {n.id: self._key(n) for n in nodes}
        found = bundles(self.graph.upstream, keys, self.options.max_assets, self.graph.cycles)
        self.home = {node: index for index, bundle in enumerate(found) for node in bundle.nodes}
        names = self._names(found)
        dags = [self._dag(name, bundle) for name, bundle in zip(names, found, strict=True)]
        places = {node: (names[self.home[node]], self._task_of(node)) for node in self.tasks}
        made = {self.uris[node] for node in self.tasks}
        read = {uri for dag in dags for task in dag.tasks for uri in task.inlets}
        pools = {task.pool for dag in dags for task in dag.tasks if task.pool}
        return Plan(
            tuple(sorted(dags, key=lambda dag: dag.id)),
            {node.id: self.uris[node.id] for node in self.graph.nodes.values()},
            places,
            tuple(sorted(read - made)),
            tuple(sorted(pools)),
            (*self.triggers.warnings, *self.notes),
        )

    # ------------------------------------------------------------------------------------------- DAGs

    def _trigger(self, node: str) -> Trigger:
        return self.triggers.triggers.get(node) or Trigger(node, "none", "")

    def _key(self, node: Node) -> tuple[Hashable, ...]:
        trigger = self._trigger(node.id)
        word_ = "any" if trigger.watch and not isinstance(trigger.watch.condition, (AllOf, Upstream)) else "all"
        how = trigger.clock or trigger.preload or (word_ if trigger.watch else "none")
        shape = "load" if node.kind == "table" else "transform"
        domain = self.naming.groups.get(node.id, node.domain)
        scope = {"schedule": "", "domain": domain, "table": node.id, "component": self._component(node.id)}[self.split]
        command = node.table.domain if node.table and self.split != "schedule" else ""
        return (shape, scope, command, how, trigger.preload, trigger.job)

    def _component(self, node: str) -> str:
        if not self._components:
            for start in self.graph.nodes:
                stack = [start]
                while stack:
                    one = stack.pop()
                    if one not in self._components:
                        self._components[one] = start
                        stack += [*self.graph.upstream[one], *self.graph.downstream[one]]
        return self._components[node]

    def _names(self, found: Sequence[Bundle]) -> list[str]:
        names: list[str] = []
        for bundle in found:
            shape, scope, *_ = bundle.key
            trigger = self._trigger(bundle.nodes[0])
            parts = [self.options.prefix, str(shape), word(str(scope)).lower(), _how(trigger)]
            name = base = "_".join(part for part in parts if part)
            number = 1
            while name in names:
                number += 1
                name = f"{base}_{number}"
            names.append(name)
        return names

    def _dag(self, name: str, bundle: Bundle) -> DagSpec:
        nodes = [self.graph.nodes[node] for node in bundle.nodes]
        trigger = self._trigger(nodes[0].id)
        job = self.triggers.jobs.get(trigger.job)
        loads = [node for node in nodes if node.kind == "table"]
        tasks = [*self._loads(loads, job), *self._transforms([n for n in nodes if n.kind == "task"], job)]
        self._say(name, nodes, trigger)
        owned = [tag for node in nodes for tag in node.tags]
        tags = ["starlake", *{node.domain: None for node in nodes}, *(job.tags if job else ()), *owned]
        given = self.options
        return DagSpec(
            id=name,
            description=(job.description if job else None) or f"{len(nodes)} tables of {nodes[0].domain}",
            schedule=self._schedule(bundle, trigger),
            tasks=tuple(tasks),
            tags=tuple(dict.fromkeys(tag[:100] for tag in tags)),
            retries=job.retries if job and job.retries is not None else given.retries,
            retry_delay=job.retry_delay if job and job.retry_delay is not None else given.retry_delay,
            max_active_runs=job.max_active_runs if job and job.max_active_runs else given.max_active_runs,
            start_date=given.start_date,
            priority=job.priority if job else None,
        )

    def _say(self, name: str, nodes: Sequence[Node], trigger: Trigger) -> None:
        watch = trigger.watch
        if watch and (watch.freshness or watch.data_cycle or watch.min_interval):
            self.notes.append(f"{name}: freshness, data cycles and minimum intervals of triggers are not in Airflow")
        for node in nodes:
            away = [
                up for up in self.graph.upstream[node.id] if up in self.home and self.home[up] != self.home[node.id]
            ]
            if trigger.watch is None and away:
                self.notes.append(
                    f"{node.id}: runs by {_how(trigger) or 'hand'}; it does not wait for {', '.join(away)}"
                )
            for key in self.naming.extra.get(node.id, ()):
                self.notes.append(f"{node.id}: {'/'.join(key)} is made elsewhere; it is an inlet, not waited for")
        if trigger.preload and trigger.preload.strategy != "none" and not self.waits:
            self.notes.append(f"{name}: missing files cannot be told from a crash here; it loads what is there")

    def _schedule(self, bundle: Bundle, trigger: Trigger) -> Clock | AssetRule | Literal["@continuous"] | None:
        if trigger.clock:
            return trigger.clock
        if trigger.owner == "arrival":
            return "@continuous" if self.waits else None
        inside = set(bundle.nodes)
        watches = [watch for node in bundle.nodes if (watch := self._trigger(node).watch)]
        rules = [
            rule for watch in watches if (rule := self._rule(watch.condition, inside, watch.optional | watch.slower))
        ]
        if not rules:
            return None
        word_: Literal["&", "|"] = "&" if any(isinstance(rule, str) or rule.word == "&" for rule in rules) else "|"
        flat = _flat(word_, rules)
        return flat if isinstance(flat, AssetRule) else AssetRule("&", (flat,))

    def _rule(self, condition: Condition, inside: set[str], never: frozenset[str]) -> AssetRule | str | None:
        if isinstance(condition, Upstream):
            waited = condition.node in self.tasks and condition.node not in inside and condition.node not in never
            return self.uris[condition.node] if waited else None
        parts = [part for one in condition.parts if (part := self._rule(one, inside, never)) is not None]
        return _flat("&" if isinstance(condition, AllOf) else "|", parts) if parts else None

    # ------------------------------------------------------------------------------------------ tasks

    def _task_of(self, node: str) -> str:
        made = self.graph.nodes[node]
        if self.granularity == "batch" and made.table:
            return f"load_{word(made.table.domain)}"
        return self.tasks[node]

    def _loads(self, nodes: Sequence[Node], job: Job | None) -> list[TaskSpec]:
        by_domain: dict[str, list[Node]] = {}
        for node in nodes:
            by_domain.setdefault(node.table.domain if node.table else "", []).append(node)
        return [task for domain, ones in by_domain.items() for task in self._domain(domain, ones, job)]

    def _domain(self, domain: str, nodes: Sequence[Node], job: Job | None) -> list[TaskSpec]:
        name, pool = word(domain), job.pool if job else None
        stems = tuple(node.table.stem for node in nodes if node.table)
        preload = self._trigger(nodes[0].id).preload
        tasks: list[TaskSpec] = []
        before, around = f"import_{name}", (name, f"{name}_pre_load")
        upstream: tuple[str, ...] = ()
        if preload and preload.strategy != "none" and self.waits:
            what = {"imported": "incoming_files", "pending": "pending_files", "ack": "ack_file"}[preload.strategy]
            ack = preload.global_ack_file_path if preload.strategy == "ack" else None
            command = build.preload(domain, stems, strategy=preload.strategy, ack_file=ack)
            check, skip = f"check_{name}_{what}", f"skip_or_start_loading_{name}"
            tasks.append(TaskSpec(check, "check", _escaped(command.argv), group=around, pool=pool, preload=preload))
            tasks.append(TaskSpec(skip, "skip", upstream=(check,), group=around, pool=pool))
            upstream = (skip,)
        stage = _escaped(build.stage(domain, stems).argv)
        tasks.append(TaskSpec(before, "stage", stage, upstream, group=around, pool=pool))
        batches = [list(nodes)] if self.granularity == "batch" else [[node] for node in nodes]
        for batch in batches:
            args = build.load(domain, [node.table.stem for node in batch if node.table]).argv
            tasks.append(
                TaskSpec(
                    self._task_of(batch[0].id),
                    "load",
                    (*_escaped(args), "--scheduledDate", SCHEDULED_DATE),
                    (before,),
                    inlets=tuple(uri for node in batch for uri in self._inlets(node)),
                    outlets=tuple(self.uris[node.id] for node in batch),
                    group=(name, f"{name}_load"),
                    doc=_doc(batch),
                    pool=pool,
                )
            )
        return tasks

    def _transforms(self, nodes: Sequence[Node], job: Job | None) -> list[TaskSpec]:
        return [
            TaskSpec(
                self.tasks[node.id],
                "transform",
                (*_escaped(build.transform(node.raw).argv), "--scheduledDate", SCHEDULED_DATE, "--options", OPTIONS),
                tuple(self.tasks[up] for up in self.graph.upstream[node.id] if self.home.get(up) == self.home[node.id]),
                inlets=self._inlets(node),
                outlets=(self.uris[node.id],),
                group=(word(node.domain),),
                doc=_doc([node]),
                pool=job.pool if job else None,
            )
            for node in nodes
        ]

    def _inlets(self, node: Node) -> tuple[str, ...]:
        known = [self.uris[up] for up in self.graph.upstream[node.id] if not self.graph.nodes[up].is_files]
        extra = [asset_uri(self.options.uri, key) for key in self.naming.extra.get(node.id, ())]
        return tuple(dict.fromkeys([*known, *extra]))


def _escaped(args: Iterable[str]) -> tuple[str, ...]:
    return tuple(jinja(arg) for arg in args)


def _flat(word_: Literal["&", "|"], parts: Sequence[AssetRule | str]) -> AssetRule | str:
    flat: list[AssetRule | str] = []
    for part in parts:
        flat += part.parts if isinstance(part, AssetRule) and part.word == word_ else [part]
    once = tuple(dict.fromkeys(flat))
    return once[0] if len(once) == 1 else AssetRule(word_, once)


def _how(trigger: Trigger) -> str:
    """A word for a file name."""
    if trigger.clock:
        return "cron_" + "_".join(re.sub(r"[^A-Za-z0-9]+", "x", part) for part in trigger.clock.cron.split())
    return {"arrival": "files", "lineage": "assets", "condition": "assets"}.get(trigger.owner, "")


def _doc(nodes: Sequence[Node]) -> str:
    """Names, comment, columns and SQL, as Markdown."""
    lines: list[str] = []
    for node in nodes:
        made = node.task or node.table
        lines.append(f"**{json.dumps(node.id, ensure_ascii=False)[1:-1]}**")
        lines += ["", made.comment] if made and made.comment else []
        columns = [f"- `{one.name}` {one.type}" for one in (made.attributes if made else ())]
        lines += ["", *columns] if columns else []
        if node.task and node.task.source_sql:
            lines += ["", "```sql", node.task.source_sql.strip(), "```"]
        lines.append("")
    return "\n".join(lines)
