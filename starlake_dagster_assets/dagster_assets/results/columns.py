"""Column metadata: the schema of a table in the warehouse, and the column lineage of a task."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import dagster as dg

from starlake_dagster_assets._compat import suppress_dagster_warnings
from starlake_dagster_assets.dagster_assets.specs.metadata import described_schema
from starlake_dagster_assets.dagster_assets.specs.translator import StarlakeTranslator
from starlake_dagster_assets.graph.columns import ColumnLineage
from starlake_dagster_assets.graph.model import Node

__all__ = ["TaskColumnLineage", "warehouse_schema"]


def warehouse_schema(node: Node, columns: Sequence[tuple[str, str]]) -> dg.TableSchema:
    """Returns the schema of a table in the warehouse, with the comments and the constraints of the project.

    Args:
        node: The table or task.
        columns: Name and type of each column in the warehouse, in order.
    """
    described = described_schema(node)
    declared = {one.name.lower(): one for one in described.columns} if described is not None else {}
    return dg.TableSchema(columns=[_column(name, kind, declared.get(name.lower())) for name, kind in columns])


def _column(name: str, kind: str, declared: dg.TableColumn | None) -> dg.TableColumn:
    if declared is None:
        return dg.TableColumn(name, type=kind)
    return dg.TableColumn(name, type=kind, description=declared.description, constraints=declared.constraints)


class TaskColumnLineage:
    """Column lineage of tasks by asset keys; computed on first use, once per step.

    Args:
        translator: Translator that is bound to the project.
        keys: Asset keys by node id, if they are not those of the translator.
    """

    def __init__(self, translator: StarlakeTranslator, keys: Mapping[str, dg.AssetKey]) -> None:
        self._translator = translator
        self._keys = keys

    def of(self, node: Node) -> dg.TableColumnLineage | None:
        """Returns the column lineage of a task; None for a loaded table, and if no lineage is known."""
        if node.task is None or not (found := self.columns.lineage(node.id)):
            return None
        with suppress_dagster_warnings():
            deps = {
                column: [dg.TableColumnDep(asset_key=self._key(source), column_name=name) for source, name in sources]
                for column, sources in found.items()
            }
            return dg.TableColumnLineage(deps_by_column=deps)

    def _key(self, node: str) -> dg.AssetKey:
        return self._keys.get(node) or self._translator.spec(self._translator.graph.nodes[node]).key

    @cached_property
    def columns(self) -> ColumnLineage:
        """The columns of the whole graph, with their lineage."""
        return ColumnLineage(self._translator.graph, self._translator.project)
