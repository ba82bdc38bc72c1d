"""Migrates and validates the value of one YAML file against the keys of its kind; every problem has its line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, cast

from pydantic import BaseModel

from starlake_dagster_assets.errors import closest_match
from starlake_dagster_assets.project.files.application_keys import ApplicationFile
from starlake_dagster_assets.project.files.discovery import SourceFile
from starlake_dagster_assets.project.files.migration import ROOT_KEYS, migrate, unwrap_tables
from starlake_dagster_assets.project.files.rendering import source_line
from starlake_dagster_assets.project.files.schema import (
    DagFile,
    ExternalTableFile,
    LoadFile,
    RefsFile,
    TableFile,
    TaskFile,
    TransformFile,
    TypesFile,
)
from starlake_dagster_assets.project.files.validation import Issue, check_shape
from starlake_dagster_assets.project.files.yaml_io import Document, key_line
from starlake_dagster_assets.project.model.problems import Problem

__all__ = ["FileValidator", "ParsedFile"]

_MODELS: dict[str, tuple[str, type[BaseModel]]] = {
    "application": ("application", ApplicationFile),
    "dag": ("dag", DagFile),
    "external": ("table", ExternalTableFile),
    "external_config": ("load", LoadFile),
    "load": ("load", LoadFile),
    "refs": ("refs", RefsFile),
    "table": ("table", TableFile),
    "task": ("task", TaskFile),
    "transform": ("transform", TransformFile),
    "types": ("types", TypesFile),
}
_LISTS = frozenset({"refs", "types"})
_NEVER_EMPTY = frozenset({"dag", "external", "table"})


@dataclass(frozen=True)
class ParsedFile:
    """Content of one file, validated.

    Attributes:
        data: Values that it sets, by Python names; None if it is invalid. For SQL: its three sections and its source.
        line: 1-based line of its root key.
        items: Objects inside it (tables or tasks of a `_config`), each with its own line.
        problems: The problems of the file.
        names: The variables it may read.
        digest: A hash of its contents that does not depend on the day or the machine.
        text: The rendered text, for the line of a key; "" when it was read from a cache.
    """

    data: dict[str, Any] | None
    line: int | None = None
    items: tuple[dict[str, Any], ...] = ()
    problems: tuple[Problem, ...] = ()
    names: tuple[str, ...] = ()
    digest: str = ""
    text: str = field(default="", compare=False)

    def to_json(self) -> dict[str, Any]:
        """Returns the content as JSON, for the manifest."""
        kept = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "text"}
        return {**kept, "problems": [problem.model_dump(mode="json") for problem in self.problems]}

    @staticmethod
    def from_json(found: Mapping[str, Any]) -> ParsedFile:
        """Returns the content from the output of `to_json`."""
        problems = tuple(Problem.model_validate(item) for item in found["problems"])
        items, names = tuple(found["items"]), tuple(found["names"])
        return ParsedFile(found["data"], found["line"], items, problems, names, found["digest"])


class FileValidator:
    """Validator of the parsed value of one YAML file.

    Args:
        file: The file.
        source: Its text as written.
        text: Its rendered text.
        document: The parsed text.
    """

    def __init__(self, file: SourceFile, source: str, text: str, document: Document) -> None:
        self._file = file
        self._source = source
        self._text = text
        self._document = document

    def parse(self) -> ParsedFile:
        """Returns the validated content of the file, with all of its problems."""
        value = self._document.value
        if isinstance(value, list) and self._file.kind in _LISTS:  # files of older versions
            value = {self._file.kind: cast("list[object]", value)}
        if value is not None and not isinstance(value, dict):
            issue = Issue((), "expected a mapping with one root key.", code="invalid-value")
            return ParsedFile(None, 1, problems=self._problems([issue]))
        if value is None and self._file.kind in _NEVER_EMPTY:
            message = f"the file is empty: the root key `{_MODELS[self._file.kind][0]}` is missing."
            hint = "Describe it, or delete the file."
            return ParsedFile(None, 1, problems=self._problems([Issue((), message, hint, "missing-key")]))
        content = cast("dict[str, Any]", value or {})
        issues = [
            Issue(path, f"the key `{path[-1]}` is written twice.", "Keep one of the two.", "duplicate-key")
            for path, _ in self._document.duplicates
        ]
        if self._file.kind in {"extract", "iam"}:
            return self._parsed({}, (), issues)
        if self._file.kind == "env":
            return self._env(content, issues)
        key, model = _MODELS[self._file.kind]
        document, found = self._envelope(key, content)
        issues += found
        data, items = None, ()
        if key in document:
            data, items = self._content(key, model, document, issues)
        return self._parsed(data, items, issues)

    def _envelope(self, key: str, content: dict[str, Any]) -> tuple[dict[str, Any], list[Issue]]:
        if "version" not in content:
            near = [name for name in content if name not in {key, "tables"} and closest_match(name, [key])]
            if key in content or not near or not isinstance(content[near[0]], dict | list):
                content = migrate(key, content)
        elif str(content["version"]) != "1":
            return content, [Issue(("version",), f"expected 1, found `{content['version']}`.")]
        elif key == "table" and "table" not in content and "tables" in content:
            content = unwrap_tables(content)
        known = {key, "version", *(["tables"] if key == "load" else [])}
        unknown = [name for name in content if name not in known]
        issues = [_unknown_root(name, key, others=key in content) for name in unknown]
        if key not in content and not unknown:
            issues.append(Issue(("version",), f"the root key `{key}` is missing.", code="missing-key"))
        return content, issues

    def _content(
        self, key: str, model: type[BaseModel], document: dict[str, Any], issues: list[Issue]
    ) -> tuple[dict[str, Any] | None, tuple[dict[str, Any], ...]]:
        value: object = document[key]
        if value is None and key not in {"types", "refs"}:
            value = {}
        if key in {"types", "refs"}:
            data, found = check_shape(model, {key: value or []}, ())
            issues += found
            return data, ()
        if key in {"application", "load", "transform"}:
            data = _pruned(model, value, key, issues)
        else:
            data, found = check_shape(model, value, (key,))
            issues += found
        if key == "load" and document.get("tables"):
            return data, self._items(TableFile, document["tables"], ("tables",), issues)
        if key == "transform" and data and data.get("tasks"):
            return data, self._items(TaskFile, data.pop("tasks"), ("transform", "tasks"), issues)
        return data, ()

    def _items(
        self, model: type[BaseModel], values: object, prefix: tuple[str, ...], issues: list[Issue]
    ) -> tuple[dict[str, Any], ...]:
        if not isinstance(values, list):
            issues.append(Issue(prefix, "expected a list (`- item` lines)."))
            return ()
        found: list[dict[str, Any]] = []
        for index, value in enumerate(cast("list[object]", values)):
            path = (*prefix, index)
            data, wrong = check_shape(model, value, path)
            issues += wrong
            if data is not None:
                found.append({"data": data, "line": self._line(path), "index": index})
        return tuple(found)

    def _env(self, content: dict[str, Any], issues: list[Issue]) -> ParsedFile:
        content = content if "version" in content else migrate("env", content)
        values: object = content.get("env") or {}
        issues += [_unknown_root(name, "env", others=True) for name in content if name not in {"version", "env"}]
        if not isinstance(values, dict):
            issues.append(Issue(("env",), "expected a mapping of names to texts."))
            return self._parsed(None, (), issues)
        found: dict[str, str] = {}
        for name, value in cast("dict[str, object]", values).items():
            if isinstance(value, dict | list):
                found_kind = "a mapping" if isinstance(value, dict) else "a list"
                hint = 'If it is a variable, quote it: "{{name}}".'
                issues.append(Issue(("env", name), f"expected a text, found {found_kind}.", hint))
            else:
                found[name] = "" if value is None else str(value)
        return self._parsed(found, (), issues)

    def _parsed(
        self, data: dict[str, Any] | None, items: tuple[dict[str, Any], ...], issues: list[Issue]
    ) -> ParsedFile:
        root = next((name for name in self._document.lines if name in ROOT_KEYS or name == "tables"), None)
        line = source_line(self._source, self._text, self._document.lines[root]) if root else 1
        return ParsedFile(data, line, items, self._problems(issues), text=self._text)

    def _problems(self, issues: Iterable[Issue]) -> tuple[Problem, ...]:
        twice = dict(self._document.duplicates)
        found: list[Problem] = []
        for issue in issues:
            path = tuple(str(part) for part in issue.path)
            line = twice.get(path) if issue.code == "duplicate-key" else None
            line = source_line(self._source, self._text, line) if line else self._line(issue.path)
            found.append(
                Problem(
                    file=self._file.path,
                    line=line or 1,
                    key=".".join(path),
                    message=issue.message,
                    hint=issue.hint,
                    code=issue.code,
                )
            )
        return tuple(found)

    def _line(self, path: tuple[str | int, ...]) -> int | None:
        lines = self._document.lines
        kept = path if path and str(path[0]) in lines else path[1:]
        # `schema` and `schemas` are what older versions call a table file's root
        for name, more in (("schema", ()), ("schemas", (0,)), ("tables", (0,))):
            if kept is not path and path[:1] == ("table",) and name in lines:
                kept = (name, *more, *path[1:])
                break
        return source_line(self._source, self._text, key_line(self._text, kept))


def _pruned(model: type[BaseModel], content: object, key: str, issues: list[Issue]) -> dict[str, Any] | None:
    """Returns values that other objects inherit, without invalid keys, so that one mistake is one problem."""
    data, found = check_shape(model, content, (key,))
    issues += found
    value = content
    for _ in range(len(found)):
        if data is not None:
            break
        # the last first, so that the indices of a list stay true
        for issue in sorted(found, key=lambda item: [str(step).zfill(9) for step in item.path], reverse=True):
            value = _without(value, issue.path[1:-1] if issue.code == "missing-key" else issue.path[1:])
        data, found = check_shape(model, value, (key,))
    return data


def _without(value: object, path: tuple[str | int, ...]) -> object:
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(value, list) and isinstance(head, int):
        items = cast("list[object]", value)
        kept: list[object] = [
            _without(item, rest) if index == head else item for index, item in enumerate(items) if rest or index != head
        ]
        return kept
    if isinstance(value, dict):
        found = cast("dict[str, object]", value)
        rest_of: dict[str, object] = {
            key: _without(item, rest) if key == str(head) else item
            for key, item in found.items()
            if rest or key != str(head)
        }
        return rest_of
    return cast("object", value)


def _unknown_root(name: str, key: str, *, others: bool) -> Issue:
    close = closest_match(name, [key, "version"])
    hint = f"Did you mean `{close}`?" if close else f"A file of this kind has `version` and `{key}`."
    if not others and name in ROOT_KEYS:
        hint = f"A file in this directory has the root key `{key}`."
    return Issue((name,), f"unknown key `{name}` at the top of the file.", hint, "unknown-key")
