"""Texts of a configuration that anyone who can view an execution can read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

from starlake_dagster_assets.project.model.secret_names import is_secret

__all__ = ["UNKNOWN", "PublicText", "VariableText", "list_public_texts"]

UNKNOWN: Final = object()
"""Placeholder of a value that is read from the environment when a run starts: it is set, and may be anything."""
_TAKES_VALUE = re.compile(r"--[\w.-]+(?<!file)(?<!path)(?<!dir)")
"""Option of a command whose value is the next argument, and is not a path."""
_NAMED_VALUES = (
    *("annotations", "env", "labels", "matchLabels", "match_labels", "metadata", "nodeSelector", "node_selector"),
    *("properties", "spark_properties", "volumeAttributes", "volume_attributes"),
)
"""Fields whose keys describe their values."""


class VariableText(str):
    """Value of an environment variable within a mapping: a text, also where a number is expected."""

    __slots__ = ()


@dataclass(frozen=True)
class PublicText:
    """A text that anyone who can view an execution can read.

    Attributes:
        path: Path of the mapping that has it, such as `k8s_config.container_config`.
        name: Its key, or the name of the variable.
        text: The text.
        kind: `variable` if the name describes the value: of variables, labels, annotations, and options of volumes and
            commands. `key` if the text is itself a key.
    """

    path: str
    name: str
    text: str
    kind: Literal["text", "variable", "key"] = "text"

    @property
    def is_secret(self) -> bool:
        """Whether its name says that it is a secret; the key of a tool, such as `vault.hashicorp.com/…`, does not."""
        return self.kind == "variable" and "/" not in self.name and is_secret(self.name, self.text)


def list_public_texts(name: str, value: object, path: str = "") -> Iterator[PublicText]:
    """Yields the texts of a value and the keys of its mappings.

    Args:
        name: Name of the field that has the value.
        value: The value.
        path: Path of the mapping that has the field.
    """
    here = f"{path}.{name}".removeprefix(".")
    if isinstance(value, Mapping):
        yield from _texts_of_mapping(path, name, cast("Mapping[str, object]", value))
    elif isinstance(value, list | tuple):
        items = list(cast("Sequence[object]", value))
        for number, (item, before) in enumerate(zip(items, [None, *items], strict=False)):
            if isinstance(before, str) and _TAKES_VALUE.fullmatch(before):
                yield PublicText(here, before, _text(item), "variable")
            else:
                yield from list_public_texts(f"{name}[{number}]", item, path)
        yield PublicText(path or name, name, " ".join(item for item in items if isinstance(item, str)))  # as a command
    elif text := _text(value):
        yield PublicText(path or name, name, text)


def _texts_of_mapping(path: str, name: str, items: Mapping[str, object]) -> Iterator[PublicText]:
    here = f"{path}.{name}".removeprefix(".")
    if isinstance(items.get("name"), str) and "value" in items:
        where, name = here.rpartition("[")[0], str(items["name"])
        yield PublicText(where, "", name, "key")
        yield PublicText(where, name, _text(items["value"]), "variable")
        return
    is_named = name in _NAMED_VALUES or path.endswith((".flexVolume", ".flex_volume"))
    for key, item in items.items():
        yield PublicText(here, "", str(key), "key")
        if isinstance(item, Mapping | list) or not is_named:
            yield from list_public_texts(str(key), cast("object", item), here)
        else:
            yield PublicText(here, key, _text(item), "variable")


def _text(value: object) -> str:
    return "" if value is None or value is UNKNOWN else str(value)
