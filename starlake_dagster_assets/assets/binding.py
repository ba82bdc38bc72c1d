"""From a running step back to its project, without objects in metadata and without global state."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from functools import wraps
from typing import Any

import dagster as dg

from starlake_dagster_assets.assets.names import output_name
from starlake_dagster_assets.assets.translator import StarlakeTranslator
from starlake_dagster_assets.command.source import ProjectSource
from starlake_dagster_assets.errors import StarlakeError
from starlake_dagster_assets.graph.model import Node

__all__ = ["Binding", "bind", "binding_of", "bound_body", "current_binding"]


@dataclass(frozen=True)
class Binding:
    """What a step needs to run its assets.

    Attributes:
        source: The project.
        translator: Bound to the project.
        nodes: By asset key.
        specs: In the order of the nodes.
        checks: By asset key, then by the name that our own results carry.
    """

    source: ProjectSource
    translator: StarlakeTranslator
    nodes: Mapping[dg.AssetKey, Node]
    specs: Sequence[dg.AssetSpec]
    checks: Mapping[dg.AssetKey, Mapping[str, dg.AssetCheckSpec]]

    @property
    def check_specs(self) -> list[dg.AssetCheckSpec]:
        """All checks."""
        return [spec for named in self.checks.values() for spec in named.values()]


_CURRENT: ContextVar[Binding | None] = ContextVar("starlake_dagster_assets_binding", default=None)

_BINDING = "starlake_binding"
"""The attribute of the function of a step that holds its binding."""


def bind(translator: StarlakeTranslator, node_ids: Sequence[str]) -> Binding:
    """What a step of these nodes needs.

    Args:
        translator: Bound to the project.
        node_ids: Tables and tasks.
    """
    nodes = [translator.graph.nodes[node] for node in node_ids]
    specs = [translator.spec(node) for node in nodes]
    taken = {output_name(spec.key) for spec in specs}
    checks: dict[dg.AssetKey, dict[str, dg.AssetCheckSpec]] = {}
    for node, spec in zip(nodes, specs, strict=True):
        named = checks.setdefault(spec.key, {})
        for check in translator.get_check_specs(node):
            named[check.name] = _free(check, output_name(spec.key), taken)
    by_key = {spec.key: node for node, spec in zip(nodes, specs, strict=True)}
    return Binding(translator.source, translator, by_key, specs, checks)


def current_binding() -> Binding:
    """The binding of the step that is running.

    Raises:
        StarlakeError: Outside a function decorated with `starlake_assets`.
    """
    binding = _CURRENT.get()
    if binding is None:
        raise StarlakeError("starlake.run(context) works inside a function decorated with @starlake_assets only.")
    return binding


def binding_of(assets: dg.AssetsDefinition) -> Binding | None:
    """The binding of assets that `starlake_assets` or `build_definitions` made; None for all others."""
    if not assets.is_executable:
        return None
    step: Any = assets.op.compute_fn
    found = getattr(getattr(step, "decorated_fn", step), _BINDING, None)
    return found if isinstance(found, Binding) else None


def bound_body(fn: Callable[..., Any], binding: Binding) -> Callable[..., Iterator[Any]]:
    """The function as a generator in whose body `current_binding` gives the binding."""

    @wraps(fn)
    def body(*args: Any, **kwargs: Any) -> Iterator[Any]:
        inside = copy_context()
        inside.run(_CURRENT.set, binding)
        events = inside.run(lambda: iter(fn(*args, **kwargs) or ()))
        try:
            while True:
                try:
                    event = inside.run(next, events)
                except StopIteration:
                    return
                yield event
        finally:
            close = getattr(events, "close", None)
            if close is not None:
                inside.run(close)

    setattr(body, _BINDING, binding)
    return body


def _free(check: dg.AssetCheckSpec, asset: str, taken: set[str]) -> dg.AssetCheckSpec:
    """The check under a name whose output no asset and no other check of the step has."""
    name, number = check.name, 2
    while f"{asset}_{name}" in taken:
        name, number = f"{check.name}_{number}", number + 1
    taken.add(f"{asset}_{name}")
    if name == check.name:
        return check
    condition: Any = check.automation_condition  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return dg.AssetCheckSpec(
        name,
        asset=check.asset_key,
        description=check.description,
        blocking=check.blocking,
        metadata=check.metadata,
        automation_condition=condition,
    )
