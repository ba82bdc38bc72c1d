"""Google Cloud Run as a Dagster resource."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.execution.backends.extras import require_extra
from starlake_dagster_assets.execution.backends.protocol import StepAttempt
from starlake_dagster_assets.execution.backends.remote.protocol import Environment
from starlake_dagster_assets.resources.google import StarlakeGoogleResource

__all__ = ["StarlakeCloudRun"]


class StarlakeCloudRun(StarlakeGoogleResource):
    """Resource that runs Starlake commands as executions of a Cloud Run job.

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

    visible_fields: ClassVar[tuple[str, ...]] = (
        *StarlakeGoogleResource.visible_fields,
        *("job", "container", "secrets"),
    )

    job: str = Field(description="Name of the Cloud Run job; the entry point of its container must be the program.")
    region: str = Field(default="europe-west1", description="Region of the job.")
    container: str | None = Field(default=None, description="Container, if the job has several; the first by default.")
    secrets: dict[str, str] = Field(
        default_factory=dict,
        description="Secrets of Secret Manager by environment variable: name, name:version, or "
        "projects/PROJECT/secrets/NAME:version.",
    )
    endpoint: str | None = Field(default=None, description="host:port of Cloud Run; Google's own by default.")
    logging_endpoint: str | None = Field(
        default=None, description="host:port of Cloud Logging; Google's own by default."
    )

    def environment(self, project: ProjectSource, attempt: StepAttempt) -> Environment:
        """Returns the environment that runs commands on Cloud Run.

        Raises:
            RunnerError: When the extra is not installed.
        """
        from starlake_dagster_assets.execution.backends.remote.cloud_run import CloudRunEnvironment

        require_extra("cloud-run", "google.cloud.run_v2", "google.cloud.logging_v2")

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
