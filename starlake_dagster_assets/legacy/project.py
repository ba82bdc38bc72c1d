"""DAG files as a project: on top of the project's own files, or alone, with tables and tasks by name only."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.errors import ProjectError, closest_match
from starlake_dagster_assets.graph.build import build_graph
from starlake_dagster_assets.graph.model import Graph
from starlake_dagster_assets.legacy.dag_file_model import DagContext, DagNode, DagTable
from starlake_dagster_assets.legacy.inferred_project import infer_project
from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.project.model.project import DagConfig, Location, Project, Table, Task

__all__ = ["DagProject", "ScheduledNodes", "environment_variables"]


@dataclass(frozen=True)
class ScheduledNodes:
    """Nodes that one schedule of a DAG file runs together.

    Attributes:
        job: Name of the job: that of the file, with the label of the schedule if the file has several schedules.
        cron: Cron of the schedule, or of the file.
        schedule: The schedule's label.
        tables: The tables that are loaded.
        tasks: The tasks that are run.
    """

    context: DagContext
    job: str
    cron: str | None
    schedule: str | None = None
    tables: tuple[DagTable, ...] = ()
    tasks: tuple[DagNode, ...] = ()

    @property
    def runs_dependencies(self) -> bool:
        """Whether the job also runs the upstreams of its tasks (`load_dependencies`)."""
        options = self.context.options
        text = options.get("run_dependencies_first", options.get("load_dependencies", ""))
        return text.strip().lower() in {"true", "1", "yes", "on"}

    def cron_of(self, item: DagTable | DagNode) -> str | None:
        """Returns the cron of a node: its own, or else that of the schedule or file."""
        return (item.cron if isinstance(item, DagNode) else None) or self.cron


class DagProject:
    """A project source built from DAG files.

    Args:
        contexts: The files.
        base: The project that the files were generated from: its graph, columns and checks apply; the files declare
            which tables and tasks run, when and how. None: tables and tasks are known by name only.
        root: The project's directory, without `base`; `SL_ROOT` of `sl_env_var` by default.
        env: The environment, without `base`; `SL_ENV` of `sl_env_var` by default.

    Raises:
        ProjectError: When a file names a table or task that the project does not have, one is given two crons, or
            the location of the project is unknown.
    """

    def __init__(
        self,
        contexts: Sequence[DagContext],
        base: ProjectSource | None = None,
        *,
        root: str | Path | None = None,
        env: str | None = None,
    ) -> None:
        self.parts = tuple(_parts(contexts))
        self._base = base
        if base is None:
            variables = environment_variables(contexts)
            where = root or variables.get("SL_ROOT")
            if where is None:
                hint = "Give `project`, or `root`."
                raise ProjectError([contexts[0].problem("options.sl_env_var", "has no SL_ROOT.", hint)])
            self._root = Path(str(where).removeprefix("file://"))
            self._env = env or variables.get("SL_ENV")
            self._plain = infer_project(contexts, self._root, self._env, variables)
        else:
            self._root, self._env, self._plain = base.root, base.env, base.model
        self._found = self._nodes()

    @property
    def root(self) -> Path:
        """The project's directory."""
        return self._root

    @property
    def env(self) -> str | None:
        """Name of the environment (`SL_ENV`)."""
        return self._env

    @property
    def options(self) -> Mapping[str, str]:
        """The variables that the project was loaded with."""
        return self._base.options if self._base is not None else {}

    @property
    def declared_nodes(self) -> frozenset[str]:
        """Ids of the tables and tasks that the files themselves run, excluding their upstreams."""
        return frozenset(self._found)

    @property
    def model(self) -> Project:
        """The project, with the schedules and DAG configurations of the files."""
        return self._model

    @property
    def graph(self) -> Graph:
        """Graph of the project; without `base`, the graph of the trees in the files.

        Raises:
            ProjectError: When the trees cannot be a graph: two tasks write one table, or read each other in a cycle.
        """
        return self._graph

    @property
    def problems(self) -> Sequence[Problem]:
        """Problems in the project's files; empty without `base`."""
        return self._base.problems if self._base is not None else ()

    @cached_property
    def _model(self) -> Project:
        domains = tuple(
            domain.model_copy(update={"tables": tuple(self._table(one) for one in domain.tables)})
            for domain in self._plain.domains
        )
        transforms = tuple(
            domain.model_copy(update={"tasks": tuple(self._task(one) for one in domain.tasks)})
            for domain in self._plain.transforms
        )
        application = self._plain.application.model_copy(update={"dag_ref_load": None, "dag_ref_transform": None})
        dags = {part.job: self._dag(part) for part in self.parts}
        changes = {"domains": domains, "transforms": transforms, "application": application, "dags": dags}
        return self._plain.model_copy(update=changes)

    @cached_property
    def _graph(self) -> Graph:
        if self._base is None:
            graph, problems = build_graph(self.model)
            if errors := [problem for problem in problems if problem.severity == "error"]:
                raise ProjectError([f"{problem.message} {problem.hint}".strip() for problem in errors])
            return graph
        tables = {table.id: table for table in self.model.tables}
        tasks = {task.raw: task for task in self.model.tasks}
        nodes = {
            name: replace(
                node,
                table=tables.get(node.table.id) if node.table else None,
                task=tasks.get(node.raw) if node.task else None,
            )
            if node.table or node.task
            else node
            for name, node in self._base.graph.nodes.items()
        }
        return replace(self._base.graph, nodes=MappingProxyType(nodes))

    def _table(self, table: Table) -> Table:
        """Returns the table with the schedule and the DAG configuration of its file."""
        node = self._ids["table", table.raw]
        if node not in self._found:
            own: dict[str, Any] = {"dag_ref": None}
            if node not in self._dependencies:
                return table.model_copy(update={"metadata": table.metadata.model_copy(update=own)})
            metadata = table.metadata.model_copy(update={**own, "schedule": None})
            return table.model_copy(update={"metadata": metadata, "cron": None})
        part, cron = self._found[node]
        metadata = table.metadata.model_copy(update={"dag_ref": part.job, "schedule": part.schedule or cron})
        return table.model_copy(update={"metadata": metadata, "cron": cron})

    def _task(self, task: Task) -> Task:
        node = self._ids["task", task.raw]
        if node not in self._found:
            scheduled = {"cron": None, "schedule": None} if node in self._dependencies else {}
            return task.model_copy(update={"dag_ref": None, **scheduled})
        part, cron = self._found[node]
        return task.model_copy(update={"dag_ref": part.job, "cron": cron, "schedule": cron})

    @cached_property
    def _dependencies(self) -> frozenset[str]:
        """Ids of the upstreams that jobs with `load_dependencies` run first, regardless of the upstreams' schedules."""
        upstream: Mapping[str, tuple[str, ...]] = self._base.graph.upstream if self._base is not None else {}
        stack = [node for node, (part, _) in self._found.items() if part.runs_dependencies]
        found: set[str] = set()
        while stack:
            ups = [up for up in upstream.get(stack.pop(), ()) if up not in found and up not in self._found]
            found.update(ups)
            stack.extend(ups)
        return frozenset(found)

    def _dag(self, part: ScheduledNodes) -> DagConfig:
        context = part.context
        options = dict(context.options)
        raws = {raw.lower(): raw for kind, raw in self._ids if kind == "task"}
        for name, pairs in context.task_options.items():
            options[raws.get(name.lower(), name)] = ",".join(f"{key}={value}" for key, value in pairs.items())
        return DagConfig(
            name=part.job,
            template="",
            filename=f"{part.job}.py",
            comment=context.description,
            options=options,
            location=Location(file=context.file or context.name, line=context.line),
        )

    # ------------------------------------------------------------------------------------------------- names

    def _id(self, item: DagTable | DagNode) -> str | None:
        """Returns the id of the node that a literal names; None if the project does not have the node."""
        if isinstance(item, DagNode):
            kind, raw, final = "task", item.name, item.sink
        else:
            kind, raw, final = "table", item.raw, item.id
        looks = [self._raw.get((kind, raw.lower())), self._final.get((kind, final.lower()))]
        if isinstance(item, DagTable) and item.final_name is not None:
            looks.reverse()  # older files have `name` and `final_name`; newer ones the final name twice
        return looks[0] or looks[1]

    @cached_property
    def _final(self) -> Mapping[tuple[str, str], str]:
        found = {("table", table.id.lower()): self._ids["table", table.raw] for table in self._plain.tables}
        written = Counter(task.id.lower() for task in self._plain.tasks)
        for task in self._plain.tasks:
            if written[task.id.lower()] == 1:  # else only the name of the task identifies it
                found["task", task.id.lower()] = self._ids["task", task.raw]
        return found

    @cached_property
    def _raw(self) -> Mapping[tuple[str, str], str]:
        return {(kind, raw.lower()): id_ for (kind, raw), id_ in self._ids.items()}

    @cached_property
    def _ids(self) -> Mapping[tuple[str, str], str]:
        """Ids of the nodes by kind and raw name, because several tasks may write one table."""
        graph = self._base.graph if self._base is not None else build_graph(self._plain)[0]
        found = {("table", table.raw): table.id for table in self._plain.tables}
        found |= {("task", task.raw): task.id for task in self._plain.tasks}
        return found | {key: node.id for key, node in graph.by_raw.items()}

    def _nodes(self) -> Mapping[str, tuple[ScheduledNodes, str | None]]:
        """Returns the part that runs each node, and the cron of the node, by node id.

        Raises:
            ProjectError: Names the tables and tasks that the project does not have, and those with two crons.
        """
        found: dict[str, tuple[ScheduledNodes, str | None]] = {}
        problems: list[Problem] = []
        for part in self.parts:
            for item in (*part.tables, *part.tasks):
                node = self._id(item)
                if node is None:
                    problems.append(self._unknown(part.context, item))
                    continue
                cron = part.cron_of(item)
                first, its = found.setdefault(node, (part, cron))
                if its != cron:
                    other = f"{first.job} ({first.context.file})" if first.context.file else first.job
                    text = f"{node} runs by {cron or 'no cron'} here, and by {its or 'no cron'} in {other}."
                    hint = "An asset has one schedule: keep one."
                    problems.append(part.context.problem(item.path, text, hint, "two-schedules"))
        if problems:
            raise ProjectError(problems)
        return found

    def _unknown(self, context: DagContext, item: DagTable | DagNode) -> Problem:
        kind = "task" if isinstance(item, DagNode) else "table"
        name = item.name if isinstance(item, DagNode) else item.raw
        close = closest_match(
            name, [one for (known, raw), id_ in self._ids.items() if known == kind for one in (raw, id_)]
        )
        hint = f"Did you mean {close}?" if close else "Generate the DAG files again, or remove it."
        return context.problem(
            item.path, f"{name} is not a {kind} of the project in {self._root}.", hint, "unknown-node"
        )


def environment_variables(contexts: Iterable[DagContext]) -> Mapping[str, str]:
    """Returns the variables of `sl_env_var`.

    Args:
        contexts: The files.

    Raises:
        ProjectError: When `sl_env_var` is not a JSON object, or files set a variable to two values; shows no values.
    """
    found: dict[str, tuple[str, DagContext]] = {}
    problems: list[Problem] = []
    for context in contexts:
        for name, value in _env_var(context, problems).items():
            first = found.setdefault(str(name), (str(value), context))
            if first[0] != str(value):
                other = first[1].file or first[1].name
                text = f"gives {name} another value than {other}: one resource runs all files."
                hint = "Pass one `starlake` for all, or create definitions for each and merge them."
                problems.append(context.problem("options.sl_env_var", text, hint))
    if problems:
        raise ProjectError(problems)
    return MappingProxyType({name: value for name, (value, _) in found.items()})


def _env_var(context: DagContext, problems: list[Problem]) -> Mapping[Any, Any]:
    text = context.options.get("sl_env_var")
    if not text:
        return {}
    try:
        found: Any = json.loads(text)
    except ValueError as error:
        problems.append(context.problem("options.sl_env_var", f"is not JSON ({error})."))
        return {}
    if isinstance(found, dict):
        return cast("Mapping[Any, Any]", found)
    problems.append(context.problem("options.sl_env_var", 'is no JSON object such as {"SL_ROOT": "/starbake"}.'))
    return {}


def _parts(contexts: Sequence[DagContext]) -> Iterator[ScheduledNodes]:
    stems = Counter(context.name for context in contexts)
    used: Counter[str] = Counter()
    for context in contexts:
        name = context.name
        if stems[name] > 1 and context.file:
            name = f"{Path(context.file).parent.name}_{name}"
        several = len(context.schedules) > 1
        for schedule in context.schedules:
            job = f"{name}_{schedule.name}" if several else name
            yield ScheduledNodes(context, _free(job, used), schedule.cron, schedule.name, tables=schedule.tables)
        if context.roots:
            roots = tuple(context.nodes[key] for key in context.roots)
            yield ScheduledNodes(context, _free(name, used), context.cron, tasks=roots)


def _free(job: str, used: Counter[str]) -> str:
    used[job] += 1
    return job if used[job] == 1 else f"{job}_{used[job]}"
