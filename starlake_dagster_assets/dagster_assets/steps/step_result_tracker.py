"""Progress of a step: the assets and checks that have a result, compared with those that are selected."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from starlake_dagster_assets.dagster_assets.direct_invocation import is_direct
from starlake_dagster_assets.dagster_assets.step_binding import StepBinding
from starlake_dagster_assets.dagster_assets.steps.run_config import LaunchSettings
from starlake_dagster_assets.execution.backends.protocol import Runner, WarehouseSharingRunner
from starlake_dagster_assets.execution.expectation_checks import RESERVED
from starlake_dagster_assets.execution.outcome import FinalOutcome, Outcome, TaskOptions
from starlake_dagster_assets.graph.select import format_names

__all__ = ["RunCall", "StepProgress"]


@dataclass
class RunCall:
    """A call of `starlake.run` in the body of a step.

    Attributes:
        number: 1 for the first.
        nodes: Ids of the nodes that it selects.
        options: Variables of transforms.
        launch: Settings of this launch.
        started: Whether its events were read.
        ended: Whether its events were read to the end.
        runner: Runner of its commands; None until the first event is read.
    """

    number: int
    nodes: frozenset[str]
    options: TaskOptions
    launch: LaunchSettings
    started: bool = False
    ended: bool = False
    runner: Runner | None = None


@dataclass
class StepProgress:
    """The results that the body of a step has produced so far.

    Attributes:
        binding: The project and its assets, with their current keys.
        launch: Settings of this launch, if the function takes run config.
        calls: Calls of `starlake.run`.
        failed: Reasons by asset key, of assets that failed and were not materialized afterwards.
        materialized: Asset keys that this body has materialized.
        requested: Ids of the nodes of the calls that have begun.
    """

    binding: StepBinding
    launch: LaunchSettings = field(default_factory=LaunchSettings)
    calls: list[RunCall] = field(default_factory=list[RunCall])
    failed: dict[dg.AssetKey, str] = field(default_factory=dict[dg.AssetKey, str])
    materialized: set[dg.AssetKey] = field(default_factory=set[dg.AssetKey])
    requested: frozenset[str] = frozenset()
    _observed: set[dg.AssetKey] = field(default_factory=set[dg.AssetKey])
    _checked: set[dg.AssetCheckKey] = field(default_factory=set[dg.AssetCheckKey])
    _unevaluated: set[dg.AssetCheckKey] = field(default_factory=set[dg.AssetCheckKey])

    def call(self, nodes: frozenset[str], options: TaskOptions, launch: LaunchSettings | None) -> RunCall:
        """Records a call of `starlake.run`.

        Args:
            nodes: Ids of the nodes that it selects.
            options: Variables of transforms.
            launch: Settings of this launch; the run config of the step by default.
        """
        call = RunCall(len(self.calls) + 1, nodes, options, launch or self.launch)
        self.calls.append(call)
        return call

    def close_warehouse(self) -> None:
        """Closes the warehouse that runners of the step keep open between commands, so that others can use it."""
        for call in self.calls:
            if isinstance(call.runner, WarehouseSharingRunner):
                call.runner.close()

    def note(self, event: Any) -> None:
        """Records the asset or the checks for which an event of the body is a result."""
        if isinstance(event, dg.AssetCheckResult):
            self._note_checks([event], None)
        elif isinstance(event, dg.MaterializeResult):
            key = self._key(event.asset_key)  # pyright: ignore[reportUnknownMemberType]
            self._note_materialized(key)
            self._note_checks(event.check_results or (), key)
        elif isinstance(event, dg.AssetMaterialization):
            self._note_materialized(event.asset_key)
        elif isinstance(event, dg.Output):
            self._note_materialized(self.binding.outputs.get(event.output_name))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        elif isinstance(event, dg.AssetObservation) and (event.description or event.metadata):
            self._observed.add(event.asset_key)

    def note_unevaluated(self, item: Outcome | FinalOutcome) -> None:
        """Records the expectations of an outcome that could not be evaluated, about which the run has warned."""
        outcome = item.outcome if isinstance(item, FinalOutcome) else item
        names = {check.expectation.name for check in outcome.checks if check.unknown}
        for key in [key for key, node in self.binding.nodes.items() if node.id == outcome.node.id] if names else ():
            specs = self.binding.checks.get(key, {})
            self._unevaluated |= {specs[name].key for name in names if name in specs}

    def note_logged(self, context: dg.AssetExecutionContext) -> None:
        """Records the events that the body passed to `context.log_event` since its last event."""
        for event in getattr(context.op_execution_context, "_events", ()):
            data = getattr(event, "event_specific_data", None)
            self.note(getattr(data, "materialization", None) or getattr(data, "asset_observation", None))

    def check(self, context: dg.AssetExecutionContext) -> None:
        """Fails the step if a selected asset or check has no result.

        Raises:
            dg.Failure: With the assets or checks, the cause and the next step.
        """
        from starlake_dagster_assets.dagster_assets.steps.previous_attempts import (
            materialized_keys,  # a code location runs no step
        )

        if self.failed:
            reasons = "; ".join(f"{key.to_user_string()} ({reason})" for key, reason in self.failed.items())
            raise dg.Failure(
                f"{_title(context)}: {len(self.failed)} failed and the body of the step went on: {reasons}. Let the "
                "exception of `starlake.run(context)` end the step, or run them again in the body."
            )
        self.note_logged(context)
        missing = set(context.selected_asset_keys) - self.materialized - self._observed
        missing -= materialized_keys(context, missing) if missing and not is_direct(context) else set()
        if missing:
            raise dg.Failure(self._no_result(context, missing), allow_retries=False)
        self._check_checks(context)

    def _check_checks(self, context: dg.AssetExecutionContext) -> None:
        from starlake_dagster_assets.dagster_assets.steps.previous_attempts import repeats_failed_assets

        open_checks = set(context.selected_asset_check_keys) - self._checked - self._unevaluated
        alone = {key for key in open_checks if key.asset_key not in context.selected_asset_keys}
        reserved = {
            spec.key for named in self.binding.checks.values() for own, spec in named.items() if own in RESERVED
        }
        materialized = {key for key in open_checks if key.asset_key in self.materialized}
        wanted = (alone | materialized) - (reserved - alone)
        if repeats_failed_assets(context.run):  # Dagster selects checks that the parent run could not evaluate
            wanted -= alone
        names = format_names(f"{key.asset_key.to_user_string()}: {key.name}" for key in (materialized | alone) - wanted)
        if names:
            context.log.warning(f"Checks that this environment did not evaluate: {names}.")
        if wanted:
            named = format_names(f"{key.asset_key.to_user_string()}: {key.name}" for key in wanted)
            raise dg.Failure(
                f"{_title(context)}: {len(wanted)} of {len(context.selected_asset_check_keys)} selected checks have no "
                f"result: {named}. {self._cause()}",
                allow_retries=False,
            )

    def _no_result(self, context: dg.AssetExecutionContext, missing: set[dg.AssetKey]) -> str:
        names = format_names(key.to_user_string() for key in missing)
        total = len(set(context.selected_asset_keys))
        return f"{_title(context)}: {len(missing)} of {total} selected assets have no result: {names}. {self._cause()}"

    def _cause(self) -> str:
        if any(not call.started for call in self.calls):
            return "Nothing was run for them: write `yield from starlake.run(context)`."
        if any(not call.ended for call in self.calls):
            return "The events of `starlake.run(context)` were not read to the end: write `yield from` before it."
        if self.calls:
            return (
                "No call of `starlake.run(context)` yielded an event for them: write `yield from` before each call, "
                "and select each of them in one of the calls."
            )
        return (
            "The body of the step ended without running them: write `yield from starlake.run(context)`, or yield a "
            "MaterializeResult, or an AssetObservation whose description states why one is skipped."
        )

    def _key(self, key: dg.AssetKey | None) -> dg.AssetKey | None:
        """Returns the key of a result; for a result without a key, that of the only asset."""
        return key or (next(iter(self.binding.nodes)) if len(self.binding.nodes) == 1 else None)

    def _note_materialized(self, key: dg.AssetKey | None) -> None:
        if key is not None:
            self.materialized.add(key)
            self.failed.pop(key, None)

    def _note_checks(self, results: Sequence[dg.AssetCheckResult], of: dg.AssetKey | None) -> None:
        for result in results:
            key = result.asset_key if isinstance(result.asset_key, dg.AssetKey) else of or self._key(None)
            named = [spec.name for spec in self.binding.checks.get(key, {}).values()] if key is not None else []
            name = result.check_name or (named[0] if len(named) == 1 else None)
            if key is not None and name is not None:
                self._checked.add(dg.AssetCheckKey(key, name))


def _title(context: dg.AssetExecutionContext) -> str:
    return f"Step {context.assets_def.op.name}"
