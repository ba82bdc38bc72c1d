"""Which attempt of which step asks for commands, for the environments that label and remember what they run."""

import dagster as dg

from starlake_dagster_assets.runners.protocol import Attempt

__all__ = ["attempt_of"]


def attempt_of(context: dg.AssetExecutionContext) -> Attempt:
    """The attempt that a context belongs to."""
    return Attempt(context.run.run_id, context.assets_def.op.name, context.retry_number)
