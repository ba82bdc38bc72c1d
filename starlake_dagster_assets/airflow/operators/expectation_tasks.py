"""Tasks that query the audit of Starlake for results of expectations, in every environment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlake_dagster_assets.airflow.dag_options import Templates
from starlake_dagster_assets.airflow.plan.model import AuditSchema, TaskSpec
from starlake_dagster_assets.airflow.render.source import Call, Raw

__all__ = ["JOB_ID", "ExpectationCheckRenderer"]

JOB_ID = "{{ job_id() }}"
"""Template of `SL_JOB_ID`, which identifies the audit rows of a command by DAG, task, run and try."""

_ALTERED = " \t\n\r'\"`{}\\"
"""Characters that Starlake alters when it writes a text into its audit: both sides are compared without them."""


@dataclass(frozen=True)
class ExpectationCheckRenderer:
    """Renderer of the expectation checks of a DAG.

    Attributes:
        audit: The audit schema that the checks query.
        warns: Whether some of the checks only warn.
        templates: Templates of the root of the project, which an expectation may contain.
    """

    audit: AuditSchema
    warns: bool
    templates: Templates
    reserved = ("EXPECTATIONS", "expectations_query")

    @property
    def imports(self) -> Sequence[str]:
        """Import of the check operator."""
        if not self.audit.bigquery:
            return ["from airflow.providers.common.sql.operators.sql import SQLCheckOperator"]
        module = "airflow.providers.google.cloud.operators.bigquery"
        return [f"from {module} import (\n    BigQueryCheckOperator,\n)"]

    def constants(self) -> Sequence[tuple[str, Any]]:
        """Returns the constant with the name of the table of expectation results."""
        return [("EXPECTATIONS", f"{self.audit.name}.expectations")]

    def task(self, task: TaskSpec) -> tuple[str, list[tuple[str, Any]]]:
        """Returns the operator of a check and its own arguments; a check is not retried."""
        texts = [
            self.templates.root.join(map(_plain, self.templates.split_at_root(text))) for text in task.expectations
        ]
        texts += [Raw("idle=True")] if task.idle else []
        own: list[tuple[str, Any]] = [
            ("sql", Call("expectations_query", [Raw("EXPECTATIONS"), task.checks, *texts])),
            ("retries", 0),
        ]
        if self.audit.bigquery:
            return "BigQueryCheckOperator", [("gcp_conn_id", self.audit.connection), ("use_legacy_sql", False), *own]
        return "SQLCheckOperator", [("conn_id", self.audit.connection), *own]


def _plain(text: str) -> str:
    return "".join(char for char in text if char not in _ALTERED)
