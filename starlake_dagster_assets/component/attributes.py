"""Attributes of the component whose YAML differs from Python: execution environments and automation."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from functools import cache
from typing import Annotated, Any, Literal, Union, cast

import dagster as dg
from pydantic import BeforeValidator, ConfigDict, Field, create_model

from starlake_dagster_assets._deprecated import renamed_arguments
from starlake_dagster_assets.automation.policies.setting_groups import FLAT_NAMES
from starlake_dagster_assets.automation.policies.starlake_automation import StarlakeAutomation
from starlake_dagster_assets.dagster_assets.build_options import (
    FORMER_METADATA,
    FORMER_STEPS,
    StarlakeMetadata,
    StarlakeSteps,
)
from starlake_dagster_assets.dagster_assets.steps.grouping import StepSplit
from starlake_dagster_assets.environments import execution_environments, get_environment
from starlake_dagster_assets.errors import StarlakeError
from starlake_dagster_assets.resources import StarlakeResource

__all__ = [
    "automation_type",
    "environment_type",
    "former_attributes",
    "metadata_attribute",
    "metadata_type",
    "resolve_automation",
    "resolve_environment",
    "resolve_environments",
    "resolve_steps",
    "steps_type",
]


class _Fields(dg.Model):
    """Base of models that accept any field; the Python class rejects unknown fields and suggests the closest name."""

    model_config = ConfigDict(extra="allow")


@cache
def environment_type() -> Any:
    """Returns the type of an execution environment in YAML: a mapping with `type` and the fields of its resource."""
    models: list[type[_Fields]] = []
    for kind, one in execution_environments().items():
        with suppress(StarlakeError):  # another package: `doctor` reports it
            models.append(_model(kind, one.resource_class()))
    union = Union[tuple(models)]  # noqa: UP007 - the members are a list
    return Annotated[union, Field(discriminator="type"), BeforeValidator(_with_known_type)]


def _with_known_type(value: Any) -> Any:
    """Returns the value, or raises an error that suggests the closest name if its `type` is unknown."""
    kind = cast("dict[str, Any]", value).get("type") if isinstance(value, dict) else None
    if isinstance(kind, str):
        try:
            get_environment(kind)
        except StarlakeError as error:
            raise ValueError(f"type: {error}") from error
    return cast("Any", value)


def resolve_environment(context: dg.ResolutionContext, model: Any) -> StarlakeResource:
    """Returns the resource that YAML describes.

    Args:
        context: Resolves template expressions `{{ … }}`.
        model: The YAML value: `type` and fields. A value `{env: NAME}` is read from that variable when a run starts,
            as `dg.EnvVar`, so that neither the UI nor a log shows it.

    Raises:
        RunnerError: When the resource has no such field.
    """
    given: dict[str, Any] = cast("Any", context).resolve_value(model.model_dump(exclude_unset=True))
    kind = given.pop("type")
    registered = get_environment(kind)
    with registered.calling(f"{registered.resource}()"):
        return registered.resource_class()(**{name: _secret(value) for name, value in given.items()})


def resolve_environments(context: dg.ResolutionContext, models: dict[str, Any]) -> dict[str, StarlakeResource]:
    """Returns the resources that YAML describes, by selection.

    Args:
        context: Resolves template expressions `{{ … }}`.
        models: The YAML value of each, as for `resolve_environment`.

    Raises:
        RunnerError: When a resource has no such field.
    """
    return {selection: resolve_environment(context, model) for selection, model in models.items()}


@cache
def automation_type() -> Any:
    """Returns the type of the YAML attribute `automation`: setting groups, or the names of DAG configurations."""
    fields: dict[str, Any] = dict.fromkeys([*StarlakeAutomation.model_fields, *FLAT_NAMES], (Any, None))
    return cast("Any", create_model)("automation", __base__=_Fields, __doc__=StarlakeAutomation.__doc__, **fields)


def resolve_automation(context: dg.ResolutionContext, model: Any) -> StarlakeAutomation:
    """Returns the automation settings that YAML describes.

    Raises:
        ProjectError: When a setting is not known, or its value cannot be read.
    """
    return StarlakeAutomation.from_options(cast("Any", context).resolve_value(model.model_dump(exclude_unset=True)))


@cache
def metadata_type() -> Any:
    """Returns the type of the YAML attribute `metadata`: the fields of `StarlakeMetadata`."""
    fields: dict[str, Any] = {one.name: (one.type, one.default) for one in dataclass_fields(StarlakeMetadata)}
    return cast("Any", create_model)("metadata", __base__=dg.Model, __doc__=_first_line(StarlakeMetadata), **fields)


def metadata_attribute(context: dg.ResolutionContext, model: Any) -> StarlakeMetadata:
    """Returns the options of the YAML attribute `metadata`."""
    return StarlakeMetadata(**cast("Any", context).resolve_value(model.model_dump(exclude_unset=True)))


@cache
def steps_type() -> Any:
    """Returns the type of the YAML attribute `steps`: the value of `split`, or some fields of `StarlakeSteps`."""
    fields: dict[str, Any] = {
        "split": (StepSplit, "auto"),
        "pool": (str | None, None),
        "op_tags": (dict[str, Any] | None, None),
    }
    return StepSplit | cast("Any", create_model)(
        "steps", __base__=dg.Model, __doc__=_first_line(StarlakeSteps), **fields
    )


def resolve_steps(context: dg.ResolutionContext, model: Any) -> StarlakeSteps:
    """Returns the options of the YAML attribute `steps`."""
    given = {"split": model} if isinstance(model, str) else model.model_dump(exclude_unset=True)
    return StarlakeSteps(**cast("Any", context).resolve_value(given))


def former_attributes(
    former: Mapping[str, Any], metadata: StarlakeMetadata, steps: StarlakeSteps | StepSplit
) -> tuple[StarlakeMetadata, StarlakeSteps]:
    """Returns both option groups with the values of deprecated attributes, after a warning for each.

    Args:
        former: Values of the deprecated attributes.
        metadata: The attribute `metadata`.
        steps: The attribute `steps`.
    """
    instead = {**FORMER_METADATA, **FORMER_STEPS}
    given = renamed_arguments("StarlakeProjectComponent", former, instead, stacklevel=6)
    cut = StarlakeSteps(steps) if isinstance(steps, str) else steps
    pool = {name: value for name, value in given.items() if name in FORMER_STEPS}
    shown = {name: value for name, value in given.items() if name in FORMER_METADATA}
    return replace(metadata, **shown), replace(cut, **pool)


def _first_line(kind: type[Any]) -> str:
    return (kind.__doc__ or "").partition("\n")[0]


def _secret(value: Any) -> Any:
    """Replaces each `{env: NAME}` in a value with a `dg.EnvVar`."""
    if isinstance(value, dict):
        held = cast("dict[str, Any]", value)
        if list(held) == ["env"] and isinstance(held["env"], str):
            return dg.EnvVar(held["env"])
        return {name: _secret(one) for name, one in held.items()}
    return value


def _model(kind: str, resource: type[StarlakeResource]) -> type[_Fields]:
    about = (resource.__doc__ or "").partition("\n")[0]
    fields: dict[str, Any] = {
        name: (Any, Field(default=None, description=field.description)) for name, field in resource.model_fields.items()
    }
    fields["type"] = (cast("Any", Literal)[kind], Field(description=about))
    return cast("Any", create_model)(f"{kind}_environment", __base__=_Fields, __doc__=about, **fields)
