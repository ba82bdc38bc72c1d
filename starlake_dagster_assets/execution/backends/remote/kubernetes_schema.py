"""Fields of the objects of the Kubernetes API, read from the sources of the official client.

Importing the client takes as long as importing Dagster. A resource is validated each time definitions are loaded, so
only the few source files in question are read.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

__all__ = ["ObjectSchema", "schema_of"]

_TYPES = re.compile(r"^    openapi_types = (\{.*?\})", re.DOTALL | re.MULTILINE)
_NAMES = re.compile(r"^    attribute_map = (\{.*?\})", re.DOTALL | re.MULTILINE)
_REQUIRED = re.compile(r"Invalid value for `(\w+)`, must not be `None`")
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True)
class ObjectSchema:
    """Fields of one kind of object.

    Attributes:
        names: Name in the API by name in the client, such as `mount_path`: `mountPath`.
        types: Type by name in the client, in the words of the client: `V1Container`, `list[V1Volume]`.
        required: Names in the client of the fields that must be set.
    """

    names: Mapping[str, str]
    types: Mapping[str, str]
    required: frozenset[str]


@lru_cache(maxsize=256)
def schema_of(kind: str) -> ObjectSchema | None:
    """Returns the fields of a kind of object; None if the installed client does not describe it.

    Args:
        kind: Name of the class in the client, such as `V1VolumeMount`.
    """
    spec = find_spec("kubernetes")
    locations = spec.submodule_search_locations if spec is not None else None
    for location in locations or ():
        path = Path(location) / "client" / "models" / f"{_WORDS.sub('_', kind).lower()}.py"
        if path.is_file():
            return _parsed(path.read_text(encoding="utf-8"))
    return None


def _parsed(source: str) -> ObjectSchema | None:
    types, names = _TYPES.search(source), _NAMES.search(source)
    if types is None or names is None:
        return None
    return ObjectSchema(
        MappingProxyType(ast.literal_eval(names[1])),
        MappingProxyType(ast.literal_eval(types[1])),
        frozenset(_REQUIRED.findall(source)),
    )
