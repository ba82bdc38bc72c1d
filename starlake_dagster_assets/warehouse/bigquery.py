"""Reads BigQuery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from starlake_dagster_assets.command.model import AuditRow, ExpectationRow
from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.project.model import Connection, Project
from starlake_dagster_assets.runners.gcp import gcp_http_client
from starlake_dagster_assets.warehouse.reader import WarehouseReader

__all__ = ["BigQueryReader", "bigquery_reader"]

_TEXTS = {"JOBID", "PATHS", "DOMAIN", "SCHEMA", "MESSAGE", "STEP", "NAME", "PARAMS", "SQL", "EXCEPTION"}
_AUDIT = [
    "JOBID",
    "PATHS",
    "DOMAIN",
    "SCHEMA",
    "SUCCESS",
    "COUNT",
    "COUNTACCEPTED",
    "COUNTREJECTED",
    "DURATION",
    "MESSAGE",
    "STEP",
]
_EXPECTATIONS = ["JOBID", "DOMAIN", "SCHEMA", "NAME", "PARAMS", "SQL", "COUNT", "EXCEPTION", "SUCCESS"]


@dataclass(frozen=True)
class BigQueryReader(WarehouseReader):
    """Queries of the audit tables, and of what BigQuery knows of a table.

    Attributes:
        project: Google Cloud project of the tables.
        domain: Dataset of the audit tables.
        impersonate: Service account to act as.
        endpoint: URL of BigQuery; Google's own by default.
    """

    project: str
    domain: str = "audit"
    impersonate: str | None = None
    endpoint: str | None = None

    def audit(self, job_id: str) -> Sequence[AuditRow]:
        """The rows of `audit.audit` with that JOBID."""
        rows = self._rows("audit", _columns(_AUDIT), "JOBID = @job", {"job": job_id})
        return [AuditRow(*row.values()) for row in rows]

    def expectations(self, job_id: str) -> Sequence[ExpectationRow]:
        """The rows of `audit.expectations` with that JOBID."""
        rows = self._rows("expectations", _columns(_EXPECTATIONS), "JOBID = @job", {"job": job_id})
        return [ExpectationRow(*row.values()) for row in rows]

    def rejected(self, job_id: str, domain: str, table: str, limit: int) -> Sequence[str]:
        """At most `limit` texts (ERROR) of `audit.rejected` with that JOBID, DOMAIN and SCHEMA."""
        given = {"job": job_id, "domain": domain, "table": table}
        where = f"JOBID = @job AND DOMAIN = @domain AND SCHEMA = @table LIMIT {int(limit)}"
        return [str(row[0]) for row in self._rows("rejected", "ERROR", where, given)]

    def columns(self, schema: str, table: str) -> Sequence[tuple[str, str]]:
        """Name and BigQuery type of each column of a table or view; empty when it does not exist."""
        found = self._table(schema, table)
        return [(str(one.name), str(one.field_type)) for one in found.schema] if found is not None else []

    def row_count(self, schema: str, table: str) -> int | None:
        """The number of rows of a table or view; None when it does not exist."""
        found = self._table(schema, table)
        if found is None:
            return None
        if found.num_rows is not None and found.table_type == "TABLE":
            return int(found.num_rows)
        return int(next(iter(self._query(f"SELECT COUNT(*) FROM {self._name(schema, table)}", {})))[0])

    def _rows(self, table: str, columns: str, where: str, given: Mapping[str, str]) -> list[Any]:
        from google.api_core.exceptions import NotFound

        try:
            return self._query(f"SELECT {columns} FROM {self._name(self.domain, table)} WHERE {where}", given)
        except NotFound:  # nothing was ever audited
            return []

    def _query(self, sql: str, given: Mapping[str, str]) -> list[Any]:
        from google.cloud import bigquery

        parameters: Any = [bigquery.ScalarQueryParameter(name, "STRING", value) for name, value in given.items()]
        config: Any = bigquery.QueryJobConfig(query_parameters=parameters)
        return list(self._client.query_and_wait(sql, job_config=config, wait_timeout=120))

    def _table(self, schema: str, table: str) -> Any:
        from google.api_core.exceptions import NotFound

        try:
            return self._client.get_table(f"{self.project}.{schema}.{table}", timeout=30)
        except NotFound:
            return None

    def _name(self, schema: str, table: str) -> str:
        for part in (schema, table):
            if "`" in part or "\\" in part:
                raise RunnerError(f"{schema}.{table}: a name in BigQuery cannot contain a backtick or a backslash.")
        return ".".join(f"`{part}`" for part in (self.project, schema, table))

    @cached_property
    def _client(self) -> Any:
        from google.cloud import bigquery

        kind: type[Any] = bigquery.Client
        return gcp_http_client(kind, project=self.project, endpoint=self.endpoint, impersonate=self.impersonate)


def bigquery_reader(
    project: Project,
    connection: Connection,
    gcp_project: str | None,
    *,
    impersonate: str | None = None,
    endpoint: str | None = None,
) -> BigQueryReader | None:
    """Returns the reader of a BigQuery connection.

    Args:
        project: The Starlake project.
        connection: One of its connections, to BigQuery.
        gcp_project: Google Cloud project of the tables where the connection names none.
        impersonate: Service account to act as.
        endpoint: URL of BigQuery; Google's own by default.

    Returns:
        None where nothing names a Google Cloud project, or google-cloud-bigquery is not installed.
    """
    named = connection.options.get("gcpProjectId") or connection.options.get("projectId") or gcp_project
    if not named:
        return None
    try:
        from google.cloud import bigquery as _  # noqa: F401
    except ImportError:
        return None
    return BigQueryReader(named, project.application.audit.domain, impersonate, endpoint)


def _columns(names: Sequence[str]) -> str:
    """Columns of the audit; null is empty text or 0, as the engine writes it elsewhere."""
    empty = {"SUCCESS": "FALSE"} | dict.fromkeys(_TEXTS, "''")
    return ", ".join(f"COALESCE(`{name}`, {empty.get(name, '0')}) AS `{name}`" for name in names)
