"""Types of the operator arguments that Airflow checks when it imports a DAG."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, cast

__all__ = ["BASE_ARGUMENTS", "argument_problem", "to_airflow_value"]

_DURATIONS = frozenset({"execution_timeout", "max_retry_delay", "retry_delay"})
_INTEGERS = frozenset({"priority_weight", "task_concurrency", "max_active_tis_per_dag", "max_active_tis_per_dagrun"})
_TEXTS = frozenset(
    {"executor", "logger_name", "map_index_template", "owner", "pool", "queue", "run_as_user", "task_display_name"}
)
_BOOLEANS = frozenset(
    {
        *("allow_nested_operators", "depends_on_past", "do_xcom_push", "email_on_failure", "email_on_retry"),
        *("ignore_first_depends_on_past", "multiple_outputs", "wait_for_downstream"),
        "wait_for_past_depends_before_skipping",
    }
)
_RESOURCES = frozenset({"cpus", "disk", "gpus", "ram"})
_NOT_AWAITED = "the task could succeed without the result of its command. Next: remove it."
_STATES = {
    "trigger_rule": "tasks would run after others failed, and the run could end as a success. Next: remove it; the "
    "export sets the trigger rules that Dagster's order needs.",
    "skip_on_exit_code": "a failed command would be skipped instead of failed. Next: remove it; a load without files "
    "is skipped by its own result.",
    **dict.fromkeys(("asynchronous", "wait_for_completion", "start_from_trigger"), _NOT_AWAITED),
    "request_id": "a second submission with the same id runs nothing, and the task would have the result of the first. "
    "Next: remove it; the operator generates one per try.",
}
"""Arguments that would change the results of tasks, with the reasons why they are rejected."""

_OTHERS = frozenset(
    {
        *("doc", "doc_json", "doc_rst", "doc_yaml", "email", "executor_config", "pool_slots", "resources", "retries"),
        *("on_execute_callback", "on_failure_callback", "on_retry_callback", "on_skipped_callback"),
        *("on_success_callback", "render_template_as_native_obj", "retry_exponential_backoff", "retry_policy", "sla"),
        "weight_rule",
    }
)
BASE_ARGUMENTS = _DURATIONS | _INTEGERS | _TEXTS | _BOOLEANS | _OTHERS
"""Arguments of every operator in the supported versions of Airflow, without those that the export writes."""


def to_airflow_value(name: str, value: Any) -> Any:
    """Returns the value of an argument as Airflow takes it: seconds of a time argument as a `timedelta`.

    Args:
        name: Name of the argument.
        value: A value without problems; see `argument_problem`.
    """
    is_number = name in _DURATIONS and isinstance(value, (int, float, str))
    return timedelta(seconds=float(value)) if is_number else value


def argument_problem(name: str, value: Any) -> str:
    """Returns the reason why an argument makes the import of a DAG fail or alters results; "" if there is none.

    Args:
        name: Name of the argument. An unknown name is accepted with any value.
        value: The value.
    """
    if name in _STATES:
        return f"`{name}` is not supported: {_STATES[name]}"
    expected, accepts = _expected(name)
    is_unset = value is None and name not in ("pool_slots", "retry_delay")
    return "" if is_unset or accepts(value) else f"{name}: expected {expected}, found {value!r}."


def _expected(name: str) -> tuple[str, Callable[[Any], bool]]:
    """Returns the expected value of an argument in words, and the function that accepts values other than None."""
    for names, words, accepts in (
        (_DURATIONS, "a number of seconds", _is_duration),
        (_INTEGERS, "an integer", _is_integer),
        (_TEXTS, "a text", _is_text),
        (_BOOLEANS, "true or false", _is_boolean),
    ):
        if name in names:
            return words, accepts
    return _SINGLE.get(name, ("", _is_anything))


def _is_anything(value: Any) -> bool:
    return True


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_boolean(value: Any) -> bool:
    return isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_retries(value: Any) -> bool:
    return (_is_integer(value) and value >= 0) or (isinstance(value, str) and value.isdecimal())


def _is_backoff(value: Any) -> bool:
    return isinstance(value, (bool, int, float))


def _is_email(value: Any) -> bool:
    return isinstance(value, (str, list, tuple))


def _is_positive(value: Any) -> bool:
    return _is_integer(value) and value >= 1


def _is_duration(value: Any) -> bool:
    if isinstance(value, timedelta):
        return value >= timedelta(0)
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
        return seconds >= 0 and timedelta(seconds=seconds) >= timedelta(0)
    except (TypeError, ValueError, OverflowError):
        return False


def _is_resources(value: Any) -> bool:
    items = cast("Mapping[Any, Any]", value).items() if isinstance(value, Mapping) else [("", None)]
    return all(key in _RESOURCES and _is_integer(one) for key, one in items)


_SINGLE: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "email": ("a text or a list of texts", _is_email),
    "pool_slots": ("an integer of at least 1", _is_positive),
    "resources": (f"a mapping of {', '.join(sorted(_RESOURCES))} to integers", _is_resources),
    "retries": ("an integer of at least 0", _is_retries),
    "retry_exponential_backoff": ("true, false or a number", _is_backoff),
}
