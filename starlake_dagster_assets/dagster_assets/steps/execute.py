"""Executes a step: runs the selected nodes, yields their Dagster events, and raises failures at the end."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace

import dagster as dg

from starlake_dagster_assets.automation.file_arrivals.guard import GuardedRun
from starlake_dagster_assets.automation.file_arrivals.tags import NO_FILES
from starlake_dagster_assets.automation.policies.options import task_options
from starlake_dagster_assets.automation.policies.run_options import CONFLICT, options_in, options_of, unknown_sections
from starlake_dagster_assets.commands.build import options_argument
from starlake_dagster_assets.commands.partitions import PartitionInfo
from starlake_dagster_assets.commands.redaction import secrets_of
from starlake_dagster_assets.dagster_assets.results.events import StepEventBuilder
from starlake_dagster_assets.dagster_assets.results.existing_table_checks import unsupported_checks_error
from starlake_dagster_assets.dagster_assets.results.iterator import Fetch, StarlakeEvent
from starlake_dagster_assets.dagster_assets.results.step_failures import StepFailures
from starlake_dagster_assets.dagster_assets.specs.retries import retry_of
from starlake_dagster_assets.dagster_assets.step_binding import StepBinding
from starlake_dagster_assets.dagster_assets.steps.already_materialized import skipped_asset_events
from starlake_dagster_assets.dagster_assets.steps.command_log import line_listener
from starlake_dagster_assets.dagster_assets.steps.previous_attempts import (
    previous_jobs,
    previous_loads,
    read_previous_attempts,
    repeats_failed_assets,
)
from starlake_dagster_assets.dagster_assets.steps.step_intervals import StepIntervals
from starlake_dagster_assets.dagster_assets.steps.step_partitions import (
    invalid_partition_tasks,
    options_for,
    partitions_of_step,
    replacement_environment,
    window_of_step,
)
from starlake_dagster_assets.dagster_assets.steps.step_result_tracker import RunCall, StepProgress
from starlake_dagster_assets.dagster_assets.steps.step_updates import StepUpdates
from starlake_dagster_assets.dagster_assets.steps.unreported_loads import UnreportedLoads
from starlake_dagster_assets.errors import CommandError
from starlake_dagster_assets.execution.backends.protocol import Runner
from starlake_dagster_assets.execution.node_settings import settings_by_node
from starlake_dagster_assets.execution.outcome import FailedCommand, Outcome, ResultPolicies, RunSettings, TaskOptions
from starlake_dagster_assets.execution.run_selection import execute_selection
from starlake_dagster_assets.graph.model import Node

__all__ = ["run_step"]


def run_step(
    context: dg.AssetExecutionContext,
    step: StepProgress,
    call: RunCall,
    runner: Runner,
    fetch: Fetch,
    policies: ResultPolicies,
) -> Iterator[StarlakeEvent]:
    """Runs the selected tables and tasks of a call of `starlake.run` that previous attempts have not materialized.

    Args:
        context: Context of the step.
        step: The project and its assets, and the results of the step so far.
        call: The call.
        runner: Runner of the commands.
        fetch: Metadata that is read from the warehouse for each materialized table.
        policies: Policies for unknown results and failed commands.

    Yields:
        A materialization per materialized table and task, check results, and an observation per table or task that had
        nothing to do. For assets that a previous run materialized, an observation that names the run, and the outputs
        that other steps read.

    Raises:
        dg.Failure: At the end, when something failed: names each with its last error lines.
        dg.RetryRequested: Instead of the failure, when a failed asset has a retry left.
    """
    if hopeless := context.run.tags.get(NO_FILES) or context.run.tags.get(CONFLICT):
        raise dg.Failure(hopeless, allow_retries=False)
    binding = step.binding
    partition = partitions_of_step(context)
    variables = _Variables(call.options, partition, _variables(context, binding, call, partition))
    culprits: list[Node] = []
    try:
        yield from _run(context, step, call, runner, variables, fetch, policies, culprits)
    except Exception as error:
        selected = [node for key, node in binding.nodes.items() if key in context.selected_asset_keys]
        retries = [binding.translator.get_retry_policy(node) for node in culprits or selected]
        again = retry_of(context, retries, error)
        if again is None:
            raise
        raise again from error


def _run(
    context: dg.AssetExecutionContext,
    step: StepProgress,
    call: RunCall,
    runner: Runner,
    variables: "_Variables",
    fetch: Fetch,
    policies: ResultPolicies,
    culprits: list[Node],
) -> Iterator[StarlakeEvent]:
    binding = step.binding
    selected = {
        key: node
        for key, node in binding.nodes.items()
        if node.id in call.nodes and key in context.selected_asset_keys and key not in step.materialized
    }
    previous = read_previous_attempts(context, selected)
    nodes = {key: node for key, node in selected.items() if key not in previous.materialized}
    updates = StepUpdates(context, binding, nodes)
    if reason := updates.ignored_options():
        raise dg.Failure(reason, allow_retries=False)
    meanwhile = updates.materialized_meanwhile()
    nodes = {key: node for key, node in nodes.items() if key not in meanwhile}
    intervals = StepIntervals(context, binding, nodes, updates)
    settings = replace(_settings(context, step, call, runner, variables, nodes, intervals), policies=policies)
    settings = replace(
        settings,
        invalid_tasks={
            **intervals.duplicate_appends(settings, call.launch.options, runner.warehouse_reader()),
            **settings.invalid_tasks,
        },
    )
    results = StepEventBuilder(
        context, binding, runner, fetch, settings, intervals.metadata(settings, call.launch.options)
    )
    withheld = _FailedBlockingChecks(binding)
    yield from withheld.back(results.evaluate_checks(call.nodes - step.requested))
    step.requested |= call.nodes
    yield from skipped_asset_events(context, previous, meanwhile)
    wanted = [node.id for node in nodes.values()]
    hold = (bool(fetch) and not runner.capabilities.reports_tables_early) or results.counts_partitions(nodes.values())
    settings = replace(settings, report_after_command=hold)
    guard = GuardedRun(
        binding.translator.get_pre_load,
        binding.source,
        runner,
        settings,
        context.run.tags,
        tables=list(nodes.values()),
        log=context.log.info,
    )
    guard.note_files_elsewhere(list(nodes.values()))
    if not settings.again:  # another attempt has moved its files already
        settings = replace(settings, not_ready=guard)
    _validate_options(settings, nodes.values())
    results.before(nodes.values())
    if call.launch.full_refresh and (loads := [node.id for node in nodes.values() if node.kind == "table"]):
        context.log.info(f"full_refresh has no effect on loads: {', '.join(loads)}.")
    problems = StepFailures(context, policies)
    with closing(execute_selection(binding.source, wanted, runner, settings)) as outcomes:
        for found in outcomes:
            item = found
            if (
                isinstance(found, Outcome)
                and found.status == "nothing"
                and (reason := guard.empty_load_failure(found.node))
            ):
                item = replace(found, status="failed", reason=reason)
            problems.note(item)
            if not isinstance(item, FailedCommand):
                step.note_unevaluated(item)
                yield from withheld.back(results.of(item))
    yield from withheld.events
    if problems:
        culprits.extend(outcome.node for outcome in problems.failed)
        reasons = problems.reasons()
        step.failed |= {key: reasons[node.id] for key, node in selected.items() if node.id in reasons}
        raise problems.failure(len(wanted))
    if results.unanswered and not repeats_failed_assets(context.run):
        raise unsupported_checks_error(results.unanswered)


@dataclass(frozen=True)
class _Variables:
    """Variables of transforms: the user's `options`, and a function that returns all variables of a node."""

    given: TaskOptions
    partition: PartitionInfo | None
    of: Callable[[Node], Mapping[str, str]]


def _settings(
    context: dg.AssetExecutionContext,
    step: StepProgress,
    call: RunCall,
    runner: Runner,
    variables: _Variables,
    nodes: Mapping[dg.AssetKey, Node],
    intervals: StepIntervals,
) -> RunSettings:
    binding, partition = step.binding, variables.partition
    trigger = binding.translator.trigger
    try:
        window = window_of_step(context, partition, intervals.now)
        chosen = call.launch.scheduled_moment(binding.source.model.application.timezone)
    except CommandError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    part, keys = f"-{call.number}" if call.number > 1 else "", {node.id: key for key, node in nodes.items()}
    unreported = UnreportedLoads(context.instance)
    return RunSettings(
        job_prefix=f"{context.run.run_id}-{context.assets_def.op.name}-{context.retry_number}{part}",
        options=variables.of,
        scheduled_date=chosen,
        window=window,
        intervals=intervals.of_tasks(window),
        partition=partition,
        environment=replacement_environment(trigger, partition, window),
        invalid_tasks=invalid_partition_tasks(
            context, nodes, trigger, partition, variables.given, replaces=runner.capabilities.replaces_partitions
        ),
        secrets=secrets_of(binding.source.model) | runner.capabilities.secrets,
        again=bool(context.retry_number or context.run.parent_run_id),
        previous_loads=previous_loads(context, binding),
        previous_jobs=previous_jobs(context),
        unreported_jobs=lambda node: unreported.jobs(keys[node.id], node.id, context.run.run_id),
        truncate=call.launch.full_refresh,
        on_line=line_listener(context.log),
        **settings_by_node(
            runner.capabilities, binding.translator.get_spark_config, binding.translator.get_environment_config
        ),
    )


def _variables(
    context: dg.AssetExecutionContext, binding: StepBinding, call: RunCall, partition: PartitionInfo | None
) -> Callable[[Node], Mapping[str, str]]:
    """Returns a function that merges a transform's variables: DAG configuration, code, tags of the run, run config.

    The later ones take precedence.
    """
    options = call.options
    try:
        given = options_in(context.run.tags)
    except CommandError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    for text in unknown_sections(given, (task.raw for task in binding.source.model.tasks)):
        context.log.warning(text)
    return lambda node: {
        **task_options(binding.source.model, node),
        **options_for(options, node, partition),
        **options_of(given, node.raw),
        **call.launch.options,
    }


def _validate_options(settings: RunSettings, nodes: Iterable[Node]) -> None:
    """Fails the step before its first command if a variable cannot be passed to a command.

    Raises:
        dg.Failure: With the task and the variable.
    """
    for node in nodes:
        if node.task is None or node.id in settings.invalid_tasks:
            continue
        try:
            options_argument(settings.task_options(node))
        except CommandError as error:
            raise dg.Failure(
                f"{node.id}: {error} Nothing was run. Next: change the variable in the run config, the tags of the run "
                "or `options`, or set it in `env.<NAME>.sl.yml`.",
                allow_retries=False,
            ) from error


class _FailedBlockingChecks:
    """Failed blocking checks, to be yielded last, because Dagster 1.9 ends the step at the first one."""

    def __init__(self, binding: StepBinding) -> None:
        self._blocking = {spec.key for spec in binding.check_specs if spec.blocking}
        self.events: list[StarlakeEvent] = []

    def back(self, events: Iterator[StarlakeEvent]) -> Iterator[StarlakeEvent]:
        """Yields the events, and withholds failed blocking checks."""
        for event in events:
            if isinstance(event, dg.AssetCheckResult) and not event.passed and self._blocks(event):
                self.events.append(event)
            else:
                yield event

    def _blocks(self, result: dg.AssetCheckResult) -> bool:
        assert isinstance(result.asset_key, dg.AssetKey)
        key = dg.AssetCheckKey(result.asset_key, result.check_name or "")
        return result.severity is dg.AssetCheckSeverity.ERROR and key in self._blocking
