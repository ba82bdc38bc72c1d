"""Types of single values in Starlake files: texts, booleans, whole numbers, choices, lists and maps."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator
from pydantic.alias_generators import to_camel

from starlake_dagster_assets.errors import closest_match

__all__ = ["Bool", "FileModel", "Int", "Name", "Text", "TextList", "TextMap", "choice"]

_INT = re.compile(r"[-+]?\d+(?:\.0+)?")


class FileModel(BaseModel):
    """A mapping of a file: no unknown keys, spelled in camelCase; a null means that the key is absent."""

    # deferred: a project that is read from its manifest needs the keys of `application.sl.yml` alone
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, frozen=True, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        found = cast("dict[str, object]", data)
        if None not in found.values():
            return found
        fields = cls.model_fields
        known = {fields[name].alias or name for name in fields}
        return {key: value for key, value in found.items() if value is not None or key not in known}


def _text(value: object) -> object:
    if isinstance(value, list | dict):
        raise ValueError(f"expected a text, found {_kind(cast('object', value))}.")
    return value


def _name(value: object) -> object:
    if isinstance(value, str) and not value.strip():
        raise ValueError("expected a name, found an empty text.")
    return _text(value)


def _bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = value.lower() if isinstance(value, str) else ""
    if word not in {"true", "false"}:
        raise ValueError(f"expected true or false, found {_kind(value)}.")
    return word == "true"


def _int(value: object) -> int:
    if isinstance(value, int):
        return value
    if not isinstance(value, str) or not _INT.fullmatch(value.strip()) or len(value) > 30:
        raise ValueError(f"expected a whole number, found {_kind(value)}.")
    return int(value.split(".")[0])


def _list(value: object) -> object:
    if isinstance(value, tuple):
        return cast("object", value)
    if not isinstance(value, list):
        raise ValueError(f"expected a list, found {_kind(value)}. Write it as [a, b] or one `- item` a line.")
    return [item for item in cast("list[object]", value) if item is not None]


def _map(value: object) -> object:
    if not isinstance(value, dict):
        raise ValueError(f"expected a mapping of keys to texts, found {_kind(value)}.")
    found = cast("dict[str, object]", value)
    return {key: "" if item is None else item for key, item in found.items()}


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return "nothing" if value is None else f"`{value}`"


def choice(values: Iterable[str], synonyms: dict[str, str] | None = None) -> Callable[[object], str]:
    """Returns a validator for one of several words, regardless of case.

    Args:
        values: The words, as spelled in the result.
        synonyms: Other spellings (upper case) and the word each means.

    Returns:
        A function for `BeforeValidator`; its message lists the words and suggests the closest one.
    """
    words = list(values)
    by_upper = {**{word.upper(): word for word in words}, **(synonyms or {})}

    def check(value: object) -> str:
        text = value if isinstance(value, str) else ""
        found = by_upper.get(text.strip().upper())
        if found is None:
            close = closest_match(text, words)
            hint = f" Did you mean `{close}`?" if close else ""
            raise ValueError(f"expected one of {', '.join(words)}; found {_kind(value)}.{hint}")
        return found

    return check


Text = Annotated[str, BeforeValidator(_text)]
Name = Annotated[str, BeforeValidator(_name)]
Bool = Annotated[bool, BeforeValidator(_bool)]
Int = Annotated[int, BeforeValidator(_int)]
TextList = Annotated[tuple[Text, ...], BeforeValidator(_list)]
TextMap = Annotated[dict[str, Text], BeforeValidator(_map)]
