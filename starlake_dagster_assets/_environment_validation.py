"""Validates the fields with which an execution environment is registered."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, cast

__all__ = ["invalid_field"]

_STORES = ("", "gs", "s3")


def _is_line(value: object) -> bool:
    return isinstance(value, str) and value.splitlines() in ([], [value])


def _is_reference(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[\w.]+:\w+", value) is not None


_RULES: Mapping[str, tuple[str, Callable[[Any], bool]]] = MappingProxyType(
    {
        "name": ("an identifier, such as `cloud_run`", lambda value: isinstance(value, str) and value.isidentifier()),
        "resource": ("the text `module:name`", _is_reference),
        "summary": ("one line of text", lambda value: _is_line(value) and bool(value.strip())),
        "requires": ("one line of text", _is_line),
        "install": ("one line of text", _is_line),
        "runs_program": ("True or False", lambda value: isinstance(value, bool)),
        "options": (
            "a tuple of texts, such as `('batch_directory',)`",
            lambda value: isinstance(value, tuple) and all(map(_is_line, cast("tuple[object, ...]", value))),
        ),
        "store": (
            "`gs`, `s3`, or an empty text for any other store, in which Airflow tasks cannot wait for files",
            lambda value: isinstance(value, str) and value in _STORES,
        ),
        "airflow": ("the text `module:name`, or an empty text", lambda value: value == "" or _is_reference(value)),
        "doctor": ("the text `module:name`, or an empty text", lambda value: value == "" or _is_reference(value)),
        "settings": ("the text `module:name`, or an empty text", lambda value: value == "" or _is_reference(value)),
        "version": ("a whole number", lambda value: type(value) is int),
    }
)
"""Expected value of each field of a registration, in words and as a check."""


def invalid_field(registration: object) -> str:
    """Describes the first invalid field: what was found and what was expected; "" if all fields are valid."""
    for name, (expected, is_valid) in _RULES.items():
        if not is_valid(value := getattr(registration, name)):
            return f"its {name} is {value!r:.60} ({type(value).__name__}); expected {expected}."
    return ""
