"""Exceptions of this package; messages state the location, what was found, what was expected and the next step."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

__all__ = [
    "PLUGIN_ADVICE",
    "CommandError",
    "EngineError",
    "PluginError",
    "ProjectError",
    "QueryError",
    "RunnerError",
    "SelectionError",
    "StarlakeError",
    "UnreachableError",
    "WarehouseError",
    "closest_match",
]


class StarlakeError(Exception):
    """Base class of all errors of this package, each with one message that a user can act on."""


class ProjectError(StarlakeError):
    """Errors in a project, which prevent its use.

    Args:
        problems: The rendered problems (`file:line: message`), one per line in the message, in file order.
    """

    def __init__(self, problems: Sequence[object]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


class SelectionError(StarlakeError):
    """A selection that matches nothing or cannot be parsed."""


class CommandError(StarlakeError):
    """A command that cannot be written on Starlake's command line."""


class RunnerError(StarlakeError):
    """An execution environment that could not run a command."""


class PluginError(RunnerError):
    """A bug of another package that registers an execution environment; the message names the package and the cause."""


PLUGIN_ADVICE = "Next: correct it in that package, or report it to its authors."
"""Last sentence of a `PluginError` that only the authors of the package can correct."""


class UnreachableError(RunnerError):
    """A remote environment that does not answer. Its execution continues, and a retry of the step takes it over."""


class EngineError(StarlakeError):
    """A load or a transform that the embedded engine rejected or that failed in it."""


class WarehouseError(StarlakeError):
    """A warehouse that could not be read. Its message has no secrets."""


class QueryError(WarehouseError):
    """A query that a warehouse rejected."""


def closest_match(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Returns the known word that is most similar to an unknown word.

    Args:
        word: The unknown word.
        known: The words that would have been accepted.
        cutoff: Minimum similarity, 0 to 1: the higher, the fewer words are close.

    Returns:
        The closest word regardless of case, or None if nothing is close.
    """
    by_lower = {item.lower(): item for item in known}
    found = difflib.get_close_matches(word.lower(), list(by_lower), n=1, cutoff=cutoff)
    return by_lower[found[0]] if found else None
