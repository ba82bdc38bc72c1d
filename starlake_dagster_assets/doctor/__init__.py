"""Checks whether a project can run: the machine, the execution environment, the warehouse.

- `project`: checks of the installation, the project and the starlake program
- `environment`, `kubernetes`: checks of an execution environment
- `warehouse`: checks of the warehouse
"""

from starlake_dagster_assets.doctor.project import Finding

__all__ = ["Finding"]
