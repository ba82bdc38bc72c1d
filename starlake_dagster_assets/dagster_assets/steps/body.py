"""The body of a step: binds it to its project, and validates that each selected asset has a result."""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from contextvars import ContextVar, copy_context
from functools import wraps
from typing import Any

import dagster as dg

from starlake_dagster_assets.dagster_assets.direct_invocation import with_run
from starlake_dagster_assets.dagster_assets.step_binding import BINDING, StepBinding
from starlake_dagster_assets.dagster_assets.steps.run_config import LaunchSettings, StarlakeRunConfig
from starlake_dagster_assets.dagster_assets.steps.step_result_tracker import StepProgress
from starlake_dagster_assets.errors import StarlakeError

__all__ = ["bound_body", "current_step", "events_of", "running_step"]

_EVENTS = (dg.MaterializeResult, dg.Output, dg.AssetMaterialization, dg.AssetObservation, dg.AssetCheckResult)
_CURRENT: ContextVar[StepProgress | None] = ContextVar("starlake_dagster_assets_step", default=None)


def current_step() -> StepProgress:
    """Returns the step whose body is running.

    Raises:
        StarlakeError: Outside a function decorated with `starlake_assets`.
    """
    step = _CURRENT.get()
    if step is None:
        raise StarlakeError("starlake.run(context) works inside a function decorated with @starlake_assets only.")
    return step


def running_step() -> StepProgress | None:
    """Returns the step whose body is running; None outside a step."""
    return _CURRENT.get()


def bound_body(fn: Callable[..., Any], binding: StepBinding) -> Callable[..., Iterator[Any]]:
    """Wraps the function of a step in a generator; while it runs, `current_step` returns the step.

    The generator raises a failure if a selected asset or check has no result.
    """

    @wraps(fn)
    def body(*args: Any, **kwargs: Any) -> Iterator[Any]:
        context = _context(args, kwargs)
        step = StepProgress(_present(binding, context), _launch(args, kwargs))
        inside = copy_context()
        inside.run(_CURRENT.set, step)
        events = inside.run(lambda: events_of(fn(*args, **kwargs)))
        try:
            while True:
                try:
                    event = inside.run(next, events)
                except StopIteration:
                    break
                step.note(event)
                if context is not None:
                    step.note_logged(context)
                yield event
        finally:
            inside.run(events.close)
        if context is not None:
            step.check(context)

    setattr(body, BINDING, binding)
    return body


def events_of(result: Any) -> Generator[Any, None, None]:
    """Yields the events of the body of a step: the events that it yields, then the events that it returns.

    Args:
        result: The value that the function returned: an iterator, one event, several, or None.
    """
    if result is None:
        return
    if isinstance(result, _EVENTS):
        yield result
        return
    yield from events_of((yield from result))


def _context(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dg.AssetExecutionContext | None:
    """Returns the context of the step that runs; None if the function is called directly."""
    contexts = [value for value in (*args, *kwargs.values()) if isinstance(value, dg.AssetExecutionContext)]
    with suppress(Exception):  # Dagster has one class for each kind of context that it does not have here
        context = contexts[0] if contexts else dg.AssetExecutionContext.get()
        if context.assets_def is not None:  # pyright: ignore[reportUnnecessaryComparison]
            return with_run(context)
    return None


def _present(binding: StepBinding, context: dg.AssetExecutionContext | None) -> StepBinding:
    return binding if context is None else binding.with_keys_of(context.assets_def)


def _launch(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> LaunchSettings:
    configs = (LaunchSettings.of(value) for value in (*args, *kwargs.values()) if isinstance(value, StarlakeRunConfig))
    return next(configs, LaunchSettings())
