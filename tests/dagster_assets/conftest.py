from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from starlake_dagster_assets.graph.build import build_graph
from starlake_dagster_assets.graph.model import Graph
from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.project.model.project import (
    Application,
    Connection,
    Domain,
    Expectation,
    ExpectationSettings,
    Location,
    Metadata,
    Project,
    Table,
    Task,
    TransformDomain,
)


@dataclass
class Source:
    """A project made of models, without files."""

    model: Project
    root: Path = Path("/project")
    env: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    problems: Sequence[Problem] = ()

    @property
    def graph(self) -> Graph:
        if not hasattr(self, "_graph"):
            self._graph, _ = build_graph(self.model)
        return self._graph


def make_table(name: str, domain: str = "sales", **changes: Any) -> Table:
    values: dict[str, Any] = {
        "domain": domain,
        "domain_name": domain,
        "stem": name,
        "name": name,
        "final_domain": domain,
        "final_name": name,
        "pattern": f"{name}.*.csv",
        "attributes": (),
        "metadata": Metadata(directory=f"/in/{domain}"),
        "connection": "duck",
        "location": Location(file=f"metadata/load/{domain}/{name}.sl.yml", line=3),
        "digest": f"digest-of-{domain}-{name}",
    }
    return Table(**{**values, **changes})


def make_task(name: str, reads: Sequence[str] = (), domain: str = "kpi", **changes: Any) -> Task:
    values: dict[str, Any] = {
        "transform_domain": domain,
        "stem": name,
        "domain": domain,
        "table": name,
        "sql": " union all ".join(f"select * from {one}" for one in reads) or "select 1 as a",
        "run_connection": "duck",
        "connection": "duck",
        "references": tuple(reads),
        "starlake_references": tuple(reads),
        "location": Location(file=f"metadata/transform/{domain}/{name}.sl.yml"),
        "sql_location": Location(file=f"metadata/transform/{domain}/{name}.sql", line=1),
        "digest": f"digest-of-{domain}-{name}",
    }
    return Task(**{**values, **changes})


def make_source(tables: Sequence[Table] = (), tasks: Sequence[Task] = (), **application: Any) -> Source:
    by_domain: dict[str, list[Table]] = {}
    for table in tables:
        by_domain.setdefault(table.domain, []).append(table)
    by_transform: dict[str, list[Task]] = {}
    for task in tasks:
        by_transform.setdefault(task.transform_domain, []).append(task)
    where = Location(file="metadata/_config.sl.yml")
    settings: dict[str, Any] = {
        "connections": {"duck": Connection(name="duck", type="jdbc", options={"url": "jdbc:duckdb:/d/x.db"})},
        "datasets": "/project/datasets",
    }
    return Source(
        Project(
            root="/project",
            env=None,
            variables={"DB_PASSWORD": "hunter22"},
            application=Application(**{**settings, **application}),
            types={},
            domains=tuple(
                Domain(
                    directory=name,
                    name=found[0].domain_name,
                    final_name=found[0].final_domain,
                    incoming=f"/in/{name}",
                    tables=tuple(found),
                    location=where,
                )
                for name, found in by_domain.items()
            ),
            transforms=tuple(
                TransformDomain(directory=name, name=name, tasks=tuple(found), location=where)
                for name, found in by_transform.items()
            ),
        )
    )


@dataclass(frozen=True)
class Make:
    table: Callable[..., Table] = make_table
    task: Callable[..., Task] = make_task
    source: Callable[..., Source] = make_source
    expectation: type[Expectation] = Expectation
    settings: type[ExpectationSettings] = ExpectationSettings


@pytest.fixture
def make() -> Make:
    return Make()


@pytest.fixture
def sales(make: Make) -> Source:
    """Two tables of one domain, three tasks: two of one table each, one of both tasks."""
    return make.source(
        [make.table("orders"), make.table("customers")],
        [
            make.task("revenue", ["sales.orders"]),
            make.task("people", ["sales.customers"]),
            make.task("summary", ["kpi.revenue", "kpi.people"]),
        ],
    )


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance
