"""Decides whether a table or task needs a run: from the newest materializations of its upstreams and its own runs.

No state is kept from one evaluation to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from starlake_dagster_assets.automation.policies.cron_ticks import cycle_of
from starlake_dagster_assets.automation.policies.model import AllOf, Condition, Trigger, Upstream, UpstreamCondition
from starlake_dagster_assets.automation.policies.skip_reasons import duration_text, instant, listed
from starlake_dagster_assets.automation.policies.upstream_updates import (
    LineageFacts,
    LineageTarget,
    TargetRun,
    UpstreamUpdate,
)

__all__ = [
    "Evaluator",
    "RunNeeded",
    "Skip",
    "condition_nodes",
]

_STATES = {"failed": "failed", "canceled": "was canceled", "succeeded": "succeeded and materialized nothing"}


@dataclass(frozen=True)
class RunNeeded:
    """Result of an evaluation: a run is due.

    Attributes:
        target: The target to materialize.
        updates: The updates that the run consumes, by node.
        reason: One sentence.
        joined: Watched nodes that the same run materializes.
        attempt: Id of the newest run that was created for the target before; 0 if there is none.
    """

    target: LineageTarget
    updates: Mapping[str, UpstreamUpdate]
    reason: str
    joined: frozenset[str] = frozenset()
    attempt: int = 0


@dataclass(frozen=True)
class Skip:
    """Result of an evaluation: no run is due now.

    Attributes:
        reason: The updates that were seen, and what the target waits for.
        has_updates: Whether the upstreams have updates, and only an upstream, a run or an interval is waited for.
    """

    reason: str
    has_updates: bool = False


@dataclass(frozen=True)
class _State:
    """Updates that a target reads, and which of them are new."""

    target: LineageTarget
    condition: UpstreamCondition
    updates: Mapping[str, UpstreamUpdate]
    fresh: frozenset[str]
    cycle: tuple[datetime, datetime] | None
    counted: frozenset[str]

    @property
    def patient(self) -> frozenset[str]:
        return self.condition.optional | self.condition.slower

    def is_fulfilled(self, counted: Collection[str]) -> bool:
        return _truth(self.condition.condition, counted, self.patient) is True


@dataclass
class Evaluator:
    """Evaluation of the targets of a project at one moment.

    Attributes:
        triggers: Triggers by node id.
        facts: Facts of the event log.
        timezone: Time zone of data cycles, an IANA name.
    """

    triggers: Mapping[str, Trigger]
    facts: LineageFacts
    timezone: str = "UTC"
    _states: dict[LineageTarget, _State] = field(default_factory=dict["LineageTarget", "_State"])
    _pending: dict[LineageTarget, str] = field(default_factory=dict["LineageTarget", str])

    def evaluate(self, target: LineageTarget, together: Collection[LineageTarget] = ()) -> RunNeeded | Skip:
        """Decides whether a run of a target is due.

        Args:
            target: A target whose trigger has an upstream condition.
            together: Other targets that the run materializes: they count as new, and are not waited for.

        Returns:
            The updates to consume, or the reason to wait.
        """
        state = self._state(target)
        if not state.counted and not together:
            return Skip(self._awaited(state, state.counted))
        pending = self._pending_upstreams(state, together)
        joined = {up for up in pending if self._is_joined(state, up, together)}
        counted = state.counted | joined
        if not state.is_fulfilled(counted):
            return Skip(self._awaited(state, counted, joined))
        seen = _describe_updates(state, counted, joined)
        if missing := self._missing(state, joined):
            return Skip(
                f"{seen}; {target.node} also reads {listed(missing)}, never materialized so far: materialize "
                f"{'it' if len(missing) == 1 else 'them'} once."
            )
        if not joined and (answer := self._answer(state)) is not None:
            return Skip(_answered(state, answer), has_updates=answer.state == "in progress")
        if reason := self._reason_to_wait(state, {up: why for up, why in pending.items() if up not in joined}):
            return Skip(f"{seen}; {reason}.", has_updates=True)
        updates = {up: one for up, one in state.updates.items() if up in state.fresh}
        late = [up for up in updates if up not in state.counted and state.cycle and not updates[up].indirect]
        text = f" (and {_describe_updates(state, late)}, of another cycle, not read before)" if late else ""
        attempt = self.facts.attempt(target)
        if attempt is not None and not joined and self._is_for_counted(state, attempt):
            text += f"; run {attempt.run} failed before it began {target}"
        reason = seen + text + self._stopped(state)
        return RunNeeded(target, updates, reason, frozenset(joined), attempt.id if attempt is not None else 0)

    def has_update(self, target: LineageTarget) -> bool:
        """Whether a target has an unread update that counts."""
        return bool(self._state(target).counted)

    def pending(self, target: LineageTarget) -> str:
        """Returns the reason why a target is about to be materialized; "" if it is not."""
        if target not in self._pending:
            self._pending[target] = ""  # expressions may watch each other in a circle
            self._pending[target] = self._why_pending(target)
        return self._pending[target]

    def _why_pending(self, target: LineageTarget) -> str:
        if run := self.facts.running(target):
            return f"{run} will still materialize it"
        trigger = self.triggers.get(target.node)
        if trigger is None or trigger.upstream_condition is None or not trigger.is_lineage:
            return ""
        state = self._state(target)
        if not self._will_run(state) or self.facts.stopped_sensor(target.node) is not None:
            return ""
        if state.is_fulfilled(state.counted) and self._answer(state) is None:
            return "it is due itself"
        ups = sorted(self._pending_upstreams(state))
        return f"it will be due once {listed(ups)} {'is' if len(ups) == 1 else 'are'} materialized"

    def _will_run(self, state: _State) -> bool:
        """Whether a target is due, or will be once its own upstreams are materialized."""
        pending = self._pending_upstreams(state)
        if not state.is_fulfilled(state.counted | pending.keys()):
            return False
        if self._missing(state, pending):
            return False
        return bool(pending or self._answer(state) is None) and self._rest(state) <= 0

    def _missing(self, state: _State, pending: Collection[str]) -> list[str]:
        return sorted(
            node for node in state.condition.must_exist if node not in pending and not self.facts.exists(node)
        )

    def _pending_upstreams(self, state: _State, together: Collection[LineageTarget] = ()) -> dict[str, str]:
        """Returns the watched nodes that are about to be materialized, each with the reason."""
        found: dict[str, str] = {}
        for up in condition_nodes(state.condition.condition):
            ups = self.facts.upstream(state.target, up)
            whys = ("the same run materializes it" if one in together else self.pending(one) for one in ups)
            if why := next(filter(None, whys), ""):
                found[up] = why
        return found

    def _is_joined(self, state: _State, up: str, together: Collection[LineageTarget]) -> bool:
        """Whether the run of a target itself materializes all partitions of an upstream that the target waits for."""
        ups = [one for one in self.facts.upstream(state.target, up) if one in together or self.pending(one)]
        return all(one in together and one.partition == state.target.partition for one in ups)

    def _reason_to_wait(self, state: _State, pending: Mapping[str, str]) -> str:
        if pending:
            return "waits for " + listed([f"{up}: {why}" for up, why in pending.items()], ";")
        if run := self.facts.running(state.target):
            return f"{run} is materializing {state.target} and began before that"
        if (rest := self._rest(state)) > 0:
            last = instant(self.facts.last_run(state.target.node))
            interval = duration_text(state.condition.min_interval)
            soonest = duration_text(rest)
            return f"the last run was at {last}, the next one may be in {soonest} (minimum interval {interval})"
        return ""

    def _rest(self, state: _State) -> float:
        """Returns the seconds until the minimum interval between two runs is over; 0 or less if it is over."""
        least = state.condition.min_interval
        return self.facts.last_run(state.target.node) + least - self.facts.now if least else 0

    def _answer(self, state: _State) -> TargetRun | None:
        """Returns the run that was created for the updates that count; None if there is none or it can be repeated."""
        attempt = self.facts.attempt(state.target)
        if attempt is None or not self._is_for_counted(state, attempt):
            return None
        return None if attempt.state == "failed" and self.facts.can_repeat(state.target, attempt) else attempt

    @staticmethod
    def _is_for_counted(state: _State, attempt: TargetRun) -> bool:
        """Whether a run was created after all updates that count, except those that it materialized itself."""
        return all(
            update.id < attempt.id or (update.run == attempt.run and attempt.state != "succeeded")
            for update in map(state.updates.__getitem__, state.counted)
        )

    def _stopped(self, state: _State) -> str:
        """Returns a sentence about upstreams that are due and not waited for, since nothing starts them."""
        found: list[str] = []
        for up in condition_nodes(state.condition.condition):
            sensor = self.facts.stopped_sensor(up) if self._is_due(state.target, up) else None
            if sensor is not None:
                found.append(f"{up} is due too and not waited for: its sensor {sensor} is stopped")
        return f" ({listed(found, ';')})" if found else ""

    def _is_due(self, target: LineageTarget, up: str) -> bool:
        trigger = self.triggers.get(up)
        if trigger is None or trigger.upstream_condition is None or not trigger.is_lineage:
            return False
        return any(self._will_run(self._state(one)) for one in self.facts.upstream(target, up))

    def _state(self, target: LineageTarget) -> _State:
        if target not in self._states:
            self._states[target] = self._read_state(target)
        return self._states[target]

    def _read_state(self, target: LineageTarget) -> _State:
        watch = self.triggers[target.node].upstream_condition
        assert watch is not None
        nodes = condition_nodes(watch.condition)
        updates = {node: one for node, one in self.facts.updates(target).items() if node in nodes}
        fresh = [node for node, one in updates.items() if not self.facts.is_consumed(target, node, one)]
        moved = [
            node
            for node in fresh
            if not (watch.require_fresh_upstreams and _expired(watch, node, updates[node], self.facts.now))
        ]
        if all(updates[node].indirect for node in moved):
            moved = []
        cycle = _cycle(watch, [updates[node] for node in moved], self.timezone)
        counted = (node for node in moved if cycle is None or _within(watch, node, updates[node], cycle))
        return _State(target, watch, updates, frozenset(fresh), cycle, frozenset(counted))

    # --------------------------------------------------------------------------------------------------- messages

    def _awaited(self, state: _State, counted: Collection[str], joined: Collection[str] = ()) -> str:
        lacking = _lacking(state.condition.condition, counted, state.patient)
        nodes = [
            node
            for node in condition_nodes(state.condition.condition)
            if node not in counted and node not in state.patient
        ]
        why = listed([self._describe(state, node) for node in nodes], ";")
        if not counted:
            return f"No new update: {why}." if why else "No new update."
        cycle = state.cycle
        where = f" in the cycle from {cycle[0]:%Y-%m-%d %H:%M} to {cycle[1]:%Y-%m-%d %H:%M}" if cycle else ""
        return f"Waits for {lacking}{where}. Seen: {_describe_updates(state, counted, joined)}. {why}".rstrip(" ") + (
            "." if why else ""
        )

    def _describe(self, state: _State, node: str) -> str:
        update = state.updates.get(node)
        if update is None:
            return f"{node} was never materialized"
        when = f"{node} was last materialized at {instant(update.time)}"
        if node not in state.fresh:
            return f"{when}, which {state.target} has read"
        if state.condition.require_fresh_upstreams and _expired(state.condition, node, update, self.facts.now):
            return f"{when}, which counts for {duration_text(state.condition.freshness[node])} only"
        if update.indirect:
            return f"{when}, for another partition"
        return f"{when}, for another cycle" if state.cycle else when


def condition_nodes(condition: Condition) -> tuple[str, ...]:
    """Returns the nodes of a condition, sorted."""
    if isinstance(condition, Upstream):
        return (condition.node,)
    return tuple(sorted({node for part in condition.parts for node in condition_nodes(part)}))


def _truth(condition: Condition, counted: Collection[str], patient: frozenset[str]) -> bool | None:
    """Returns whether a condition holds; None for optional or slower upstreams without an update."""
    if isinstance(condition, Upstream):
        if condition.node in counted:
            return True
        return None if condition.node in patient else False
    parts = [part for part in (_truth(part, counted, patient) for part in condition.parts) if part is not None]
    join: Callable[[Iterable[bool]], bool] = all if isinstance(condition, AllOf) else any
    return join(parts) if parts else None


def _lacking(condition: Condition, counted: Collection[str], patient: frozenset[str]) -> str:
    """Returns the part of a condition that does not hold, as text."""
    if isinstance(condition, Upstream):
        return condition.node
    open_parts = [part for part in condition.parts if _truth(part, counted, patient) is not True]
    needed = [part for part in open_parts if _truth(part, counted, patient) is False] or open_parts
    texts = [_lacking(part, counted, patient) for part in needed]
    if isinstance(condition, AllOf):
        return listed(texts)
    text = listed(texts, "or")
    return f"({text})" if len(texts) > 1 else text


def _expired(watch: UpstreamCondition, node: str, update: UpstreamUpdate, now: float) -> bool:
    limit = watch.freshness.get(node)
    return limit is not None and now - update.time > limit


def _moment(update: UpstreamUpdate) -> float:
    """Returns the instant that decides the cycle of an update: the start of its partition, or its materialization."""
    return update.window[0].timestamp() if update.window else update.time


def _cycle(
    watch: UpstreamCondition, moved: Sequence[UpstreamUpdate], timezone: str
) -> tuple[datetime, datetime] | None:
    """Returns the newest cycle with an update of an upstream; None without a data cycle or an update."""
    if watch.data_cycle is None or not moved:
        return None
    return cycle_of(watch.data_cycle, max(map(_moment, moved)), timezone)


def _within(watch: UpstreamCondition, node: str, update: UpstreamUpdate, cycle: tuple[datetime, datetime]) -> bool:
    more = watch.freshness.get(node, 0) if watch.beyond_data_cycle else 0
    return cycle[0].timestamp() - more <= _moment(update) < cycle[1].timestamp() + more


def _describe_updates(state: _State, counted: Iterable[str], joined: Collection[str] = ()) -> str:
    texts: list[str] = []
    for node in sorted(counted):
        if node in joined:
            texts.append(f"{node} in the same run")
        elif run := state.updates[node].excluded_by:
            texts.append(f"{node}, of which run {run} left out updates outside its interval")
        else:
            texts.append(f"{node} at {instant(state.updates[node].time)}")
    return listed(texts)


def _answered(state: _State, attempt: TargetRun) -> str:
    what = listed(sorted(state.counted))
    if attempt.state == "in progress":
        return f"Run {attempt.run} of {state.target} is in progress and reads the update of {what}."
    return (
        f"Run {attempt.run} of {state.target} {_STATES[attempt.state]} after the update of {what}. It is not started "
        f"again for the same update. See its failure, then re-execute it, materialize {state.target.node} by hand, or "
        f"update {'one of them' if len(state.counted) > 1 else what} again."
    )
