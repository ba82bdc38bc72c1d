"""Projects for the tests of Airflow files: random ones, and one whose names bite."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from starlake_dagster_assets.graph.build import build_graph
from starlake_dagster_assets.graph.model import Edge, Graph
from starlake_dagster_assets.project.model.project import Connection, Expectation, Project
from tests.graph.conftest import project, table, task

__all__ = ["ODD", "Source", "cloud_project", "odd_project", "random_project"]

ODD = [
    'say"so',
    "it's",
    "a{{ 7*7 }}b",
    "{% raw",
    "{# no",
    "$(touch owned)",
    "`touch owned`",
    "été🥐",
    "a b.sh",
    "x\\n\\",
]
_CRONS = [None, None, "0 5 * * *", "*/15 6-18 * * 1-5"]


@dataclass(frozen=True)
class Source:
    """A project without files; `edges` come to those that its SQL has."""

    model: Project
    root: Path = Path("/project")
    env: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    edges: tuple[Edge, ...] = ()
    problems: tuple[()] = ()

    @cached_property
    def graph(self) -> Graph:
        found = build_graph(self.model)[0]
        return replace(found, edges=tuple(sorted({*found.edges, *self.edges})))


def random_project(seed: int) -> Source:
    """Tables and tasks in a few domains, each task reads some of what comes before it."""
    dice = random.Random(seed)
    found, names = [], []
    for number in range(dice.randint(1, 6)):
        domain = dice.choice(["sales", "crm$", "Été"])
        found.append(table(domain, f"t{number}", cron=dice.choice(_CRONS)))
        names.append(f'"{domain}"."t{number}"')
    for number in range(dice.randint(1, 12)):
        domain, stem = dice.choice(["kpi", "Mart", "sales"]), f"k{number}"
        reads = dice.sample(names, dice.randint(0, min(4, len(names))))
        sql = "select 1 as x" + "".join(f", (select count(*) from {name}) as c{i}" for i, name in enumerate(reads))
        tags = [f"dataset_triggering_strategy={dice.choice(['any', 'all'])}"]
        found.append(task(domain, stem, sql, cron=dice.choice(_CRONS), tags=tuple(tags)))
        names.append(f'"{domain}"."{stem}"')
    return Source(project(*found))


def cloud_project(store: str, engine: str = "bigquery") -> Source:
    """A table and a task that reads it, both with expectations; its files come into an object store."""
    items = (Expectation(expect="expect_unique('id')", fail_on_error=True), Expectation(expect="expect_rows(1)"))
    load = table("sales", "orders", cron="0 5 * * *", expectations=items)
    made = task("kpi", "sums", "select * from sales.orders", expectations=items)
    model = project(load, made, incoming=f"{store}://files/in/sales")
    connections = {"db": Connection(name="db", type=engine)}
    known = {"connection_ref": "db", "connections": connections, "datasets": f"{store}://files/datasets"}
    return Source(model.model_copy(update={"application": model.application.model_copy(update=known)}))


def odd_project() -> Source:
    """Tables and tasks whose names mean something to Python, Jinja or a shell."""
    tables = [table("odd", name, comment=f"{name} '''") for name in ODD]
    tasks = [task("oddities", name, "select 1 as x", comment='"""' + name) for name in ODD]
    return Source(project(*tables, *tasks))
