"""Reads BigQuery through its own client."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, cast

from starlake_dagster_assets.commands.model import AuditRow, ExpectationRow
from starlake_dagster_assets.errors import QueryError, RunnerError, WarehouseError
from starlake_dagster_assets.execution.backends.remote.gcp import gcp_http_client
from starlake_dagster_assets.execution.failing_row_queries import Sample, failing_rows, with_limit
from starlake_dagster_assets.execution.warehouse.audit_rows import AUDIT, EXPECTATIONS, audit_row, expectation_row
from starlake_dagster_assets.execution.warehouse.connections import table_databases
from starlake_dagster_assets.execution.warehouse.expectation_evaluation import evaluate_expectations
from starlake_dagster_assets.execution.warehouse.partition_values import MOST_PARTITIONS, QUARTER_SECONDS, find_column
from starlake_dagster_assets.execution.warehouse.reader import WarehouseReader, as_texts
from starlake_dagster_assets.project.model.project import Connection, Expectation, Project

__all__ = ["BigQueryReader", "bigquery_reader"]

_SECONDS = 120
_MOMENTS = {"TIMESTAMP": "+00:00", "DATETIME": ""}


class BigQueryReader(WarehouseReader):
    """Reader of the tables of a Google Cloud project, and of other databases that the Starlake project names.

    Args:
        model: The Starlake project.
        gcp_project: Google Cloud project of the tables; "" for that of the client.
        client: Returns a client, when it is needed.
    """

    def __init__(self, model: Project, gcp_project: str, client: Callable[[], Any]) -> None:
        self._gcp_project = gcp_project
        self._model = model
        self._open = client
        self._databases = table_databases(model)

    # ---------------------------------------------------------------------------------------------- audit tables

    def audit(self, job_id: str) -> Sequence[AuditRow] | None:
        """Returns the rows of `audit.audit` with a JOBID, oldest first; None if there is no such table yet."""
        rows = self._audited("audit", "JOBID = @job ORDER BY `TIMESTAMP`", {"job": job_id})
        return None if rows is None else [audit_row(row) for row in rows]

    def expectations(self, job_id: str) -> Sequence[ExpectationRow] | None:
        """Returns the rows of `audit.expectations` with a JOBID, oldest first; at the same time, failed ones last."""
        where = "JOBID = @job ORDER BY `TIMESTAMP`, `SUCCESS` DESC"
        rows = self._audited("expectations", where, {"job": job_id})
        return None if rows is None else [expectation_row(row) for row in rows]

    def rejected(self, job_id: str, domain: str, table: str, limit: int) -> Sequence[str]:
        """Returns some texts (ERROR) of `audit.rejected` with that JOBID, DOMAIN and SCHEMA."""
        given = {"job": job_id, "domain": domain, "table": table}
        where = f"JOBID = @job AND DOMAIN = @domain AND SCHEMA = @table LIMIT {int(limit)}"
        return [str(row["ERROR"]) for row in self._audited("rejected", where, given) or ()]

    def last_load(self, domain: str, table: str) -> Sequence[AuditRow] | None:
        """Returns the LOAD rows of the newest JOBID with that DOMAIN and SCHEMA; None if there is no audit yet."""
        mine, given = "STEP = 'LOAD' AND DOMAIN = @domain AND SCHEMA = @table", {"domain": domain, "table": table}
        newest = self._audited("audit", f"{mine} ORDER BY `TIMESTAMP` DESC LIMIT 1", given)
        if not newest:
            return None if newest is None else []
        whole = {**given, "job": str(newest[0]["JOBID"])}
        return [audit_row(row) for row in self._audited("audit", f"{mine} AND JOBID = @job", whole) or ()]

    def _audited(self, table: str, rest: str, given: Mapping[str, str]) -> list[Mapping[str, Any]] | None:
        """Returns rows of an audit table by upper-case column names; None if the table does not exist."""
        from google.api_core.exceptions import NotFound

        names = {"audit": AUDIT, "expectations": EXPECTATIONS}.get(table, ("ERROR",))
        columns = ", ".join(f"`{name}`" for name in names)
        source = self._name(self._model.application.audit.domain, table)
        try:
            rows = self._query(f"SELECT {columns} FROM {source} WHERE {rest}", given)
        except NotFound:  # nothing was ever audited
            return None
        return [dict(zip(names, row.values(), strict=True)) for row in rows]

    # ----------------------------------------------------------------------------------------------------- tables

    def columns(self, schema: str, table: str) -> Sequence[tuple[str, str]]:
        """Returns name and BigQuery type of each column of a table or view; empty if it does not exist."""
        found = self._table(schema, table)
        return [(str(one.name), str(one.field_type)) for one in found.schema] if found is not None else []

    def row_count(self, schema: str, table: str) -> int | None:
        """Returns the number of rows of a table or view; None if it does not exist."""
        found = self._table(schema, table)
        if found is None:
            return None
        if found.num_rows is not None and found.table_type == "TABLE":
            return int(found.num_rows)
        return int(self._query(f"SELECT COUNT(*) FROM {self._name(schema, table)}")[0][0])

    def rows(self, schema: str, table: str, limit: int) -> Sequence[Sequence[str]]:
        """Returns some rows of a table or view as texts; those of a table are listed, which costs no query."""
        found = self._table(schema, table)
        if found is None:
            return []
        listed: Any
        if found.table_type == "TABLE":
            listed = self._client.list_rows(found, max_results=limit, timeout=_SECONDS)
        else:
            listed = self._query(f"SELECT * FROM {self._name(schema, table)} LIMIT {int(limit)}")
        return as_texts(row.values() for row in islice(listed, limit))

    def failing(self, schema: str, table: str, sql: str, limit: int) -> Sample | None:
        """Returns some rows that the query of an expectation counts now; None if it does not identify them."""
        wanted = failing_rows(sql, "bigquery")
        if wanted is None:
            return None
        counted = int(self._query(sql)[0][0])
        rows = self._query(with_limit(wanted.sql, "bigquery", limit))
        columns = list(rows[0].keys()) if rows else []
        return Sample(counted, columns, as_texts(row.values() for row in rows), wanted.renamed, wanted.tables)

    def evaluate(self, schema: str, table: str, expectations: Sequence[Expectation]) -> Sequence[ExpectationRow] | None:
        """Evaluates expectations on the current state of a table; None if it does not exist."""
        name = self._name(schema, table)
        if self._table(schema, table) is None:
            return None
        return evaluate_expectations(self._model, expectations, (schema, table), name, self._two_rows)

    def partition_counts(self, schema: str, table: str, column: str) -> Mapping[str | None, int] | None:
        """Returns the number of rows per value of a column; empty if the table does not exist, None if unknown."""
        columns = self.columns(schema, table)
        if not columns:
            return {}
        found = find_column(columns, column)
        if found is None:
            return None
        name, kind = found
        value = f"CAST(`{name}` AS STRING)"
        if kind in _MOMENTS:
            cut = f"TIMESTAMP_SECONDS(DIV(UNIX_SECONDS(TIMESTAMP(`{name}`)), {QUARTER_SECONDS}) * {QUARTER_SECONDS})"
            value = f"FORMAT_TIMESTAMP('%Y-%m-%dT%H:%M:%S{_MOMENTS[kind]}', {cut}, 'UTC')"
        source = self._name(schema, table)
        rows = self._query(f"SELECT {value} AS p, COUNT(*) FROM {source} GROUP BY p LIMIT {MOST_PARTITIONS + 1}")
        return {row[0]: int(row[1]) for row in rows} if len(rows) <= MOST_PARTITIONS else None

    # ---------------------------------------------------------------------------------------------------- details

    def _two_rows(self, sql: str) -> Sequence[Sequence[Any]]:
        from google.api_core.exceptions import BadRequest, NotFound

        try:
            return [row.values() for row in self._query(sql)[:2]]
        except (BadRequest, NotFound) as error:
            raise QueryError(str(cast("Any", error).message)) from None

    def _query(self, sql: str, given: Mapping[str, str] | None = None) -> list[Any]:
        from google.cloud import bigquery

        parameters: Any = [bigquery.ScalarQueryParameter(name, "STRING", one) for name, one in (given or {}).items()]
        config: Any = bigquery.QueryJobConfig(query_parameters=parameters)
        return list(self._client.query_and_wait(sql, job_config=config, wait_timeout=_SECONDS))

    def _table(self, schema: str, table: str) -> Any:
        from google.api_core.exceptions import NotFound

        try:
            return self._client.get_table(".".join(self._parts(schema, table)), timeout=30)
        except NotFound:
            return None

    def _name(self, schema: str, table: str) -> str:
        for part in (schema, table):
            if "`" in part or "\\" in part:
                raise RunnerError(f"{schema}.{table}: a name in BigQuery cannot contain a backtick or a backslash.")
        return ".".join(f"`{part}`" for part in self._parts(schema, table))

    def _parts(self, schema: str, table: str) -> tuple[str, str, str]:
        return self._databases.get((schema.lower(), table.lower())) or self.gcp_project, schema, table

    @property
    def gcp_project(self) -> str:
        """Google Cloud project of the tables."""
        return self._gcp_project or str(self._client.project)

    @cached_property
    def _client(self) -> Any:
        return self._open()


def bigquery_reader(
    model: Project,
    connection: Connection,
    gcp_project: str | None,
    *,
    impersonate: str | None = None,
    endpoint: str | None = None,
) -> BigQueryReader:
    """Returns the reader of a BigQuery connection.

    Args:
        model: The Starlake project.
        connection: One of its connections, to BigQuery.
        gcp_project: Google Cloud project of the tables if the connection names none; that of the credentials by
            default.
        impersonate: Service account to act as.
        endpoint: URL of BigQuery; Google's own by default.
    """
    named = connection.options.get("gcpProjectId") or connection.options.get("projectId") or gcp_project or ""

    def client() -> Any:
        try:
            from google.cloud import bigquery
        except ImportError:
            install = "pip install 'starlake-dagster-assets[bigquery]'"
            text = f"google-cloud-bigquery is not installed, and reading connection {connection.name!r} needs it"
            raise WarehouseError(f"{text}: {install}.") from None
        kind: type[Any] = bigquery.Client
        return gcp_http_client(kind, project=named or None, endpoint=endpoint, impersonate=impersonate)

    return BigQueryReader(model, named, client)
