"""Dagster jobs, one per job of the triggers."""

from collections.abc import Mapping
from typing import Any, cast

import dagster as dg

from starlake_dagster_assets._arguments import ProjectLike, project_of
from starlake_dagster_assets.automation.definitions.job_assets import split_by_partitions, without_translator_conditions
from starlake_dagster_assets.automation.definitions.run_queue_tags import job_tags, retry_tags_of
from starlake_dagster_assets.automation.policies.model import Job, Triggers
from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.dagster_assets.specs.names import tags_of
from starlake_dagster_assets.dagster_assets.specs.translator import StarlakeTranslator, bound_translator

__all__ = ["build_jobs", "split_jobs"]

DAG = "starlake/dag"
"""Tag of a job: its DAG configuration."""


def build_jobs(
    project: ProjectLike, triggers: Triggers, *, translator: StarlakeTranslator | None = None
) -> dict[str, Any]:
    """Builds the jobs of a project, which are started by sensors, by schedules or by hand.

    Args:
        project: The project, or the path of its directory.
        triggers: Triggers of the project.
        translator: Defines keys and metadata of the assets.

    Returns:
        Asset jobs by name; their tags have `tags`, `priority_weight` and `max_active_runs` (`job_tags`), and what
        retries of their runs repeat (`retry_tags_of`).
    """
    project = project_of(project, "build_jobs")
    bound, triggers = split_jobs(project, triggers, translator)
    define = cast("Any", dg).define_asset_job  # its type is partly unknown to pyright
    found: dict[str, Any] = {}
    for job in triggers.jobs.values():
        keys = [bound.spec(project.graph.nodes[node]).key for node in job.nodes]
        selection = dg.AssetSelection.assets(*keys)
        tags = {**retry_tags_of(project.graph.nodes[node] for node in job.nodes), **_tags(job)}
        found[job.name] = define(job.name, selection=selection, description=_described(job), tags=tags)
    return found


def split_jobs(
    project: ProjectSource, triggers: Triggers, translator: StarlakeTranslator | None
) -> tuple[StarlakeTranslator, Triggers]:
    """Returns a translator that is bound to the project, and the triggers with jobs that Dagster accepts.

    Each job has at most one partitions definition, and assets with a condition of the translator have no other trigger.
    """
    bound = bound_translator(translator, project, "starlake_dagster_assets.automation", triggers)
    triggers = split_by_partitions(bound, without_translator_conditions(bound, triggers))
    return bound.bound_to(project, triggers), triggers


def _tags(job: Job) -> Mapping[str, str]:
    return {**job_tags(job), **({DAG: tags_of([f"dag={job.dag}"])["dag"]} if job.dag else {})}


def _described(job: Job) -> str:
    return job.description or f"Materializes {', '.join(job.nodes[:20])}{' and more' if len(job.nodes) > 20 else ''}."
