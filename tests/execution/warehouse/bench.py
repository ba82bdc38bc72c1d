"""A project whose warehouse is a real PostgreSQL database, and a scripted `starlake` that writes there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa

from starlake_dagster_assets import StarlakeProject, build_definitions
from starlake_dagster_assets.resources import StarlakeShell
from tests.fakes.postgres import USER, PostgresServer
from tests.fakes.script import Scripted
from tests.fakes.scripted_starlake import CREATE_AUDIT

AUDIT = ";\n".join(CREATE_AUDIT)
"""The audit tables, as the scripted program creates them."""
_APPLICATION = """version: 1
application:
  connectionRef: pg
  expectations: {{active: true}}
  audit: {{sink: {{connectionRef: {audit}}}}}
  connections:
    pg: {{type: jdbc, options: {{url: "{url}", driver: org.postgresql.Driver, user: {user}, password: "{password}"}}}}
{more}"""
_CONFIG = 'version: 1\nload: {name: sales, metadata: {directory: "{{SL_ROOT}}/datasets/incoming/sales"}}\n'
_TABLE = """version: 1
table:
  name: NAME
  pattern: "NAME-.*.csv"
  metadata: {format: DSV, separator: ",", withHeader: true}
  attributes: [{name: id, type: long}, {name: v, type: string}]
  expectations: EXPECTATIONS
"""
_MACROS = """{% macro few(limit) %}select count(*) from sl_this where id > {{ limit }}{% endmacro %}
{% macro unique(c) %}select count(*) - count(distinct {{ c }}) from sl_this{% endmacro %}
{% macro like() %}select count(*) from sl_this where v like '%:x%'{% endmacro %}
{% macro broken() %}select nowhere from sl_this{% endmacro %}
"""


class WarehouseBench:
    """Everything that one test needs; a context."""

    def __init__(self, work: Path, server: PostgresServer, database: str) -> None:
        self.root, self.server, self.database = work / "project", server, database
        self.scripted = Scripted(work / "scripted")
        self._home = work / "home"

    def __enter__(self) -> WarehouseBench:
        self._create(self.database)
        self._home.mkdir()
        self.engine = sa.create_engine(self.server.url(self.database), poolclass=sa.NullPool)
        self.scripted.tell(warehouse=self.server.client(self.database))
        self.instance = dg.DagsterInstance.ephemeral(str(self._home)).__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.instance.__exit__(None, None, None)

    def _create(self, database: str) -> str:
        admin = sa.create_engine(self.server.url("postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with admin.connect() as con:
            con.exec_driver_sql(f"CREATE DATABASE {database}")
        return database

    def another_database(self) -> str:
        """Creates another database of the same server; returns its name."""
        return self._create(f"{self.database}_other")

    def execute(self, sql: str) -> list[Any]:
        """Runs SQL in the database, and returns its rows."""
        with self.engine.begin() as con:
            result = con.execution_options(no_parameters=True).exec_driver_sql(sql)
            return [tuple(row) for row in result] if result.returns_rows else []

    def write(self, name: str, text: str) -> None:
        """Writes a file of the project."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def project(
        self,
        tables: Mapping[str, str] = {"a": "id,v\n1,x\n2,y\n"},
        *,
        tasks: Mapping[str, str] | None = None,
        expectations: str = "[]",
        audit: str = "pg",
        more: str = "",
        url: str = "",
        password: str = "",
    ) -> StarlakeProject:
        """A project with one delivered file per table, and tasks of the domain `kpi`."""
        text = _APPLICATION.format(
            audit=audit,
            url=url or self.server.jdbc(self.database),
            user=USER,
            password=password or self.server.password,
            more=more,
        )
        self.write("metadata/application.sl.yml", text)
        self.write("metadata/expectations/e.j2", _MACROS)
        self.write("metadata/load/sales/_config.sl.yml", _CONFIG)
        for name, rows in tables.items():
            table = _TABLE.replace("NAME", name).replace("EXPECTATIONS", expectations)
            self.write(f"metadata/load/sales/{name}.sl.yml", table)
            self.write(f"datasets/incoming/sales/{name}-1.csv", rows)
        for name, sql in (tasks or {}).items():
            self.write(f"metadata/transform/kpi/{name}.sql", sql)
        return self.source()

    def source(self) -> StarlakeProject:
        """The project as it is written now."""
        return StarlakeProject(self.root, cache_dir=self._home.parent / "cache")

    def resource(self, **fields: Any) -> StarlakeShell:
        """A shell whose program is the scripted one."""
        return StarlakeShell(starlake=str(self.scripted.path), env=self.scripted.environ, grace=2.0, **fields)

    def materialize(self, resource: Any = None, **settings: Any) -> dg.ExecuteInProcessResult:
        """Runs everything in this process."""
        defs = build_definitions(self.source(), starlake=resource or self.resource(), **settings)
        resolve = getattr(defs, "resolve_implicit_global_asset_job_def", None)
        job = resolve() if resolve else defs.get_implicit_global_asset_job_def()
        return job.execute_in_process(instance=self.instance, raise_on_error=False)
