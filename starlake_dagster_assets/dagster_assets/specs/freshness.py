"""Converts `freshness` of a table or task to a freshness policy of Dagster."""

from datetime import timedelta
from typing import Any

from starlake_dagster_assets._compat import time_window_policy
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.project.resolve.durations import duration

__all__ = ["NEVER", "freshness_policy"]

NEVER = timedelta(days=36500)
"""Age limit of an asset that has `warn` and no `error`: its policy warns and never fails."""


def freshness_policy(node: Node) -> Any:
    """Returns the freshness policy of a node; None if it has no `freshness` or the project does not produce it.

    Args:
        node: A table with `metadata.freshness`, or a task with `freshness`. Invalid durations are errors of `check` and
            do not reach this function.
    """
    if node.kind == "external":
        return None
    declared = node.freshness
    warn, error = (duration(text or "") for text in ((declared.warn, declared.error) if declared else (None, None)))
    if warn is None and error is None:
        return None
    fail = error or NEVER
    return time_window_policy(fail, warn if warn is not None and warn < fail else None)
