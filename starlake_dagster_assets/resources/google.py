"""Base of the resources of Google Cloud: the project, its credentials, and access to BigQuery."""

from dataclasses import replace

from pydantic import Field

from starlake_dagster_assets.execution.warehouse.reader_factory import WarehouseAccess
from starlake_dagster_assets.resources.remote import StarlakeRemoteResource

__all__ = ["StarlakeGoogleResource"]


class StarlakeGoogleResource(StarlakeRemoteResource):
    """Base class of the resources that run each command as an execution of a service of Google Cloud."""

    project: str = Field(description="Google Cloud project.")
    impersonate: str | None = Field(default=None, description="Service account to act as.")
    bigquery_endpoint: str | None = Field(default=None, description="URL of BigQuery; Google's own by default.")
    local: bool = Field(default=False, description="The endpoints are local servers without TLS and credentials.")

    def warehouse_access(self) -> WarehouseAccess:
        """Returns the warehouse access: BigQuery in the Google Cloud project, as the service account."""
        return replace(
            super().warehouse_access(),
            gcp_project=self.project,
            impersonate=self.impersonate,
            bigquery_endpoint=self.bigquery_endpoint,
        )
