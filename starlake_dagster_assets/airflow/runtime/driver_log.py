"""Reads the output of a Dataproc driver after its end, and determines the result of a transform from it.

Exported next to the DAG files. It needs only the Google provider of Airflow, when a task runs.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from importlib import import_module
from typing import Any

from starlake_dagster_assets.airflow.runtime.macros import emit_window
from starlake_dagster_assets.commands.model import CommandExit, Event
from starlake_dagster_assets.execution.evidence import CommandEnd
from starlake_dagster_assets.execution.parse import OutputParser
from starlake_dagster_assets.execution.reconcile import reconcile_transform

__all__ = ["end_driver", "read_driver"]

_DRIVER_READS = 12
"""Number of times that the output is read again: its last lines may reach the bucket after the end of the driver."""
_DRIVER_PAUSE = 5.0
"""Seconds between two reads."""


def end_driver(context: Any, result: Any = None) -> None:
    """Determines the result of a transform on Dataproc whose driver ended with exit code 0.

    It is the `post_execute` of the task.

    Args:
        context: Context of the task.
        result: Id of the job, as the operator returns it.

    Raises:
        RuntimeError: The output does not report success, or cannot be read.
    """
    name = context["task"].task_id
    verdict = reconcile_transform("", "", read_driver(context, result))
    if verdict.status != "loaded":
        raise RuntimeError(
            f"{name}: {verdict.status}: {verdict.reason or 'the output of the driver reports no success'}. The output "
            "of a driver is in the bucket of its cluster, unless the deploy mode of Spark is `cluster`."
        )
    emit_window(context)


def read_driver(
    context: Any, job: Any, expected: Collection[tuple[str, str]] = (), repeated: Collection[tuple[str, str]] = ()
) -> CommandEnd:
    """Returns the facts in the output of a driver that ended with exit code 0.

    It reads the output again, for a minute, until it reports the end of the command.

    Args:
        context: Context of the task.
        job: Id of the job.
        expected: Names (domain, table) of the tables that may be announced.
        repeated: Names of those of them that may be announced more than once.

    Raises:
        RuntimeError: The output cannot be read.
    """
    ending = _read_once(context, job, expected, repeated)
    for _ in range(_DRIVER_READS):
        if ending.log.ended:
            return ending
        time.sleep(_DRIVER_PAUSE)
        ending = _read_once(context, job, expected, repeated)
    return ending


def _read_once(
    context: Any, job: Any, expected: Collection[tuple[str, str]], repeated: Collection[tuple[str, str]]
) -> CommandEnd:
    parser, events = OutputParser(expected, repeated), list[Event]()
    for line in _output_lines(context["task"], job):
        events += parser.feed(line)
    events += parser.finish(0)
    return CommandEnd(tuple(events), CommandExit(0, 0.0), parser.log(lossless=False))


def _output_lines(task: Any, job: Any) -> list[str]:
    account = {"gcp_conn_id": task.gcp_conn_id, "impersonation_chain": task.impersonation_chain}
    try:
        dataproc = import_module("airflow.providers.google.cloud.hooks.dataproc").DataprocHook(**account)
        found = dataproc.get_job(job_id=job, project_id=task.project_id, region=task.region)
        uri = str(found.driver_output_resource_uri)
        bucket, _, prefix = uri.removeprefix("gs://").partition("/")
        if not prefix:
            raise ValueError(f"Dataproc has no location of it, found {uri!r}")
        client = import_module("airflow.providers.google.cloud.hooks.gcs").GCSHook(**account).get_conn()
        blobs = sorted(client.list_blobs(bucket, prefix=prefix), key=lambda one: str(one.name))
        data = b"".join(one.download_as_bytes() for one in blobs)
    except Exception as error:  # any error of the client libraries
        raise RuntimeError(
            f"{task.task_id}: unknown: the output of the driver of job {job} cannot be read: {error}. Give the account "
            "of Airflow permission to read the job and the bucket of its cluster."
        ) from error
    return data.decode("utf-8", "replace").splitlines()
