"""Groups nodes into jobs and names them: by DAG configuration and file, else by domain and trigger."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

from starlake_dagster_assets.automation.policies.dag_configs import DagConfigs, ascii_name
from starlake_dagster_assets.automation.policies.model import Job, Trigger
from starlake_dagster_assets.automation.policies.settings import NodeSettings
from starlake_dagster_assets.graph.model import Graph, Node

__all__ = ["JobGroups"]

_LABELS = {"arrival": "files", "lineage": "", "condition": "conditions", "none": "manual"}


@dataclass
class _Group:
    """Nodes of one file (or of one domain) that one kind of trigger starts."""

    base: str
    label: str
    kind: str
    dag: str | None
    nodes: list[str] = field(default_factory=list[str])


class JobGroups:
    """The jobs of a project.

    Args:
        graph: The graph.
        dags: The DAG configurations.
        settings: Returns the settings of the job of a node.
        owners: The triggers by node id, upstream first, without jobs.
        needed: The upstreams that run first in the job of a node, by node id.
        prefix: Prefix of all names.
    """

    def __init__(
        self,
        graph: Graph,
        dags: DagConfigs,
        settings: Callable[[Node], NodeSettings],
        owners: Mapping[str, Trigger],
        needed: Mapping[str, Sequence[str]],
        prefix: str = "",
    ) -> None:
        self._graph, self._dags, self._settings = graph, dags, settings
        self._owners, self._needed, self._prefix = owners, needed, prefix
        self._place = {node: place for place, node in enumerate(owners)}

    def of(self, node: str) -> str:
        """Returns the name of the job of a node."""
        return self._homes[node]

    @cached_property
    def jobs(self) -> Mapping[str, Job]:
        """The jobs by name."""
        members: dict[str, set[str]] = {}
        for node, home in self._homes.items():
            members.setdefault(home, set()).update([node, *self._needed.get(node, ())])
        return MappingProxyType({name: self._job(name, self._sorted(nodes)) for name, nodes in sorted(members.items())})

    @cached_property
    def _leaders(self) -> Mapping[str, str]:
        """The node in whose job a node runs, for each node that runs first and has no trigger or the same tick."""
        found: dict[str, str] = {}
        for node, first in self._needed.items():
            for one in first:
                trigger = self._owners[one]
                if (
                    trigger.triggered_by == "none"
                    or trigger.cron_schedule == self._owners[node].cron_schedule is not None
                ):
                    found.setdefault(one, found.get(node, node))
        return found

    @cached_property
    def _homes(self) -> Mapping[str, str]:
        groups = self._groups()
        names = _named(groups)
        homes = {node: names[key] for key, group in groups.items() for node in group.nodes}
        return homes | {node: homes[leader] for node, leader in self._leaders.items()}

    def _groups(self) -> dict[tuple[Hashable, ...], _Group]:
        groups: dict[tuple[Hashable, ...], _Group] = {}
        for node_id, trigger in self._owners.items():
            if node_id in self._leaders:
                continue
            node = self._graph.nodes[node_id]
            kind = "load" if node.kind == "table" else "transform"
            dag = self._dags.of(node)
            base = self._prefix + (self._dags.file(dag, node) if dag else f"{kind}_{ascii_name(node.domain)}")
            key = (base, kind, dag.name if dag else "", trigger.triggered_by, trigger.cron_schedule)
            if key not in groups:
                label = self._label(node, trigger, named=dag is not None)
                groups[key] = _Group(base, label, kind, dag.name if dag else None)
            groups[key].nodes.append(node_id)
        return groups

    def _label(self, node: Node, trigger: Trigger, *, named: bool) -> str:
        if trigger.cron_schedule is None:
            return _LABELS[trigger.triggered_by] or ("lineage" if named else "")
        label = self._dags.label(node)
        if named or not label.startswith("cron"):
            return ascii_name(label)
        return "cron_" + "_".join(ascii_name(part) or "x" for part in trigger.cron_schedule.cron.split())

    def _sorted(self, nodes: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(nodes, key=self._place.__getitem__))

    def _job(self, name: str, nodes: tuple[str, ...]) -> Job:
        own = (node for node in nodes if self._homes[node] == name and node not in self._leaders)
        home = self._graph.nodes[next(own)]
        dag, settings = self._dags.of(home), self._settings(home)
        alone = dag is None or name == self._prefix + self._dags.file(dag, home)
        return Job(
            name,
            nodes,
            description=self._dags.comment(dag, home) if dag else None,
            dag=dag.name if dag else None,
            file=self._dags.stem(dag, home).rpartition("/")[2] if dag else "",
            schedule="" if alone else self._dags.label(home),
            tags=settings.tags or (),
            options=MappingProxyType(dict(dag.options)) if dag else MappingProxyType({}),
            pool=settings.default_pool,
            retries=settings.retries,
            retry_delay=settings.retry_delay,
            max_active_runs=settings.max_active_runs,
            priority=settings.priority_weight,
        )


def _named(groups: Mapping[tuple[Hashable, ...], _Group]) -> dict[tuple[Hashable, ...], str]:
    """Returns a name for each group: its file's name, followed by the trigger if the file has several."""
    files: dict[tuple[str, str | None], int] = {}
    for group in groups.values():
        files[group.base, group.dag] = files.get((group.base, group.dag), 0) + 1
    names: dict[tuple[Hashable, ...], str] = {}
    for key, group in sorted(groups.items(), key=lambda item: (item[1].base, item[1].dag or "", item[1].label)):
        alone = group.dag is not None and files[group.base, group.dag] == 1
        name = base = group.base if alone or not group.label else f"{group.base}_{group.label}"
        number = 1
        while name in names.values():
            number += 1
            name = f"{base}_{number}"
        names[key] = name
    return names
