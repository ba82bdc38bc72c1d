"""Base class of the operators of Dataproc and Cloud Run, with sensors of Cloud Storage."""

from __future__ import annotations

from dataclasses import dataclass

from starlake_dagster_assets.airflow.operators.renderer import Arguments, OperatorRenderer, url_parts
from starlake_dagster_assets.airflow.plan.model import TaskSpec

__all__ = ["Google"]

_SENSOR = "from airflow.providers.google.cloud.sensors.gcs import GCSObjectExistenceSensor"


@dataclass(frozen=True)
class Google(OperatorRenderer):
    """Operators of Google Cloud, with sensors for files in Cloud Storage."""

    def waiting_imports(self) -> list[str]:
        """Returns the imports of the operators that wait for files in Cloud Storage."""
        return self.waiting_operators(_SENSOR)

    def waiting(self, task: TaskSpec) -> tuple[str, Arguments]:
        """Returns the sensor of a task that waits for files, and its arguments."""
        assert task.waiting is not None
        if task.waiting.ack:
            bucket, path = url_parts(task.waiting.ack)
            return "GCSObjectExistenceSensor", [("bucket", bucket), ("object", path), *self.sensor(task)]
        return self.by_patterns(task)
