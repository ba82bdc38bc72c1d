"""One step that makes many tables while the engine does nothing: what is left is ours, and Dagster's."""

from __future__ import annotations

import copyreg
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from benchmarks.measure import Meter
from benchmarks.sides import projects
from starlake_dagster_assets import StarlakeResource, StarlakeSteps, build_definitions
from starlake_dagster_assets.commands.model import Command
from starlake_dagster_assets.dagster_assets.decorator import materialize
from starlake_dagster_assets.engine.reading.column_types import target_columns
from starlake_dagster_assets.execution.backends.fake import FakeRunner, FakeWarehouseReader, Script, loaded_lines


class Nothing(StarlakeResource):
    """An engine that says at once that all is done."""

    def runner(self, project: Any, attempt: Any = None) -> Any:
        """Plays what a load prints; the warehouse has every table as described, in its own types."""
        columns = {
            node.key: [(one.name, one.type) for one in target_columns(node.table, project.model)]
            for node in project.graph.nodes.values()
            if node.table is not None and not node.is_files
        }
        return FakeRunner(_played, FakeWarehouseReader(tables=columns, counts=dict.fromkeys(columns, 3)))


def _check(fields: dict[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(**fields)


copyreg.pickle(dg.AssetCheckResult, lambda one: (_check, (one._asdict(),)))  # pickle calls its `__new__` by position


def _played(command: Command) -> Script | None:
    if command.argv[0] != "load":
        return None
    options = dict(zip(command.argv[1::2], command.argv[2::2], strict=False))
    tables = options["--tables"].split(",")
    lines = [line for table in tables for line in loaded_lines(options["--domains"], table, accepted=3)]
    return Script([*lines, "26/01/01 00:00:00 INFO IngestionWorkflow: All tables loaded successfully"])


def ours(meter: Meter, work: Path, **shape: Any) -> None:
    """Our step; keeps its events for the floor to yield."""
    events: list[Any] = []

    def noted(context: dg.AssetExecutionContext, starlake: StarlakeResource) -> Iterator[Any]:
        for event in materialize(context, starlake):
            events.append(event)
            yield event

    source = projects.source(work, **shape)
    defs = build_definitions(source, starlake=Nothing(), steps=StarlakeSteps("project", execute=noted))
    _executed(defs, meter, "ours")
    made = sum(isinstance(event, dg.MaterializeResult) for event in events)
    if made != shape["tables"]:
        raise AssertionError(f"{made} tables were made of {shape['tables']}")
    (work / "events.pickle").write_bytes(pickle.dumps(events))


def bare(meter: Meter, work: Path, **shape: Any) -> None:
    """A multi_asset of the same assets and checks that yields what was kept."""
    events = pickle.loads((work / "events.pickle").read_bytes())
    defs = build_definitions(projects.source(work, **shape), starlake=Nothing(), steps="project")
    (step,) = [one for one in defs.assets or () if isinstance(one, dg.AssetsDefinition)]

    @dg.multi_asset(name="bare", specs=list(step.specs), check_specs=list(step.check_specs), can_subset=True)
    def yielded() -> Iterator[Any]:
        yield from events

    _executed(dg.Definitions([yielded]), meter, "bare")


def _executed(defs: dg.Definitions, meter: Meter, side: str) -> None:
    resolve = getattr(defs, "resolve_implicit_global_asset_job_def", None)
    job = resolve() if resolve else defs.get_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        with meter(side):
            done = job.execute_in_process(instance=instance)
        if not done.success:
            raise AssertionError("the run failed")
