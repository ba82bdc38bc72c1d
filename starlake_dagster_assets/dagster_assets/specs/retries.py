"""Retry policy of a step, from the settings of the nodes that failed."""

from collections.abc import Iterable
from typing import Any

import dagster as dg

from starlake_dagster_assets.dagster_assets.direct_invocation import is_direct

__all__ = ["RETRY_DELAY", "retry_of", "retry_policy"]

RETRY_DELAY = 300.0
"""`retry_delay` in seconds if only `retries` is set, as in Starlake's own orchestration."""


def retry_policy(retries: int | None, delay: float | None) -> dg.RetryPolicy | None:
    """Returns the retry policy of a node, with exponential backoff and random jitter; None without retries.

    Args:
        retries: The setting `retries`; None or 0 for no retries.
        delay: The setting `retry_delay`, seconds before the first retry; 300 if None.
    """
    if not retries:
        return None
    return dg.RetryPolicy(
        max_retries=retries,
        delay=RETRY_DELAY if delay is None else delay,
        backoff=dg.Backoff.EXPONENTIAL,
        jitter=dg.Jitter.PLUS_MINUS,
    )


def retry_of(
    context: dg.AssetExecutionContext, policies: Iterable[dg.RetryPolicy | None], error: Exception
) -> dg.RetryRequested | None:
    """Returns the retry that a step requests after an error; None if no failed asset has a retry left.

    Args:
        context: Context of the step. If the step or its job has a policy, Dagster itself retries: the result is None.
        policies: Retry policies of the failed assets.
        error: The error that the step would raise.
    """
    if is_direct(context):
        return None
    step: Any = context.get_step_execution_context()
    if step.op_retry_policy is not None or not getattr(error, "allow_retries", True):
        return None
    attempt = context.retry_number + 1
    left = [policy for policy in policies if policy is not None and policy.max_retries >= attempt]
    if not left:
        return None
    wait = max(policy.calculate_delay(attempt) for policy in left)
    return dg.RetryRequested(max_retries=max(policy.max_retries for policy in left), seconds_to_wait=max(wait, 0))
