"""Results of the expectations of a run: from the audit, from an evaluation now, or from the end of a load."""

from __future__ import annotations

from collections.abc import Sequence

from starlake_dagster_assets.execution.command_executor import CommandExecutor
from starlake_dagster_assets.execution.expectation_checks import CheckResult, NamedExpectation, check_results
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.project.model.project import Application

__all__ = ["ExpectationResults", "blocking_failures"]

_MOST_NAMED = 5
_FAIL_ON_ERROR = (
    "the load of the table was complete: with `expectations.failOnError`, a load ends early where one does not hold"
)
_NEXT_STEP = "Next: give this environment access to the warehouse (see the page `environments`)."


class ExpectationResults:
    """Results of the expectations of one run, and a warning about those that have none.

    Args:
        executor: Reads the audit and evaluates expectations.
        application: The settings of the project.
    """

    def __init__(self, executor: CommandExecutor, application: Application) -> None:
        self._executor = executor
        self._application = application
        self._unknown: dict[str, Sequence[str]] = {}

    def of_failed(self, node: Node, named: Sequence[NamedExpectation], job_id: str) -> tuple[CheckResult, ...]:
        """Returns the results that the audit has for a failed table or task."""
        checks = check_results(node, named, self._executor.expectations(job_id)) if named else ()
        return tuple(check for check in checks if check.count is not None or check.exception)

    def of(self, node: Node, named: Sequence[NamedExpectation], job_id: str, *, ended: bool) -> tuple[CheckResult, ...]:
        """Returns a result per expectation of a table or task that was written.

        Args:
            node: The table or task.
            named: Its expectations.
            job_id: The JOBID of its command.
            ended: Whether Starlake finished the load of this table, or the command ended with exit code 0.
        """
        if not named:
            return ()
        checks = check_results(node, named, self._executor.expectations(job_id))
        missing = [check.expectation for check in checks if check.unknown]
        evaluated = (self._executor.evaluate_now(node, missing) if missing else None) or ()
        found = {check.expectation: check for check in evaluated if not check.unknown}
        if node.kind == "table" and ended and self._application.expectations.fail_on_error:
            held = (one for one in missing if one.blocking and one not in found)
            found |= {one: CheckResult(one, passed=True, reason=_FAIL_ON_ERROR) for one in held}
        if unknown := [one.expect for one in missing if one not in found]:
            self._unknown.setdefault(node.id, unknown)
        return tuple(found.get(check.expectation, check) for check in checks)

    def warn(self) -> None:
        """Warns once of all expectations of the run that have no result."""
        if not self._unknown:
            return
        first = [f"{name} ({', '.join(texts)})" for name, texts in list(self._unknown.items())[:_MOST_NAMED]]
        more = len(self._unknown) - len(first)
        named = "; ".join(first) + (f"; and {more} more" if more else "")
        self._executor.warn(
            f"expectations without a result, because this environment cannot read the warehouse: {named}. {_NEXT_STEP}"
        )


def blocking_failures(checks: Sequence[CheckResult]) -> str:
    """Returns the failures of blocking expectations as text; "" if all of them hold."""
    broken = [check for check in checks if check.expectation.blocking and not check.passed]
    unknown = f". {_NEXT_STEP}" if any(check.unknown for check in broken) else ""
    return "; ".join(map(_reason, broken)) + unknown


def _reason(check: CheckResult) -> str:
    if check.unknown:
        return f"unknown whether the blocking expectation {check.expectation.expect} holds: {check.reason}"
    return f"expectation {check.expectation.expect}: {check.reason}"
