"""Outputs of a step without a materialization, so that the steps that read them are not skipped."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from starlake_dagster_assets.dagster_assets.direct_invocation import is_direct

__all__ = ["unchanged_output", "unrecorded_step_output"]


def unchanged_output(context: dg.AssetExecutionContext, key: dg.AssetKey) -> Iterator[Any]:
    """Yields the output of an asset that was not written, so that steps that read it are not skipped.

    Args:
        context: Context of the step.
        key: Key of an asset of the step that exists in the warehouse.
    """
    if is_direct(context):
        return
    for name, known in context.assets_def.node_keys_by_output_name.items():
        if known == key:
            yield from unrecorded_step_output(context, name, None)


def unrecorded_step_output(context: dg.AssetExecutionContext, name: str, run: str | None) -> Iterator[Any]:
    """Yields the event of an output without a materialization of its asset.

    Args:
        context: Context of the step.
        name: Name of the output of an asset or of a check.
        run: The run that materialized the asset; None if no run did.
    """
    from dagster._core.execution.plan.objects import TypeCheckData
    from dagster._core.execution.plan.outputs import StepOutputData, StepOutputHandle

    step: Any = context.get_step_execution_context()
    if not step.step.has_step_output(name):
        return
    data = StepOutputData(
        StepOutputHandle(step.step.key, name),
        type_check_data=TypeCheckData(success=True, label=name),
        metadata={} if run is None else {"starlake/run": dg.MetadataValue.dagster_run(run)},
    )
    yield dg.DagsterEvent.step_output_event(step, data)
