"""Failures of a step: logged as they occur, and raised once at its end."""

from collections.abc import Mapping, Sequence

import dagster as dg

from starlake_dagster_assets.dagster_assets.results.compute_log_location import compute_log
from starlake_dagster_assets.execution.errors_in_log import headline
from starlake_dagster_assets.execution.outcome import FailedCommand, FinalOutcome, Outcome, ResultPolicies
from starlake_dagster_assets.graph.nodes import node_file
from starlake_dagster_assets.plural import first_of

__all__ = ["StepFailures"]

_LONGEST = 600
_HEAD = 80
_HOW_TO_FIND_OUT = (
    "Next: look for rows with this job id in the audit tables, and for the files below `ingesting` (not loaded) and "
    "`archive` (loaded). A retry checks again."
)


class StepFailures:
    """Tables and tasks of a step that failed, and commands that failed although no table did.

    Args:
        context: Context of the step.
        policies: Whether unknown results and failed commands fail the step.
    """

    def __init__(self, context: dg.AssetExecutionContext, policies: ResultPolicies) -> None:
        self._context = context
        self._policies = policies
        self._lost: dict[str, Outcome] = {}
        self._commands: list[FailedCommand] = []

    def __bool__(self) -> bool:
        """Whether the step fails."""
        return bool(self.failed or self._commands)

    @property
    def failed(self) -> Sequence[Outcome]:
        """Outcomes that fail the step."""
        return [outcome for outcome in self._lost.values() if outcome.status != "skipped"]

    def note(self, item: Outcome | FinalOutcome | FailedCommand) -> None:
        """Logs an outcome that is a problem, and records it if it fails the step."""
        log = self._context.log
        if isinstance(item, FailedCommand):
            names = first_of([node.id for node in item.nodes], 5)
            text = f"{names}: {item.reason}\n{_cut(item.command)}"
            if self._policies.failed_command == "fail":
                self._commands.append(item)
                log.error(text)
            else:
                log.warning(text)
            return
        outcome = item if isinstance(item, Outcome) else item.outcome
        for text in outcome.warnings if outcome.status == "materialized" else ():
            log.warning(f"{outcome.node.id}: {text}")
        if isinstance(item, FinalOutcome) or outcome.status not in ("failed", "skipped", "unknown"):
            return
        fails = outcome.status == "failed" or (outcome.status == "unknown" and self._policies.unknown_result == "fail")
        (log.error if fails else log.warning)(_text(outcome))
        if fails or outcome.status == "skipped":
            self._lost[outcome.node.id] = outcome

    def reasons(self) -> Mapping[str, str]:
        """Returns the reason of each failure in one line, by node id."""
        return {outcome.node.id: _one_line(outcome.reason) for outcome in self.failed}

    def failure(self, wanted: int) -> dg.Failure:
        """Returns the exception with which the step fails.

        Args:
            wanted: The number of tables and tasks of the step.
        """
        failed = self.failed
        skipped = [outcome for outcome in self._lost.values() if outcome.status == "skipped"]
        log = compute_log(self._context)
        metadata = {one.node.id: dg.MetadataValue.text(f"{_text(one)}\n{log}") for one in failed}
        metadata |= {one.node.id: dg.MetadataValue.text(_text(one)) for one in skipped}
        if not failed:
            text = "; ".join(one.reason.strip() for one in self._commands)
            also = "Their rows were written and they are materialized; a retry would run nothing. Set `failed_command` "
            return dg.Failure(
                f"{text}\n{also}of the resource to `warn` where this is expected.",
                metadata={**metadata, "starlake/command": "\n".join(_cut(one.command) for one in self._commands)},
                allow_retries=False,
            )
        first = "; ".join(f"{one.node.id} ({_one_line(one.reason)})" for one in failed[:5])
        more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
        also = f" {len(skipped)} skipped because of that." if skipped else ""
        return dg.Failure(f"{len(failed)} of {wanted} failed: {first}{more}.{also}", metadata=metadata)


def _text(outcome: Outcome) -> str:
    """Returns the status and cause of an outcome; for a failure also the file of the project, job id and command."""
    node = outcome.node
    if outcome.status not in ("failed", "unknown"):
        return f"{node.id} {outcome.status}: {outcome.reason}"
    location = node_file(node)
    where = ([str(location)] if location.file else []) + ([f"job {outcome.job_id}"] if outcome.job_id else [])
    code = "" if outcome.exit_code is None else f" (exit code {outcome.exit_code})"
    typed = f"\n{_cut(outcome.command)}{code}" if outcome.command else ""
    also = f"\n({', '.join(where)})" if where else ""
    files = f"\nfiles: {', '.join(outcome.files[:20])}" if outcome.status == "unknown" and outcome.files else ""
    how = f"{files}\n{_HOW_TO_FIND_OUT}" if outcome.status == "unknown" else ""
    return f"{node.id} {outcome.status}: {outcome.reason}{also}{typed}{how}"


def _cut(command: str) -> str:
    """Shortens a long command, such as one with hundreds of tables."""
    return command if len(command) <= _LONGEST else f"{command[:_LONGEST]} … {command[-_HEAD:]}"


def _one_line(text: str) -> str:
    return headline(text)[:_LONGEST].rstrip(".")
