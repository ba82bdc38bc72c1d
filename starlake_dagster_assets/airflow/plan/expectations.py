"""Expectations as Airflow tasks, which query the results that Starlake wrote into its audit."""

from __future__ import annotations

import re
from collections.abc import Iterable

from starlake_dagster_assets.airflow.plan.model import AirflowOptions, AuditSchema, EnvironmentName
from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.environments import get_environment
from starlake_dagster_assets.execution.expectation_checks import named_expectations
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.project.model.project import Application

__all__ = ["find_audit_schema", "select_expectations"]

_NAME = re.compile(r"[\w $-]+")


def find_audit_schema(
    project: ProjectSource, environment: EnvironmentName, options: AirflowOptions
) -> AuditSchema | None:
    """Returns the audit that tasks can query, with its Airflow connection; None if tasks cannot query the audit.

    A driver on Dataproc has the environment of its cluster, not of its job: its rows cannot be identified.

    Args:
        project: The project.
        environment: Execution environment of the commands.
        options: `checks` is the connection; by default `google_cloud_default`, for an audit in BigQuery on Cloud Run.
    """
    application = project.model.application
    stored = project.model.connection(application.audit.connection or application.connection_ref)
    bigquery = stored is not None and stored.engine == "bigquery"
    renderer = get_environment(environment).operator_renderer()
    connection = options.checks or (renderer.bigquery_connection if bigquery else None)
    if connection is None or not renderer.has_job_ids or not application.audit.active:
        return None
    audit = application.audit
    parts = [part for part in (audit.database, audit.domain) if part]
    quote = "`" if bigquery else '"'
    if not all(_NAME.fullmatch(part) for part in parts):
        return None
    name = ".".join(part if part.isidentifier() and part.isascii() else f"{quote}{part}{quote}" for part in parts)
    return AuditSchema(connection, name, bigquery)


def select_expectations(nodes: Iterable[Node], application: Application, *, blocking: bool) -> tuple[str, ...]:
    """Returns the distinct expectations of nodes that block, or those that do not block, without empty ones.

    Args:
        nodes: The nodes of one task. An expectation that blocks one of them blocks all: its rows are queried together.
        application: Sets the default of `failOnError`.
        blocking: Whether to return the expectations that block, or else the others.
    """
    named = [item for node in nodes for item in named_expectations(node, application)]
    blocks = {item.expect for item in named if item.blocking}
    chosen = [item.expect for item in named if (item.expect in blocks) is blocking and item.expect.strip()]
    return tuple(dict.fromkeys(chosen))
