"""Iterator over the events of a step, with methods that add row counts, columns, previews and samples."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import dagster as dg

from starlake_dagster_assets.execution.failing_row_queries import MOST_SAMPLES

if TYPE_CHECKING:
    from starlake_dagster_assets.resources import StarlakeResource

__all__ = ["Execute", "Fetch", "StarlakeEvent", "StarlakeEventIterator"]

StarlakeEvent: TypeAlias = (
    "dg.MaterializeResult[Any] | dg.AssetMaterialization | dg.AssetCheckResult | dg.AssetObservation | dg.DagsterEvent"
)

Execute: TypeAlias = "Callable[[dg.AssetExecutionContext, StarlakeResource], Iterator[StarlakeEvent]]"
"""The body of a step: a function such as `starlake_assets` decorates."""


@dataclass(frozen=True)
class Fetch:
    """Metadata that is read from the warehouse for each materialized table.

    Attributes:
        row_counts: Whether to count the rows of the table.
        columns: Whether to read the columns of the table and trace their lineage.
        preview: Maximum number of rows of the table to read.
        samples: Maximum number of rows to read per failed check.
    """

    row_counts: bool = False
    columns: bool = False
    preview: int = 0
    samples: int = 5

    def __post_init__(self) -> None:
        if self.preview < 0:
            raise ValueError(f"`preview` is a number of rows from 0, not {self.preview}. Set 0 to show no row.")
        if not 0 <= self.samples <= MOST_SAMPLES:
            raise ValueError(f"`samples` is a number of rows from 0 to {MOST_SAMPLES}, not {self.samples}.")

    def __bool__(self) -> bool:
        """Whether metadata of a table is fetched, so that its materialization waits until the warehouse can be read."""
        return self.row_counts or self.columns or self.preview > 0


class StarlakeEventIterator(Iterator[StarlakeEvent]):
    """Iterator over the events of a run; yields each event as soon as the result of its table is known.

    Args:
        start: Starts the run, given the metadata to read.
        fetch: Metadata that is read from the warehouse.
    """

    def __init__(self, start: Callable[[Fetch], Iterator[StarlakeEvent]], fetch: Fetch | None = None) -> None:
        self._start = start
        self._fetch = Fetch() if fetch is None else fetch
        self._events: Iterator[StarlakeEvent] | None = None

    def fetch_row_counts(self) -> "StarlakeEventIterator":
        """Adds the metadata `dagster/row_count`, counted in the warehouse."""
        return StarlakeEventIterator(self._start, replace(self._fetch, row_counts=True))

    def fetch_column_metadata(self) -> "StarlakeEventIterator":
        """Adds the metadata `dagster/column_schema`, read from the warehouse, and `dagster/column_lineage`."""
        return StarlakeEventIterator(self._start, replace(self._fetch, columns=True))

    def fetch_preview(self, rows: int = 5) -> "StarlakeEventIterator":
        """Adds the metadata `starlake/preview`: some rows of the table, in the order of the warehouse.

        Columns with `privacy`, and columns computed from them, are shown as `***`. Tables with `rls` are not shown.

        Args:
            rows: Maximum number of rows. Dagster stores them in its event log.

        Raises:
            ValueError: When the number is negative.
        """
        return StarlakeEventIterator(self._start, replace(self._fetch, preview=rows))

    def fetch_samples(self, rows: int = 5) -> "StarlakeEventIterator":
        """Sets the number of rows that a failed check shows (default: 5); private columns are hidden as in a preview.

        Args:
            rows: At most 20; 0 shows none.

        Raises:
            ValueError: When the number is not from 0 to 20.
        """
        return StarlakeEventIterator(self._start, replace(self._fetch, samples=rows))

    def __next__(self) -> StarlakeEvent:
        if self._events is None:
            self._events = self._start(self._fetch)
        return next(self._events)

    def close(self) -> None:
        """Stops the run and cancels the commands that it started."""
        close = getattr(self._events, "close", None)
        if close is not None:
            close()
