"""Runs that the tasks of one job need: tasks that are due together, their partitions, and the tags of the run."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlake_dagster_assets.automation.definitions.lineage_facts import EventLogFacts
from starlake_dagster_assets.automation.definitions.lineage_partitions import split_at_gaps
from starlake_dagster_assets.automation.policies.lineage_evaluation import Evaluator, RunNeeded
from starlake_dagster_assets.automation.policies.run_options import CONFLICT, merged_options, tag_of
from starlake_dagster_assets.automation.policies.skip_reasons import listed, short_hash
from starlake_dagster_assets.automation.policies.upstream_updates import LineageTarget
from starlake_dagster_assets.dagster_assets.dagster_runs import UPSTREAMS

__all__ = ["JobPlan", "PlannedRun"]

_TAG_LENGTH = 500
_MOST_RUNS = 25
"""Maximum number of runs of one job that one tick requests; more partitions follow with the next ticks."""
_MOST_REASONS = 8


@dataclass(frozen=True)
class PlannedRun:
    """Run of a job that is due.

    Attributes:
        nodes: Nodes that the run materializes, upstream first.
        partitions: Adjacent partitions, oldest first; empty for a run without partitions.
        due: Evaluation results of the targets, which contain the reasons.
        options: Tags that carry the options of the upstreams' runs.
        upstreams: Updates that the targets have not read, with the runs that materialized them.
    """

    nodes: Sequence[str]
    partitions: Sequence[str]
    due: Sequence[RunNeeded]
    options: Mapping[str, str]
    upstreams: str = ""

    @property
    def key(self) -> str:
        """Run key: the same for the same targets, updates and earlier runs, independent of the sensor's name."""
        ids = sorted(
            (str(one.target), sorted(update.id for update in one.updates.values()), one.attempt) for one in self.due
        )
        newest = max((number for _, numbers, _ in ids for number in numbers), default=0)
        return f"lineage:{newest}:{short_hash(json.dumps(ids))}"

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the run: the updates that its targets have not read, its range of partitions, and the options."""
        found = {**self.options, UPSTREAMS: self.upstreams}
        if len(self.partitions) > 1:
            ends = {"start": self.partitions[0], "end": self.partitions[-1]}
            found |= {f"dagster/asset_partition_range_{side}": key for side, key in ends.items()}
        return found

    @property
    def partition_key(self) -> str | None:
        """Partition of a run with exactly one partition; else None."""
        return self.partitions[0] if len(self.partitions) == 1 else None

    @property
    def reason(self) -> str:
        """Reasons why the run is needed, by target."""
        return "; ".join(f"{one.target}: {one.reason}" for one in self.due[:_MOST_REASONS])


@dataclass
class JobPlan:
    """Evaluation of the targets of a job at one moment.

    Attributes:
        facts: Facts of the event log.
        evaluator: Evaluator of the project.
        nodes: Ids of the targets, upstream first.
        before: Ids of other nodes that they depend on, upstream first: evaluated first, to keep recursion shallow.
        requested: Targets that are already requested and run together with them.
    """

    facts: EventLogFacts
    evaluator: Evaluator
    nodes: Sequence[str]
    before: Sequence[str] = ()
    requested: Collection[LineageTarget] = ()
    _due: dict[LineageTarget, RunNeeded] = field(default_factory=dict[LineageTarget, RunNeeded])
    _options: dict[LineageTarget, Mapping[str, str]] = field(default_factory=dict[LineageTarget, Mapping[str, str]])
    _reasons: list[str] = field(default_factory=list[str])

    @property
    def reason(self) -> str:
        """Reasons why no run is requested, or why runs are left to later ticks."""
        more = len(self._reasons) - _MOST_REASONS
        return "\n".join(self._reasons[:_MOST_REASONS] + ([f"{more} more wait as well."] if more > 0 else []))

    def runs(self) -> list[PlannedRun]:
        """Returns the runs that are due."""
        targets = [target for node in self.nodes for target in self.facts.targets(node)]
        if any(map(self.evaluator.has_update, targets)):
            for node in (*self.before, *self.nodes):
                for target in self.facts.targets(node):
                    self.evaluator.pending(target)
        for node in self.nodes:
            self.evaluate(node)
        whole = self._by_options([target for target in self._due if target.partition is None])
        runs = [*(self._run(one, ()) for one in whole), *self._partitioned()]
        if (left := len(runs) - _MOST_RUNS) > 0:
            self._reasons.append(f"{left} more runs of partitions follow with the next ticks.")
        return runs[:_MOST_RUNS]

    def evaluate(self, node: str) -> list[LineageTarget]:
        """Evaluates the targets of one node, after those of its upstreams in the same run.

        Returns:
            The targets of the node that are due.
        """
        grid, targets = self.facts.partitions(node), self.facts.targets(node)
        together = {one for one in {*self._due, *self.requested} if self.facts.partitions(one.node) == grid}
        ups = self.facts.upstreams(node)
        joined = [LineageTarget(node, one.partition) for one in together if one.node in ups]
        found: list[RunNeeded] = []
        for target in dict.fromkeys([*targets, *joined]):
            result = self.evaluator.evaluate(target, together)
            if not isinstance(result, RunNeeded):
                self._add_reason(target, result.reason)
            elif self._has_options_of_joined(result):
                found.append(result)
        if grid is not None:
            found = self._first_only(node, found)
            self._add_partition_reason(node, bool(targets or joined))
        self._due.update({result.target: result for result in found})
        return [result.target for result in found]

    def _add_reason(self, target: LineageTarget, reason: str) -> None:
        alone = len(self.nodes) == 1 and target.partition is None
        self._reasons.append(reason if alone else f"{target}: {reason}")

    def _add_partition_reason(self, node: str, has_targets: bool) -> None:
        table = self.facts.table(node)
        if not has_targets:
            self._reasons.append(f"{node}: No new update of a partition: {listed(self.facts.upstreams(node))}.")
        if table.older:
            self._reasons.append(
                f"{node}: {len(table.older)} older partitions were never materialized, from {table.older[0]} to "
                f"{table.older[-1]}: start a backfill for them, or set history=all."
            )

    def _first_only(self, node: str, found: list[RunNeeded]) -> list[RunNeeded]:
        """Returns the due partitions; for a node that was never materialized, only those of the newest update."""
        table = self.facts.table(node)
        if table.first or self.facts.all_history(node) or len(found) < 2:
            return found
        newest = max((update for one in found for update in one.updates.values()), key=lambda update: update.id)
        kept = [one for one in found if any(newest.run == update.run for update in one.updates.values())]
        if not newest.run:  # reported from outside
            kept = [one for one in kept if newest in one.updates.values()]
        if len(kept) < len(found):
            self._reasons.append(
                f"{node} was never materialized: of {len(found)} partitions with updates those of the newest update "
                f"are requested ({len(kept)}). Start a backfill for the others, or set history=all."
            )
        return kept

    # --------------------------------------------------------------------------------------------------------- options

    def _has_options_of_joined(self, result: RunNeeded) -> bool:
        """Whether a target gets the same options as the upstreams that its run also materializes."""
        target = result.target
        tags = self.facts.tags(update.run for update in result.updates.values())
        of_joined = {
            f"this run, {up}": self._options[LineageTarget(up, target.partition)]
            for up in sorted(result.joined)
            if LineageTarget(up, target.partition) in self._options
        }
        options, conflict = merged_options({**tags, **of_joined})
        self._options[target] = {CONFLICT: conflict} if conflict else tag_of(options)
        if all(one == self._options[target] for one in of_joined.values()):
            return True
        self._add_reason(target, f"waits for {listed(sorted(result.joined))}, whose run has other options.")
        return False

    def _by_options(self, targets: Iterable[LineageTarget]) -> list[list[LineageTarget]]:
        found: dict[str, list[LineageTarget]] = {}
        for target in targets:
            found.setdefault(json.dumps(self._options[target], sort_keys=True), []).append(target)
        return list(found.values())

    # ------------------------------------------------------------------------------------------------------ partitions

    def _partitioned(self) -> list[PlannedRun]:
        """Returns the runs of partitions; adjacent ones with equal nodes and options share runs, by backfill policy."""
        by_partition: dict[str, list[LineageTarget]] = {}
        for target in self._due:
            if target.partition is not None:
                by_partition.setdefault(target.partition, []).append(target)
        alike: dict[tuple[Any, ...], dict[str, list[LineageTarget]]] = {}
        for partition, targets in by_partition.items():
            for some in self._by_options(targets):
                nodes = tuple(one.node for one in some)
                options = json.dumps(self._options[some[0]], sort_keys=True)
                alike.setdefault((nodes, options), {})[partition] = some
        runs: list[PlannedRun] = []
        for (nodes, _), partitions in alike.items():
            table, most = self.facts.table(nodes[0]), min(self._most_partitions(node) for node in nodes)
            for part in split_at_gaps(table, table.ordered(partitions)):
                for start in range(0, len(part), most):
                    keys = part[start : start + most]
                    runs.append(self._run([target for key in keys for target in partitions[key]], keys))
        return runs

    def _most_partitions(self, node: str) -> int:
        policy = self.facts.graph.get(self.facts.keys[node]).backfill_policy
        most = 1 if policy is None else policy.max_partitions_per_run
        return most or len(self._due)

    def _run(self, targets: Sequence[LineageTarget], partitions: Sequence[str]) -> PlannedRun:
        nodes = tuple(dict.fromkeys(target.node for target in targets))
        due = [self._due[target] for target in targets]
        return PlannedRun(nodes, partitions, due, self._options[targets[0]], self._upstreams(due))

    def _upstreams(self, due: Sequence[RunNeeded]) -> str:
        """Lists the unread updates of targets with their runs, oldest first, up to the maximum length of a tag."""
        found: dict[str, dict[str, None]] = {}
        text = ""
        for target, up, update in ((one.target, up, update) for one in due for up, update in one.updates.items()):
            if len(text) >= _TAG_LENGTH:
                break
            runs = self.facts.unread_runs(target, up, update)
            found.setdefault(up, {}).update(dict.fromkeys(run or "outside" for run in runs))
            text = ", ".join(f"{up} (run{'s' * (len(runs) > 1)} {', '.join(runs)})" for up, runs in found.items())
        return text[:_TAG_LENGTH]
