"""Calls methods of a resource that another package may override; error messages name that package."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from types import MappingProxyType
from typing import Any, cast

import dagster as dg

from starlake_dagster_assets.environments import origin_of
from starlake_dagster_assets.errors import PLUGIN_ADVICE, PluginError
from starlake_dagster_assets.execution.backends.protocol import RunnerCapabilities
from starlake_dagster_assets.execution.backends.remote.protocol import Policy
from starlake_dagster_assets.execution.outcome import ResultPolicies
from starlake_dagster_assets.execution.warehouse.reader import WarehouseReader
from starlake_dagster_assets.execution.warehouse.reader_factory import WarehouseAccess

__all__ = ["call_resource", "calling_method"]

_OWN = "starlake_dagster_assets."


def _are_sensors(value: object) -> bool:
    items = cast("Sequence[object]", value) if isinstance(value, list | tuple) else None
    return items is not None and all(isinstance(one, dg.SensorDefinition) for one in items)


def _is_runner(value: object) -> bool:
    methods = (getattr(value, name, None) for name in ("start", "warehouse_reader"))
    return all(map(callable, methods)) and isinstance(getattr(value, "capabilities", None), RunnerCapabilities)


_ANSWERS: Mapping[str, tuple[str, Callable[[Any], bool]]] = MappingProxyType(
    {
        "policies": ("ResultPolicies", lambda value: isinstance(value, ResultPolicies)),
        "policy": ("a Policy", lambda value: isinstance(value, Policy)),
        "pool": (
            "the name of a pool, or None",
            lambda value: value is None or (isinstance(value, str) and value != ""),
        ),
        "runner": ("a Runner: start, warehouse_reader and capabilities, a RunnerCapabilities", _is_runner),
        "sensors": ("a list of SensorDefinition", _are_sensors),
        "single_writer": ("True or False", lambda value: isinstance(value, bool)),
        "validate_against": ("None", lambda value: value is None),
        "warehouse_reader": ("a WarehouseReader, or None", lambda value: value is None or _is_reader(value)),
        "warehouse_access": ("WarehouseAccess", lambda value: isinstance(value, WarehouseAccess)),
    }
)
"""Description and check of the expected return value, by method."""


def _is_reader(value: object) -> bool:
    names = sorted(WarehouseReader.__abstractmethods__)
    return all(callable(getattr(value, name, None)) for name in names)


@contextmanager
def calling_method(resource: Any, method: str) -> Generator[tuple[str, str]]:
    """Yields the origin of a resource's class and the text of a call, for messages; raises `PluginError` for errors.

    Args:
        resource: The resource.
        method: Name of the method.

    Raises:
        PluginError: The method of another package raises an unexpected error or exits.
    """
    kind = cast("type[Any]", type(resource))
    call, registered = f"{kind.__name__}.{method}()", origin_of(kind)
    with registered.calling(call) if registered is not None else nullcontext():
        yield (registered.title if registered is not None else f"module {kind.__module__}"), call


def call_resource(resource: Any, method: str, *args: Any, **kwargs: Any) -> Any:
    """Calls a method of a resource, which another package may have overridden.

    Args:
        resource: The resource.
        method: Name of the method.
        args: Arguments.
        kwargs: Arguments by name.

    Raises:
        PluginError: The method of another package raises an unexpected error or exits, or its answer has another type;
            names the package, its version and its entry point.
    """
    function = getattr(resource, method)
    if str(getattr(getattr(cast("type[Any]", type(resource)), method, None), "__module__", "")).startswith(_OWN):
        return function(*args, **kwargs)
    with calling_method(resource, method) as (origin, call):
        found = function(*args, **kwargs)
    expected, is_valid = _ANSWERS[method]
    if is_valid(found):
        return found
    raise PluginError(
        f"{origin}: {call} returned {found!r:.60} ({type(found).__name__}); expected {expected}. {PLUGIN_ADVICE}"
    )
