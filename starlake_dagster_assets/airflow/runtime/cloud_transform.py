"""Decides the result of a transform in a cloud by its row in Starlake's audit: `post_execute` of its Airflow task.

Exported next to the DAG files.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from starlake_dagster_assets.airflow.runtime.macros import emit_window, job_id
from starlake_dagster_assets.commands.model import AuditRow, CommandExit
from starlake_dagster_assets.execution.evidence import CommandEnd
from starlake_dagster_assets.execution.reconcile import reconcile_transform

__all__ = ["end_transform"]


def end_transform(
    domain: str, name: str, *, table: str, conn_id: str = "", gcp_conn_id: str = ""
) -> Callable[[Any, Any], None]:
    """Returns the `post_execute` of a transform: it decides the result of a command that ended with exit code 0.

    Args:
        domain: Schema of the task's table in the warehouse.
        name: Name of the task's table in the warehouse.
        table: The table `audit.audit`.
        conn_id: Connection to the warehouse.
        gcp_conn_id: Connection to BigQuery, instead of `conn_id`.
    """

    def end(context: Any, result: Any = None) -> None:
        job = job_id(context)
        hook = _bigquery_hook(context, gcp_conn_id) if gcp_conn_id else _sql_hook(conn_id)
        verdict = reconcile_transform(
            domain, name, CommandEnd((), CommandExit(0, 0.0), rows=_audit_rows(hook, table, job))
        )
        if verdict.status == "failed":
            raise RuntimeError(f"{domain}.{name}: failed: {verdict.reason or f'see {table} (JOBID {job})'}")
        if verdict.status != "loaded":
            raise RuntimeError(
                f"{domain}.{name}: unknown: the command ended with exit code 0, and {table} has no row of it (JOBID "
                f"{job}). Look into its log; check that the command gets the variable SL_JOB_ID."
            )
        emit_window(context)

    return end


def _audit_rows(hook: Any, table: str, job: str) -> list[AuditRow]:
    """Reads the rows that the transforms of a command left in the audit."""
    found = hook.get_records(
        f"SELECT domain, schema, CASE WHEN success THEN 1 ELSE 0 END, message "
        f"FROM {table} WHERE jobid = '{job}' AND step = 'TRANSFORM'"
    )
    return [
        AuditRow(job, "", domain, schema, bool(success), 0, 0, 0, 0, message or "", "TRANSFORM")
        for domain, schema, success, message in found or ()
    ]


def _sql_hook(conn_id: str) -> Any:
    return import_module("airflow.providers.common.sql.operators.sql").BaseSQLOperator.get_hook(conn_id)


def _bigquery_hook(context: Any, conn_id: str) -> Any:
    module = import_module("airflow.providers.google.cloud.hooks.bigquery")
    account = getattr(context["task"], "impersonation_chain", None)
    return module.BigQueryHook(gcp_conn_id=conn_id, use_legacy_sql=False, impersonation_chain=account)
