"""A schedule for a selection of tables and tasks, with the job that it starts."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

import dagster as dg

from starlake_dagster_assets.automation.definitions.run_queue_tags import retry_tags_of
from starlake_dagster_assets.automation.definitions.schedules import ScheduleGroup, tick_requests
from starlake_dagster_assets.automation.policies.model import CronSchedule
from starlake_dagster_assets.automation.policies.skip_reasons import listed
from starlake_dagster_assets.dagster_assets.decorator import Selection
from starlake_dagster_assets.dagster_assets.selection import ProjectOrAssets, selected_assets
from starlake_dagster_assets.dagster_assets.specs.partitions import cron_partitions
from starlake_dagster_assets.dagster_assets.specs.translator import StarlakeTranslator
from starlake_dagster_assets.errors import StarlakeError

__all__ = ["build_schedule_from_starlake_selection"]

_FUNCTION = "build_schedule_from_starlake_selection"
_NAME = re.compile(r"[A-Za-z0-9_]+")


def build_schedule_from_starlake_selection(
    project_or_assets: ProjectOrAssets,
    *,
    job_name: str,
    cron_schedule: str,
    select: Selection = "*",
    exclude: Selection | None = None,
    schedule_name: str | None = None,
    tags: Mapping[str, str] | None = None,
    config: dg.RunConfig | Mapping[str, Any] | None = None,
    execution_timezone: str | None = None,
    default_status: dg.DefaultScheduleStatus = dg.DefaultScheduleStatus.STOPPED,
    translator: StarlakeTranslator | None = None,
) -> dg.ScheduleDefinition:
    """Builds a schedule, and its job, for a selection of tables and tasks.

    Each tick requests one run, whose data interval is the time since the previous tick, as for the schedules of the
    project: its SQL gets `sl_start_date` and `sl_end_date`. If the assets are partitioned, a tick requests the
    partitions that have closed since the previous tick.

    Args:
        project_or_assets: The project or the path of its directory, or the assets that were built from it: a list,
            one definition, or `Definitions`.
        job_name: The name of the job.
        cron_schedule: A cron of five fields, such as `0 6 * * *`.
        select: Tables and tasks in the selection grammar, such as `tag:daily+`; all by default.
        exclude: Tables and tasks that are left out, in the same grammar.
        schedule_name: The name of the schedule; `<job_name>_schedule` by default.
        tags: Tags of the runs.
        config: Run configuration of the runs.
        execution_timezone: Time zone of the cron, such as `Europe/Paris`; the project's (`SL_TIMEZONE`), else UTC, by
            default.
        default_status: Whether the schedule is on from the start; off by default, as in Dagster.
        translator: The translator of the assets, if a project is passed and the translator changes asset keys.

    Returns:
        The schedule, for `dg.Definitions(schedules=[…])`; it includes the job.

    Raises:
        SelectionError: When the selection names no table and no task.
        StarlakeError: When the assets are not of one Starlake project, are partitioned in several ways, or Dagster does
            not know the cron or the time zone.
        TypeError: When an argument is of another kind.

    Examples:
        ::

            daily = build_schedule_from_starlake_selection(
                project, job_name="daily", cron_schedule="0 6 * * *", select="tag:daily+"
            )
    """
    found = selected_assets(project_or_assets, select, exclude, translator, _FUNCTION)
    if len(found.partitions) > 1:
        names = " and ".join(key.to_user_string() for key in found.partitions.values())
        raise StarlakeError(f"{_FUNCTION}: {names} have different partitions; build one schedule for each.")
    for argument, value in (("job_name", job_name), ("schedule_name", schedule_name or job_name)):
        if not _NAME.fullmatch(value):
            raise StarlakeError(
                f"{_FUNCTION}: {argument}={value!r} is not a name in Dagster; use letters, digits and underscores, "
                f"such as {re.sub('[^A-Za-z0-9_]+', '_', value).strip('_') or 'daily'!r}."
            )
    clock = CronSchedule(cron_schedule, execution_timezone or found.source.model.application.timezone or "UTC")
    try:
        if len(cron_schedule.split()) != 5:
            raise ValueError(f"`{cron_schedule}` is not a cron of five fields, such as `0 6 * * *`.")
        cron_partitions(clock)
    except ValueError as error:
        raise StarlakeError(f"{_FUNCTION}: job `{job_name}`: {error}") from error
    keys = list(found.keys.values())
    name = schedule_name or f"{job_name}_schedule"
    define = cast("Any", dg).define_asset_job  # its type is partly unknown to pyright
    retries = retry_tags_of(found.source.graph.nodes[node] for node in found.keys)
    job = define(job_name, selection=dg.AssetSelection.assets(*keys), config=config, tags={**retries, **(tags or {})})
    known = next(iter(found.partitions), None)

    def tick(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        grid = known or _partitions_of_job(context, job_name)
        group = ScheduleGroup(name, job_name, clock, tuple(found.keys), grid, is_whole_job=True)
        yield from tick_requests(context, group, keys, tags or {}, config)

    return dg.ScheduleDefinition(
        name=name,
        job=job,
        cron_schedule=cron_schedule,
        execution_timezone=clock.timezone,
        execution_fn=cast("Any", tick),
        default_status=default_status,
        description=f"Materializes {listed(list(found.keys))} at {cron_schedule} ({clock.timezone}).",
    )


def _partitions_of_job(context: dg.ScheduleEvaluationContext, job_name: str) -> dg.PartitionsDefinition[Any] | None:
    """Returns the partitions definition of the job in the code location; None if there is no code location."""
    try:
        repository = context.repository_def
    except dg.DagsterInvariantViolationError:  # a context without a code location, as in a unit test
        return None
    return repository.get_job(job_name).partitions_def
