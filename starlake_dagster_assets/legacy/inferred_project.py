"""A project inferred from DAG files alone: tables and tasks by name, with the dependencies of their trees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from starlake_dagster_assets.errors import ProjectError
from starlake_dagster_assets.legacy.dag_file_model import DagContext, DagNode, DagTable
from starlake_dagster_assets.project.model.project import (
    Application,
    Domain,
    Freshness,
    Location,
    Metadata,
    Project,
    Table,
    Task,
    TransformDomain,
)

__all__ = ["infer_project"]

_NOWHERE = Location(file="")
"""Location of tables and tasks that are known by name only: no file of the project describes them."""


def infer_project(contexts: Sequence[DagContext], root: Path, env: str | None, variables: Mapping[str, str]) -> Project:
    """Returns the project that can be inferred from DAG files.

    Args:
        contexts: The files.
        root: The project's directory.
        env: `SL_ENV`.
        variables: Variables of `sl_env_var`.

    Returns:
        Tables and tasks without columns, files and SQL; tasks read what the trees declare.

    Raises:
        ProjectError: When a task writes into another domain than that of its name: no command line can run it.
    """
    names = _Names(contexts)
    zone = next((zone for one in contexts if (zone := one.options.get("SL_TIMEZONE"))), None)
    datasets = variables.get("SL_DATASETS") or f"{root}/datasets"
    application = Application(datasets=datasets, timezone=zone or "UTC")
    return Project(
        root=str(root),
        env=env,
        variables=dict(variables),
        application=application,
        types={},
        domains=tuple(names.domains(datasets)),
        transforms=tuple(names.transforms()),
    )


class _Names:
    """The tables and tasks of DAG files, without duplicates."""

    def __init__(self, contexts: Sequence[DagContext]) -> None:
        self._tables: dict[str, DagTable] = {}
        self._by_name: dict[str, str] = {}
        self._nodes: dict[tuple[str, str], DagNode] = {}
        tables = [table for one in contexts for schedule in one.schedules for table in schedule.tables]
        for table in tables:
            self._add(table)
        for context in contexts:
            for key, node in context.nodes.items():
                self._nodes[key] = self._nodes[key].with_more(node) if key in self._nodes else node
                if node.kind == "table" and node.name.lower() not in self._by_name:
                    self._add(DagTable(*_split(node.name), path=node.path))
        self._imported = {
            table.domain
            for one in contexts
            if one.options.get("pre_load_strategy", "").strip().lower() == "imported"
            for schedule in one.schedules
            for table in schedule.tables
        }
        self._files = {key: context for context in reversed(contexts) for key in context.nodes}

    def _add(self, table: DagTable) -> None:
        self._tables.setdefault(table.id.lower(), table)
        # A tree names a table by its final name; older files may have had the other one.
        self._by_name.setdefault(table.id.lower(), table.id.lower())
        self._by_name.setdefault(table.raw.lower(), table.id.lower())

    def domains(self, datasets: str) -> Iterable[Domain]:
        """Yields the load domains; with strategy `imported`, their files arrive in `<datasets>/incoming/<domain>`."""
        crons = {node.name.lower(): node for key, node in self._nodes.items() if key[0] == "table"}
        found: dict[str, list[Table]] = {}
        for name, table in self._tables.items():
            node = crons.get(name) or crons.get(table.raw.lower())
            found.setdefault(table.domain, []).append(_table(table, node))
        for name, tables in found.items():
            final = tables[0].final_domain
            incoming = f"{datasets}/incoming/{name}" if name in self._imported else None
            yield Domain(
                directory=name,
                name=name,
                final_name=final,
                incoming=incoming,
                tables=tuple(tables),
                location=_NOWHERE,
            )

    def transforms(self) -> Iterable[TransformDomain]:
        """Yields the transform domains.

        Raises:
            ProjectError: When a task writes into another domain than that of its name.
        """
        found: dict[str, list[Task]] = {}
        problems: list[object] = []
        for key, node in self._nodes.items():
            if node.kind != "task":
                continue
            (domain, stem), (schema, table) = _split(node.name), _split(node.sink)
            if schema.lower() != domain.lower():
                text = f"{node.name} writes {node.sink}, into another domain than that of its name."
                hint = "Its command line is known to the project only: give `project`."
                problems.append(self._files[key].problem(f"{node.path}.data.sink", text, hint))
            reads = [self._id(read) for read in node.reads]
            found.setdefault(domain, []).append(_task(node, domain, stem, table, reads))
        if problems:
            raise ProjectError(problems)
        for name, tasks in found.items():
            yield TransformDomain(directory=name, name=name, tasks=tuple(tasks), location=_NOWHERE)

    def _id(self, key: tuple[str, str]) -> str:
        if key[0] == "task":
            return self._nodes[key].sink
        return self._tables[self._by_name[key[1]]].id


def _split(name: str) -> tuple[str, str]:
    """Returns schema and table; a database before them is ignored."""
    *_, domain, table = name.split(".")
    return domain, table


def _table(table: DagTable, node: DagNode | None) -> Table:
    return Table(
        domain=table.domain,
        domain_name=table.domain,
        stem=table.name,
        name=table.name,
        final_domain=table.final_domain or table.domain,
        final_name=table.final_name or table.name,
        pattern=".*",
        attributes=(),
        metadata=Metadata(freshness=_freshness(node)),
        cron=node.cron if node else None,
        location=_NOWHERE,
        digest="",
    )


def _task(node: DagNode, domain: str, stem: str, table: str, reads: Sequence[str]) -> Task:
    return Task(
        transform_domain=domain,
        stem=stem,
        domain=domain,
        table=table,
        cron=node.cron,
        freshness=_freshness(node),
        references=tuple(reads),
        starlake_references=tuple(reads),
        location=_NOWHERE,
        digest="",
    )


def _freshness(node: DagNode | None) -> Freshness | None:
    return Freshness(error=f"{node.freshness:g} seconds") if node and node.freshness else None
