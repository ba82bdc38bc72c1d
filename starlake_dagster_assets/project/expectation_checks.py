"""Expectations that call a macro which the project does not have (format reference 7)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from starlake_dagster_assets.errors import nearest
from starlake_dagster_assets.project.resolution import Resolution

__all__ = ["check_expectations", "macro_call"]

_CATEGORY = re.compile(r"^\s*[A-Za-z_][\w-]*\.(?=[A-Za-z_]\w*\s*\()")
_CALLED = re.compile(r"([A-Za-z_]\w*)\s*\(")


def macro_call(expect: str) -> str:
    """The call of an expectation, without the category before the name of its macro."""
    return _CATEGORY.sub("", expect).strip()


def check_expectations(data: Mapping[str, Any], file: str, path: tuple[str | int, ...], context: Resolution) -> None:
    """Reports the calls of unknown macros: such an expectation fails at each run, with no row looked at.

    Args:
        data: What the file sets itself, by Python names.
        file: Where it is written.
        path: The keys above `expectations`.
        context: The macros that there are, and where problems go.
    """
    for index, item in enumerate(data.get("expectations") or ()):
        call = _CALLED.match(macro_call(item["expect"]))
        if call is None or call[1] in context.macros:
            continue
        close = nearest(call[1], context.macros)
        hint = f"Did you mean `{close}`?" if close else "Add it to a .j2 file there, or remove the expectation."
        message = f"no file of metadata/expectations or metadata/macros has a macro `{call[1]}`."
        context.report.warning(file, (*path, "expectations", index, "expect"), message, "unknown-macro", hint)
