"""Reader that delegates to one reader per connection: audit and tables can be in different warehouses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlake_dagster_assets.commands.model import AuditRow, ExpectationRow
from starlake_dagster_assets.execution.failing_row_queries import Sample
from starlake_dagster_assets.execution.warehouse.reader import WarehouseReader
from starlake_dagster_assets.project.model.project import Expectation

__all__ = ["RoutingReader", "WithoutJobIds"]


class RoutingReader(WarehouseReader):
    """Reader that queries the audit's connection for audit rows, and the table's own connection for a table.

    Args:
        audit: Reader of the audit; None if it cannot be read.
        tables: Readers by final schema and table in lower case; other tables are queried by `default`.
        default: Reader of tables that the project does not write.
    """

    def __init__(
        self,
        audit: WarehouseReader | None,
        tables: Mapping[tuple[str, str], WarehouseReader | None],
        default: WarehouseReader | None,
    ) -> None:
        self._audit = audit
        self._tables = tables
        self._default = default
        readers = [reader for reader in (audit, default, *tables.values()) if reader is not None]
        self.supports_concurrent_reads = all(reader.supports_concurrent_reads for reader in readers)

    def audit(self, job_id: str) -> Sequence[AuditRow] | None:
        """Returns the rows of `audit.audit` with a JOBID."""
        return self._audit.audit(job_id) if self._audit is not None else None

    def expectations(self, job_id: str) -> Sequence[ExpectationRow] | None:
        """Returns the rows of `audit.expectations` with a JOBID."""
        return self._audit.expectations(job_id) if self._audit is not None else None

    def rejected(self, job_id: str, domain: str, table: str, limit: int) -> Sequence[str]:
        """Returns some texts of `audit.rejected`."""
        return self._audit.rejected(job_id, domain, table, limit) if self._audit is not None else ()

    def last_load(self, domain: str, table: str) -> Sequence[AuditRow] | None:
        """Returns the LOAD rows of the newest load of a table."""
        return self._audit.last_load(domain, table) if self._audit is not None else None

    def load_partition_counts(self, job_id: str, domain: str, table: str) -> Mapping[str | None, int] | None:
        """Returns the number of rows per partition that a load wrote."""
        return self._audit.load_partition_counts(job_id, domain, table) if self._audit is not None else None

    def columns(self, schema: str, table: str) -> Sequence[tuple[str, str]] | None:
        """Returns name and type of each column of a table."""
        reader = self._of(schema, table)
        return reader.columns(schema, table) if reader is not None else None

    def row_count(self, schema: str, table: str) -> int | None:
        """Returns the number of rows of a table."""
        reader = self._of(schema, table)
        return reader.row_count(schema, table) if reader is not None else None

    def rows(self, schema: str, table: str, limit: int) -> Sequence[Sequence[str]]:
        """Returns some rows of a table as texts."""
        reader = self._of(schema, table)
        return reader.rows(schema, table, limit) if reader is not None else ()

    def failing(self, schema: str, table: str, sql: str, limit: int) -> Sample | None:
        """Returns some rows that the query of an expectation counts."""
        reader = self._of(schema, table)
        return reader.failing(schema, table, sql, limit) if reader is not None else None

    def evaluate(self, schema: str, table: str, expectations: Sequence[Expectation]) -> Sequence[ExpectationRow] | None:
        """Evaluates expectations on the current state of a table."""
        reader = self._of(schema, table)
        return reader.evaluate(schema, table, expectations) if reader is not None else None

    def partition_counts(self, schema: str, table: str, column: str) -> Mapping[str | None, int] | None:
        """Returns the number of rows per value of a column."""
        reader = self._of(schema, table)
        return reader.partition_counts(schema, table, column) if reader is not None else None

    def _of(self, schema: str, table: str) -> WarehouseReader | None:
        return self._tables.get((schema.lower(), table.lower()), self._default)


class WithoutJobIds(RoutingReader):
    """Reader of everything except audit rows, for commands without `SL_JOB_ID`, whose rows cannot be found.

    Args:
        reader: Reads the warehouse.
    """

    def __init__(self, reader: WarehouseReader) -> None:
        super().__init__(reader, {}, reader)

    def audit(self, job_id: str) -> Sequence[AuditRow] | None:
        """Returns None: the rows of a command are unknown."""
        return None

    def expectations(self, job_id: str) -> Sequence[ExpectationRow] | None:
        """Returns None: the rows of a command are unknown."""
        return None
