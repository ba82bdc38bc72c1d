"""The body of a step: what is selected is run, what is learnt becomes Dagster's events, a failure comes last."""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import dagster as dg

from starlake_dagster_assets.arrivals.guard import GuardedRun
from starlake_dagster_assets.arrivals.tags import NO_FILES
from starlake_dagster_assets.assets.binding import Binding
from starlake_dagster_assets.assets.compute_log import compute_log
from starlake_dagster_assets.assets.earlier import made_before, taken_before
from starlake_dagster_assets.assets.iterator import Fetch, StarlakeEvent
from starlake_dagster_assets.assets.results import Results
from starlake_dagster_assets.assets.retries import retry_of
from starlake_dagster_assets.assets.standing import cannot
from starlake_dagster_assets.assets.step_partitions import (
    options_for,
    partitions_of_step,
    refused_tasks,
    replacement_environment,
    window_of_step,
)
from starlake_dagster_assets.command.execute import execute
from starlake_dagster_assets.command.model import Line
from starlake_dagster_assets.command.outcome import Outcome, RunSettings, TaskOptions
from starlake_dagster_assets.command.partitions import PartitionInfo
from starlake_dagster_assets.command.source import secrets_of
from starlake_dagster_assets.errors import CommandError
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.runners.protocol import Runner, is_eager, secrets_held
from starlake_dagster_assets.triggers.options import task_options
from starlake_dagster_assets.triggers.run_options import CONFLICT, options_in, options_of, unknown_sections

__all__ = ["run_step"]

_MARKERS = ("Main: Running Starlake ", "Session: waiting for ", "Ingest resolved file", "ingestion-summary ->")
_LEVEL = re.compile(r"(?:^|[\s\[])(WARN|ERROR)\b")
_ECHOES = ("Starlake failed to execute command", "Some tables failed to be loaded")
"""Lines that say again what the outcome of a table says better."""
_MOST_LOGGED = 200
"""Lines that one step may put into the event log; the compute log has all of them."""
_LONGEST = 600
_HEAD = 80


def run_step(
    context: dg.AssetExecutionContext,
    binding: Binding,
    runner: Runner,
    options: TaskOptions,
    fetch: Fetch,
) -> Iterator[StarlakeEvent]:
    """Runs what the step selects and has not made yet in this run.

    Args:
        context: Of the step.
        binding: The project and its assets.
        runner: Where commands run.
        options: Variables of transforms.
        fetch: What is read from the warehouse for each table made.

    Yields:
        A materialization a table and task made, its check results, and an observation where nothing was made.

    Raises:
        dg.Failure: At the end, when something failed: names each with its last error lines.
        dg.RetryRequested: Instead, from that failure, while something that failed has a retry left.
    """
    if hopeless := context.run.tags.get(NO_FILES) or context.run.tags.get(CONFLICT):
        raise dg.Failure(hopeless, allow_retries=False)
    partition = partitions_of_step(context)
    variables = _variables(context, binding, options, partition)
    culprits: list[Node] = []
    try:
        yield from _run(context, binding, runner, _Variables(options, partition, variables), fetch, culprits)
    except Exception as error:
        selected = [node for key, node in binding.nodes.items() if key in context.selected_asset_keys]
        policies = [binding.translator.get_retry_policy(node) for node in culprits or selected]
        again = retry_of(context, policies, error)
        if again is None:
            raise
        raise again from error


def _run(
    context: dg.AssetExecutionContext,
    binding: Binding,
    runner: Runner,
    variables: "_Variables",
    fetch: Fetch,
    culprits: list[Node],
) -> Iterator[StarlakeEvent]:
    partition = variables.partition
    results = Results(context, binding, runner, fetch, partition)
    held = _Held(binding)
    yield from held.back(results.checks_alone())
    made = made_before(context)
    wanted = [node.id for key, node in binding.nodes.items() if key in context.selected_asset_keys and key not in made]
    secrets = secrets_of(binding.source.model) | secrets_held(runner)
    window = window_of_step(context, partition)
    nodes = {key: node for key, node in binding.nodes.items() if node.id in wanted}
    trigger = binding.translator.trigger
    settings = RunSettings(
        job_prefix=f"{context.run.run_id}-{context.assets_def.op.name}-{context.retry_number}",
        options=variables.of,
        scheduled_date=window[1] if window else None,
        window=window,
        partition=partition,
        environment=replacement_environment(trigger, partition, window),
        refused=refused_tasks(context, nodes, trigger, partition, variables.given, replaces=_replaces(runner)),
        secrets=secrets,
        again=bool(context.retry_number or context.run.parent_run_id),
        taken=taken_before(context, binding),
        hold=(bool(fetch) and not is_eager(runner)) or results.counts_partitions(nodes.values()),
        on_line=_listener(context),
        **_spark(binding, runner),
    )
    if not settings.again:  # what repeats another attempt finds its files on their way already
        guard = GuardedRun(
            binding.translator.get_pre_load,
            binding.source,
            runner,
            settings,
            context.run.tags,
            tables=[binding.translator.graph.nodes[node] for node in wanted],
            log=context.log.info,
        )
        settings = replace(settings, not_ready=guard)
    results.before(nodes.values())
    lost: dict[str, Outcome] = {}
    with closing(execute(binding.source, wanted, runner, settings)) as outcomes:
        for item in outcomes:
            if isinstance(item, Outcome) and item.status in ("failed", "skipped"):
                lost[item.node.id] = item
                (context.log.error if item.status == "failed" else context.log.warning)(_told(item))
            yield from held.back(results.of(item))
    yield from held.events
    if failed := [outcome for outcome in lost.values() if outcome.status == "failed"]:
        skipped = [outcome for outcome in lost.values() if outcome.status == "skipped"]
        culprits.extend(outcome.node for outcome in failed)
        raise _failure(failed, skipped, len(wanted), compute_log(context))
    if results.unanswered:
        raise cannot(results.unanswered)


@dataclass(frozen=True)
class _Variables:
    """The variables of transforms: those that the user gives, and all of them by node."""

    given: TaskOptions
    partition: PartitionInfo | None
    of: Callable[[Node], Mapping[str, str]]


def _replaces(runner: Runner) -> bool:
    """Whether the environment deletes and inserts a partition (`partition_write=replace`)."""
    return bool(getattr(runner, "replaces_partitions", False))


def _variables(
    context: dg.AssetExecutionContext, binding: Binding, options: TaskOptions, partition: PartitionInfo | None
) -> Callable[[Node], Mapping[str, str]]:
    """The variables of each transform: of its DAG configuration, of the code, and in the tags of the run, which win."""
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
    }


def _spark(binding: Binding, runner: Runner) -> dict[str, Any]:
    """What the translator says of Spark, where commands run on it: elsewhere it would only cut loads in pieces."""
    return {"spark": binding.translator.get_spark_config} if getattr(runner, "uses_spark", False) else {}


class _Held:
    """Failed checks that block: Dagster 1.9 ends the step at the first one, so they come after everything else."""

    def __init__(self, binding: Binding) -> None:
        self._blocking = {spec.key for spec in binding.check_specs if spec.blocking}
        self.events: list[StarlakeEvent] = []

    def back(self, events: Iterator[StarlakeEvent]) -> Iterator[StarlakeEvent]:
        """The events but those that are held."""
        for event in events:
            if isinstance(event, dg.AssetCheckResult) and not event.passed and self._blocks(event):
                self.events.append(event)
            else:
                yield event

    def _blocks(self, result: dg.AssetCheckResult) -> bool:
        assert isinstance(result.asset_key, dg.AssetKey)
        key = dg.AssetCheckKey(result.asset_key, result.check_name or "")
        return result.severity is dg.AssetCheckSeverity.ERROR and key in self._blocking


def _failure(failed: list[Outcome], skipped: list[Outcome], wanted: int, log: str) -> dg.Failure:
    first = "; ".join(f"{one.node.id} ({_first_line(one.reason)})" for one in failed[:5])
    more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
    also = f" {len(skipped)} skipped because of that." if skipped else ""
    metadata = {one.node.id: dg.MetadataValue.text(f"{_told(one)}\n{log}") for one in failed}
    metadata |= {one.node.id: dg.MetadataValue.text(_told(one)) for one in skipped}
    return dg.Failure(f"{len(failed)} of {wanted} failed: {first}{more}.{also}", metadata=metadata)


def _told(outcome: Outcome) -> str:
    """What became of a node and why; for a failure also the file to look at, the job to look for, and the command."""
    node = outcome.node
    if outcome.status != "failed":
        return f"{node.id} {outcome.status}: {outcome.reason}"
    thing = node.task or node.table
    places = [thing.location] if thing is not None else []
    if node.task is not None and node.task.sql_location is not None:
        places = [node.task.sql_location]
    where = [str(place) for place in places if place.file] + ([f"job {outcome.job_id}"] if outcome.job_id else [])
    code = "" if outcome.exit_code is None else f" (exit code {outcome.exit_code})"
    typed = f"\n{_cut(outcome.command)}{code}" if outcome.command else ""
    also = f"\n({', '.join(where)})" if where else ""
    return f"{node.id} failed: {outcome.reason}{also}{typed}"


def _cut(command: str) -> str:
    """A command as typed, without the middle of a list of hundreds of tables."""
    return command if len(command) <= _LONGEST else f"{command[:_LONGEST]} … {command[-_HEAD:]}"


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:_LONGEST].rstrip(".")


def _listener(context: dg.AssetExecutionContext) -> Callable[[Line], None]:
    """Every line to the compute log; markers and warnings to the event log as well."""
    logged = 0

    def take(line: Line) -> None:
        nonlocal logged
        _print(line)
        marker = any(word in line.text for word in _MARKERS)
        warning = _LEVEL.search(line.text[:_HEAD]) is not None and not any(word in line.text for word in _ECHOES)
        if not (marker or warning) or logged >= _MOST_LOGGED:
            return
        logged += 1
        (context.log.warning if warning else context.log.info)(line.text)

    return take


def _print(line: Line) -> None:
    """A line to the compute log, as it came: bytes that are not UTF-8 too."""
    out = sys.stdout
    if line.raw is not None and hasattr(out, "buffer"):
        out.flush()
        out.buffer.write(line.raw + b"\n")
    else:
        out.write(line.text + "\n")
    out.flush()
