"""Tags of jobs that Dagster's run queue reads, from the options of a DAG configuration."""

from collections.abc import Iterable

from starlake_dagster_assets._compat import retry_tags
from starlake_dagster_assets.automation.policies.model import Job
from starlake_dagster_assets.dagster_assets.specs.names import tags_of
from starlake_dagster_assets.graph.model import Node

__all__ = ["PRIORITY", "job_tags", "most_runs_tag", "retry_tags_of"]

PRIORITY = "dagster/priority"
"""Run tag of Dagster: queued runs with a higher priority start first."""


def most_runs_tag(most: int) -> str:
    """Returns the key of the tag that limits the runs of a job (`max_active_runs`); the tag's value is the job.

    One rule in `tag_concurrency_limits` of `dagster.yaml`, with `applyLimitPerUniqueValue`, limits all such jobs.
    """
    return f"starlake/max_active_runs_{most}"


def job_tags(job: Job) -> dict[str, str]:
    """Returns the tags of a job and its runs.

    Args:
        job: Its `priority_weight` becomes `dagster/priority`, `max_active_runs` the tag of `most_runs_tag`, and each of
            its `tags` a tag; `k=v` has a value.
    """
    found = dict(tags_of(job.tags))
    if job.priority is not None:
        found[PRIORITY] = str(job.priority)
    if job.max_active_runs is not None:
        found[most_runs_tag(job.max_active_runs)] = job.name
    return found


def retry_tags_of(nodes: Iterable[Node]) -> dict[str, str]:
    """Returns the tags that make the daemon retry only the assets that a run did not materialize.

    Args:
        nodes: Nodes of the job. With a load among them there are no tags: a load can fail after some of its rows are
            materialized, which that strategy counts as success. Dagster's default repeats the failed steps, which
            leave out what is materialized.
    """
    return retry_tags() if all(node.kind == "task" for node in nodes) else {}
