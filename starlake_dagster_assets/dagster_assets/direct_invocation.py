"""Direct invocation: contexts of `dg.build_asset_context()`, which have no run."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, cast

import dagster as dg

__all__ = ["has_no_run", "is_direct", "with_run"]


def with_run(context: dg.AssetExecutionContext) -> dg.AssetExecutionContext:
    """Returns a context that has a run, even if the asset is invoked directly.

    Args:
        context: Context of a step, or of `dg.build_asset_context()`.

    Returns:
        For a step of a run, the context itself. For a direct invocation, a context whose run has an id and the tags of
        the given context, that selects all assets and checks of the function, and whose attempt is the first.
    """
    return cast("dg.AssetExecutionContext", _DirectContext(context)) if has_no_run(context) else context


def is_direct(context: object) -> bool:
    """Whether a context was returned by `with_run` for a direct invocation."""
    return isinstance(context, _DirectContext)


def has_no_run(context: Any) -> bool:
    """Whether a context of Dagster has no run, as in a direct invocation."""
    if isinstance(context, _DirectContext):
        return False
    try:
        return context.run is None
    except dg.DagsterError:  # "not set on the context when an asset or op is directly invoked"
        return True


class _DirectContext:
    """Wrapper of the context of a direct invocation that adds the run attributes that a step reads."""

    retry_number = 0

    def __init__(self, context: Any) -> None:
        self._context = context

    @cached_property
    def run(self) -> dg.DagsterRun:
        """A run that is not stored in an instance."""
        inner = self._context.op_execution_context
        tags: Mapping[str, str] = getattr(inner, "run_tags", {})
        return dg.DagsterRun(job_name="direct_invocation", run_id=str(inner.run_id), tags=dict(tags))

    @property
    def selected_asset_keys(self) -> Any:
        """Keys of all assets of the function."""
        return self._context.assets_def.keys

    @property
    def selected_asset_check_keys(self) -> Any:
        """Keys of all checks of the function."""
        return self._context.assets_def.check_keys

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)
