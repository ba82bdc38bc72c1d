"""Sample rows of a failed check, without the values that the project declares private."""

from collections.abc import Iterable, Sequence

import dagster as dg

from starlake_dagster_assets.dagster_assets.specs.row_previews import as_table, may_be_shown, one_line
from starlake_dagster_assets.execution.expectation_checks import CheckResult
from starlake_dagster_assets.execution.warehouse.reader import WarehouseReader
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.graph.privacy import PrivateColumns
from starlake_dagster_assets.project.model.project import Project

__all__ = ["Samples"]

_LONGEST = 300


class Samples:
    """Reads sample rows and renders them as Markdown, without private values.

    Args:
        reader: Warehouse reader; None if the warehouse cannot be read.
        private: Private columns, whose values are not shown.
        project: The project's models.
        limit: Maximum number of rows per check; 0 shows none.
    """

    def __init__(self, reader: WarehouseReader | None, private: PrivateColumns, project: Project, limit: int) -> None:
        self._reader = reader
        self._private = private
        self._project = project
        self._limit = limit

    def failing(self, node: Node, check: CheckResult) -> dg.MarkdownMetadataValue | None:
        """Returns rows that an expectation counted as failed, as a Markdown table.

        Args:
            node: The table or task.
            check: The result of the expectation.

        Returns:
            The table; None if the expectation passed, if its query does not identify the failing rows, if row-level
            security filters them, or if the failure rolled them back. In a project with private columns, also None if
            the query reads other tables, or computes with a column that may not be shown.
        """
        reader = self._reader
        if reader is None or not self._limit or not may_be_shown(node):
            return None
        if check.passed or not check.count or not check.sql:
            return None
        try:
            found = reader.failing(*node.target, check.sql, self._limit)
        except Exception:  # whatever a driver raises: a sample is a courtesy
            return None
        if found is None or found.count != check.count or not found.rows:
            return None
        if not self._private.names:
            return as_table(found.columns, found.rows, lambda column: True)
        if not self._reads_only(node, found.tables) or not self._may_compute(node, found.renamed):
            return None
        own = {name.lower() for name, _ in reader.columns(*node.target) or ()}
        return as_table(
            found.columns, found.rows, lambda column: column.lower() in own and self._private.shows(node, column)
        )

    def _may_compute(self, node: Node, columns: Iterable[str]) -> bool:
        """Whether all columns that a query computes with may be shown; `*` stands for columns without a known name."""
        return all(column != "*" and self._private.shows(node, column) for column in columns)

    @staticmethod
    def _reads_only(node: Node, tables: Iterable[str]) -> bool:
        own = [part.lower() for part in node.target]
        return all(table.lower().split(".")[-2:] in (own, own[-1:]) for table in tables)

    def rejected(self, node: Node, messages: Sequence[str]) -> dg.MarkdownMetadataValue | None:
        """Returns the reasons of rejected rows as a Markdown table, with the file of each.

        Args:
            node: The table.
            messages: Values of the column ERROR of `audit.rejected`.
        """
        if not self._limit or not messages or not may_be_shown(node):
            return None
        rows = [self._reason(node, text) for text in messages[: self._limit]]
        lines = ["| why | file |", "| --- | --- |", *(f"| {why} | {file} |" for why, file in rows)]
        return dg.MetadataValue.md("\n".join(lines))

    def _reason(self, node: Node, text: str) -> tuple[str, str]:
        """Returns reason and file of a rejected row; if `rejectWithValue` is set, without values of private columns."""
        cause, _, file = text.removeprefix("ERR ->").partition("FILE ->")
        reasons: list[str] = []
        for line in filter(str.strip, cause.splitlines()):
            if line.startswith("`") or not reasons:
                reasons.append(line.strip())
            else:  # the value goes on
                reasons[-1] += f" {line.strip()}"
        if self._project.application.reject_with_value:
            reasons = [self._without_value(node, reason) for reason in reasons]
        return one_line("; ".join(reasons), _LONGEST), one_line(file.strip().rsplit("/", 1)[-1], _LONGEST)

    def _without_value(self, node: Node, reason: str) -> str:
        raw = reason[1:].partition("`")[0].partition(".")[0] if reason.startswith("`") else ""
        named = {one.name: one.final_name for one in node.table.attributes} if node.table is not None else {}
        if raw in named and self._private.shows(node, named[raw]):
            return reason
        return f"`{raw}` was rejected; its value is private" if raw in named else "rejected; its values may be private"
