"""Validates the answers of an `Environment`, whose implementation may be in another package."""

from __future__ import annotations

from collections.abc import Sequence
from functools import wraps
from typing import Any, cast, get_args

from starlake_dagster_assets.commands.model import Line
from starlake_dagster_assets.errors import PLUGIN_ADVICE, PluginError, RunnerError, UnreachableError
from starlake_dagster_assets.execution.backends.remote.protocol import (
    Environment,
    ErrorClass,
    ErrorKind,
    State,
    Status,
    Submission,
)

__all__ = [
    "GuardedEnvironment",
    "classify_error",
    "find_execution",
    "missing_members",
    "read_log",
    "read_status",
    "submit_execution",
]

_STATES: tuple[str, ...] = get_args(State)
_KINDS: tuple[str, ...] = get_args(ErrorKind)
_MEMBERS = ("name", "submit", "find", "status", "logs", "cancel", "classify_error", "refresh", "close")


class GuardedEnvironment:
    """Environment of another package, whose calls cannot end this process: they raise `PluginError` instead.

    Args:
        environment: The environment.
        origin: Origin of the environment, for messages.
    """

    def __init__(self, environment: Environment, origin: str) -> None:
        self._environment, self._origin = environment, origin

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._environment, name)
        if not callable(found):
            return found

        @wraps(found)
        def call(*args: Any) -> Any:
            try:
                return found(*args)
            except SystemExit as error:
                effect = " The command may run in the service." if name == "submit" else ""
                raise PluginError(
                    f"{self._origin}: {name} raised SystemExit: {error}; expected an answer, or an error for "
                    f"classify_error.{effect} {PLUGIN_ADVICE}"
                ) from error

        return call


def missing_members(environment: object) -> list[str]:
    """Returns the members of the protocol that an object lacks."""
    return [name for name in _MEMBERS if not hasattr(environment, name)]


def classify_error(environment: Environment, error: Exception) -> ErrorClass:
    """Calls `classify_error`; an error that `classify_error` cannot classify is fatal."""
    text = f"{type(error).__name__}: {error}"
    try:
        found = cast("object", environment.classify_error(error))
    except Exception as another:  # the implementation may be in another package
        return ErrorClass("fatal", f"{text}. classify_error raised {type(another).__name__}: {another}.")
    if isinstance(found, ErrorClass) and found.kind in _KINDS:
        seconds = cast("object", found.retry_after)
        if isinstance(seconds, int | float):
            return found
        return ErrorClass("fatal", f"{text}. classify_error returned retry_after={seconds!r}; expected seconds.")
    shown = f"the kind {found.kind!r}" if isinstance(found, ErrorClass) else type(found).__name__
    return ErrorClass("fatal", f"{text}. classify_error returned {shown}; expected one of {', '.join(_KINDS)}.")


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
        raise RunnerError(
            f"logs returned {_kind_of_log(found)}; expected a tuple of a list of Line, and the next cursor (text or "
            "None)."
        )
    return known, after


def _kind_of_log(found: Any) -> str:
    """Returns the types within an answer of `logs`."""
    kind = type(found).__name__
    if not isinstance(found, tuple):
        return kind
    parts = cast("tuple[object, ...]", found)
    lines = cast("Sequence[object]", parts[0]) if parts and isinstance(parts[0], list | tuple) else ()
    wrong = sorted({type(line).__name__ for line in lines if not isinstance(line, Line)})
    names = ", ".join(type(part).__name__ for part in parts)
    return f"{kind} ({names})" + (f" with lines of type {', '.join(wrong)}" if wrong else "")
