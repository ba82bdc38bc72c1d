"""Finds the project and the nodes of a running step, without objects in metadata and without global state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dagster as dg

from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.dagster_assets.specs.names import output_name
from starlake_dagster_assets.dagster_assets.specs.translator import StarlakeTranslator
from starlake_dagster_assets.graph.model import Node

__all__ = ["BINDING", "StepBinding", "build_step_binding", "find_step_binding"]


@dataclass(frozen=True)
class StepBinding:
    """The project, nodes, keys and checks that a step needs to run its assets.

    Attributes:
        source: The project.
        translator: Translator that is bound to the project.
        nodes: Nodes by asset key.
        specs: Asset specs in the order of the nodes.
        checks: Check specs by asset key, then by check name in the results of this package.
        outputs: Asset key by output name; Dagster derives the name from the first key of the asset.
    """

    source: ProjectSource
    translator: StarlakeTranslator
    nodes: Mapping[dg.AssetKey, Node]
    specs: Sequence[dg.AssetSpec]
    checks: Mapping[dg.AssetKey, Mapping[str, dg.AssetCheckSpec]]
    outputs: Mapping[str, dg.AssetKey]

    @property
    def check_specs(self) -> list[dg.AssetCheckSpec]:
        """Specs of all checks of the step."""
        return [spec for named in self.checks.values() for spec in named.values()]

    def with_keys_of(self, assets: dg.AssetsDefinition) -> "StepBinding":
        """Returns the binding with the current keys of its assets and checks.

        Prefixes and key replacements change keys after the assets were defined, but keep the names of outputs, which
        derive from the first keys.

        Args:
            assets: The current definition of the assets. Specs and checks that it no longer has are left out.
        """
        keys, specs = assets.node_keys_by_output_name, assets.node_check_specs_by_output_name
        nodes: dict[dg.AssetKey, Node] = {}
        checks: dict[dg.AssetKey, Mapping[str, dg.AssetCheckSpec]] = {}
        for first_key, node in self.nodes.items():
            output = output_name(first_key)
            if (key := keys.get(output)) is None:
                continue
            nodes[key] = node
            checks[key] = {
                name: specs[f"{output}_{spec.name}"]
                for name, spec in self.checks[first_key].items()
                if f"{output}_{spec.name}" in specs
            }
        outputs = {name: key for name, key in keys.items() if key in nodes}
        return replace(self, nodes=nodes, checks=checks, outputs=outputs)


BINDING = "starlake_binding"
"""Attribute of the function of a step that contains the binding of the step."""


def build_step_binding(translator: StarlakeTranslator, node_ids: Sequence[str]) -> StepBinding:
    """Returns the binding of a step to its project, its nodes and their translator.

    Args:
        translator: Translator that is bound to the project.
        node_ids: Ids of tables and tasks.
    """
    nodes = [translator.graph.nodes[node] for node in node_ids]
    specs = [translator.spec(node) for node in nodes]
    used = {output_name(spec.key) for spec in specs}
    checks: dict[dg.AssetKey, dict[str, dg.AssetCheckSpec]] = {}
    for node, spec in zip(nodes, specs, strict=True):
        named = checks.setdefault(spec.key, {})
        for check in translator.get_check_specs(node):
            named[check.name] = _free(check, output_name(spec.key), used)
    by_key = {spec.key: node for node, spec in zip(nodes, specs, strict=True)}
    outputs = {output_name(key): key for key in by_key}
    return StepBinding(translator.source, translator, by_key, specs, checks, outputs)


def find_step_binding(assets: dg.AssetsDefinition) -> StepBinding | None:
    """Returns the binding of assets of this package, with their current keys; None for other assets."""
    if not assets.is_executable:
        return None
    step: Any = assets.op.compute_fn
    found = getattr(getattr(step, "decorated_fn", step), BINDING, None)
    return found.with_keys_of(assets) if isinstance(found, StepBinding) else None


def _free(check: dg.AssetCheckSpec, asset: str, used: set[str]) -> dg.AssetCheckSpec:
    """Returns the check, renamed if an asset or another check of the step already has its output name."""
    name, number = check.name, 2
    while f"{asset}_{name}" in used:
        name, number = f"{check.name}_{number}", number + 1
    used.add(f"{asset}_{name}")
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
