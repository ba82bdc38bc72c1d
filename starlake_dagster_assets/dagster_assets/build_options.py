"""Option groups of `build_definitions`: metadata that is read after a load or transform, and how steps are built."""

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from inspect import signature
from typing import Any, get_args

import dagster as dg

from starlake_dagster_assets._arguments import instance_of, variables_of
from starlake_dagster_assets._deprecated import renamed_arguments
from starlake_dagster_assets.dagster_assets.results.iterator import Execute, Fetch
from starlake_dagster_assets.dagster_assets.steps.grouping import StepSplit
from starlake_dagster_assets.errors import closest_match
from starlake_dagster_assets.execution.outcome import TaskOptions

__all__ = ["FORMER_METADATA", "FORMER_STEPS", "StarlakeMetadata", "StarlakeSteps", "resolve_option_groups"]


@dataclass(frozen=True, kw_only=True)
class StarlakeMetadata:
    """Metadata that is read from the warehouse after each load and transform, and shown with the asset.

    Attributes:
        row_counts: Count the rows of each materialized table (`dagster/row_count`).
        columns: Read its columns (`dagster/column_schema`) and trace their lineage (`dagster/column_lineage`).
        preview: Number of rows to show of it; 0 shows none. Values that `privacy` or `rls` protects are hidden.
        samples: Number of rows to show behind a failed check, at most 20; 0 shows none. Private columns are hidden.

    Raises:
        TypeError: When a value has the wrong type.
        ValueError: When `preview` is negative, or `samples` not from 0 to 20.

    Examples:
        ::

            build_definitions(project, metadata=StarlakeMetadata(preview=5))
    """

    row_counts: bool = True
    columns: bool = True
    preview: int = 0
    samples: int = 5

    def __post_init__(self) -> None:
        for name, kind, words in (
            ("row_counts", bool, "True or False"),
            ("columns", bool, "True or False"),
            ("preview", int, "a number of rows"),
            ("samples", int, "a number of rows"),
        ):
            value = getattr(self, name)
            if not isinstance(value, kind):
                raise TypeError(f"StarlakeMetadata: `{name}` takes {words}, not {type(value).__name__}.")
        Fetch(preview=self.preview, samples=self.samples)


@dataclass(frozen=True)
class StarlakeSteps:
    """Options of the steps of a project: how they are split, named, retried and executed.

    Attributes:
        split: How many steps a run has. `project`: one per partitions definition; a table that fails or has no
            new file stops only the assets that read it, and one process serves all. `group`: one per load domain and
            transform schema, which can run in parallel, but Dagster skips a whole group if one table that it reads
            was not materialized. `task`: one per load domain and one per task. `auto`: `project` up to 500 assets; for
            more, one step per job, since the time that Dagster takes to load a job grows with its steps.
        name: Name of the step, and the beginning of the names of several; `starlake_<directory>` by default, followed
            by the selection, if there is one.
        pool: Concurrency pool of all steps. By default `default_pool` of their nodes, else
            `starlake_duckdb_<file name>` if they write a DuckDB file.
        retry_policy: How a failed step is retried. By default `retries` and `retry_delay` of its failed nodes.
        op_tags: Tags of the steps, for example for `dagster-k8s`.
        executor: How the steps of a run are executed. With the embedded engine, in one process by default, because a
            DuckDB file has one writer; if Dagster supports it, a failed step does not stop steps whose inputs exist.
        options: Variables of transforms: the same for all, or a function of the node.
        execute: Your own body for the steps, a generator of events. It replaces the default body, so `metadata`
            and `options` have no effect.
        resource_key: Key of the resource: a different one per project in a code location with several projects.

    Raises:
        TypeError: When `options` is not a mapping of names to texts.
        ValueError: When `split` is none of its values.

    Examples:
        ::

            build_definitions(project, steps=StarlakeSteps("group", retry_policy=dg.RetryPolicy(max_retries=2)))
    """

    split: StepSplit = "auto"
    _: KW_ONLY
    name: str | None = None
    pool: str | None = None
    retry_policy: dg.RetryPolicy | None = None
    op_tags: Mapping[str, Any] | None = None
    executor: dg.ExecutorDefinition | dg.Executor | None = None
    options: TaskOptions | None = None
    execute: "Execute | None" = None
    resource_key: str = "starlake"

    def __post_init__(self) -> None:
        if not callable(self.options):
            variables_of(self.options, "StarlakeSteps")
        known = get_args(StepSplit)
        if self.split not in known:
            near = closest_match(str(self.split), known)
            hint = f"did you mean `{near}`?" if near else f"expected {', '.join(f'`{one}`' for one in known)}."
            raise ValueError(f"unknown value `{self.split}` of `steps`; {hint}")


FORMER_METADATA: Mapping[str, str] = {
    name: f"metadata=StarlakeMetadata({name}=…)" for name in ("row_counts", "columns", "preview", "samples")
}
"""Deprecated arguments whose replacement is in `StarlakeMetadata`, and how to pass it."""

FORMER_STEPS: Mapping[str, str] = {
    name: f"steps=StarlakeSteps({name}=…)"
    for name in ("name", "pool", "retry_policy", "op_tags", "executor", "options", "execute", "resource_key")
}
"""Deprecated arguments whose replacement is in `StarlakeSteps`, and how to pass it."""


def resolve_option_groups(
    called: Callable[..., Any], metadata: object, steps: object, former: Mapping[str, Any], also: Mapping[str, str]
) -> tuple[StarlakeMetadata, StarlakeSteps, dict[str, Any]]:
    """Returns the option groups that a user passed, with the values of deprecated arguments.

    Args:
        called: The function that was called, for messages.
        metadata: The argument `metadata`.
        steps: The argument `steps`: a group, or the value of `split`.
        former: Keyword arguments that are not in the signature.
        also: Further deprecated arguments of this function, and what to pass instead.

    Returns:
        Both groups, and the values of the further arguments.

    Raises:
        TypeError: When an argument is unknown, has the wrong type, or is given twice.
        ValueError: When `steps` is a text that is no value of `split`.
    """
    function, instead = called.__name__, {**FORMER_METADATA, **FORMER_STEPS, **also}
    parameters = [one.name for one in signature(called).parameters.values() if one.kind is not one.VAR_KEYWORD]
    given = renamed_arguments(function, former, instead, parameters=parameters, stacklevel=5)
    shown, cut = _metadata(metadata, function), _steps(steps, function)
    for name in given:
        group = "metadata" if name in FORMER_METADATA else "steps" if name in FORMER_STEPS else ""
        if (group == "metadata" and metadata is not None) or (group == "steps" and isinstance(steps, StarlakeSteps)):
            raise TypeError(f"{function}: `{name}` is given twice: also in `{group}`; pass it in `{group}` only.")
    shown = replace(shown, **{name: value for name, value in given.items() if name in FORMER_METADATA})
    cut = replace(cut, **{name: value for name, value in given.items() if name in FORMER_STEPS})
    return shown, cut, {name: value for name, value in given.items() if name in also}


def _metadata(value: object, function: str) -> StarlakeMetadata:
    if value is None:
        return StarlakeMetadata()
    return instance_of(value, StarlakeMetadata, function, "metadata", "StarlakeMetadata(preview=5)")


def _steps(value: object, function: str) -> StarlakeSteps:
    if isinstance(value, str):
        try:
            return StarlakeSteps(value)  # pyright: ignore[reportArgumentType] - validated there
        except ValueError as error:
            raise ValueError(f"{function}: {error}") from None
    return instance_of(value, StarlakeSteps, function, "steps", 'StarlakeSteps("group")')
