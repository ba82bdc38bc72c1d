"""Facts of the event log that the evaluation of lineage queries, without Dagster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

__all__ = ["LineageFacts", "LineageTarget", "TargetRun", "UpstreamUpdate"]


class LineageTarget(NamedTuple):
    """A table or task, or one of its partitions."""

    node: str
    partition: str | None = None

    def __str__(self) -> str:
        return self.node if self.partition is None else f"{self.node} [{self.partition}]"


@dataclass(frozen=True)
class UpstreamUpdate:
    """The newest materialization of an upstream that a target reads.

    Attributes:
        id: Its storage id, which grows from one event to the next.
        time: Time of the materialization, in seconds since 1970.
        run: Id of its run; empty if it was reported from outside.
        window: Data interval of its partition, if that is a time window.
        indirect: Whether it belongs to another partition of the target: of an upstream without partitions. Alone,
            it makes no run due.
        excluded_by: Id of the run that materialized the target and left out updates of the upstream, because they are
            outside its data interval; empty if there is none. The storage id is then that of its materialization.
    """

    id: int
    time: float
    run: str = ""
    window: tuple[datetime, datetime] | None = None
    indirect: bool = False
    excluded_by: str = ""


@dataclass(frozen=True)
class TargetRun:
    """The newest run that was created to materialize a target.

    Attributes:
        id: Storage id of the event by which it was planned.
        run: Id of the run.
        state: State of the run.
    """

    id: int
    run: str
    state: Literal["in progress", "succeeded", "failed", "canceled"]


class LineageFacts(Protocol):
    """Facts of the event log that the evaluation of lineage reads."""

    @property
    def now(self) -> float:
        """Time of the evaluation, in seconds since 1970."""
        ...

    def updates(self, target: LineageTarget) -> Mapping[str, UpstreamUpdate]:
        """Returns the newest materialization of each watched node; nodes that were never materialized are left out."""
        ...

    def is_consumed(self, target: LineageTarget, node: str, update: UpstreamUpdate) -> bool:
        """Whether the newest materialization of the target has read an update of a node."""
        ...

    def attempt(self, target: LineageTarget) -> TargetRun | None:
        """Returns the newest run that was created to materialize the target."""
        ...

    def can_repeat(self, target: LineageTarget, attempt: TargetRun) -> bool:
        """Whether a failed run never began a target, and the upstreams that the target lacked are materialized now."""
        ...

    def running(self, target: LineageTarget) -> str:
        """Describes the run in progress that is still to materialize the target; "" if there is none."""
        ...

    def exists(self, node: str) -> bool:
        """Whether a node was ever materialized."""
        ...

    def last_run(self, node: str) -> float:
        """Returns the time of a node's newest run or materialization, in seconds since 1970; 0 if there is none."""
        ...

    def upstream(self, target: LineageTarget, node: str) -> Sequence[LineageTarget]:
        """Returns the targets of a watched node that a target reads: the node, or some of its partitions."""
        ...

    def stopped_sensor(self, node: str) -> str | None:
        """Returns the name of the sensor that would start a node, if it is stopped or not defined; else None."""
        ...
