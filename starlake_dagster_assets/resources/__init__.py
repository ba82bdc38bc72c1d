"""Dagster resources that run Starlake: one module per environment, imported when its name is first used.

- `base`: `StarlakeResource`
- `remote`, `google`: base classes of remote environments
- `project_variables`: `SL_ENV` and `SL_ROOT` in the fields of a resource
- `duckdb`, `shell`, `dataproc`, `cloud_run`, `fargate`, `kubernetes`: one per environment of the registry
  (`starlake_dagster_assets.environments`)
- `dataproc_sweeper`: the sensor that deletes orphaned clusters
- `warehouse`: access to the warehouse
- `guarded_calls`: calls of the methods that a resource of another package overrides
- `env_vars`: fields with `dg.EnvVar`
- `pools`: the pool of a DuckDB file
"""

from typing import TYPE_CHECKING, Any

from starlake_dagster_assets._lazy import lazy

if TYPE_CHECKING:
    from starlake_dagster_assets.resources.base import StarlakeResource
    from starlake_dagster_assets.resources.cloud_run import StarlakeCloudRun
    from starlake_dagster_assets.resources.dataproc import DataprocCluster, DataprocServerless, StarlakeDataproc
    from starlake_dagster_assets.resources.duckdb import StarlakeDuckDB
    from starlake_dagster_assets.resources.fargate import StarlakeFargate
    from starlake_dagster_assets.resources.kubernetes import StarlakeKubernetes
    from starlake_dagster_assets.resources.remote import StarlakeRemoteResource
    from starlake_dagster_assets.resources.shell import StarlakeShell

__all__ = [
    "DataprocCluster",
    "DataprocServerless",
    "StarlakeCloudRun",
    "StarlakeDataproc",
    "StarlakeDuckDB",
    "StarlakeFargate",
    "StarlakeKubernetes",
    "StarlakeRemoteResource",
    "StarlakeResource",
    "StarlakeShell",
]

_HOMES = {
    "DataprocCluster": "dataproc",
    "DataprocServerless": "dataproc",
    "StarlakeRemoteResource": "remote",
    "StarlakeResource": "base",
}
"""Modules of the exported names that are not in the registry of environments."""


def __getattr__(name: str) -> Any:
    homes = _HOMES
    if name in __all__ and name not in homes:
        from starlake_dagster_assets.environments import resource_modules

        homes = {kind: module.removeprefix(f"{__name__}.") for kind, module in resource_modules().items()}
    return lazy(__name__, homes, name)
