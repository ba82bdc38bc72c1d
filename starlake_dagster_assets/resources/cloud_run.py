"""Google Cloud Run as a Dagster resource."""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from starlake_dagster_assets.command.source import ProjectSource
from starlake_dagster_assets.resources.remote import StarlakeRemoteResource
from starlake_dagster_assets.runners.extras import need
from starlake_dagster_assets.runners.protocol import Attempt
from starlake_dagster_assets.runners.remote import Environment
from starlake_dagster_assets.warehouse.project import WarehouseAccess

__all__ = ["StarlakeCloudRun"]


class StarlakeCloudRun(StarlakeRemoteResource):
    """Runs Starlake commands as executions of a Cloud Run job.

    Examples:
        ::

            StarlakeCloudRun(project="my-project", job="starlake", region="europe-west1")
    """

    option_names: ClassVar[Mapping[str, str]] = {
        "cloud_run_project_id": "project",
        "cloud_run_job_name": "job",
        "cloud_run_region": "region",
        "cloud_run_job_region": "region",
        "cloud_run_service_account": "impersonate",
        "sl_env_var": "env",
    }

    option_variables: ClassVar[Mapping[str, str]] = {"project": "GCP_PROJECT", "region": "GCP_REGION"}

    project: str = Field(description="Google Cloud project.")
    job: str = Field(description="Name of the Cloud Run job; the entry point of its container must be the program.")
    region: str = Field(default="europe-west1", description="Where the job is.")
    container: str | None = Field(default=None, description="Container of a job with several; the first by default.")
    secrets: dict[str, str] = Field(
        default_factory=dict,
        description="Secrets of Secret Manager by environment variable: name, name:version, or "
        "projects/PROJECT/secrets/NAME:version.",
    )
    impersonate: str | None = Field(default=None, description="Service account to act as.")
    endpoint: str | None = Field(default=None, description="host:port of Cloud Run; Google's own by default.")
    logging_endpoint: str | None = Field(
        default=None, description="host:port of Cloud Logging; Google's own by default."
    )
    bigquery_endpoint: str | None = Field(default=None, description="URL of BigQuery; Google's own by default.")
    local: bool = Field(default=False, description="The endpoints are local servers without TLS and credentials.")

    def warehouse_access(self) -> WarehouseAccess:
        """Returns how the warehouse is read: BigQuery in the job's Google Cloud project, as its service account."""
        return replace(
            super().warehouse_access(),
            gcp_project=self.project,
            impersonate=self.impersonate,
            bigquery_endpoint=self.bigquery_endpoint,
        )

    def environment(self, project: ProjectSource, attempt: Attempt) -> Environment:
        """Cloud Run.

        Raises:
            RunnerError: When the extra is not installed, or a variable of `env` looks like a secret.
        """
        from starlake_dagster_assets.runners.cloud_run import CloudRunEnvironment

        need("cloud-run", "google.cloud.run_v2", "google.cloud.logging_v2")

        return CloudRunEnvironment(
            project=self.project,
            job=self.job,
            region=self.region,
            container=self.container,
            impersonate=self.impersonate,
            env=self.variables(project),
            secrets=self.secrets,
            endpoint=self.endpoint,
            logging_endpoint=self.logging_endpoint,
            local=self.local,
        )
