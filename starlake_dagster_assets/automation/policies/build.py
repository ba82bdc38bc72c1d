"""Triggers and jobs of a project, from its settings: at most one trigger per table and task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from zoneinfo import ZoneInfo

from starlake_dagster_assets._arguments import ProjectLike, project_of
from starlake_dagster_assets.automation.policies.append_interval_checks import appends_without_interval
from starlake_dagster_assets.automation.policies.dag_configs import DagConfigs
from starlake_dagster_assets.automation.policies.jobs import JobGroups
from starlake_dagster_assets.automation.policies.model import (
    CronSchedule,
    Partitions,
    PreLoad,
    Trigger,
    TriggerKind,
    Triggers,
    UpstreamCondition,
)
from starlake_dagster_assets.automation.policies.options import OptionReader, merged
from starlake_dagster_assets.automation.policies.partition_support import (
    REASONS,
    PartitionObstacle,
    find_partition_obstacle,
    is_subdaily,
    next_step,
    partition_column,
    partition_column_type,
    unpartitioned_warning,
)
from starlake_dagster_assets.automation.policies.settings import NodeSettings, validate_timezone
from starlake_dagster_assets.automation.policies.starlake_automation import StarlakeAutomation, settings_of
from starlake_dagster_assets.automation.policies.upstream_conditions import UpstreamConditionBuilder, has_expression
from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.graph.acyclic_groups import sort_topologically
from starlake_dagster_assets.graph.model import Graph, Node
from starlake_dagster_assets.graph.select import format_names
from starlake_dagster_assets.project.model.problems import INVALID_SCHEDULE, Problem
from starlake_dagster_assets.project.model.project import Project

__all__ = ["build_triggers", "filter_triggers", "trigger_problems"]

_FOLLOWS = "lineage"


def build_triggers(project: ProjectLike, automation: StarlakeAutomation | None = None) -> Triggers:
    """Builds the triggers of the tables and tasks of a project, and the jobs in which they run.

    Args:
        project: The project, or the path of its directory.
        automation: Settings of the whole project. Tags of a table or task, and its DAG configuration, take precedence.

    Returns:
        One trigger for each table and task that is not part of a cycle, and the jobs; the problems name unknown options
        and values that were left out.

    Raises:
        ProjectError: Names each value that cannot be read, with its location.

    Examples:
        ::

            triggers = build_triggers(StarlakeProject("starbake"), StarlakeAutomation(timezone="Europe/Paris"))
            triggers.triggers["kpi.revenue"].triggered_by
    """
    source = project_of(project, "build_triggers")
    chosen = settings_of(automation, "build_triggers")
    builder = _Builder(source.model, source.graph, chosen)
    triggers = builder.build()
    wrong = [problem for problem in builder.reader.problems if problem.severity == "error"]
    if chosen.schedules.enabled and getattr(source, "on_error", "raise") == "raise":
        wrong += [problem for problem in source.problems if problem.code == INVALID_SCHEDULE]
    if wrong:
        raise ProjectError(wrong)
    return triggers


def trigger_problems(model: Project, graph: Graph) -> tuple[Problem, ...]:
    """Returns the problems in the DAG configurations and tags of a project.

    Args:
        model: The models.
        graph: The graph of the project.
    """
    builder = _Builder(model, graph, StarlakeAutomation())
    builder.build()
    return builder.reader.problems


def filter_triggers(triggers: Triggers, nodes: frozenset[str]) -> Triggers:
    """Returns the triggers of some nodes; jobs are reduced to them, and empty jobs are left out.

    Args:
        triggers: Triggers of the project.
        nodes: Ids of the nodes to keep.
    """
    jobs = {
        name: replace(job, nodes=kept)
        for name, job in triggers.jobs.items()
        if (kept := tuple(node for node in job.nodes if node in nodes))
    }
    return replace(triggers, triggers={n: t for n, t in triggers.triggers.items() if n in nodes}, jobs=jobs)


class _Builder:
    def __init__(self, model: Project, graph: Graph, automation: StarlakeAutomation) -> None:
        self._model, self._graph, self._automation = model, graph, automation
        self._everywhere = automation.node_settings()
        self.reader = OptionReader(model, self._everywhere)
        self._dags = DagConfigs(model, self.reader)
        self._left_out: dict[PartitionObstacle, list[Node]] = {}
        """Nodes that are left unpartitioned although the project configures partitions, by cause."""
        self._needed: dict[str, list[str]] = {}
        """Upstreams that run first in the job of a node (`run_dependencies_first`)."""

    def build(self) -> Triggers:
        """Builds the triggers and jobs, and collects the problems in `reader`."""
        self.reader.unknown(self._model.dags.values())
        clocks = {node: clock.cron for node, (_, clock, _) in self._own_triggers.items() if clock is not None}
        watches = UpstreamConditionBuilder(
            self._model, self._graph, self._sorted_nodes, self._settings, clocks, self.reader
        )
        watched = watches.of(self._followed())
        owners = {node: self._trigger(node, watched.get(node)) for node in self._sorted_nodes}
        for kind, nodes in self._left_out.items():
            self.reader.report(nodes[0], unpartitioned_warning(kind, (node.id for node in nodes)), severity="warning")
        prefix = f"{name}_" if (name := self._automation.name_prefix.rstrip("_")) else ""
        jobs = JobGroups(self._graph, self._dags, self._job_settings, owners, self._needed, prefix)
        triggers = {node: replace(trigger, job=jobs.of(node)) for node, trigger in owners.items()}
        for node, message in appends_without_interval(self._graph, triggers):
            self.reader.report(node, message, severity="warning")
        chosen = self._automation
        return Triggers(triggers, jobs.jobs, self.reader.problems, prefix, chosen.status, chosen.timezone)

    @cached_property
    def _sorted_nodes(self) -> list[str]:
        """Nodes that can be materialized, upstream first; nodes on a cycle or after one are reported elsewhere."""
        return sort_topologically(self._graph, ())

    @cached_property
    def _settings(self) -> Mapping[str, NodeSettings]:
        found: dict[str, NodeSettings] = {}
        for node_id in self._sorted_nodes:
            node = self._graph.nodes[node_id]
            dag = self._dags.of(node)
            of_dag = [self.reader.of_dag(dag, self._dags.variables(node))] if dag is not None else []
            found[node_id] = merged(self.reader.of_tags(node), *of_dag, self._everywhere)
        return found

    def _job_settings(self, node: Node) -> NodeSettings:
        """Returns the settings of the job of a node: without the node's own tags."""
        dag = self._dags.of(node)
        of_dag = [self.reader.of_dag(dag, self._dags.variables(node))] if dag is not None else []
        return merged(*of_dag, self._everywhere)

    # ------------------------------------------------------------------------------------------------ owners

    @cached_property
    def _own_triggers(self) -> Mapping[str, tuple[TriggerKind, CronSchedule | None, PreLoad | None]]:
        """Own trigger of each node: its cron, its files, or its upstreams."""
        return {node: self._owned(self._graph.nodes[node]) for node in self._sorted_nodes}

    def _owned(self, node: Node) -> tuple[TriggerKind, CronSchedule | None, PreLoad | None]:
        settings = self._settings[node.id]
        definition = node.definition
        assert definition is not None
        preload = self._preload(node, settings) if node.kind == "table" and self._automation.pre_load.enabled else None
        if definition.cron and self._automation.schedules.enabled:
            return "schedule", self._cron_schedule(node, definition.cron, settings), preload
        if preload is not None:
            return "arrival", None, preload
        follows = node.kind == "task" and settings.triggering != "none"
        return (_FOLLOWS if follows else "none"), None, preload

    def _preload(self, node: Node, settings: NodeSettings) -> PreLoad | None:
        """Returns the pre-load policy of a table; None if it waits for nothing."""
        if settings.pre_load_strategy in (None, "none"):
            return None
        values = {
            "strategy": settings.pre_load_strategy,
            "incoming_path": settings.incoming_path,
            "pending_path": settings.pending_path,
            "global_ack_file_path": settings.global_ack_file_path,
            "ack_wait_timeout": settings.ack_wait_timeout,
            "poke_interval": settings.pre_load_poke_interval,
            "soft_fail": settings.pre_load_sensor_soft_fail,
            "stable_for": settings.stable_for,
            "guard": settings.guard,
            "timezone": self._zone(node, settings),
            "storage_options": self._automation.pre_load.storage_options,
        }
        return replace(PreLoad(), **{name: value for name, value in values.items() if value is not None})

    def _cron_schedule(self, node: Node, cron: str, settings: NodeSettings) -> CronSchedule:
        zone = self._zone(node, settings)
        start, end = settings.start_date, settings.end_date
        if start is not None and end is not None and _at(start, zone) > _at(end, zone):
            message = f"{end.isoformat()} is before start_date {start.isoformat()}, so no schedule would ever tick."
            self.reader.report_setting(node, "end_date", end, message)
        return CronSchedule(cron, zone, start, end, bool(settings.catchup))

    def _zone(self, node: Node, settings: NodeSettings) -> str:
        zone = settings.timezone or self._model.application.timezone or "UTC"
        try:
            return validate_timezone(zone)
        except ValueError as error:
            self.reader.report_setting(node, "timezone", zone, str(error))
            return "UTC"

    def _upstreams_here(self, node: str) -> list[str]:
        return [up for up in self._graph.upstream[node] if up in self._own_triggers]

    def _followed(self) -> dict[str, list[str]]:
        """Returns the upstreams that each lineage task watches, without those that run first in its job."""
        run_first: set[str] = set()
        watched: dict[str, list[str]] = {}
        for node in reversed(self._sorted_nodes):
            triggered_by = self._own_triggers[node][0]
            if node in run_first or triggered_by not in (_FOLLOWS, "schedule"):
                continue
            if self._settings[node].run_dependencies_first:
                first, rest = self._upstreams_first(node)
                self._needed[node] = first
                run_first.update(first)
            else:
                rest = self._upstreams_here(node)
            if triggered_by == _FOLLOWS and (rest or has_expression(self._settings[node])):
                watched[node] = rest
        return {node: watched[node] for node in self._sorted_nodes if node in watched and node not in run_first}

    def _upstreams_first(self, node: str) -> tuple[list[str], list[str]]:
        """Returns the upstreams that run before a node in its job, and those with their own trigger, to be watched."""
        first: dict[str, None] = {}
        rest: dict[str, None] = {}
        stack = [node]
        while stack:
            for up in self._upstreams_here(stack.pop()):
                if not self._runs_along(up, node):
                    rest.setdefault(up)
                elif up not in first:
                    first.setdefault(up)
                    stack.append(up)
        return list(first), sorted(rest)

    def _runs_along(self, up: str, node: str) -> bool:
        """Whether an upstream can run together with a node: it has no trigger, or the same tick starts it."""
        triggered_by, clock, preload = self._own_triggers[up]
        same_tick = triggered_by == "schedule" and clock == self._own_triggers[node][1] and preload is None
        return triggered_by in (_FOLLOWS, "none") or same_tick

    def _trigger(self, node: str, watch: UpstreamCondition | None) -> Trigger:
        triggered_by, clock, preload = self._own_triggers[node]
        if triggered_by == _FOLLOWS:
            triggered_by = "none" if watch is None else self._by(node)
        partitions, column = self._partitions(self._graph.nodes[node], clock)
        made, settings = self._graph.nodes[node], self._settings[node]
        bounds = self._cron_schedule(made, "", settings) if partitions == "sink" and clock is None else None
        interval = settings.interval or "declared"
        return Trigger(node, triggered_by, "", preload, clock, watch, partitions, column, bounds, interval)

    def _partitions(self, node: Node, clock: CronSchedule | None) -> tuple[Partitions, str]:
        """Returns how a node is partitioned, and the column of `partition_write=replace`.

        A node whose write strategy does not allow partitions is left unpartitioned, with a warning; if the node itself
        configures partitions, it is an error. APPEND is not an error: a second run of a partition fails instead.
        """
        settings = self._settings[node.id]
        replaces = node.kind == "task" and settings.partition_write == "replace"
        column = (settings.partition_column or partition_column(node)) if replaces else ""
        partitions = settings.partitions or "none"
        if replaces and not column:
            self.reader.report(node, f"{node.id}: partition_write=replace needs sink.partition or partition_column.")
        if partitions == "none" or (partitions == "cron" and clock is None):
            return partitions, column
        short = is_subdaily(node, partitions, clock.cron if clock else "")
        is_asked = any(tag.partition("=")[0].strip() == "partitions" for tag in node.tags)
        kind = find_partition_obstacle(node, short=short, replaced=bool(column))
        if kind is None and partitions == "sink" and self._is_untimed(node, is_asked=is_asked):
            kind = "untimed"
        if kind is None:
            return partitions, column
        if not is_asked:
            if partitions == "cron" or partition_column(node):  # others have no partitions in any case
                self._left_out.setdefault(kind, []).append(node)
            return "none", column
        if kind not in ("append", "statements"):
            self.reader.report(node, f"{node.id} cannot be partitioned: {REASONS[kind]}. Next: {next_step(kind)}.")
        return partitions, column

    def _is_untimed(self, node: Node, *, is_asked: bool) -> bool:
        """Whether no setting or attribute shows that the sink of a node has time partitions.

        A column that is described with another type is reported only if the node itself configures partitions.
        """
        if any(tag.lower().startswith("partition=") for tag in node.tags):
            return False
        kind = partition_column_type(node, self._model.types)
        return not kind or (is_asked and not kind.startswith(("date", "timestamp")))

    def _by(self, node: str) -> TriggerKind:
        """Returns the kind of trigger of a node that follows others: `lineage` (a sensor) or `condition`."""
        if self._settings[node].triggering != "condition":
            return "lineage"
        if first := self._needed.get(node):
            self.reader.report(
                self._graph.nodes[node],
                f"{node}: run_dependencies_first cannot be expressed as a condition, which requests the asset alone: "
                f"nothing would start {format_names(first, 3)}. Set triggering=sensor or run_dependencies_first=false.",
            )
        return "condition"


def _at(moment: datetime, zone: str) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=ZoneInfo(zone))
