"""Validation errors of pydantic as messages that name the key, the value and the fix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_args

from pydantic import BaseModel, ValidationError

from starlake_dagster_assets.errors import closest_match

__all__ = ["Issue", "check_shape", "list_keys", "part"]

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Issue:
    """A validation error of one value.

    Attributes:
        path: Keys and indices from the top of the document.
        message: What was found and what was expected.
        hint: The next step.
        code: Code of the `Problem`.
    """

    path: Path
    message: str
    hint: str = ""
    code: str = "invalid-value"


def check_shape(model: type[BaseModel], data: object, prefix: Path) -> tuple[dict[str, Any] | None, tuple[Issue, ...]]:
    """Checks a value against the keys of a kind of file.

    Args:
        model: The kind.
        data: The parsed value.
        prefix: The path of the value in its document.

    Returns:
        Values that the file sets, by Python names, and no issue; or None and the issues.
    """
    try:
        return model.model_validate(data).model_dump(mode="json", exclude_unset=True), ()
    except ValidationError as error:
        details = cast("list[dict[str, Any]]", error.errors(include_url=False, include_context=False))
        return None, tuple(_issue(model, detail, prefix) for detail in details)
    except (RecursionError, ValueError):
        return None, (Issue(prefix, "the values are nested too deeply."),)


def list_keys(model: type[BaseModel]) -> tuple[str, ...]:
    """Returns the keys of a kind of mapping, as they are spelled in files."""
    return tuple(field.alias or name for name, field in model.model_fields.items())


def part(found: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Returns a mapping inside the values of a file, empty if the file sets none."""
    value = found.get(key)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _issue(model: type[BaseModel], detail: Mapping[str, Any], prefix: Path) -> Issue:
    location = cast("Path", detail["loc"])
    path = (*prefix, *location)
    kind = str(detail["type"])
    name = str(location[-1]) if location else str(prefix[-1])
    if kind == "extra_forbidden":
        owner = _model_at(model, location[:-1])
        return _unknown(path, name, list_keys(owner) if owner else (), prefix)
    if kind == "missing":
        return Issue(path, f"the key `{name}` is missing.", code="missing-key")
    if kind in {"model_type", "model_attributes_type", "dict_type"}:
        return Issue(path, "expected a mapping (`key: value` lines).")
    if kind in {"tuple_type", "list_type"}:
        return Issue(path, "expected a list (`- item` lines).")
    if kind == "string_type":
        return Issue(path, "expected a text, found nothing.")
    message = str(detail["msg"])
    return Issue(path, message.removeprefix("Value error, "))


def _unknown(path: Path, name: str, known: Sequence[str], prefix: Path) -> Issue:
    where = ".".join(str(part) for part in path[:-1]) or ".".join(str(part) for part in prefix)
    close = closest_match(name, known)
    if close:
        hint = f"Did you mean `{close}`?"
    else:
        hint = f"Known keys: {', '.join(sorted(known))}." if 0 < len(known) <= 30 else ""
    return Issue(path, f"unknown key `{name}` in `{where}`.", hint, "unknown-key")


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """Returns the model of the mapping at a path; None if the path is unknown."""
    current: type[BaseModel] | None = model
    inner: Any = None
    for part in path:
        if inner is not None and _is_item(inner, part):
            current = next(_models(inner), None)
            continue
        if current is None:
            return None
        by_key = {field.alias or name: field for name, field in current.model_fields.items()}
        field = by_key.get(str(part))
        if field is None:
            return None
        inner = field.annotation
        current = next(_models(inner), None)
    return current


def _is_item(annotation: Any, part: str | int) -> bool:
    return isinstance(part, int) or "dict" in str(annotation)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)
