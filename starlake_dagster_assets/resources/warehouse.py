"""Access of a resource to the warehouse of its project, whatever runs the commands."""

from typing import Any

from pydantic import Field

from starlake_dagster_assets.command.source import ProjectSource
from starlake_dagster_assets.resources.base import StarlakeResource
from starlake_dagster_assets.warehouse.project import WarehouseAccess, warehouse_reader
from starlake_dagster_assets.warehouse.reader import WarehouseReader

__all__ = ["StarlakeWarehouseResource"]


class StarlakeWarehouseResource(StarlakeResource):
    """Runs commands that write to a warehouse, which is read from here."""

    warehouse_urls: dict[str, str] = Field(
        default_factory=dict,
        description="SQLAlchemy URL by connection of the project, where its own options cannot be used from here; "
        "EnvVar for URLs with a password.",
    )

    def warehouse_reader(self, project: ProjectSource) -> WarehouseReader | None:
        """Returns the reader of the project's warehouse; None where it cannot be read from here.

        Raises:
            RunnerError: When `warehouse_urls` names a connection that the project does not have.
        """
        return warehouse_reader(project.model, self.warehouse_access())

    def warehouse_access(self) -> WarehouseAccess:
        """Returns how the warehouse is read, beyond the options of the project's connections."""
        return WarehouseAccess(urls=self.warehouse_urls)

    def __repr_args__(self) -> Any:
        """The fields without the values of URLs."""
        for name, value in super().__repr_args__():
            yield name, dict.fromkeys(self.warehouse_urls, "***") if name == "warehouse_urls" else value
