"""Access of a resource to the warehouse of its project, in every execution environment."""

from typing import Any, cast

import dagster as dg
from pydantic import Field

from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.execution.warehouse.reader import WarehouseReader
from starlake_dagster_assets.execution.warehouse.reader_factory import WarehouseAccess, warehouse_reader
from starlake_dagster_assets.execution.warehouse.resource_login import is_supported
from starlake_dagster_assets.resources.base import StarlakeResource
from starlake_dagster_assets.resources.guarded_calls import call_resource

__all__ = ["StarlakeWarehouseResource"]


class StarlakeWarehouseResource(StarlakeResource):
    """Base class of the resources whose commands write to a warehouse that this process reads."""

    warehouse_urls: dict[str, str] = Field(
        default_factory=dict,
        description="SQLAlchemy URL by connection of the project, if its own options do not work in this process; "
        "use EnvVar for URLs with a password.",
    )

    warehouse: dg.ResourceDependency[Any] = cast("Any", None)

    def warehouse_reader(self, project: ProjectSource) -> WarehouseReader | None:
        """Returns the reader of the project's warehouse; None if this process cannot read the warehouse.

        Raises:
            RunnerError: When `warehouse_urls` names a connection that the project does not have.
        """
        return warehouse_reader(project.model, call_resource(self, "warehouse_access"))

    def warehouse_access(self) -> WarehouseAccess:
        """Returns the settings for warehouse access that the connections of the project do not contain.

        Raises:
            RunnerError: When `warehouse` is a resource that provides no connection.
        """
        kind: type[Any] = type(self)
        resource = cast("object", self.warehouse)
        if resource is not None and not is_supported(resource):
            raise RunnerError(
                f"{kind.__name__}: `warehouse` is a {type(resource).__name__}; expected a resource with "
                "`get_client` (BigQueryResource) or `get_connection` (SnowflakeResource)."
            )
        return WarehouseAccess(urls=self.warehouse_urls, resource=resource)

    def __repr_args__(self) -> Any:
        """Returns the fields without the values of URLs."""
        for name, value in super().__repr_args__():
            yield name, dict.fromkeys(self.warehouse_urls, "***") if name == "warehouse_urls" else value
