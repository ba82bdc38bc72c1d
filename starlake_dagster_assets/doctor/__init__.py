"""Checks whether a project can run: the machine, the execution environment, the warehouse.

- `project`: checks of the machine
- `environment`, `kubernetes`: checks of an execution environment
- `warehouse`: checks of the warehouse
"""

from starlake_dagster_assets.doctor.project import Finding

__all__ = ["Finding"]
