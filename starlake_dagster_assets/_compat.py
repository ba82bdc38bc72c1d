"""Capabilities of the installed Dagster, determined by its features, not by its version."""

import inspect
import warnings
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib import import_module
from typing import Any, cast

import dagster as dg

__all__ = [
    "TimeWindow",
    "continues_after_failed_steps",
    "has_components",
    "has_freshness_policies",
    "in_process_executor",
    "is_blocking",
    "max_kinds",
    "register_library",
    "retry_tags",
    "suppress_dagster_warnings",
    "time_window_policy",
    "unrecorded_output",
]

_LIFECYCLE = ("BetaWarning", "ExperimentalWarning", "PreviewWarning", "SupersessionWarning")
_QUIET: ContextVar[bool] = ContextVar("starlake_dagster_assets_quiet", default=False)


@contextmanager
def suppress_dagster_warnings() -> Generator[None, None, None]:
    """Suppresses the life-cycle warnings (beta, experimental, preview, superseded) of Dagster names within the block.

    Code references and column lineage work the same in every supported version; owners were marked experimental in 1.9.
    """
    if _QUIET.get():  # muting costs: once for all assets of a project, not once for each
        yield
        return
    with warnings.catch_warnings():
        for name in _LIFECYCLE:
            category = getattr(dg, name, None)
            if category is not None:
                warnings.simplefilter("ignore", category)
        token = _QUIET.set(True)
        try:
            yield
        finally:
            _QUIET.reset(token)


@cache
def max_kinds() -> int:
    """Returns the maximum number of kinds of an asset: 3 in Dagster 1.9, 10 in later versions."""
    try:
        dg.AssetSpec("probe", kinds={"a", "b", "c", "d"})
    except dg.DagsterInvalidDefinitionError:
        return 3
    return 10


@cache
def continues_after_failed_steps() -> bool:
    """Whether executors have `step_dependency_config.require_upstream_step_success`."""
    schema = cast("Any", dg.in_process_executor.config_schema)
    return "step_dependency_config" in getattr(schema.config_type, "fields", {})


def has_components() -> bool:
    """Whether the installed Dagster has components with a state (`StateBackedComponent`)."""
    return hasattr(dg, "StateBackedComponent")


@cache  # Dagster merges definitions whose executors are one object
def in_process_executor() -> dg.ExecutorDefinition:
    """Returns the in-process executor; if Dagster supports it, a failed step does not stop steps whose inputs exist."""
    if not continues_after_failed_steps():
        return dg.in_process_executor
    return dg.in_process_executor.configured(
        {"step_dependency_config": {"require_upstream_step_success": False}}, name="in_process"
    )


@dataclass(frozen=True)
class TimeWindow:
    """Arguments of `FreshnessPolicy.time_window`, for versions of Dagster that do not have it.

    Attributes:
        fail_window: Age of an asset from which the policy fails.
        warn_window: Age of an asset from which the policy warns; None for no warning.
    """

    fail_window: timedelta
    warn_window: timedelta | None = None


@cache
def has_freshness_policies() -> bool:
    """Whether assets support time-window `FreshnessPolicy`s; Dagster 1.9 has another class of that name."""
    try:
        policy = getattr(dg, "FreshnessPolicy", None)
    except ImportError:  # 1.11 and early 1.12 raise this for the name that they renamed
        return False
    return hasattr(policy, "time_window")


def time_window_policy(fail_window: timedelta, warn_window: timedelta | None = None) -> Any:
    """Returns a `FreshnessPolicy.time_window`, or a `TimeWindow` if Dagster has none."""
    if not has_freshness_policies():
        return TimeWindow(fail_window, warn_window)
    return cast("Any", dg).FreshnessPolicy.time_window(fail_window=fail_window, warn_window=warn_window)


def register_library(name: str, version: str) -> None:
    """Registers a package as a Dagster library, so that its version is shown with the code location."""
    registry = getattr(dg, "DagsterLibraryRegistry", None)
    if registry is None:  # Dagster 1.9 has it in a private module only
        registry = import_module("dagster._core.libraries").DagsterLibraryRegistry
    known = inspect.signature(registry.register).parameters
    registry.register(name, version, **({"is_dagster_package": False} if "is_dagster_package" in known else {}))


def unrecorded_output(asset_key: dg.AssetKey, check_results: Sequence[dg.AssetCheckResult] = ()) -> Any:
    """Returns an output of an asset that records no materialization, so that downstream steps run.

    The materializations of single partitions are separate events. Every supported version reads this metadata key of
    an output; observable source assets use it for the same purpose.
    """
    metadata = {"__source_asset_observation__": True}
    return dg.MaterializeResult(asset_key=asset_key, metadata=metadata, check_results=list(check_results))


def is_blocking(evaluation: Any, specs: Iterable[dg.AssetCheckSpec]) -> bool:
    """Whether a check is blocking: as its evaluation records it, or as its spec declares it in Dagster 1.9.

    Args:
        evaluation: The data of the evaluation event.
        specs: The check specs of the step.
    """
    known = getattr(evaluation, "blocking", None)  # Dagster 1.9 has no such field
    if known is not None:
        return bool(known)
    return any(spec.blocking for spec in specs if spec.key == evaluation.asset_check_key)


@cache
def retry_tags() -> dict[str, str]:
    """Returns the job tags with which retries by the daemon repeat only the assets that were not materialized.

    Empty if Dagster does not support this: retries then repeat the failed steps, and each step skips the assets that
    are already materialized.
    """
    strategies = import_module("dagster._core.execution.plan.resume_retry").ReexecutionStrategy
    known = "FROM_ASSET_FAILURE" in strategies.__members__
    return {"dagster/retry_strategy": "FROM_ASSET_FAILURE"} if known else {}
