"""Small projects made by hand, so that these tests need no files."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from starlake_dagster_assets.project.model.project import (
    Application,
    Attribute,
    Connection,
    Domain,
    ExternalTable,
    Location,
    Metadata,
    Project,
    Table,
    Task,
    TransformDomain,
)
from starlake_dagster_assets.project.sql.references import find_references, find_starlake_references


def table(domain: str, stem: str, columns: Sequence[str | Attribute] = ("id",), **more: Any) -> Table:
    attributes = tuple(c if isinstance(c, Attribute) else Attribute(name=c) for c in columns)
    values: dict[str, Any] = {
        "domain_name": domain,
        "name": stem,
        "final_domain": domain,
        "final_name": stem,
        "pattern": f"{stem}.*",
        "metadata": Metadata(),
        "location": Location(file=f"metadata/load/{domain}/{stem}.sl.yml"),
        "digest": "0",
        **more,
    }
    return Table(domain=domain, stem=stem, attributes=attributes, **values)


def task(directory: str, stem: str, sql: str | None = None, *, dialect: str = "duckdb", **more: Any) -> Task:
    values: dict[str, Any] = {
        "domain": directory,
        "table": stem,
        "sql": sql,
        "source_sql": sql,
        "run_connection": "db",
        "references": find_references(sql, dialect) if sql else (),
        "starlake_references": find_starlake_references(sql) if sql else (),
        "location": Location(file=f"metadata/transform/{directory}/{stem}.sl.yml"),
        "sql_location": Location(file=f"metadata/transform/{directory}/{stem}.sql", line=1) if sql else None,
        "digest": "0",
        **more,
    }
    return Task(transform_domain=directory, stem=stem, **values)


def external(domain: str, name: str, columns: Sequence[str] = ()) -> ExternalTable:
    file = f"metadata/external/{domain}/{name}.sl.yml"
    attributes = tuple(Attribute(name=c) for c in columns)
    return ExternalTable(domain=domain, name=name, attributes=attributes, location=Location(file=file))


def project(
    *objects: Table | Task | ExternalTable, dialect: str = "duckdb", incoming: str | None = None, **app: Any
) -> Project:
    tables = [o for o in objects if isinstance(o, Table)]
    tasks = [o for o in objects if isinstance(o, Task)]
    domains = tuple(
        Domain(
            directory=name,
            name=name,
            final_name=name,
            incoming=incoming,
            tables=tuple(t for t in tables if t.domain == name),
            location=Location(file=f"metadata/load/{name}/_config.sl.yml"),
        )
        for name in dict.fromkeys(t.domain for t in tables)
    )
    transforms = tuple(
        TransformDomain(
            directory=name,
            name=name,
            tasks=tuple(t for t in tasks if t.transform_domain == name),
            location=Location(file=f"metadata/transform/{name}"),
        )
        for name in dict.fromkeys(t.transform_domain for t in tasks)
    )
    connection = Connection(name="db", type="jdbc", options={"url": f"jdbc:{dialect}:x"}, transpile_dialect=dialect)
    return Project(
        root="/project",
        env=None,
        variables={},
        application=Application(datasets="/project/datasets", connections={"db": connection}, **app),
        types={},
        domains=domains,
        transforms=transforms,
        externals=tuple(o for o in objects if isinstance(o, ExternalTable)),
    )


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    return SimpleNamespace(table=table, task=task, external=external, project=project)
