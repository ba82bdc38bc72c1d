"""Expectations: parses and renders their macro calls, and reports calls of unknown macros."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from starlake_dagster_assets.errors import closest_match
from starlake_dagster_assets.project.files.rendering import RenderError, render
from starlake_dagster_assets.project.model.project import Project
from starlake_dagster_assets.project.resolve.parsed_project import ParsedProject

__all__ = [
    "called_macro",
    "check_expectations",
    "expectation_sql",
    "expectation_template",
    "macro_call",
    "render_expectation",
]

_CATEGORY = re.compile(r"^\s*[A-Za-z_][\w-]*\.(?=[A-Za-z_]\w*\s*\()")
_CALLED = re.compile(r"([A-Za-z_]\w*)\s*\(")
_COMMENT = re.compile(r"('(?:[^']|'')*'|\"(?:[^\"]|\"\")*\")|--[^\n]*|/\*.*?\*/", re.DOTALL)


def macro_call(expect: str) -> str:
    """Returns the call of an expectation, without the category before the name of its macro."""
    return _CATEGORY.sub("", expect).strip()


def called_macro(expect: str) -> str | None:
    """Returns the name of the macro that an expectation calls; None if the expectation calls none."""
    call = _CALLED.match(macro_call(expect))
    return call[1] if call else None


def expectation_template(project: Project) -> str:
    """Returns the text of all macros, without SQL comments; the call of an expectation is appended to it."""
    ordered = sorted(project.macros, key=lambda macro: macro.kind != "expectation")
    return "\n".join(_COMMENT.sub(lambda match: match.group(1) or "", macro.text) for macro in ordered)


def render_expectation(template: str, expect: str, variables: Mapping[str, str]) -> str:
    """Renders the SQL of an expectation; `SL_THIS` stands for the table.

    Args:
        template: `expectation_template` of the project.
        expect: The expectation as written.
        variables: The variables in force.

    Raises:
        RenderError: When the call cannot be rendered, or gives no SQL.
    """
    text = render(f"{template}\n{{{{ {macro_call(expect)} }}}}", variables).strip()
    if not text:
        raise RenderError("it gives no SQL: is there a macro of that name below metadata/expectations?", None)
    return text


def expectation_sql(template: str, expect: str, variables: Mapping[str, str], table: str) -> str:
    """Renders the SQL of an expectation on a table.

    Args:
        template: `expectation_template` of the project.
        expect: The expectation as written.
        variables: The variables in force.
        table: The table in SQL. It replaces `sl_this`, in upper case too if the text has it in lower case.

    Raises:
        RenderError: When the call cannot be rendered, or gives no SQL.
    """
    try:
        text = render_expectation(template, expect, variables)
    except Exception as error:  # a macro may raise anything
        raise RenderError(f"cannot render expectation {macro_call(expect)}: {error}", None) from error
    return re.sub("sl_this", lambda _: table, text, flags=re.IGNORECASE) if "sl_this" in text else text


def check_expectations(data: Mapping[str, Any], file: str, path: tuple[str | int, ...], context: ParsedProject) -> None:
    """Reports calls of unknown macros: such an expectation fails in each run, without checking a row.

    Args:
        data: Values that the file itself sets, by Python names.
        file: The file that contains them.
        path: The keys above `expectations`.
        context: The macros of the project, and the collector of problems.
    """
    for index, item in enumerate(data.get("expectations") or ()):
        macro = called_macro(item["expect"])
        if macro is None or macro in context.macros:
            continue
        close = closest_match(macro, context.macros)
        hint = f"Did you mean `{close}`?" if close else "Add it to a .j2 file there, or remove the expectation."
        message = f"no file of metadata/expectations or metadata/macros has a macro `{macro}`."
        context.report.warning(file, (*path, "expectations", index, "expect"), message, "unknown-macro", hint)
