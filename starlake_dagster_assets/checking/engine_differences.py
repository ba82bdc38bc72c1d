"""Reports what the embedded engine accepts and the starlake program rejects or treats differently."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.project.model.project import Attribute, Location, Project, Table

__all__ = ["find_engine_differences", "find_unimported_macros"]

_JINJA = re.compile(r"\{[{%].*?[%}]\}", re.DOTALL)
_FROM = re.compile(r"\{%[-+]?\s*from\s+[^%]*?\bimport\s+([^%]*?)[-+]?%\}")
_DEFINED = re.compile(r"\{%[-+]?\s*macro\s+(\w+)")
_CALL = re.compile(r"(?<![\w.])(\w+)\s*\(")
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/|\{#.*?#\}", re.DOTALL)
_RESERVED = frozenset(
    {"all", "and", "as", "asc", "at", "both", "case", "check", "column", "constraint", "create", "default", "desc"}
    | {"distinct", "do", "else", "end", "except", "false", "fetch", "for", "foreign", "from", "grant", "group"}
    | {"having", "in", "initially", "intersect", "into", "lateral", "limit", "not", "null", "offset", "on", "only"}
    | {"or", "order", "placing", "primary", "references", "returning", "select", "some", "table", "then", "to", "true"}
    | {"union", "unique", "using", "variadic", "when", "where", "window", "with"}
)


def find_unimported_macros(project: Project) -> Iterator[Problem]:
    """Reports macros of `metadata/macros` that the SQL of a task calls without importing them.

    Args:
        project: The resolved project.
    """
    files = {name: macro.file for macro in project.macros for name in _DEFINED.findall(macro.text)}
    for task in project.tasks:
        location = task.source_location
        text = _text(project, location)
        known = {*_DEFINED.findall(text), *_imported(text)}
        for name, at in _calls(_blank(text)):
            if name in files and name not in known:
                known.add(name)
                path = files[name].removeprefix("metadata/")
                yield Problem(
                    file=location.file,
                    line=text.count("\n", 0, at) + 1,
                    column=at - text.rfind("\n", 0, at),
                    message=f"the macro `{name}` is called without an import; the starlake program does not find it.",
                    hint=f"Add {{% import '{path}' as m %}} at the top of the file, and call m.{name}(…).",
                    severity="warning",
                    code="bare-macro",
                )


def find_engine_differences(project: Project) -> Iterator[Problem]:
    """Reports attributes that the starlake program treats differently from the embedded engine.

    Args:
        project: The resolved project.
    """
    for table in project.tables:
        for path, attribute in _attributes(table.attributes, "attributes"):
            for reason, hint in _reasons(table, attribute, nested=path.count("attributes") > 1):
                yield Problem(
                    file=table.location.file,
                    line=table.location.line,
                    key=path,
                    message=f"{attribute.name}: {reason}.",
                    hint=hint,
                    severity="warning",
                    code="not-portable",
                )


def _reasons(table: Table, attribute: Attribute, *, nested: bool) -> Iterator[tuple[str, str]]:
    privacy = attribute.privacy.strip().upper()
    if privacy != "NONE" and not privacy.startswith("SQL:"):
        yield (
            f"the starlake program stores it in clear: `{attribute.privacy}` has no effect there",
            "Use an expression that both engines know, such as `SQL: md5(name)`.",
        )
    if attribute.final_name.lower() in _RESERVED and not nested and not attribute.ignore:
        yield (
            f"the starlake program does not quote the column `{attribute.final_name}`, a word of SQL, and fails",
            "Add a `rename`.",
        )
    if table.metadata.loader != "native":
        return
    for key, value in (("script", attribute.script), ("default", attribute.default)):
        if value:
            yield f"`{key}` does not work with the native loader of the starlake program", "Set `loader: spark`."
    if attribute.trim != "NONE":
        yield "`trim` has no effect with the native loader of the starlake program", "Set `loader: spark`."
    if attribute.type in {"struct", "variant"} and table.metadata.format in {"JSON", "JSON_FLAT", "JSON_ARRAY"}:
        yield "nested JSON gives no rows with the native loader of the starlake program", "Set `loader: spark`."


def _attributes(attributes: Sequence[Attribute], prefix: str) -> Iterator[tuple[str, Attribute]]:
    for index, attribute in enumerate(attributes):
        path = f"{prefix}.{index}"
        yield path, attribute
        yield from _attributes(attribute.attributes, f"{path}.attributes")


def _calls(text: str) -> Iterator[tuple[str, int]]:
    for block in _JINJA.finditer(text):
        for call in _CALL.finditer(block[0]):
            yield call[1], block.start() + call.start(1)


def _imported(text: str) -> Iterator[str]:
    for names in _FROM.findall(text):
        for item in names.split(","):
            yield item.split()[-1] if item.split() else ""


def _blank(text: str) -> str:
    """Replaces the comments of a text with spaces, without moving the rest."""
    return _COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def _text(project: Project, location: Location) -> str:
    try:
        return (Path(project.root) / location.file).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
