"""Runs the transforms of one run, each after the tables and tasks that it reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from starlake_dagster_assets.commands import build
from starlake_dagster_assets.errors import CommandError
from starlake_dagster_assets.execution.evidence import CommandEnd
from starlake_dagster_assets.execution.outcome import FailedCommand, FinalOutcome, Outcome
from starlake_dagster_assets.execution.reconcile import reconcile_transform
from starlake_dagster_assets.execution.run_state import CommandRun, RunState
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.project.model.project import Task

__all__ = ["TransformRun"]


@dataclass(frozen=True)
class _UnfinishedTask:
    """A task that ran while its runner locked the warehouse; `is_reported` if its outcome was yielded already."""

    node: Node
    task: Task
    command_end: CommandEnd
    ran: CommandRun
    is_reported: bool


class TransformRun:
    """The transforms of one run.

    Args:
        state: State of the run.
    """

    def __init__(self, state: RunState) -> None:
        self._state = state
        self._executor = state.executor
        self._unfinished: list[_UnfinishedTask] = []

    def transform(self, node: Node, *, read: bool = False) -> Iterator[Outcome | FinalOutcome | FailedCommand]:
        """Runs one `transform`, unless a node that the task reads failed or was not run in this run.

        Args:
            node: A task.
            read: Whether another task of this run reads it.
        """
        yield from self._state.noted(self._transform(node, _task(node), read))

    def release_warehouse(self) -> Iterator[Outcome | FinalOutcome | FailedCommand]:
        """Releases the warehouse, and yields the results of tasks that ran while it was locked."""
        self._executor.release()
        yield from self._state.noted(self._finish())

    def _transform(self, node: Node, task: Task, read: bool) -> Iterator[Outcome | FinalOutcome]:
        state, settings = self._state, self._state.settings
        unusable = [up for up in state.source.graph.upstream[node.id] if up in state.unusable]
        if unusable:
            reasons = ", ".join(f"{up} {state.unusable[up]}" for up in unusable)
            yield Outcome(node, "skipped", f"not run: {reasons}")
            return
        if node.id in settings.invalid_tasks:
            yield Outcome(node, "failed", settings.invalid_tasks[node.id])
            return
        try:
            command = build.transform(
                task.raw,
                settings.task_options(node),
                settings.scheduled(node),
                truncate=settings.truncate,
                env=settings.environment(node),
                secrets=settings.secrets,
                job_id=state.job_id(),
                spark=settings.spark(node),
                overrides=settings.overrides(node),
            )
        except CommandError as error:
            yield Outcome(node, "failed", str(error))
            return
        ending = self._executor.complete(command)
        ran = state.execution(command, ending.result.seconds if ending.result else 0.0)
        verdict = reconcile_transform(task.domain, task.table, ending)
        if not self._executor.is_warehouse_locked:
            yield from self._finish()
            yield state.outcome(node, verdict, ran, is_final=True)
            return
        outcome = state.outcome(node, verdict, ran, is_final=False)
        if verdict.status != "loaded":
            yield replace(outcome, is_final=True)
            return
        blocking = state.blocks(node)
        self._unfinished.append(_UnfinishedTask(node, task, ending, ran, is_reported=not blocking))
        if not blocking:
            yield outcome
        elif read:
            self._executor.release()
            yield from self._finish()

    def _finish(self) -> Iterator[Outcome | FinalOutcome]:
        waiting, self._unfinished = self._unfinished, []
        for one in waiting:
            ending = replace(one.command_end, rows=self._executor.audit(one.ran.job_id))
            verdict = reconcile_transform(one.task.domain, one.task.table, ending)
            outcome = self._state.outcome(one.node, verdict, one.ran, is_final=True)
            yield FinalOutcome(outcome) if one.is_reported and outcome.status == "materialized" else outcome


def _task(node: Node) -> Task:
    assert node.task is not None
    return node.task
