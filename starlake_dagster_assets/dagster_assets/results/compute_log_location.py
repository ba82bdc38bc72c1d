"""Location of the complete output of the commands of a step."""

import dagster as dg

from starlake_dagster_assets.dagster_assets.direct_invocation import is_direct

__all__ = ["compute_log"]


def compute_log(context: dg.AssetExecutionContext) -> str:
    """Returns the location of the complete output of a step.

    Args:
        context: Context of the step.

    Returns:
        A phrase with the location, as a link or a path if Dagster knows one.
    """
    if is_direct(context):
        return "stdout of this process"
    step = context.op_execution_context.get_step_execution_context().step.key
    where = f"stdout of step {step} in the run's compute logs"
    for record in reversed(context.instance.all_logs(context.run.run_id, of_type=dg.DagsterEventType.LOGS_CAPTURED)):
        captured = record.dagster_event.logs_captured_data if record.dagster_event is not None else None
        if captured is None or step not in (captured.step_keys or ()):
            continue
        url = getattr(captured, "external_stdout_url", None) or captured.external_url
        return f"{where}: {url or _path(context, captured.file_key) or f'log key {captured.file_key}'}"
    return where


def _path(context: dg.AssetExecutionContext, key: str) -> str:
    """Returns the path of a log file of the instance on this machine; "" if the logs are stored elsewhere."""
    local = getattr(context.instance.compute_log_manager, "get_captured_local_path", None)
    return "" if local is None else str(local([context.run.run_id, "compute_logs", key], "out"))
