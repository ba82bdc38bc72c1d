"""Runs tables and tasks in order and reports the result of each; without Dagster, for steps and the command line."""

from __future__ import annotations

from collections.abc import Collection, Generator

from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.commands.model import Line
from starlake_dagster_assets.errors import UnreachableError
from starlake_dagster_assets.execution.backends.protocol import Runner
from starlake_dagster_assets.execution.load_run import LoadRun
from starlake_dagster_assets.execution.outcome import FailedCommand, FinalOutcome, Outcome, RunSettings
from starlake_dagster_assets.execution.run_state import RunState
from starlake_dagster_assets.execution.transform_run import TransformRun
from starlake_dagster_assets.execution.unapplied_settings import ignored_settings
from starlake_dagster_assets.graph.acyclic_groups import sort_topologically
from starlake_dagster_assets.graph.model import Graph, Node

__all__ = ["execute_selection", "order_selection"]


def execute_selection(
    source: ProjectSource, selection: Collection[str], runner: Runner, settings: RunSettings
) -> Generator[Outcome | FinalOutcome | FailedCommand, None, None]:
    """Runs the selected loads and transforms; continues with independent nodes after a failure.

    Args:
        source: The project.
        selection: Node ids; external ones are left out.
        runner: Runner of the commands.
        settings: Settings of the run.

    Yields:
        One outcome per selected table and task, as it becomes known; `FinalOutcome` after one that was reported early.
        An outcome `failed` can follow `materialized` when the audit contradicts the log. `FailedCommand` for a load
        that failed although none of its tables did.

    Raises:
        SelectionError: When the selected tasks depend on each other in a circle.
    """
    state = RunState(source, runner, settings)
    loads, transforms = LoadRun(state, runner), TransformRun(state)
    domains, tasks = order_selection(source.graph, selection)
    read = {up for task in tasks for up in source.graph.upstream[task.id]}
    if runner.capabilities.runs_program and (
        text := ignored_settings((n for nodes in domains for n in nodes), source.model)
    ):
        settings.on_line(Line(f"WARN Starlake: {text}"))
    try:
        for nodes in domains:
            yield from loads.load(nodes)
        for node in tasks:
            yield from transforms.transform(node, read=node.id in read)
        yield from transforms.release_warehouse()
        state.warn_of_expectations()
    except UnreachableError:  # what runs there still needs what the runner holds
        raise
    except BaseException:
        state.executor.close()
        raise
    state.executor.close()


def order_selection(graph: Graph, selection: Collection[str]) -> tuple[tuple[tuple[Node, ...], ...], tuple[Node, ...]]:
    """Returns the tables and tasks of a run in the order in which they run.

    Args:
        graph: The project's graph.
        selection: Node ids.

    Returns:
        The tables by domain directory, then the tasks, each after those that it reads.

    Raises:
        SelectionError: When the tasks depend on each other in a circle.
    """
    wanted = set(selection)
    domains: dict[str, list[Node]] = {}
    tasks: list[Node] = []
    for name in sort_topologically(graph, wanted):
        node = graph.nodes[name]
        if name not in wanted:
            continue
        if node.kind == "task":
            tasks.append(node)
        elif node.table is not None:
            domains.setdefault(node.table.domain, []).append(node)
    return tuple(tuple(group) for group in domains.values()), tuple(tasks)
