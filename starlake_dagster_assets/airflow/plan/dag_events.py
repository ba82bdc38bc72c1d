"""Asset events of whole DAGs: one event per run of a DAG that materializes several upstreams of another DAG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlake_dagster_assets.airflow.plan.grouping import DagNodes
from starlake_dagster_assets.airflow.plan.ids import Ids
from starlake_dagster_assets.airflow.plan.model import AssetExpression

__all__ = ["DagEvents"]


class DagEvents:
    """Asset events of the DAGs that other DAGs follow as a whole.

    Args:
        found: All DAGs of the export.
        names: Ids of the DAGs, in the same order.
        ids: Form of the URIs.
    """

    def __init__(self, found: Sequence[DagNodes], names: Sequence[str], ids: Ids) -> None:
        self._dag_numbers = {node: number for number, dag_nodes in enumerate(found) for node in dag_nodes.nodes}
        wanted = {number for dag_nodes in found for number in self._followed(dag_nodes)}
        form = "{}" if ids == "starlake" else "x-starlake-dag://{}"  # starlake-airflow has an event of that name itself
        self._uris = {number: form.format(name) for number, name in enumerate(names) if number in wanted}
        self._numbers = {id(dag_nodes): number for number, dag_nodes in enumerate(found)}

    @property
    def named(self) -> Mapping[str, str]:
        """The URIs by a description of their DAG, for messages."""
        return {f"the DAG {uri}": uri for uri in self._uris.values()}

    def of(self, dag_nodes: DagNodes) -> str | None:
        """Returns the URI of the event of a DAG; None if no DAG follows it as a whole."""
        return self._uris.get(self._numbers[id(dag_nodes)])

    def schedule(self, dag_nodes: DagNodes, uris: Mapping[str, str]) -> AssetExpression:
        """Returns the assets that start a DAG whose tasks follow any of their upstreams.

        Args:
            dag_nodes: The DAG.
            uris: URIs of assets by node id.
        """
        followed = self._followed(dag_nodes)
        names = dag_nodes.start.names if isinstance(dag_nodes.start, AssetExpression) else ()
        uris_of_names = [
            self._uris[self._dag_numbers[name]] if self._dag_numbers[name] in followed else uris[name] for name in names
        ]
        parts = tuple(dict.fromkeys(uris_of_names))
        return AssetExpression("|" if len(parts) > 1 else "&", parts)

    def _followed(self, dag_nodes: DagNodes) -> frozenset[int]:
        """Returns the numbers of the DAGs of which a DAG follows several nodes."""
        names = (
            dag_nodes.start.names if dag_nodes.follows_updates and isinstance(dag_nodes.start, AssetExpression) else ()
        )
        numbers = [self._dag_numbers[name] for name in names]
        return frozenset(number for number in numbers if numbers.count(number) > 1)
