"""Resource fields with `dg.EnvVar` values, which are read when a run starts.

Dagster reads variables for `str` and `int`, also within lists and mappings. This module reads the others: for `bool`,
`float`, choices, and whole lists, mappings and nested configurations.
"""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, Union, cast, get_args, get_origin

import dagster as dg
from pydantic import Field, ValidationError, field_validator

from starlake_dagster_assets.errors import RunnerError, closest_match
from starlake_dagster_assets.execution.backends.remote.public_texts import VariableText

__all__ = [
    "DESCRIPTION",
    "FROM_ENVIRONMENT",
    "ResourceConfig",
    "defer_env_vars",
    "defer_launch_config",
    "invalid_fields",
    "is_complete",
    "is_variable",
    "list_union_members",
    "pass_variable",
    "read_text",
    "resolve_env_vars",
    "with_definition_values",
    "with_placeholders",
]

_Config = TypeVar("_Config", bound=dg.Config)
_READ_BY_DAGSTER = (str, int)
"""Not `bool`: older versions read the text `false` as true, as any text that is not empty."""
_LONGEST_WORD = 12
"""Maximum length of an invalid choice that an error message shows: a longer text may be a secret."""
FROM_ENVIRONMENT = "from_environment"
"""Field with the names of variables that Dagster does not read; kept in a field because Dagster rebuilds resources."""
DESCRIPTION = (
    "Environment variable by field, read when a run starts; filled from `dg.EnvVar` if Dagster does not read it."
)


def is_variable(value: object) -> bool:
    """Whether a value is a `dg.EnvVar`, including those of `EnvVar.int`."""
    return isinstance(value, dg.EnvVar | type(dg.EnvVar.int("_")))


def pass_variable(value: Any, validate: Callable[[Any], Any]) -> Any:
    """Validates the value of a field; a variable is validated later, when its value is known."""
    return value if is_variable(value) else validate(value)


def defer_env_vars(cls: type[dg.Config], data: Mapping[str, Any], *, every: bool = False) -> dict[str, Any]:
    """Moves the variables that Dagster does not read to `from_environment`, and returns all fields.

    Args:
        cls: The class of the fields.
        data: Fields by name.
        every: Whether to move all variables, also those that Dagster reads.
    """
    fields = dict(data)
    names: dict[str, str] = dict(fields.get(FROM_ENVIRONMENT) or {})
    for name, value in data.items():
        field = cls.model_fields.get(name)
        if field is None:
            continue
        members = list_union_members(field.annotation)
        if is_variable(value) and (every or not any(member in _READ_BY_DAGSTER for member in members)):
            names[name] = _name(value)
            del fields[name]
            if field.is_required():  # a placeholder until the value is known
                shown = f"${{{names[name]}}}"
                fields[name] = shown if str in members else [shown]
        elif (isinstance(value, Mapping) and every) or any(map(_is_raw, members)):
            fields[name] = _without_variables(value, name, names)
    return {**fields, FROM_ENVIRONMENT: names} if names else fields


def resolve_env_vars(config: _Config) -> _Config:
    """Returns the configuration with the values of its variables, or the configuration itself if it has no variables.

    Args:
        config: A resource or a nested configuration, whose other variables Dagster has read.

    Raises:
        RunnerError: When a variable is not set, or its value is not valid for the field.
    """
    cls: type[Any] = type(config)
    title = cls.__name__
    names = cast("dict[str, str]", getattr(config, FROM_ENVIRONMENT, {}))
    fields = {name: getattr(config, name) for name in config.model_fields_set if name != FROM_ENVIRONMENT}
    nested = {name: resolve_env_vars(value) for name, value in fields.items() if isinstance(value, dg.Config)}
    if not names and all(fields[name] is value for name, value in nested.items()):
        return config
    fields |= nested
    for path, variable in names.items():
        text = os.environ.get(variable)
        if text is None:
            raise RunnerError(
                f"{title}: `{path}` is the environment variable {variable}, which is not set. Next: set it where the "
                "step runs (for `dagster dev`: in the shell that starts it, or in a .env file next to it)."
            )
        name, _, below = path.partition("/")
        fields[name] = _with(fields.get(name) or {}, below, VariableText(text)) if below else read_text(cls, name, text)
    try:
        return cls(**fields)
    except ValidationError as error:
        text = f"{title}: {invalid_fields(error)}"
    except RunnerError as error:
        text = str(error).removesuffix(".")
    raise RunnerError(f"{text} (read from {', '.join(sorted(set(names.values())))}).")


def invalid_fields(error: ValidationError) -> str:
    """Describes the invalid fields of an error, with reasons and found values, but no text that may be a secret."""
    texts = {f"`{_path(one['loc'])}` {_reason(one['msg'])}{_found(one)}": None for one in error.errors()}
    return "; ".join(texts)


def _found(error: Mapping[str, Any]) -> str:
    """Describes the invalid value as the end of a sentence: a number, a word instead of a choice, or a type."""
    value: object = error.get("input")
    if error["type"] == "missing":
        return ""
    if isinstance(value, bool | int | float) or value is None:
        shown = repr(value)
    elif isinstance(value, str):
        word = value.isalpha() and error["type"] == "literal_error" and len(value) <= _LONGEST_WORD
        shown = repr(value) if word or re.fullmatch(r"[-+]?[\d.]{1,20}", value) else "text"
    else:
        shown = "a mapping" if isinstance(value, Mapping) else "a list" if isinstance(value, list) else _kind(value)
    return f"; found {shown}"


def _kind(value: object) -> str:
    return type(value).__name__


def _path(parts: Sequence[int | str]) -> str:
    """Returns the path of a value, such as `volumes[0].name`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")


def _reason(text: str) -> str:
    """Returns a message of pydantic as the end of a sentence about a field."""
    text = text.removeprefix("Value error, ").rstrip(".")
    return text.removeprefix("Input ") if text.startswith("Input should be") else f"is wrong: {text}"


def defer_launch_config(cls: type[dg.Config], data: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields that were passed to `configure_at_launch` as run config, with all variables deferred.

    Args:
        cls: The class of the fields.
        data: Fields by name.
    """
    return {
        name: defer_launch_config(type(value), {one: getattr(value, one) for one in sorted(value.model_fields_set)})
        if isinstance(value, dg.Config)
        else value
        for name, value in defer_env_vars(cls, data, every=True).items()
    }


def with_definition_values(resource: Any) -> Any:
    """Returns a resource with the fields that are known when definitions are built.

    Args:
        resource: A resource, or the result of `configure_at_launch`.

    Returns:
        The resource itself; for one that is configured at launch, a resource with the known fields, not validated.
    """
    cls = getattr(resource, "resource_cls", None)
    if cls is None:
        return resource
    names: Mapping[str, str] = resource.data.get(FROM_ENVIRONMENT) or {}
    variables = {name: dg.EnvVar(variable) for name, variable in names.items() if "/" not in name}
    return cls.model_construct(**{**resource.data, **variables})


def with_placeholders(config: Any, placeholder: object) -> dict[str, Any]:
    """Returns all fields of a configuration, with a placeholder for each value within them that is a variable.

    A field that is a variable itself has its default; None if it has none.

    Args:
        config: A resource or a nested configuration.
        placeholder: The value to use.
    """
    known = cast("Mapping[str, Any]", cast("Any", type(config)).model_fields)
    fields: dict[str, Any] = {name: getattr(config, name) for name in known}
    variables = {name for name, value in fields.items() if is_variable(value)}
    for path in getattr(config, FROM_ENVIRONMENT, {}):
        name, _, below = path.partition("/")
        if below:
            fields[name] = _with(fields[name] or {}, below, placeholder)
        else:
            variables.add(name)
    defaults = {
        name: None if one.is_required() else one.get_default(call_default_factory=True) for name, one in known.items()
    }
    return {name: defaults[name] if name in variables else _replaced(fields[name], placeholder) for name in known}


def _replaced(value: Any, placeholder: object) -> Any:
    """Returns a value with a placeholder for each variable."""
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value).items()
        return {name: _replaced(item, placeholder) for name, item in items}
    if isinstance(value, list):
        return [_replaced(item, placeholder) for item in cast("list[Any]", value)]
    return placeholder if is_variable(value) else value


def is_complete(resource: Any) -> bool:
    """Whether a resource has all required fields without run config, so that a sensor can use it."""
    cls = getattr(resource, "resource_cls", None)
    return cls is None or all(name in resource.data for name, field in cls.model_fields.items() if field.is_required())


def read_text(cls: type[Any], field: str, text: str) -> Any:
    """Parses the text of a field: a list from comma-separated text or JSON, a mapping or nested config from JSON.

    Args:
        cls: The class of the field.
        field: Its name.
        text: Its value.

    Raises:
        RunnerError: When it is not JSON.
    """
    members = list_union_members(cls.model_fields[field].annotation)
    shapes = [get_origin(member) or member for member in members]
    structured = {dict, list} & set(shapes) or any(hasattr(member, "model_fields") for member in members)
    if not structured:
        return text
    text = text.strip()
    if list in shapes and text[:1] != "[":
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return json.loads(text)
    except ValueError as error:
        raise RunnerError(f"{cls.__name__}: `{field}` is not JSON ({error}).") from error


def list_union_members(annotation: Any) -> list[Any]:
    """Returns the members of a union; the annotation itself when it is not a union."""
    if get_origin(annotation) not in (Union, type(int | None)):
        return [annotation]
    return [leaf for part in get_args(annotation) for leaf in list_union_members(part)]


class ResourceConfig(dg.Config):
    """A nested configuration of a resource; every field may be a `dg.EnvVar`."""

    from_environment: dict[str, str] = Field(default_factory=dict, description=DESCRIPTION)

    _pass_variables = field_validator("*", mode="wrap")(pass_variable)

    def __init__(self, **data: Any) -> None:
        cls: type[Any] = type(self)
        title, known = cls.__name__, cast("Mapping[str, object]", cls.model_fields)
        for name in data.keys() - known.keys():
            close = closest_match(name, known)
            hint = f"; did you mean `{close}`?" if close else f". It has: {', '.join(sorted(known))}."
            raise RunnerError(f"{title} has no option `{name}`{hint}")
        try:
            super().__init__(**defer_env_vars(cls, data))  # pyright: ignore[reportUnknownMemberType]
        except ValidationError as error:
            raise RunnerError(f"{title}: {invalid_fields(error)}.") from None

    def values(self) -> dict[str, Any]:
        """Returns the fields, without the names of variables."""
        return self.model_dump(exclude={FROM_ENVIRONMENT}, warnings=False)  # of variables in numbers


def _name(variable: Any) -> str:
    return variable.env_var_name if isinstance(variable, dg.EnvVar) else variable.name


def _is_raw(annotation: Any) -> bool:
    """Whether a field is a mapping with values of any type, or a list of such mappings."""
    inner = get_args(annotation)
    return inner[1:] == (Any,) or (get_origin(annotation) is list and _is_raw(inner[0]))


def _without_variables(value: Any, path: str, names: dict[str, str]) -> Any:
    """Returns a value without the variables of its mappings; adds their names by path to `names`."""
    if isinstance(value, list):
        items = enumerate(cast("list[Any]", value))
        return [_without_variables(item, f"{path}/{number}", names) for number, item in items]
    if not isinstance(value, Mapping):
        return value
    kept: dict[str, Any] = {}
    for key, one in cast("Mapping[str, Any]", value).items():
        if is_variable(one):
            names[f"{path}/{key}"] = _name(one)
        else:
            kept[key] = _without_variables(one, f"{path}/{key}", names)
    return kept


def _with(value: Any, path: str, item: object) -> Any:
    """Returns a copy of a mapping or list with the item at a path set."""
    name, _, below = path.partition("/")
    if isinstance(value, list):
        items = enumerate(cast("list[Any]", value))
        return [(_with(one, below, item) if below else item) if str(number) == name else one for number, one in items]
    pairs = cast("Mapping[str, Any]", value)
    return {**pairs, name: _with(pairs.get(name) or {}, below, item) if below else item}
