"""Validates the answers of an `Environment`, whose implementation may come from another package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast, get_args

from starlake_dagster_assets.commands.model import Line
from starlake_dagster_assets.errors import RunnerError, UnreachableError
from starlake_dagster_assets.execution.backends.remote.protocol import Environment, State, Status, Submission

__all__ = ["find_execution", "read_log", "read_status", "submit_execution"]

_STATES: tuple[str, ...] = get_args(State)


def submit_execution(environment: Environment, submission: Submission) -> str:
    """Calls `submit`, and returns the id of the execution.

    Raises:
        UnreachableError: When the answer is no id: the command may run.
    """
    found = cast("object", environment.submit(submission))
    if isinstance(found, str) and found:
        return found
    raise UnreachableError(
        f"{environment.name}: submit returned {found!r} for {submission.command.name}; expected the id of the "
        f"execution. The command may run under the key {submission.key}. Next: correct submit, and look for the key in "
        "the service; a retry of the step adopts what `find` returns for it."
    )


def find_execution(environment: Environment, submission: Submission) -> str | None:
    """Calls `find`, and returns the id of the execution, or None.

    Raises:
        UnreachableError: When the answer is neither.
    """
    found = cast("object", environment.find(submission))
    if found is None or (isinstance(found, str) and found):
        return found
    raise UnreachableError(
        f"{environment.name}: find returned {found!r} for the key {submission.key}; expected the id of the execution, "
        "or None. Nothing was submitted again. Next: correct find."
    )


def read_status(environment: Environment, execution: str) -> Status:
    """Calls `status`, and returns the state of an execution.

    Raises:
        RunnerError: When the answer is no `Status`, or its state is unknown.
    """
    found = cast("object", environment.status(execution))
    expected = f"expected one of {', '.join(_STATES)}."
    if not isinstance(found, Status):
        raise RunnerError(f"status returned {type(found).__name__} instead of a Status; {expected}")
    if found.state not in _STATES:
        raise RunnerError(f"status returned the unknown state {found.state!r}; {expected}")
    return found


def read_log(environment: Environment, execution: str, cursor: str | None) -> tuple[Sequence[Line], str | None]:
    """Calls `logs`, and returns the lines after a cursor, and the next cursor.

    Raises:
        RunnerError: When the answer is something else.
    """
    found: Any = environment.logs(execution, cursor)
    try:
        lines, after = found
        known = [line for line in lines if isinstance(line, Line)]
    except (TypeError, ValueError):
        known, lines, after = [], None, 0
    if lines is None or len(known) != len(lines) or not isinstance(after, str | None):
        kind = type(found).__name__
        raise RunnerError(
            f"logs returned {kind}; expected a tuple of a list of Line, and the next cursor (text or None)."
        )
    return known, after
