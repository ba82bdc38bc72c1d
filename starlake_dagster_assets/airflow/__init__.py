"""The asset graph as Airflow DAG files. Only `definitions_graph` imports Dagster; nothing imports Airflow.

- `export`: the whole export, and its report
- `export_source`: the project or the definitions that are exported
- `dag_options`: options of DAG configurations as Airflow settings
- `node_environments`: the execution environment of each node
- `dag_folder`: the folder of DAG files, which several exports can share
- `manifest`: the files, assets and loads of an export
- `shared_module`: the source of the module next to the DAG files
- `proxied_state`: switches of the tasks that can be moved to Dagster
- `notes`: settings that exported files cannot express
- `secret_validation`: the check that no file contains a secret
- `worker`: the program that runs a Starlake command for an Airflow task
"""

from typing import TYPE_CHECKING, Any

from starlake_dagster_assets._lazy import lazy

if TYPE_CHECKING:
    from starlake_dagster_assets.airflow.plan.model import AirflowOptions
    from starlake_dagster_assets.definitions_asset_graph import definitions_graph

__all__ = ["AirflowOptions", "definitions_graph"]

_HOMES = {"AirflowOptions": "plan.model", "definitions_graph": ".definitions_asset_graph"}


def __getattr__(name: str) -> Any:
    return lazy(__name__, _HOMES, name)
