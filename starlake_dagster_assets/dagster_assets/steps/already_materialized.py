"""Events of assets that a run does not materialize because another run has materialized them."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from starlake_dagster_assets.dagster_assets.results.unmaterialized_outputs import (
    unchanged_output,
    unrecorded_step_output,
)
from starlake_dagster_assets.dagster_assets.steps.previous_attempts import PreviousAttempts

__all__ = ["skipped_asset_events"]


def skipped_asset_events(
    context: dg.AssetExecutionContext, previous: PreviousAttempts, meanwhile: Mapping[dg.AssetKey, str]
) -> Iterator[Any]:
    """Yields the events of assets that are not run because another run materialized them.

    The outputs are those of the other run: steps that read them are not skipped, and there is no second
    materialization.

    Args:
        context: Context of the step.
        previous: Assets that previous attempts materialized.
        meanwhile: Assets that another run materialized after this run was created, with the id of that run.

    Yields:
        An observation per asset that names the run, and the outputs of the asset and of its checks.
    """
    assets = context.assets_def
    others = {key: run for key, run in previous.materialized.items() if run != context.run.run_id}
    outputs = {key: name for name, key in assets.node_keys_by_output_name.items() if key in others}
    checks = {
        name: spec.asset_key
        for name, spec in assets.node_check_specs_by_output_name.items()
        if spec.asset_key in others and spec.key in previous.evaluated_checks
    }
    for key, run in others.items():
        yield _observation(key, run, "which this run repeats from its failure")
        yield from unrecorded_step_output(context, outputs[key], run)
    for name, key in checks.items():
        yield from unrecorded_step_output(context, name, others[key])
    for key, run in meanwhile.items():
        yield _observation(key, run, "after this run was requested and from all that its upstreams have now")
        yield from unchanged_output(context, key)


def _observation(key: dg.AssetKey, run: str, why: str) -> dg.AssetObservation:
    return dg.AssetObservation(
        asset_key=key,
        description=f"Materialized by run {run}, {why}: not run again.",
        metadata={"starlake/status": "materialized_by_run", "starlake/run": dg.MetadataValue.dagster_run(run)},
    )
