"""Conditions on the upstreams of tasks, from the edges of the graph and the settings of the tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from starlake_dagster_assets.automation.policies.cron_ticks import period_of
from starlake_dagster_assets.automation.policies.expression import (
    ExpressionError,
    find_condition_node,
    joined,
    named_nodes,
    parse_expression,
)
from starlake_dagster_assets.automation.policies.lineage_evaluation import condition_nodes
from starlake_dagster_assets.automation.policies.model import AllOf, AnyOf, Condition, Upstream, UpstreamCondition
from starlake_dagster_assets.automation.policies.options import OptionReader
from starlake_dagster_assets.automation.policies.settings import NodeSettings
from starlake_dagster_assets.graph.model import Graph, Node
from starlake_dagster_assets.project.model.project import Project
from starlake_dagster_assets.project.resolve.durations import duration
from starlake_dagster_assets.project.resolve.schedules import PRESETS, cron_of

__all__ = ["UpstreamConditionBuilder", "has_expression"]

_WORDS = ("any", "all")


def has_expression(settings: NodeSettings) -> bool:
    """Whether the settings of a task name the assets that it follows, instead of those that it reads."""
    return (settings.dataset_triggering_strategy or "any").strip().lower() not in _WORDS


@dataclass(frozen=True)
class UpstreamConditionBuilder:
    """Builder of the conditions of the tasks that run after updates of their upstreams.

    Attributes:
        project: The models.
        graph: The graph.
        order: Every table and task that can be materialized, upstream first.
        settings: Settings by node id.
        clocks: Crons of the nodes that have one, by node id.
        reader: Collects the problems.
    """

    project: Project
    graph: Graph
    order: Sequence[str]
    settings: Mapping[str, NodeSettings]
    clocks: Mapping[str, str]
    reader: OptionReader

    def of(self, followed: Mapping[str, Sequence[str]]) -> dict[str, UpstreamCondition]:
        """Returns the conditions of the tasks that watch at least one upstream, by node id.

        Args:
            followed: Upstreams that each task follows, by node id.
        """
        found = {node: self._condition(self.graph.nodes[node], ups) for node, ups in followed.items()}
        return {node: watch for node, watch in found.items() if condition_nodes(watch.condition)}

    @cached_property
    def frequencies(self) -> Mapping[str, str]:
        """The cron by which each node runs, if known: its own, else that of its most frequent upstream."""
        found: dict[str, str] = {}
        for node in self.order:
            crons = [found[up] for up in self.graph.upstream[node] if up in found]
            own = self.clocks.get(node) or self._cycle(self.graph.nodes[node], crons)
            if own or crons:
                found[node] = own or min(crons, key=period_of)
        return found

    def _condition(self, node: Node, ups: Sequence[str]) -> UpstreamCondition:
        settings = self.settings[node.id]
        strategy = (settings.dataset_triggering_strategy or "any").strip()
        word = strategy.lower()
        if word in _WORDS:
            condition = joined(AnyOf if word == "any" else AllOf, [Upstream(up) for up in ups])
        else:
            condition = self._expression(node, strategy) or joined(AnyOf, [Upstream(up) for up in ups])
        seen = condition_nodes(condition)
        optional, slower = self._optional(node, seen), self._slower(node, seen)
        freshness = {up: limit for up in seen if (limit := self._freshness(up)) is not None}
        return UpstreamCondition(
            condition,
            optional=optional,
            slower=slower,
            freshness=MappingProxyType(freshness),
            must_exist=frozenset(seen) - optional - slower if word in _WORDS else frozenset(),
            data_cycle=self._cycle(node, [self.frequencies[up] for up in seen if up in self.frequencies]),
            beyond_data_cycle=settings.beyond_data_cycle_enabled is not False,
            min_interval=settings.min_timedelta_between_runs or 0,
            require_fresh_upstreams=bool(settings.require_fresh_upstreams),
            all_history=settings.history == "all",
        )

    def _expression(self, node: Node, text: str) -> Condition | None:
        try:
            found = parse_expression(text, self._names)
        except ExpressionError as error:
            self.reader.report_setting(node, "dataset_triggering_strategy", text, str(error))
            return None
        if node.id in condition_nodes(found):
            self.reader.report(node, f"dataset_triggering_strategy `{text}`: {node.id} cannot wait for itself.")
            return None
        return found

    def _optional(self, node: Node, seen: Iterable[str]) -> frozenset[str]:
        found: set[str] = set()
        names = self.settings[node.id].optional_datasets or ()
        for name in names:
            known, problem = find_condition_node(name, self._names)
            if problem:
                self.reader.report_setting(node, "optional_datasets", names, problem)
            found.add(known)
        return frozenset(found & set(seen))

    def _slower(self, node: Node, seen: Sequence[str]) -> frozenset[str]:
        if self.settings[node.id].optional_dataset_enabled is False:
            return frozenset()
        periods = {up: period_of(self.frequencies[up]) for up in seen if up in self.frequencies}
        own = self.frequencies.get(node.id)
        least = period_of(own) if own else min(periods.values(), default=0)
        return frozenset(up for up, period in periods.items() if period > least)

    def _freshness(self, up: str) -> float | None:
        node = self.graph.nodes.get(up)
        declared = node.freshness if node is not None else None
        limits = [duration(text) for text in (declared.error, declared.warn) if text] if declared is not None else []
        return next((limit.total_seconds() for limit in limits if limit is not None), None)

    def _cycle(self, node: Node, crons: Sequence[str]) -> str | None:
        settings = self.settings[node.id]
        text = (settings.data_cycle or "").strip()
        if settings.data_cycle_enabled is False or text.lower() == "none":
            return None
        if not text:
            return min(crons, key=period_of) if settings.data_cycle_enabled and crons else None
        try:
            cron = cron_of(text, {**PRESETS, **self.project.application.schedule_presets})
            return cron if cron is None or period_of(cron) else None
        except ValueError as error:
            self.reader.report_setting(node, "data_cycle", settings.data_cycle, str(error))
            return None

    @cached_property
    def _names(self) -> Mapping[str, str]:
        return named_nodes(
            {
                node.id: [node.raw, node.id.rpartition(".")[2], node.id.replace(".", "_"), "/".join(node.key)]
                for node in self.graph.nodes.values()
                if not node.is_files
            }
        )
